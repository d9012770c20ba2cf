//! Bring a whole local cloud up: Python parts, databases, emulator, network, stacks, application, armed plan.
//!
//! Every part is the one that ships or that others wrote: the template, the binaries, PostgreSQL, the emulator.
//! Whatever is started here is remembered in [`Processes`], so that [`down`] ends it, also after a crash.

use crate::aws::{Aws, AwsError};
use crate::config::{Cloud, ConfigError, Database, Free, Place, find_free};
use crate::deploy::{self, DeployError};
use crate::links::{BindError, Forwarders, Links};
use crate::postgres::{Application, PostgresError, REPLICATOR_PASSWORD, Server, Stop};
use crate::processes::{ProcessError, Processes};
use crate::progress::step;
use crate::python::{Python, PythonError};
use crate::ready::{self, NotReady};
use crate::tls::{self, TlsError};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio_postgres::error::Error as SqlError;
use understudy_core::ddl;
use understudy_core::plan::{Arming, Mode, OnLeaseLoss, Plan, Problems, read};

/// What the application logs in with.
pub const APPLICATION_PASSWORD: &str = "local-application";
const SLOT: &str = "standby";

/// What the local cloud is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The checkout: template, workflows, Python parts.
    pub root: PathBuf,
    /// The folder of the built binaries.
    pub binaries: PathBuf,
    /// The plan to run, rewritten for loopback and scaled.
    pub plan: PathBuf,
    /// The folder of its state, below `.local`.
    pub folder: String,
    /// Run the plan of its rehearsal environment instead.
    pub rehearsal: bool,
    pub speed: f64,
    pub people: People,
    /// Whether the dead-man is armed; without it only a person's acceptance fences a dead primary.
    pub armed: bool,
}

/// What people do in a demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum People {
    /// The plan lets the product decide alone.
    Auto,
    /// The plan asks, and somebody says yes.
    Ask,
    /// The plan asks, and nobody answers.
    Silence,
}

