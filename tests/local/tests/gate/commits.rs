//! Commits: what was written in time, and what would be committed late.

use super::*;

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
    let look = async || heartbeat(&operator, store, None).await.unwrap().unarmed;
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
    let look = async || heartbeat(&operator, store, None).await.unwrap().unarmed;
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
    let written = heartbeat(&operator, store, None).await.unwrap();
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

/// Temporary tables are emptied, and others notified, behind every look at the commit, and no time-out but that for locks
/// counts there: whoever waits is given up within the margin.
#[tokio::test]
async fn a_commit_that_waits_for_a_lock_behind_its_look_is_given_up() {
    let Some((room, server)) = armed("a lock behind the look").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&ddl::script(&plan, plan.stores.first().unwrap())).await.unwrap();
    let (holder, client) = (server.superuser("rag").await.unwrap(), application(&room).await);
    let shown = async || client.query_one("show lock_timeout", &[]).await.unwrap().get::<_, String>(0);
    let temporary = "create temporary table staged (a integer) on commit drop";
    for set in ["0", "1h", "500ms"] {
        lease(&server, "clock_timestamp() + interval '1 second'").await;
        client.batch_execute(&format!("set lock_timeout = '{set}'")).await.unwrap();
        client.batch_execute(&format!("begin; {temporary}; {INSERT}")).await.unwrap();
        holder.batch_execute("begin; lock table pg_attribute in share mode").await.unwrap();
        let began = std::time::Instant::now();
        let late = client.batch_execute("commit").await.expect_err("the lock was never let go");
        assert_eq!(code(&late), "55P03", "{set}: {late}");
        let margin = Duration::from_millis(plan.lease.commit_margin.0);
        assert!(began.elapsed() < margin / 2, "{set}: {:?}", began.elapsed());
        holder.batch_execute("rollback").await.unwrap();
        assert_eq!(shown().await, set, "what the session had set");
    }
    let written: i64 = owner.query_one("select count(*) from public.documents", &[]).await.unwrap().get(0);
    assert_eq!(written, 0);
    server.stop(Stop::Immediate).await.unwrap();
}
