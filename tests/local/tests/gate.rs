//! The dead-man in a real PostgreSQL, put there by the very script that users run: what it stops, and when.
//!
//! Needs PostgreSQL's programs: `UNDERSTUDY_PG_BIN` names their folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod support;

use std::io::Write;
use support::{Room, room};
use tokio_postgres::{Client, Error, NoTls};
use understudy_core::ddl::{self, LOCK, UNLOCK};
use understudy_core::plan::{Plan, read};
use understudy_local::config::Place;
use understudy_local::postgres::{Application, PRODUCT, Server, Stop};

const APPLICATION: Application<'_> =
    Application { database: "rag", role: "rag_app", password: "of-the-test" };
const FENCED: &str = "US001";
const INSERT: &str = "insert into public.documents (tx, body) values ('a', 'b')";

/// A primary with the script applied; `None`, said aloud, where there is no PostgreSQL.
async fn armed(test: &str) -> Option<(Room, Server)> {
    if std::env::var_os("UNDERSTUDY_PG_BIN").is_none() {
        let told = format!("SKIPPED {test}: UNDERSTUDY_PG_BIN names no folder of PostgreSQL's programs\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return None;
    }
    let room = room();
    let server = Server::at(&room.cloud, Place::Primary).unwrap();
    server.init_primary("of-the-test").await.unwrap();
    server.setup_database(&APPLICATION).await.unwrap();
    let plan = plan();
    let store = plan.stores.first().unwrap();
    let session = server.administrator("rag").await.unwrap();
    // Twice: the script must be safe to run again.
    for _ in 0..2 {
        session.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    }
    Some((room, server))
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
