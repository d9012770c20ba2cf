//! Who writes: steady clients at both sides, and transactions that stay open while the primary fails.
//!
//! What a client was told stands in the [`Ledger`], and only that: a commit whose answer did not come was not
//! acknowledged, whatever became of it.

use super::draw::{Open, Opened, Writer};
use super::pair::{CHILD, UNLISTED};
use super::region::{log_in, log_in_as};
use crate::config::{Cloud, Place};
use jiff::Timestamp;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Error};
use understudy_core::plan::Plan;

const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How soon a client that was refused tries again.
const AGAIN: Duration = Duration::from_millis(60);
/// Who keeps a transaction alive by reading does so this often.
const READS_EVERY: Duration = Duration::from_millis(200);
const BULK_ROWS: i32 = 3_000;

/// One write that a client was told is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub tx: String,
    pub by: Place,
    pub done_at: Timestamp,
}

/// What the clients were told, in the order in which they heard it.
pub type Ledger = Rc<RefCell<Vec<Acknowledged>>>;

/// Everybody who writes in one round.
pub struct Load {
    pub plan: Rc<Plan>,
    pub cloud: Rc<Cloud>,
    pub ledger: Ledger,
}

impl Load {
    /// The steady clients. At the side of the standby they try all the time: the first write that it takes is theirs.
    pub fn steady(&self, writers: &[Writer]) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for (number, writer) in writers.iter().enumerate() {
            let old = if writer.beside { self.beside(Place::Primary) } else { self.outside(Place::Primary) };
            all.spawn_local(self.client(format!("old-{number}"), Place::Primary, old).write(*writer));
            let new = self.client(format!("new-{number}"), Place::Standby, self.beside(Place::Standby));
            all.spawn_local(new.write(*writer));
        }
        all
    }

    /// One transaction that is open for a while, in the old primary.
    pub fn open(&self, number: usize, opened: Opened) -> impl Future<Output = ()> + 'static {
        let client = self.client(format!("open-{number}"), Place::Primary, self.beside(Place::Primary));
        async move {
            // Refused, ended, or cut off with its server: then nothing was acknowledged.
            if let Err(error) = client.open(opened).await {
                tracing::debug!(?opened, %error, "an open transaction came to nothing");
            }
        }
    }

    fn client(&self, name: String, by: Place, at: SocketAddr) -> Talker {
        Talker { plan: Rc::clone(&self.plan), ledger: Rc::clone(&self.ledger), name, by, at }
    }

    fn outside(&self, to: Place) -> SocketAddr {
        self.cloud.db(Place::Outside, to)
    }

    /// Past every link: on the very machine.
    fn beside(&self, to: Place) -> SocketAddr {
        SocketAddr::from((self.cloud.own(to), self.cloud.db_port))
    }
}

/// One client of one server.
struct Talker {
    plan: Rc<Plan>,
    ledger: Ledger,
    name: String,
    by: Place,
    at: SocketAddr,
}

const INSERT: &str = "insert into public.documents (tx, body) values ($1, $2)";

impl Talker {
    fn acknowledged(&self, tx: &str) {
        let told = Acknowledged { tx: tx.to_owned(), by: self.by, done_at: Timestamp::now() };
        self.ledger.borrow_mut().push(told);
    }

    async fn session(&self) -> Result<Client, Error> {
        log_in(&self.plan, self.at).await
    }

    /// Writes until it is dropped.
    async fn write(self, writer: Writer) {
        let body = "x".repeat(writer.bytes);
        let mut session = None;
        for count in 0_u64.. {
            let tx = format!("{}-{count}", self.name);
            let written = tokio::time::timeout(ANSWER_MAX, async {
                let client = match session.take() {
                    Some(client) => client,
                    None => self.session().await?,
                };
                insert(&client, &tx, &body, writer.wrapped).await?;
                Ok::<_, Error>(client)
            });
            if let Ok(Ok(client)) = written.await {
                self.acknowledged(&tx);
                session = Some(client);
                tokio::time::sleep(writer.every).await;
            } else {
                tokio::time::sleep(AGAIN.min(writer.every)).await;
            }
        }
    }