impl Options {
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".local").join(&self.folder)
    }

    pub fn cloud_file(&self) -> PathBuf {
        self.state_dir().join("cloud.json")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error("a local cloud is up already; `understudy local down` ends it")]
    AlreadyUp,
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the plan cannot be used:\n{0}")]
    Plan(Problems),
    #[error("the plan has no `rehearsal`")]
    NoRehearsal,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Python(#[from] PythonError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("the primary's database refused the script of `understudy plan sql`")]
    Script(#[from] SqlError),
    #[error("the links cannot start")]
    Links(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

/// A cloud that is up, with the plan as it was deployed.
#[derive(Debug)]
pub struct Up {
    pub cloud: Cloud,
    pub plan: Plan,
}

/// Brings everything up and waits until the plan is armed and the standby ready.
pub async fn up(options: &Options) -> Result<Up, UpError> {
    let state = options.state_dir();
    if !Processes::of(&state).all()?.is_empty() {
        return Err(UpError::AlreadyUp);
    }
    let python = Python::at(&options.root);
    step("Python parts: emulator, SAM, PostgreSQL", python.install()).await?;
    empty_folder(&state)?;
    let given = given_plan(options)?;
    let mut cloud = describe(&state, &python)?;
    cloud.speed = options.speed;
    name_hosts(&mut cloud, &given);
    cloud.save(&options.cloud_file())?;
    let processes = Processes::of(&state);
    step("emulator of AWS", start_emulator(options, &cloud, &python, &processes)).await?;
    cloud.zone_id = Aws::at(&cloud, Place::Standby).await.create_zone(&zone_name(&given)).await?;
    cloud.save(&options.cloud_file())?;
    tls::make(&cloud)?;
    let plan = localised(given, &cloud, options);
    step("databases: primary and streaming standby", start_databases(&cloud, &plan)).await?;
    step("network: links, gateway, DNS, RDS", start_network(options, &cloud, &processes)).await?;
    start_web(options, &cloud, &plan, &processes)?;
    for place in [Place::Standby, Place::Primary] {
        let aws = Aws::at(&cloud, place).await;
        for store in &plan.stores {
            aws.create_login(&store.application.secret, &store.application.role, APPLICATION_PASSWORD)
                .await?;
        }
    }
    step("packages: binaries and plan", deploy::package(options, &cloud, &plan)).await?;
    step("stacks: standby, witness, primary", deploy::deploy(options, &cloud, &python, &plan)).await?;
    step(ready::awaited(&cloud, &plan), ready::wait(&cloud, &plan)).await?;
    Ok(Up { cloud, plan })
}

/// Ends everything that [`up`] started and forgets its state; the Python parts stay.
pub async fn down(options: &Options) -> Result<(), UpError> {
    let state = options.state_dir();
    let processes = Processes::of(&state);
    if let Ok(cloud) = Cloud::load(&options.cloud_file()) {
        for place in [Place::Standby, Place::Primary] {
            Server::at(&cloud, place)?.stop(Stop::Immediate).await?;
        }
    }
    processes.end_all()?;
    Ok(())
}

/// The plan of the cloud that is up, as it was deployed.
pub fn running_plan(options: &Options) -> Result<Plan, UpError> {
    read_plan(&options.state_dir().join("plan.yaml"))
}

/// How fast a cloud of this plan may run; without bound where it cannot be read, which bringing it up will tell.
pub fn fastest(plan: &Path) -> f64 {
    read_plan(plan).map_or(f64::INFINITY, |plan| plan.fastest())
}

pub(crate) fn given_plan(options: &Options) -> Result<Plan, UpError> {
    let plan = read_plan(&options.plan)?;
    if !options.rehearsal {
        return Ok(plan);
    }
    // Its drills are asked for at whatever hour this machine has: an exchange that is open must not decline them.
    let mut rehearsal = plan.rehearsal().ok_or(UpError::NoRehearsal)?;
    if let Some(guard) = &mut rehearsal.drill_guard {
        guard.outside_sessions = false;
        guard.not_between = None;
    }
    Ok(rehearsal)
}

fn read_plan(path: &Path) -> Result<Plan, UpError> {
    let text = fs::read_to_string(path).map_err(|source| UpError::File { path: path.into(), source })?;
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
    read(&name, &text).map_err(UpError::Plan)
}

fn empty_folder(path: &Path) -> Result<(), UpError> {
    let failed = |source| UpError::File { path: path.into(), source };
    if path.exists() {
        fs::remove_dir_all(path).map_err(failed)?;
    }
    fs::create_dir_all(path.join("logs")).map_err(failed)?;
    fs::create_dir_all(path.join("pg")).map_err(failed)
}

/// A cloud on free addresses and ports, its databases not yet made.
pub(crate) fn describe(state: &Path, python: &Python) -> Result<Cloud, UpError> {
    let Free { block, emulator_port, aws_port, web_port, db_port, dns_port, control_port } = find_free()?;
    let folder = |name: &str| state.join("pg").join(name);
    Ok(Cloud {
        block,
        speed: 1.0,
        state_dir: state.to_path_buf(),
        emulator_port,
        aws_port,
        web_port,
        db_port,
        dns_port,
        control_port,
        regions: BTreeMap::new(),
        zone_id: String::new(),
        hosts: BTreeMap::new(),
        databases: vec![
            database("", Place::Primary, folder("primary")),
            database("", Place::Standby, folder("standby")),
        ],
        pg_bin: python.postgres()?,
        pg_user: rustix::process::geteuid().is_root().then(|| "nobody".to_owned()),
    })
}

fn database(id: &str, place: Place, data_dir: PathBuf) -> Database {
    Database { id: id.to_owned(), place, data_dir, source: None, host: None, backup_retention_days: 7 }
}

/// The plan's Regions, names and instances become places of this cloud.
pub(crate) fn name_hosts(cloud: &mut Cloud, plan: &Plan) {
    let regions = [
        (Some(&plan.regions.primary), Place::Primary),
        (Some(&plan.regions.standby), Place::Standby),
        (plan.regions.witness.as_ref(), Place::Witness),
    ];
    cloud.regions =
        regions.into_iter().filter_map(|(region, place)| Some((region?.0.clone(), place))).collect();
    for route in &plan.routes {
        cloud.hosts.insert(host_of(&route.primary), Place::Primary);
        cloud.hosts.insert(host_of(&route.standby), Place::Standby);
    }
    for store in &plan.stores {
        cloud.hosts.insert(store.primary.host.clone(), Place::Primary);
        cloud.hosts.insert(store.standby.host.clone(), Place::Standby);
    }
    if let Some(store) = plan.stores.first() {
        for database in &mut cloud.databases {
            if database.place == Place::Primary {
                database.id.clone_from(&store.primary.id);
                database.host = Some(store.primary.host.clone());
            } else {
                database.host = Some(store.standby.host.clone());
                database.id.clone_from(&store.standby.id);
                database.source = Some(store.primary.id.clone());
            }
        }
    }
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest).to_owned()
}

fn zone_name(plan: &Plan) -> String {
    let record = plan.routes.first().map(|route| route.record.clone()).unwrap_or_default();
    record.split_once('.').map_or(record.clone(), |(_, zone)| zone.to_owned())
}

/// The same plan on loopback: this cloud's ports, plain HTTP, people and dead-man as asked for (armed by a waiver
/// that says so), and every duration divided by the cloud's speed.
pub(crate) fn localised(mut plan: Plan, cloud: &Cloud, options: &Options) -> Plan {
    let url = |url: &str| format!("http://{}:{}", host_of(url), cloud.web_port);
    for route in &mut plan.routes {
        route.zone_id.clone_from(&cloud.zone_id);
        route.primary = url(&route.primary);
        route.standby = url(&route.standby);
    }
    let controls =
        plan.routes.iter().map(|route| format!("{}{}", route.standby, route.health_path)).collect();
    plan.detection.controls = controls;
    for store in &mut plan.stores {
        store.primary.port = cloud.db_port;
        store.standby.port = cloud.db_port;
    }
    for hook in &mut plan.hooks {
        hook.http = with_port(&hook.http, cloud.web_port);
        hook.undo = hook.undo.as_ref().map(|undo| with_port(undo, cloud.web_port));
    }
    plan.policy.in_session = None;
    plan.policy.failover = if options.people == People::Auto { Mode::Automatic } else { Mode::Approval };
    plan.lease.on_loss = if options.armed { OnLeaseLoss::Fence } else { OnLeaseLoss::Stay };
    plan.lease.arming = options.armed.then(|| Arming {
        by: "local-demo".to_owned(),
        signed_on: jiff::civil::date(2026, 11, 1),
        shadow_days: None,
        shadow_waived: Some("a local cloud has no days to wait".to_owned()),
    });
    plan.scaled(cloud.speed)
}

fn with_port(url: &str, port: u16) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    format!("http://{}:{port}/{path}", host_of(url))
}

async fn start_emulator(
    options: &Options,
    cloud: &Cloud,
    python: &Python,
    processes: &Processes,
) -> Result<(), UpError> {
    let script = options.root.join("tests/local/emulator/emulator.py");
    let mut command = Command::new(python.interpreter());
    command.arg(script).arg(options.cloud_file()).env_remove("AWS_ENDPOINT_URL");
    processes.start("emulator", &mut command)?;
    Ok(ready::listening("emulator", cloud.emulator()).await?)
}

pub(crate) async fn start_network(
    options: &Options,
    cloud: &Cloud,
    processes: &Processes,
) -> Result<(), UpError> {
    let mut command = Command::new(options.binaries.join("understudy-local"));
    command.arg("serve").arg(options.cloud_file());
    processes.start("network", &mut command)?;
    Ok(ready::listening("network", cloud.control()).await?)
}

/// The primary with its schema, then the standby streaming from it over the link between them.
pub(crate) async fn start_databases(cloud: &Cloud, plan: &Plan) -> Result<(), UpError> {
    let primary = Server::at(cloud, Place::Primary)?;
    primary.init_primary(REPLICATOR_PASSWORD).await?;
    for store in &plan.stores {
        let application = Application {
            database: &store.database,
            role: &store.application.role,
            password: APPLICATION_PASSWORD,
        };
        primary.setup_database(&application).await?;
        let session = primary.administrator(&store.database).await?;
        session.batch_execute(&ddl::script(plan, store)).await?;
    }
    let standby = Server::at(cloud, Place::Standby)?;
    // The network describes the databases as it finds them, so it starts after them; the copy is made over
    // links of our own at the same addresses.
    let links = Links::new();
    let forwarding = tokio::spawn(Forwarders::bind(cloud, &links).await?.run());
    let copied =
        standby.base_backup(cloud.db(Place::Standby, Place::Primary), SLOT, REPLICATOR_PASSWORD).await;
    forwarding.abort();
    // The addresses are free again only once the task is gone.
    let _ = forwarding.await;
    copied?;
    Ok(standby.start().await?)
}

fn start_web(options: &Options, cloud: &Cloud, plan: &Plan, processes: &Processes) -> Result<(), UpError> {
    for place in [Place::Standby, Place::Primary] {
        start_web_at(options, cloud, plan, processes, place)?;
    }
    Ok(())
}

/// The application of one place, in front of that place's own database.
pub fn start_web_at(
    options: &Options,
    cloud: &Cloud,
    plan: &Plan,
    processes: &Processes,
    place: Place,
) -> Result<(), UpError> {
    let Some(store) = plan.stores.first() else { return Ok(()) };
    let mut command = Command::new(options.binaries.join("understudy-local-web"));
    command
        .args(["--listen", &format!("{}:{}", cloud.own(place), cloud.web_port)])
        .args(["--database", &format!("{}:{}", cloud.link(place, place), cloud.db_port)])
        .args(["--dbname", &store.database, "--user", &store.application.role])
        .args(["--password-env", "APPLICATION_PASSWORD"])
        .args(["--region", cloud.region_of(place).unwrap_or_default()])
        .env("APPLICATION_PASSWORD", APPLICATION_PASSWORD);
    Ok(processes.start(&web_name(place), &mut command)?)
}

pub fn web_name(place: Place) -> String {
    format!("web-{}", place.name())
}
