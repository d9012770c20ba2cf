//! The dead-man in a real PostgreSQL, put there by the very script that users run: what it stops, and when.
//!
//! Needs PostgreSQL's programs: `UNDERSTUDY_PG_BIN` names their folder.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod support;

use sql_agent::statements;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use support::{Room, room};
use tokio_postgres::{Client, Error, NoTls};
use understudy_core::ddl::{self, JOB_RUNS, LOCK, UNLOCK};
use understudy_core::plan::{OnLeaseLoss, Plan, read};
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
    let another = unique("another");
    let another = another.as_str();
    for statement in [another, "update public.documents set body = 'c'", "delete from public.documents"] {
        assert_eq!(code(&client.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    // Not even the table's owner.
    let owner = server.administrator("rag").await.unwrap();
    for statement in [another, "truncate public.documents"] {
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
    lease(&server, HOUR).await;
    client.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    // Taken away, as a fence does; and reading keeps the transaction alive beyond any bound on statements.
    lease(&server, "clock_timestamp()").await;
    client.batch_execute("select 1").await.unwrap();
    assert_eq!(code(&client.batch_execute("commit").await.unwrap_err()), FENCED);
    server.stop(Stop::Immediate).await.unwrap();
}

/// What was prepared would be committed without a look: PostgreSQL prepares no transaction that holds our cursor.
#[tokio::test]
async fn what_wrote_under_a_lease_that_ends_cannot_be_prepared() {
    let Some((room, server)) = armed("prepared transactions").await else { return };
    let settings = room.cloud.database_at(Place::Primary).unwrap().data_dir.join("postgresql.auto.conf");
    let takes = "max_prepared_transactions = 1\n";
    std::fs::OpenOptions::new().append(true).open(settings).unwrap().write_all(takes.as_bytes()).unwrap();
    server.restart().await.unwrap();
    let (client, plan) = (application(&room).await, plan());
    let store = plan.stores.first().unwrap();
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let look = async || statements::heartbeat(&operator, store, None).await.unwrap().unarmed;
    // Nothing is armed yet, and nobody's ways are changed: prepared before the end is set, and behind it.
    for behind in [false, true] {
        lease(&server, "'infinity'").await;
        client.batch_execute(&format!("begin; {}", unique("early"))).await.unwrap();
        if behind {
            lease(&server, HOUR).await;
        }
        client.batch_execute("prepare transaction 'early'").await.unwrap();
        lease(&server, HOUR).await;
        let waits = "1 prepared transactions wait: what wrote before the lease had an end may be among them";
        assert_eq!(look().await, [waits], "behind the end: {behind}");
        client.batch_execute("rollback prepared 'early'").await.unwrap();
        assert_eq!(look().await, Vec::<String>::new());
    }
    let refused = client.batch_execute(&format!("begin; {INSERT}; prepare transaction 'late'")).await;
    assert_eq!(code(&refused.unwrap_err()), "0A000");
    server.stop(Stop::Immediate).await.unwrap();
}

/// A transaction that wrote while the lease had no end has no look at its commit: until it is over nothing is armed.
#[tokio::test]
async fn what_wrote_before_the_lease_had_an_end_keeps_it_from_being_armed() {
    let Some((room, server)) = armed("an older transaction").await else { return };
    let (client, plan) = (application(&room).await, plan());
    let store = plan.stores.first().unwrap();
    client.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    lease(&server, HOUR).await;
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let look = async || statements::heartbeat(&operator, store, None).await.unwrap().unarmed;
    let older = ["1 transactions are open that may have written before the lease had an end"];
    assert_eq!(look().await, older);
    client.batch_execute("commit").await.unwrap();
    assert_eq!(look().await, Vec::<String>::new());
    // A session that tells nobody what it does is not known to be younger.
    let superuser = server.superuser("rag").await.unwrap();
    superuser
        .batch_execute(&format!("alter role {} set track_activities = off", APPLICATION.role))
        .await
        .unwrap();
    lease(&server, "'infinity'").await;
    let hidden = application(&room).await;
    hidden.batch_execute(&format!("begin; {}", unique("hidden"))).await.unwrap();
    lease(&server, HOUR).await;
    assert_eq!(look().await, older);
    hidden.batch_execute("rollback").await.unwrap();
    // And nobody is seen by a role that may not look.
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&format!("revoke pg_monitor from {PRODUCT}")).await.unwrap();
    let written = statements::heartbeat(&operator, store, None).await.unwrap();
    let blind = "`understudy` may not see what sessions do: it wants `pg_monitor`, and to inherit it";
    assert!(written.unarmed.iter().any(|why| why == blind), "{:?}", written.unarmed);
    assert_eq!(written.sessions, None);
    owner.batch_execute(&format!("grant pg_monitor to {PRODUCT}")).await.unwrap();
    client.batch_execute(&format!("begin; {}", unique("later"))).await.unwrap();
    assert_eq!(look().await, Vec::<String>::new());
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

/// A fence changes the lease in the middle of a transaction. Whatever its isolation level, it writes no more, and what
/// it wrote before is not committed; and a renewal in its middle stops it not.
#[tokio::test]
async fn a_lease_that_changes_is_seen_in_every_isolation_level() {
    let Some((room, server)) = armed("a lease that changes").await else { return };
    let client = application(&room).await;
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let begin = format!("begin isolation level {isolation}; select count(*) from public.documents");
        lease(&server, HOUR).await;
        client.batch_execute(&begin).await.unwrap();
        lease(&server, "clock_timestamp()").await;
        assert_eq!(
            code(&client.batch_execute(INSERT).await.unwrap_err()),
            FENCED,
            "a statement, {isolation}"
        );
        client.batch_execute("rollback").await.unwrap();

        lease(&server, HOUR).await;
        client.batch_execute(&format!("{begin}; {}", unique("late"))).await.unwrap();
        lease(&server, "clock_timestamp()").await;
        assert_eq!(code(&client.batch_execute("commit").await.unwrap_err()), FENCED, "a commit, {isolation}");

        lease(&server, "clock_timestamp() + interval '300 milliseconds'").await;
        client.batch_execute(&begin).await.unwrap();
        lease(&server, HOUR).await;
        client.batch_execute("select pg_sleep(0.5)").await.unwrap();
        client.batch_execute(&format!("{}; commit", unique(isolation))).await.unwrap();
    }
    let rows = client.query("select tx from public.documents order by id", &[]).await.unwrap();
    let rows: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, ["read committed", "repeatable read", "serializable"]);
    server.stop(Stop::Immediate).await.unwrap();
}

fn unique(tx: &str) -> String {
    format!("insert into public.documents (tx, body) values ('{tx}', 'b')")
}

/// Migrations and frameworks do all of these in one transaction.
#[tokio::test]
async fn what_applications_do_in_one_transaction_works_behind_the_gates() {
    let Some((room, server)) = armed("migrations").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    for together in [
        "truncate public.documents",
        "alter table public.documents add column more integer; alter table public.documents drop column more",
        "create index on public.documents (body)",
        "savepoint s; delete from public.documents; rollback to s; truncate public.documents",
        "set constraints all immediate; set constraints all deferred",
        "drop table if exists public.scratch; create table public.scratch as select * from public.documents",
    ] {
        let transaction = format!("begin; {INSERT}; {together}; {}; commit", unique("second"));
        owner.batch_execute(&transaction).await.unwrap_or_else(|error| panic!("{together}: {error:?}"));
        owner.batch_execute("truncate public.documents").await.unwrap();
    }
    let writer = application(&room).await;
    let procedure = "create procedure public.twice() language plpgsql as \
        $$ begin insert into public.documents (tx) values ('p'); commit; insert into public.documents (tx) values ('q'); \
        commit; end $$";
    owner.batch_execute(procedure).await.unwrap();
    writer.batch_execute("call public.twice()").await.unwrap();
    let left = writer.query_one("select count(*) from public.documents", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 2);
    server.stop(Stop::Immediate).await.unwrap();
}

/// Whatever a transaction did first, its commit is looked at.
#[tokio::test]
async fn no_way_to_write_in_time_commits_late() {
    let Some((room, server)) = armed("ways to commit late").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let functions = "create function public.early_plpgsql() returns void language plpgsql as \
        $$ begin set constraints all immediate; end $$; \
        create function public.early_sql() returns void language sql as $$ set constraints all immediate $$;";
    owner.batch_execute(functions).await.unwrap();
    for written in [
        format!("{INSERT}; set constraints all immediate"),
        format!("set constraints all immediate; {INSERT}"),
        format!(
            "{INSERT}; set constraints all immediate; {}; set constraints all immediate",
            unique("again")
        ),
        format!("{INSERT}; select public.early_plpgsql()"),
        format!("{INSERT}; select public.early_sql()"),
        format!("{INSERT}; do $$ begin perform public.early_plpgsql(); end $$"),
        format!("savepoint s; {INSERT}; rollback to s; {INSERT}"),
        format!("{INSERT}; savepoint s; {}; rollback to s", unique("again")),
        format!("savepoint s; {INSERT}; release s"),
        "truncate public.documents".to_owned(),
        format!("{INSERT}{}", "; set constraints all immediate; set constraints all deferred".repeat(40)),
        format!("{INSERT}; set transaction read only"),
        format!("{INSERT}; set transaction read only; set constraints all immediate"),
        format!("{INSERT}; savepoint s; set transaction read only; set constraints all immediate; release s"),
        "with s as (select set_config('transaction_read_only', 'on', true) as x) \
            update public.documents set body = 'late' from s where x = 'on'"
            .to_owned(),
        format!("{INSERT}; /*c*/set constraints all immediate;/*c*/set constraints all immediate"),
        format!("{INSERT}; savepoint s; reset all; {}; rollback to s", unique("again")),
        format!("{INSERT}; commit; begin; {}", unique("again")),
        format!("{INSERT}; commit and chain; {}", unique("again")),
        format!("{INSERT}; rollback and chain; {}", unique("again")),
        "copy public.documents (tx) from program 'echo a'".to_owned(),
        "with gone as (delete from public.documents returning 1) select count(*) from gone".to_owned(),
    ] {
        // Nobody but a superuser runs programs; what the gates see of it is the same.
        let writer = if written.contains("program") {
            server.superuser("rag").await.unwrap()
        } else {
            server.administrator("rag").await.unwrap()
        };
        lease(&server, HOUR).await;
        writer
            .batch_execute(&format!("begin; {written}"))
            .await
            .unwrap_or_else(|e| panic!("{written}: {e:?}"));
        lease(&server, "clock_timestamp()").await;
        let committed = writer.batch_execute("commit").await;
        assert_eq!(code(&committed.expect_err(&written)), FENCED, "{written}");
        lease(&server, "'infinity'").await;
        owner.batch_execute("truncate public.documents").await.unwrap();
    }
    drop(room);
    server.stop(Stop::Immediate).await.unwrap();
}

/// A session keeps one cursor of ours behind its commit. Whatever it does with its cursors and settings between two
/// transactions, the next commit is looked at.
#[tokio::test]
async fn what_a_pool_resets_between_two_transactions_opens_no_way() {
    let Some((room, server)) = armed("pools").await else { return };
    let client = application(&room).await;
    for between in
        ["select 1", "reset all", "close all", "discard all", "close all; reset all", "begin; rollback"]
    {
        lease(&server, HOUR).await;
        for n in 0..3 {
            client.batch_execute(&unique(&format!("{between} {n}"))).await.unwrap();
        }
        client.batch_execute(between).await.unwrap();
        let kept = client
            .query_one("select count(*) from pg_cursors where name like 'understudy%'", &[])
            .await
            .unwrap();
        assert!(kept.get::<_, i64>(0) <= 1, "{between}");
        client.batch_execute(&format!("begin; {}", unique(&format!("{between} late")))).await.unwrap();
        lease(&server, "clock_timestamp()").await;
        let committed = client.batch_execute("commit").await;
        assert_eq!(code(&committed.expect_err(between)), FENCED, "{between}");
    }
    server.stop(Stop::Immediate).await.unwrap();
}

/// What nobody does by chance, and no gate of ours sees; README and ARCHITECTURE name it.
#[tokio::test]
async fn an_application_that_closes_all_its_cursors_in_the_transaction_that_wrote_is_not_looked_at() {
    let Some((room, server)) = armed("close all").await else { return };
    let client = application(&room).await;
    lease(&server, HOUR).await;
    client.batch_execute(&format!("begin; {INSERT}; close all")).await.unwrap();
    lease(&server, "clock_timestamp()").await;
    client.batch_execute("commit").await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

/// The gate reads no row of a table: neither the size of a statement nor what vacuum left makes it slow, or a false
/// conflict.
#[tokio::test]
async fn large_statements_and_serializable_ones_cost_what_they_did() {
    let Some((room, server)) = armed("large statements").await else { return };
    let client = application(&room).await;
    lease(&server, HOUR).await;
    let large = format!(
        "insert into public.documents (tx, body) values ('large', left('{}', 10))",
        "x".repeat(32 << 20)
    );
    let began = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(20), client.batch_execute(&large))
        .await
        .expect("it ends")
        .unwrap();
    println!("32 MB of text: {:.1} s", began.elapsed().as_secs_f64());
    let owner = server.superuser("rag").await.unwrap();
    let other = application(&room).await;
    for round in 0..30 {
        owner.batch_execute("vacuum").await.unwrap();
        for (session, name) in [(&client, "one"), (&other, "two")] {
            let written =
                format!("begin isolation level serializable; {}", unique(&format!("{name} {round}")));
            session.batch_execute(&written).await.unwrap();
        }
        client.batch_execute("commit").await.unwrap();
        other.batch_execute("commit").await.unwrap();
    }
    server.stop(Stop::Immediate).await.unwrap();
}

/// A subscriber to all tables has none of ours.
#[tokio::test]
async fn a_publication_for_all_tables_is_told_before_anything_is_made() {
    let Some(_) = programs("a publication", "UNDERSTUDY_PG_BIN") else { return };
    let room = room();
    let server = Server::at(&room.cloud, Place::Primary).unwrap();
    server.init_primary("of-the-test").await.unwrap();
    server.setup_database(&APPLICATION).await.unwrap();
    let superuser = server.superuser("rag").await.unwrap();
    superuser.batch_execute("create publication everything for all tables").await.unwrap();
    let plan = plan();
    let script = ddl::script(&plan, plan.stores.first().unwrap());
    let owner = server.administrator("rag").await.unwrap();
    let refused = owner.batch_execute(&script).await.unwrap_err();
    let message = refused.as_db_error().unwrap().message().to_owned();
    assert_eq!(
        message,
        "the publication everything is for all tables, and would publish those of this script"
    );
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&format!("set understudy.published to accepted; {script}")).await.unwrap();
    owner.batch_execute(&script).await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

/// No time-out ends a commit: what the application deferred takes its time there, and the last look stands behind it.
#[tokio::test]
async fn what_is_deferred_to_the_commit_is_looked_at_behind() {
    let Some((room, server)) = armed("deferred work").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let slow = "create function public.slow() returns trigger language plpgsql as \
        $$ begin perform pg_sleep(1.5); return null; end $$; \
        create constraint trigger slow after insert on public.documents deferrable initially deferred \
        for each row when (new.body = 'slow') execute function public.slow(); \
        create table public.aside (id int); grant insert on public.aside to rag_app; \
        create constraint trigger slow after insert on public.aside deferrable initially deferred \
        for each row execute function public.slow(); \
        create function public.both() returns void language sql as \
        $$ insert into public.documents (tx) values ('fn'); insert into public.aside values (1) $$; \
        create function public.defers() returns trigger language plpgsql security definer as \
        $$ begin insert into public.aside values (2); return null; end $$; \
        create constraint trigger defers after insert on public.documents deferrable initially deferred \
        for each row when (new.body = 'defers') execute function public.defers(); \
        create rule also as on insert to public.documents where new.body = 'rule' do also insert into public.aside values (3); \
        create table public.other (id int); grant insert on public.other to rag_app; \
        create constraint trigger defers after insert on public.other deferrable initially deferred \
        for each row execute function public.defers(); \
        create function public.early() returns trigger language plpgsql as \
        $$ begin set constraints all immediate; set constraints all deferred; return null; end $$; \
        create table public.fussy (id int); grant insert on public.fussy to rag_app; \
        create trigger early after insert on public.fussy for each row execute function public.early();";
    owner.batch_execute(slow).await.unwrap();
    let client = application(&room).await;
    client.batch_execute("set statement_timeout = '5s'").await.unwrap();
    let deferred = "insert into public.documents (tx, body) values ('d', 'slow')";
    let with = |body: &str| format!("insert into public.documents (tx, body) values ('w', '{body}')");
    for written in [
        deferred.to_owned(),
        format!("begin; {deferred}; commit"),
        format!("begin; {INSERT}; insert into public.aside values (1); commit"),
        format!("{INSERT}; insert into public.aside values (1)"),
        "select public.both()".to_owned(),
        "do $$ begin perform public.both(); end $$".to_owned(),
        // What was deferred defers more.
        with("defers"),
        format!("begin; {INSERT}; insert into public.other values (1); commit"),
        with("rule"),
        format!(
            "begin; {INSERT}; insert into public.fussy select generate_series(1, 200); {deferred}; commit"
        ),
    ] {
        lease(&server, "clock_timestamp() + interval '600 milliseconds'").await;
        let committed = client.batch_execute(&written).await;
        assert_eq!(code(&committed.expect_err(&written)), FENCED, "{written}");
        _ = client.batch_execute("rollback").await;
        // In time it passes, and is not held up any longer than it takes.
        lease(&server, HOUR).await;
        client.batch_execute(&written).await.unwrap_or_else(|error| panic!("{written}: {error:?}"));
        owner.batch_execute("truncate public.documents").await.unwrap();
    }
    // As each statement is asked for by a driver, and one by one.
    for apart in [vec![deferred], vec!["begin", deferred, "commit"]] {
        lease(&server, "clock_timestamp() + interval '600 milliseconds'").await;
        let mut last = Ok(0);
        for statement in &apart {
            last = client.execute(*statement, &[]).await;
        }
        assert_eq!(code(&last.expect_err("it is late")), FENCED, "{apart:?}");
    }
    server.stop(Stop::Immediate).await.unwrap();
}

/// A unique key that is checked at the commit waits for whoever holds it, beyond every time-out.
#[tokio::test]
async fn a_commit_that_waits_for_another_session_is_looked_at_behind() {
    let Some((room, server)) = armed("a commit that waits").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let unique = "alter table public.documents drop constraint documents_tx_key; \
        alter table public.documents add constraint late_key unique (tx) deferrable initially deferred";
    owner.batch_execute(unique).await.unwrap();
    let (holder, client) = (application(&room).await, application(&room).await);
    lease(&server, "clock_timestamp() + interval '1 second'").await;
    holder.batch_execute(&format!("begin; {INSERT}")).await.unwrap();
    let waits = tokio::spawn(async move { client.batch_execute(INSERT).await });
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(code(&waits.await.unwrap().expect_err("it waited past the lease")), FENCED);
    server.stop(Stop::Immediate).await.unwrap();
}

/// What a statement on the parent writes of a listed child passes the child's gate by: the parent has one too.
#[tokio::test]
async fn a_table_that_inherits_is_guarded_by_its_parents_name_too() {
    let Some((_room, server)) = armed("a parent").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let parent =
        "create table public.everything (body text); alter table public.documents inherit public.everything";
    owner.batch_execute(parent).await.unwrap();
    lease(&server, HOUR).await;
    owner.batch_execute(INSERT).await.unwrap();
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let plan = plan();
    let look = async || statements::heartbeat(&operator, plan.stores.first().unwrap(), None).await.unwrap();
    assert_eq!(look().await.unarmed, ["`everything` has no gate"]);
    owner.batch_execute("select understudy.put_gate('public.documents')").await.unwrap();
    assert!(look().await.gate_armed);
    lease(&server, "clock_timestamp()").await;
    for statement in ["update public.everything set body = 'late'", "delete from public.everything"] {
        assert_eq!(code(&owner.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    lease(&server, "'-infinity'").await;
    let late = owner.batch_execute(&unique("late")).await.unwrap_err();
    assert_eq!(code(&late), FENCED, "an end before all time");
    server.stop(Stop::Immediate).await.unwrap();
}

/// The script of a plan that arms nothing, or has another margin, arms none that does.
#[tokio::test]
async fn time_outs_of_another_plan_do_not_arm() {
    let Some((_room, server)) = armed("time-outs").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().unwrap().clone();
    let owner = server.administrator("rag").await.unwrap();
    lease(&server, HOUR).await;
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let unarmed = async |plan: &Plan| {
        let bound = ddl::commit_bound(plan);
        statements::heartbeat(&operator, &store, bound).await.unwrap().unarmed.len()
    };
    assert_eq!(unarmed(&plan).await, 2, "the role, and the gate");
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    assert_eq!(unarmed(&plan).await, 0);
    plan.lease.commit_margin = Millis(6_000);
    assert_eq!(unarmed(&plan).await, 2, "a shorter margin");
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    assert_eq!(unarmed(&plan).await, 0);
    plan.lease.commit_margin = Millis(10_000);
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    plan.lease.commit_margin = Millis(30_000);
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    plan.lease.commit_margin = Millis(10_000);
    assert_eq!(unarmed(&plan).await, 2, "the longer one came last");
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn partitions_and_children_are_guarded_and_a_new_one_is_missed() {
    let Some((_room, server)) = armed("partitions").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let tables = "create table public.parted (id bigint, at date) partition by range (at); \
        create table public.parted_2026 partition of public.parted for values from ('2026-01-01') to ('2027-01-01'); \
        create table public.child () inherits (public.documents);";
    owner.batch_execute(tables).await.unwrap();
    let mut plan = plan();
    let store = plan.stores.first_mut().unwrap();
    store.tables.push("public.parted".to_owned());
    let store = store.clone();
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    lease(&server, "clock_timestamp()").await;
    for statement in [
        "truncate public.parted_2026",
        "insert into public.parted_2026 values (1, '2026-05-05')",
        "insert into public.parted values (1, '2026-05-05')",
        "insert into public.child (tx) values ('c')",
    ] {
        assert_eq!(code(&owner.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    lease(&server, HOUR).await;
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let look = async || statements::heartbeat(&operator, &store, None).await.unwrap();
    assert_eq!(look().await.unarmed, Vec::<String>::new());
    let next = "create table public.parted_2027 partition of public.parted for values from ('2027-01-01') to ('2028-01-01')";
    owner.batch_execute(next).await.unwrap();
    let written = look().await;
    assert_eq!(written.unarmed, ["`parted_2027` has no gate"]);
    assert!(!written.gate_armed);
    owner.batch_execute("select understudy.put_gate('public.parted')").await.unwrap();
    assert!(look().await.gate_armed);
    server.stop(Stop::Immediate).await.unwrap();
}

/// Where a gate is missing, whoever else can write is named: however the right was granted.
#[tokio::test]
async fn writers_are_found_however_their_right_was_granted() {
    let Some((_room, server)) = armed("other writers").await else { return };
    let superuser = server.superuser("rag").await.unwrap();
    let roles = "alter table public.documents disable trigger understudy_gate; \
        create role reads login; grant select on public.documents to reads; \
        create role whole login; grant insert on public.documents to whole; \
        create role one_column login; grant update (body) on public.documents to one_column; \
        create role writers nologin; grant delete on public.documents to writers; \
        create role inherits login in role writers; \
        create role becomes login noinherit in role writers; \
        create role sleeps nologin in role writers; \
        create role everything login in role pg_write_all_data;";
    superuser.batch_execute(roles).await.unwrap();
    superuser.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let plan = plan();
    let written = statements::heartbeat(&superuser, plan.stores.first().unwrap(), None).await.unwrap();
    // `administrator` owns the tables.
    let found = ["administrator", "becomes", "everything", "inherits", "one_column", "whole"];
    assert_eq!(written.ungated_writers, found);
    assert!(written.unarmed.iter().any(|why| why == "`documents` has no gate"), "{:?}", written.unarmed);
    server.stop(Stop::Immediate).await.unwrap();
}

/// A time-out on a role reaches new sessions only, and a session may set its own.
#[tokio::test]
async fn sessions_that_outlast_the_margin_are_seen() {
    let Some((room, server)) = armed("sessions without time-outs").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let pooled = application(&room).await;
    let owner = server.administrator("rag").await.unwrap();
    let store = plan.stores.first().unwrap();
    owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    lease(&server, HOUR).await;
    let sessions = async || statements::heartbeat(&operator, store, None).await.unwrap().sessions.unwrap();
    let seen = sessions().await;
    assert_eq!((seen.open, seen.unbounded, seen.unbounded_wrote_at), (1, 1, None), "before it writes");
    pooled.batch_execute(&unique("pooled")).await.unwrap();
    let first = sessions().await.unbounded_wrote_at.expect("it wrote without a time-out");
    drop(pooled);
    let fresh = application(&room).await;
    fresh.batch_execute(&unique("fresh")).await.unwrap();
    assert_eq!(sessions().await.unbounded_wrote_at, Some(first), "a new session has them");
    fresh.batch_execute(&format!("set statement_timeout = '1 h'; {}", unique("own"))).await.unwrap();
    assert!(sessions().await.unbounded_wrote_at > Some(first), "one with a time-out of its own");
    server.stop(Stop::Immediate).await.unwrap();
}

/// A renewal that comes late does not shorten what a newer one gave, and an order to fence is nobody's renewal.
#[tokio::test]
async fn a_late_renewal_changes_nothing() {
    let Some((room, server)) = armed("a late renewal").await else { return };
    let mut operator = log_in(&room, PRODUCT).await.unwrap();
    let (plan, now) = (plan(), jiff::Timestamp::now());
    let store = plan.stores.first().unwrap();
    let before = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
    let inside = async |operator: &Client| {
        let lease = statements::heartbeat(operator, store, None).await.unwrap().lease.unwrap();
        (lease.epoch, lease.ends.map(|ends| ends.as_second() - now.as_second()))
    };
    statements::set_lease(&mut operator, 1, "here", Some(before(0)), Some(180_000)).await.unwrap();
    for (since, valid) in [(60, Some(180_000)), (60, Some(600_000)), (60, None)] {
        statements::set_lease(&mut operator, 1, "here", Some(before(since)), valid).await.unwrap();
        assert_eq!(inside(&operator).await, (1, Some(180)), "{since} {valid:?}");
    }
    statements::fence(&mut operator, store, None, (2, "there")).await.unwrap();
    let late = statements::set_lease(&mut operator, 1, "here", Some(before(-60)), Some(180_000)).await;
    assert!(late.is_err(), "of an epoch that is over");
    assert!(inside(&operator).await.1.unwrap() <= 1);
    let refused = log_in(&room, APPLICATION.role).await.err().unwrap();
    assert_eq!(code(&refused), "28000", "a late renewal lets nobody in");
    server.stop(Stop::Immediate).await.unwrap();
}

/// What the replica holds of the gate after its promotion, and a server after a crash.
#[tokio::test]
async fn the_end_of_the_lease_survives_a_crash() {
    let Some((room, server)) = armed("a crash").await else { return };
    lease(&server, "clock_timestamp()").await;
    server.stop(Stop::Immediate).await.unwrap();
    server.start().await.unwrap();
    let client = application(&room).await;
    assert_eq!(code(&client.batch_execute(INSERT).await.unwrap_err()), FENCED);
    lease(&server, "'infinity'").await;
    client.batch_execute(INSERT).await.unwrap();
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
