//! The dead-man in a real PostgreSQL, put there by the very script that users run: what it stops, and when.
//!
//! Needs PostgreSQL's programs: `UNDERSTUDY_PG_BIN` names their folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod commits;
mod rights;
mod sessions;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use sql_agent::connect::Refusal;
use sql_agent::statements;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use support::{Room, room};
use tokio::time::Instant;
use tokio_postgres::{Client, Error, NoTls};
use understudy_core::ddl::{self, JOB_RUNS, LOCK, UNLOCK};
use understudy_core::plan::{OnLeaseLoss, Plan, Store, read};
use understudy_core::sql::Written;
use understudy_core::time::Millis;
use understudy_local::config::Place;
use understudy_local::postgres::{Application, PRODUCT, Server, Stop};

const APPLICATION: Application<'_> =
    Application { database: "rag", role: "rag_app", password: "of-the-test" };
const FENCED: &str = "US001";
const HOUR: &str = "clock_timestamp() + interval '1 hour'";
const INSERT: &str = "insert into public.documents (tx, body) values ('a', 'b')";

/// The folder that `variable` names; said aloud where it names none.
fn programs(test: &str, variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable);
    if named.is_none() {
        let told = format!("SKIPPED {test}: {variable} names no folder of PostgreSQL's programs\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }
    named.map(PathBuf::from)
}

/// A primary with the script applied; `None`, said aloud, where there is no PostgreSQL.
async fn armed(test: &str) -> Option<(Room, Server)> {
    programs(test, "UNDERSTUDY_PG_BIN")?;
    let room = room();
    let server = Server::at(&room.cloud, Place::Primary).unwrap();
    server.init_primary("of-the-test").await.unwrap();
    server.setup_database(&APPLICATION).await.unwrap();
    // Twice: the script must be safe to run again.
    for _ in 0..2 {
        apply(&server).await;
    }
    Some((room, server))
}

/// Runs the script, as the administrator who is no superuser.
async fn apply(server: &Server) {
    let plan = plan();
    let session = server.administrator("rag").await.unwrap();
    session.batch_execute(&ddl::script(&plan, plan.stores.first().unwrap())).await.unwrap();
}

/// As [`armed`], on a server that has pg_cron, and with its job.
async fn with_cron(test: &str) -> Option<(Room, Server)> {
    let bin = programs(test, "UNDERSTUDY_PG_CRON_BIN")?;
    let mut room = room();
    room.cloud.pg_bin = bin;
    let server = Server::at(&room.cloud, Place::Primary).unwrap();
    server.init_primary("of-the-test").await.unwrap();
    server.setup_database(&APPLICATION).await.unwrap();
    // Without it the script says so and goes on.
    apply(&server).await;
    assert!(!job_runs(&server).await);
    let settings = room.cloud.database_at(Place::Primary).unwrap().data_dir.join("postgresql.auto.conf");
    let preload = "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'rag'\ncron.use_background_workers = on\n";
    std::fs::OpenOptions::new().append(true).open(settings).unwrap().write_all(preload.as_bytes()).unwrap();
    server.restart().await.unwrap();
    let superuser = server.superuser("rag").await.unwrap();
    superuser.batch_execute("create extension pg_cron").await.unwrap();
    // Not permitted yet: said, and gone on.
    apply(&server).await;
    superuser.batch_execute("grant usage on schema cron to administrator").await.unwrap();
    for _ in 0..2 {
        apply(&server).await;
    }
    let jobs = superuser.query_one("select count(*) from cron.job where username = 'administrator'", &[]);
    assert_eq!(jobs.await.unwrap().get::<_, i64>(0), 2, "the job, and the one that trims its log");
    Some((room, server))
}

/// As the heartbeat asks.
async fn job_runs(server: &Server) -> bool {
    let session = server.superuser("rag").await.unwrap();
    session.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    session.query_one(&format!("select {JOB_RUNS}"), &[]).await.unwrap().get(0)
}

async fn sessions(server: &Server) -> i64 {
    let session = server.superuser("rag").await.unwrap();
    let count = "select count(*) from pg_stat_activity where usename = $1";
    session.query_one(count, &[&APPLICATION.role]).await.unwrap().get(0)
}

fn plan() -> Plan {
    read("financial-rag.yaml", include_str!("../../../../infra/plans/financial-rag.yaml")).unwrap()
}

async fn lease(server: &Server, until: &str) {
    let session = server.administrator("rag").await.unwrap();
    let statement = format!("update understudy.lease set epoch = epoch + 1, valid_until = {until}");
    session.batch_execute(&statement).await.unwrap();
}

async fn log_in(room: &Room, role: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .hostaddr(room.cloud.own(Place::Primary).into())
        .port(room.cloud.db_port)
        .user(role)
        .password(APPLICATION.password)
        .dbname(APPLICATION.database)
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// By when the looks of one statement end.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(4_500)
}

async fn heartbeat(client: &Client, store: &Store, bound: Option<Millis>) -> Result<Written, Refusal> {
    statements::heartbeat(client, store, bound, soon()).await
}

async fn application(room: &Room) -> Client {
    log_in(room, APPLICATION.role).await.unwrap()
}

fn code(error: &Error) -> &str {
    error.code().unwrap().code()
}

fn unique(tx: &str) -> String {
    format!("insert into public.documents (tx, body) values ('{tx}', 'b')")
}
