//! The two real PostgreSQL servers behind the imitated RDS: made, copied, started, stopped and promoted with
//! PostgreSQL's own programs.
//!
//! Whatever RDS would add (statuses, refusals, durations) is not here but in `rds`. A server waits for no disk:
//! what a killed one had committed the kernel still holds, and no run takes the machine away.
//!
//! Who may log in: the superuser `postgres` through the unix socket only, whose folder is closed to other
//! users; `replicator` with a password, for replication only; `understudy` from loopback without a password,
//! because RDS would ask it for an IAM token and nobody here could check one; everybody else with a password.

mod account;

use crate::config::{Cloud, Database, Place};
use account::Account;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// The one superuser; no connection over TCP may use it.
pub const SUPERUSER: &str = "postgres";
/// The role of the streaming standby.
pub const REPLICATOR: &str = "replicator";
/// Its password: nobody but loopback may use it.
pub const REPLICATOR_PASSWORD: &str = "local-replicator";
/// The product's own role.
pub const PRODUCT: &str = "understudy";

/// Linux allows 107 bytes; the file in the folder is called `.s.PGSQL.` and a port.
const SOCKET_PATH_MAX: usize = 99;

/// How long `pg_ctl` waits for the server; a local one needs under a second.
const WAIT_SECONDS: &str = "60";

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ends sessions, writes a checkpoint.
    Fast,
    /// As in a crash: nothing is said to anybody, and the next start recovers.
    Immediate,
}

/// The application's database, role and table.
#[derive(Clone, Debug)]
pub struct Application<'a> {
    pub database: &'a str,
    pub role: &'a str,
    pub password: &'a str,
}