    async fn open(&self, Opened { how, level, lasts, .. }: Opened) -> Result<(), Error> {
        let client = match how {
            Open::Unlisted => log_in_as(&self.plan, self.at, UNLISTED).await?,
            _ => self.session().await?,
        };
        let (tx, begin) = (self.name.as_str(), level.begin());
        match how {
            Open::Long => {
                client.batch_execute("set statement_timeout = 0").await?;
                let seconds = lasts.as_secs_f64();
                client
                    .execute(
                        "insert into public.documents (tx, body) select $1, pg_sleep($2)::text",
                        &[&tx, &seconds],
                    )
                    .await?;
            }
            Open::Bulk => {
                client.batch_execute("set statement_timeout = 0").await?;
                client.batch_execute(begin).await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                let many =
                    "insert into public.documents (tx) select $1 || '/' || n from generate_series(1, $2) n";
                client.execute(many, &[&tx, &BULK_ROWS]).await?;
                read_for(&client, lasts).await?;
                client.batch_execute("commit").await?;
            }
            Open::Snapshot => {
                client.batch_execute(begin).await?;
                client.query("select count(*) from public.documents where tx = $1", &[&tx]).await?;
                read_for(&client, lasts).await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                client.batch_execute("commit").await?;
            }
            Open::Early => {
                client.batch_execute(begin).await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                client.batch_execute("set constraints all immediate").await?;
                read_for(&client, lasts).await?;
                client.batch_execute("commit").await?;
            }
            Open::Savepoint => {
                client.batch_execute(&format!("{begin}; savepoint first")).await?;
                client.execute(INSERT, &[&format!("{tx}-undone"), &""]).await?;
                client.batch_execute("rollback to first").await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                read_for(&client, lasts).await?;
                client.batch_execute("commit").await?;
            }
            Open::Child => {
                client.batch_execute(begin).await?;
                client
                    .execute(&format!("insert into {CHILD} (tx, body) values ($1, $2)"), &[&tx, &""])
                    .await?;
                read_for(&client, lasts).await?;
                client.batch_execute("commit").await?;
            }
            Open::Late | Open::Idle | Open::Unbounded | Open::Unlisted => {
                if how == Open::Unbounded {
                    let lifted = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0";
                    client.batch_execute(lifted).await?;
                }
                client.batch_execute(begin).await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                if matches!(how, Open::Late | Open::Unlisted) {
                    read_for(&client, lasts).await?;
                } else {
                    tokio::time::sleep(lasts).await;
                }
                client.batch_execute("commit").await?;
            }
            Open::Prepared => {
                client.batch_execute(begin).await?;
                client.execute(INSERT, &[&tx, &""]).await?;
                client.batch_execute(&format!("prepare transaction '{tx}'")).await?;
                drop(client);
                tokio::time::sleep(lasts).await;
                self.session().await?.batch_execute(&format!("commit prepared '{tx}'")).await?;
            }
        }
        self.acknowledged(tx);
        Ok(())
    }
}

async fn insert(client: &Client, tx: &str, body: &str, wrapped: bool) -> Result<(), Error> {
    if wrapped {
        client.batch_execute("begin").await?;
        client.execute(INSERT, &[&tx, &body]).await?;
        client.batch_execute("commit").await
    } else {
        client.execute(INSERT, &[&tx, &body]).await.map(|_| ())
    }
}

async fn read_for(client: &Client, lasts: Duration) -> Result<(), Error> {
    let end = tokio::time::Instant::now() + lasts;
    while tokio::time::Instant::now() < end {
        client.batch_execute("select 1").await?;
        tokio::time::sleep(READS_EVERY).await;
    }
    Ok(())
}
