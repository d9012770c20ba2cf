//! The dead-man in a real PostgreSQL, put there by the very script that users run: what it stops, and when.
//!
//! Needs PostgreSQL's programs: `UNDERSTUDY_PG_BIN` names their folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod support;

use sql_agent::statements;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use support::{Room, room};
use tokio_postgres::{Client, Error, NoTls};
use understudy_core::ddl::{self, JOB_RUNS, LOCK, UNLOCK};
use understudy_core::plan::{Plan, read};
use understudy_local::config::Place;
use understudy_local::postgres::{Application, PRODUCT, Server, Stop};

const APPLICATION: Application<'_> =
    Application { database: "rag", role: "rag_app", password: "of-the-test" };
const FENCED: &str = "US001";
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
    read("financial-rag.yaml", include_str!("../../../infra/plans/financial-rag.yaml")).unwrap()
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

async fn application(room: &Room) -> Client {
    log_in(room, APPLICATION.role).await.unwrap()
}

fn code(error: &Error) -> &str {
    error.code().unwrap().code()
}

#[tokio::test]
async fn a_lease_that_ran_out_stops_every_writing_statement_and_no_reading_one() {
    let Some((room, server)) = armed("a lease that ran out").await else { return };
    let client = application(&room).await;
    client.batch_execute(INSERT).await.unwrap();
    lease(&server, "clock_timestamp()").await;
    for statement in [INSERT, "update public.documents set body = 'c'", "delete from public.documents"] {
        assert_eq!(code(&client.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    // Not even the table's owner.
    let owner = server.administrator("rag").await.unwrap();
    for statement in [INSERT, "truncate public.documents"] {
        assert_eq!(code(&owner.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    client.batch_execute("select count(*) from public.documents").await.unwrap();
    // No setting that a session may change opens the gate.
    let tried = client.batch_execute("set session_replication_role = replica").await;
    assert!(tried.is_err(), "an application may not turn triggers off");
    lease(&server, "'infinity'").await;
    client.batch_execute("update public.documents set body = 'd'").await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn what_was_written_in_time_cannot_be_committed_late() {
    let Some((room, server)) = armed("a late commit").await else { return };
    let client = application(&room).await;
    client.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    // Taken away, as a fence does; and reading keeps the transaction alive beyond any bound on statements.
    lease(&server, "clock_timestamp()").await;
    client.batch_execute("select 1").await.unwrap();
    assert_eq!(code(&client.batch_execute("commit").await.unwrap_err()), FENCED);
    server.stop(Stop::Immediate).await.unwrap();
}

/// The gates let a transaction be prepared, and are not asked again when it is committed: such a server is never armed.
#[tokio::test]
async fn what_was_prepared_in_time_is_committed_late_and_such_a_server_is_not_armed() {
    let Some((room, server)) = armed("prepared transactions").await else { return };
    let (client, plan) = (application(&room).await, plan());
    let store = plan.stores.first().unwrap();
    lease(&server, "clock_timestamp() + interval '1 hour'").await;
    let is_armed = async || {
        let operator = server.superuser("rag").await.unwrap();
        operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
        statements::heartbeat(&operator, store).await.unwrap().gate_armed
    };
    assert!(is_armed().await);
    drop(client);
    let settings = room.cloud.database_at(Place::Primary).unwrap().data_dir.join("postgresql.auto.conf");
    let takes = "max_prepared_transactions = 1\n";
    std::fs::OpenOptions::new().append(true).open(settings).unwrap().write_all(takes.as_bytes()).unwrap();
    server.restart().await.unwrap();
    assert!(!is_armed().await);
    let client = application(&room).await;
    client.batch_execute(&format!("begin; {INSERT}; prepare transaction 'late'")).await.unwrap();
    lease(&server, "clock_timestamp()").await;
    client.batch_execute("commit prepared 'late'").await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn a_lease_ends_by_the_clock_for_every_isolation_level() {
    let Some((room, server)) = armed("every isolation level").await else { return };
    let client = application(&room).await;
    for isolation in ["read committed", "repeatable read", "serializable"] {
        lease(&server, "clock_timestamp() + interval '400 milliseconds'").await;
        client.batch_execute(&format!("begin isolation level {isolation}; {INSERT}")).await.unwrap();
        client.batch_execute("select pg_sleep(0.6)").await.unwrap();
        let committed = client.batch_execute("commit").await;
        assert_eq!(code(&committed.unwrap_err()), FENCED, "{isolation}");
        lease(&server, "'infinity'").await;
    }
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn the_lock_ends_the_writers_keeps_them_out_and_lets_in_only_those_again() {
    let Some((room, server)) = armed("the lock on the writers").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute("create role retired nologin").await.unwrap();
    let writer = application(&room).await;
    writer.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    let operator = log_in(&room, PRODUCT).await.unwrap();
    operator.batch_execute(&format!("select {LOCK}")).await.unwrap();

    assert!(writer.batch_execute("commit").await.is_err(), "an open transaction must not be committed");
    let refused = log_in(&room, APPLICATION.role).await.unwrap_err();
    assert_eq!(code(&refused), "28000");
    let left = operator
        .query_one("select count(*) from pg_stat_activity where usename = $1", &[&APPLICATION.role])
        .await
        .unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);

    operator.batch_execute(&format!("select {UNLOCK}")).await.unwrap();
    let rows = application(&room).await.query("select 1 from public.documents", &[]).await.unwrap();
    assert!(rows.is_empty(), "what was not committed is gone");
    let may =
        owner.query_one("select rolcanlogin from pg_roles where rolname = 'retired'", &[]).await.unwrap();
    assert!(!may.get::<_, bool>(0), "a role that nobody locked must not be unlocked");
}

#[tokio::test]
async fn the_lock_is_for_the_operator_alone_and_it_can_do_nothing_else_with_roles() {
    let Some((room, _server)) = armed("who may lock").await else { return };
    let writer = application(&room).await;
    for function in [LOCK, UNLOCK] {
        let refused = writer.batch_execute(&format!("select {function}")).await.unwrap_err();
        assert_eq!(code(&refused), "42501", "{function}");
    }
    let operator = log_in(&room, PRODUCT).await.unwrap();
    let statement = format!("alter role {} nologin", APPLICATION.role);
    assert_eq!(code(&operator.batch_execute(&statement).await.unwrap_err()), "42501");
}

#[tokio::test]
async fn a_lease_that_ran_out_ends_idle_sessions_where_pg_cron_is() {
    let Some((room, server)) = with_cron("the job of pg_cron").await else { return };
    let idle = application(&room).await;
    idle.batch_execute("select 1").await.unwrap();
    // The job begins with a minute, and ends nobody while the lease lasts.
    let mut waited = 0;
    while !job_runs(&server).await {
        waited += 1;
        assert!(waited < 90, "the job never ran");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(sessions(&server).await, 1, "a lease that lasts ends no session");
    lease(&server, "clock_timestamp() + interval '1 second'").await;
    let mut waited = 0;
    while sessions(&server).await > 0 {
        waited += 1;
        assert!(waited < 30, "the idle session is still open");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(idle.batch_execute("select 1").await.is_err(), "it was ended");
    assert_eq!(code(&log_in(&room, APPLICATION.role).await.err().unwrap()), "28000", "and may not come back");
    // A renewal lets in whom the job locked out.
    lease(&server, "'infinity'").await;
    let operator = log_in(&room, PRODUCT).await.unwrap();
    operator.batch_execute(&format!("select {UNLOCK}")).await.unwrap();
    application(&room).await.batch_execute(INSERT).await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn without_pg_cron_the_gate_is_there_and_no_job_is_claimed() {
    let Some((_room, server)) = armed("a server without pg_cron").await else { return };
    assert!(!job_runs(&server).await);
    server.stop(Stop::Immediate).await.unwrap();
}