/// Why a server could not be made to do something.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("no database of the local cloud is in {place}; its description names none")]
    NoDatabase { place: Place },
    #[error("PostgreSQL refuses to run as root; name another user as `pg_user`, such as `nobody`")]
    Root,
    #[error("the user `{user}` of `pg_user` is not in /etc/passwd")]
    NoUser { user: String },
    #[error("`pg_user` is `{user}`, and only root may run programs as somebody else; leave it out")]
    NotRoot { user: String },
    #[error("cannot prepare `{}` for PostgreSQL", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot run `{}`; is `pg_bin` the folder of PostgreSQL's programs, and may `pg_user` read it?", program.display())]
    Program { program: PathBuf, source: io::Error },
    #[error("`{program}` of the {place} database failed ({status}): {said}; its log is `{}`", log.display())]
    Failed { program: &'static str, place: Place, status: String, said: String, log: PathBuf },
    #[error("the {place} database refused to {action}")]
    Sql { place: Place, action: &'static str, source: tokio_postgres::Error },
}

/// One server. The value holds no process: the server outlives whoever started it.
#[derive(Clone, Debug)]
pub struct Server {
    place: Place,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    bin: PathBuf,
    account: Option<Account>,
    preloaded: Option<PathBuf>,
}

impl Server {
    /// The server of `place`, running or not.
    pub fn at(cloud: &Cloud, place: Place) -> Result<Self, PostgresError> {
        let database: &Database = cloud.database_at(place).ok_or(PostgresError::NoDatabase { place })?;
        Ok(Self {
            place,
            data_dir: database.data_dir.clone(),
            socket_dir: socket_dir(cloud, place),
            log: cloud.state_dir.join("logs").join(format!("postgres-{place}.log")),
            address: SocketAddr::from((cloud.own(place), cloud.db_port)),
            bin: cloud.pg_bin.clone(),
            account: Account::choose(cloud.pg_user.as_deref())?,
            preloaded: None,
        })
    }

    /// The same server, started with that library before the C library.
    pub fn preloading(self, library: PathBuf) -> Self {
        Self { preloaded: Some(library), ..self }
    }

    pub const fn place(&self) -> Place {
        self.place
    }

    /// Where it listens; others reach it over their link.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Makes a new primary with the role of the standby, and leaves it running.
    pub async fn init_primary(&self, replicator_password: &str) -> Result<(), PostgresError> {
        self.own_folder(&self.data_dir)?;
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&self.data_dir);
        initdb.args(["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
        initdb.arg("--no-sync");
        self.run("initdb", initdb).await?;
        self.write("pg_hba.conf", ACCESS)?;
        self.append_include()?;
        self.start().await?;
        let superuser = self.superuser(SUPERUSER).await?;
        self.create_role(&superuser, REPLICATOR, "LOGIN REPLICATION", Some(replicator_password)).await
    }

    /// Makes this server a streaming standby of the one at `source`, and leaves it stopped.
    ///
    /// `source` is the address of the link from here to there, so that a broken link stops the stream too.
    /// `slot` is a physical slot of that name, made on the source: no log is lost while the link is broken.
    pub async fn base_backup(
        &self,
        source: SocketAddr,
        slot: &str,
        replicator_password: &str,
    ) -> Result<(), PostgresError> {
        self.own_folder(&self.data_dir)?;
        let connection = format!(
            "host={} port={} user={REPLICATOR} application_name={} connect_timeout=5 sslmode=disable",
            source.ip(),
            source.port(),
            self.place,
        );
        let mut backup = self.command("pg_basebackup");
        backup.arg("-D").arg(&self.data_dir).args(["-d", &connection, "-S", slot]);
        backup.args([
            "--create-slot",
            "--wal-method=stream",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "-w",
        ]);
        backup.env("PGPASSWORD", replicator_password);
        self.run("pg_basebackup", backup).await.map(drop)
    }

    /// Starts it and returns when it takes connections. Fails when it runs already.
    pub async fn start(&self) -> Result<(), PostgresError> {
        self.prepare()?;
        let mut start = self.pg_ctl("start");
        start.arg("-l").arg(&self.log).arg("-s");
        self.run("pg_ctl start", start).await.map(drop)
    }

    /// Stops it; one that does not run is stopped already.
    pub async fn stop(&self, how: Stop) -> Result<(), PostgresError> {
        if self.is_running().await? {
            let mode = if how == Stop::Fast { "fast" } else { "immediate" };
            let mut stop = self.pg_ctl("stop");
            stop.args(["-s", "-m", mode]);
            self.run("pg_ctl stop", stop).await?;
        }
        self.remove_socket_dir()
    }

    /// Stops it, and removes all that it holds.
    pub async fn remove(&self) -> Result<(), PostgresError> {
        self.stop(Stop::Immediate).await?;
        let path = &self.data_dir;
        fs::remove_dir_all(path).map_err(|source| PostgresError::Folder { path: path.clone(), source })
    }

    /// Stops it fast and starts it again.
    pub async fn restart(&self) -> Result<(), PostgresError> {
        self.prepare()?;
        let mut restart = self.pg_ctl("restart");
        restart.arg("-l").arg(&self.log).args(["-s", "-m", "fast"]);
        self.run("pg_ctl restart", restart).await.map(drop)
    }

    /// Ends the standby's recovery and returns when it takes writes.
    pub async fn promote(&self) -> Result<(), PostgresError> {
        let mut promote = self.pg_ctl("promote");
        promote.arg("-s");
        self.run("pg_ctl promote", promote).await.map(drop)
    }

    pub async fn is_running(&self) -> Result<bool, PostgresError> {
        Ok(self.output(self.pg_ctl("status")).await?.status.success())
    }

    /// Whether its data folder is a standby's: known even while the server is down.
    pub fn is_standby(&self) -> bool {
        self.data_dir.join("standby.signal").exists()
    }

    /// A session of the superuser, through the socket.
    pub async fn superuser(&self, database: &str) -> Result<tokio_postgres::Client, PostgresError> {
        let connecting = tokio_postgres::Config::new()
            .host_path(&self.socket_dir)
            .port(self.address.port())
            .user(SUPERUSER)
            .dbname(database)
            .connect_timeout(Duration::from_secs(5))
            .connect(tokio_postgres::NoTls)
            .await;
        let (client, connection) = connecting.map_err(self.refused("let its superuser in"))?;
        // Ends with the client; what it reports, the client's own calls report too.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Creates the administrator and, by it, the application's role, database and table, and the product's role.
    /// Run it once.
    pub async fn setup_database(&self, application: &Application<'_>) -> Result<(), PostgresError> {
        let Application { database, role, password } = *application;
        let superuser = self.superuser(SUPERUSER).await?;
        superuser.batch_execute(ADMINISTRATOR).await.map_err(self.refused("create the administrator"))?;
        let session = self.administrator(SUPERUSER).await?;
        self.create_role(&session, PRODUCT, "LOGIN", None).await?;
        self.create_role(&session, role, "LOGIN", Some(password)).await?;
        // The server quotes: a name or password never becomes part of a statement by our own hand.
        let create = "SELECT format('CREATE DATABASE %I', $1::text)";
        self.execute_made(&session, "create the application's database", create, &[&database]).await?;
        let inside = self.administrator(database).await?;
        inside.batch_execute(TABLE).await.map_err(self.refused("create the table `documents`"))?;
        let grant = "SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.documents TO %1$I; \
                     GRANT USAGE ON SEQUENCE public.documents_id_seq TO %1$I', $1::text)";
        self.execute_made(&inside, "let the application write `documents`", grant, &[&role]).await
    }

    /// A session of the administrator, who is no superuser: what a managed database gives its owner.
    pub async fn administrator(&self, database: &str) -> Result<tokio_postgres::Client, PostgresError> {
        let session = self.superuser(database).await?;
        let become_it = "SET SESSION AUTHORIZATION administrator";
        session.batch_execute(become_it).await.map_err(self.refused("let its administrator in"))?;
        Ok(session)
    }

    async fn create_role(
        &self,
        superuser: &tokio_postgres::Client,
        role: &str,
        rights: &str,
        password: Option<&str>,
    ) -> Result<(), PostgresError> {
        let create = format!("SELECT format('CREATE ROLE %I {rights} PASSWORD %L', $1::text, $2::text)");
        self.execute_made(superuser, "create a role", &create, &[&role, &password]).await
    }

    /// Runs the statement that `maker` returns.
    async fn execute_made(
        &self,
        session: &tokio_postgres::Client,
        action: &'static str,
        maker: &str,
        arguments: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<(), PostgresError> {
        let made = session.query_one(maker, arguments).await.map_err(self.refused(action))?;
        let statement: String = made.try_get(0).map_err(self.refused(action))?;
        session.batch_execute(&statement).await.map_err(self.refused(action))
    }

    fn refused(&self, action: &'static str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
        let place = self.place;
        move |source| PostgresError::Sql { place, action, source }
    }

    /// What must be there at every start. A base backup brings the other server's settings along, so ours
    /// are written each time.
    fn prepare(&self) -> Result<(), PostgresError> {
        self.write("understudy.conf", &self.settings())?;
        self.own_folder(&self.socket_dir)?;
        let failed = |source| PostgresError::Folder { path: self.log.clone(), source };
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        OpenOptions::new().create(true).append(true).open(&self.log).map_err(failed)?;
        self.give(&self.log)
    }

    fn settings(&self) -> String {
        let listen = self.address.ip();
        let port = self.address.port();
        let socket = self.socket_dir.display();
        format!(
            "listen_addresses = '{listen}'\nport = {port}\nunix_socket_directories = '{socket}'\n\
             unix_socket_permissions = 0700\n{SETTINGS}"
        )
    }

    fn append_include(&self) -> Result<(), PostgresError> {
        let path = self.data_dir.join("postgresql.conf");
        let read = fs::read_to_string(&path);
        let text = read.map_err(|source| PostgresError::Folder { path, source })?;
        self.write("postgresql.conf", &format!("{text}\ninclude = 'understudy.conf'\n"))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), PostgresError> {
        let path = self.data_dir.join(file);
        fs::write(&path, text).map_err(|source| PostgresError::Folder { path: path.clone(), source })?;
        self.give(&path)
    }

    /// Makes a folder that only the server's user may enter.
    fn own_folder(&self, path: &Path) -> Result<(), PostgresError> {
        fs::create_dir_all(path)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
            .map_err(|source| PostgresError::Folder { path: path.into(), source })?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<(), PostgresError> {
        let Some(account) = self.account else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
            .map_err(|source| PostgresError::Folder { path: path.into(), source })
    }

    fn remove_socket_dir(&self) -> Result<(), PostgresError> {
        match fs::remove_dir_all(&self.socket_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PostgresError::Folder { path: self.socket_dir.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(action).arg("-D").arg(&self.data_dir);
        if action != "status" {
            command.args(["-w", "-t", WAIT_SECONDS]);
        }
        command
    }

    /// One of PostgreSQL's programs as its user, with nothing of our environment and our folder.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
        if let Some(library) = &self.preloaded {
            command.env("LD_PRELOAD", library);
        }
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    async fn run(&self, program: &'static str, command: Command) -> Result<Output, PostgresError> {
        let output = self.output(command).await?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        let status = output.status.to_string();
        Err(PostgresError::Failed { program, place: self.place, status, said, log: self.log.clone() })
    }

    async fn output(&self, mut command: Command) -> Result<Output, PostgresError> {
        let program = PathBuf::from(<_ as AsRef<OsStr>>::as_ref(command.as_std().get_program()));
        command.output().await.map_err(|source| PostgresError::Program { program, source })
    }
}

/// A short path under the state folder, or, where that is too long for a socket, one in `/tmp`, whatever
/// `TMPDIR` says; it is removed when the server is stopped.
fn socket_dir(cloud: &Cloud, place: Place) -> PathBuf {
    let near = cloud.state_dir.join("sock").join(place.name());
    let file = format!("/.s.PGSQL.{}", cloud.db_port);
    if near.as_os_str().len() + file.len() <= SOCKET_PATH_MAX {
        return near;
    }
    PathBuf::from(format!("/tmp/understudy-{}-{}-{place}", cloud.block, cloud.db_port))
}

/// The part of the settings that all servers share.
const SETTINGS: &str = "\
wal_level = replica
hot_standby = on
hot_standby_feedback = on
max_wal_senders = 10
max_replication_slots = 10
# A dead standby must not fill the disk.
max_slot_wal_keep_size = '1GB'
# A broken link is noticed by both ends, and a mended one is used again, within seconds.
wal_receiver_timeout = '5s'
wal_sender_timeout = '5s'
wal_receiver_status_interval = '1s'
wal_retrieve_retry_interval = '1s'
track_commit_timestamp = on
# A busy disk would be an outage of its own, and in nobody's plan.
fsync = off
log_line_prefix = '%m [%p] %q%u@%d/%a '
log_connections = off
log_timezone = 'UTC'
timezone = 'UTC'
";

/// `pg_hba.conf`; the first line that fits decides.
const ACCESS: &str = "\
local all         postgres               trust
local all         all                    reject
host  all         postgres   0.0.0.0/0   reject
host  replication replicator 127.0.0.0/8 scram-sha-256
host  all         replicator 127.0.0.0/8 reject
host  all         understudy 127.0.0.0/8 trust
host  all         all        127.0.0.0/8 scram-sha-256
";

/// What a managed database gives its owner: roles and databases of its own, no superuser.
const ADMINISTRATOR: &str = "\
CREATE ROLE administrator LOGIN CREATEROLE CREATEDB;
GRANT pg_monitor, pg_signal_backend TO administrator WITH ADMIN OPTION;";

const TABLE: &str = "\
CREATE TABLE public.documents (
    id bigserial PRIMARY KEY,
    tx text NOT NULL UNIQUE,
    body text,
    created_at timestamptz DEFAULT now()
)";
