//! Tables: which have a gate, and who else may write to them.

use super::*;

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
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().unwrap();
    owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    owner.batch_execute("drop trigger understudy_gate on public.everything").await.unwrap();
    let look = async || heartbeat(&operator, store, ddl::commit_bound(&plan)).await.unwrap();
    assert_eq!(look().await.unarmed, ["`everything` has no gate"]);
    assert_eq!(look().await.unarmed, Vec::<String>::new(), "the heartbeat put it there");
    // Its other children are no tables of the plan.
    owner.batch_execute("create table public.sibling () inherits (public.everything)").await.unwrap();
    owner.batch_execute("drop trigger understudy_gate on public.everything").await.unwrap();
    assert_eq!(look().await.unarmed, ["`everything` has no gate"]);
    assert!(look().await.gate_armed);
    let gated = "select count(*) from pg_trigger where tgname = 'understudy_gate' and tgrelid = 'public.sibling'::regclass";
    assert_eq!(owner.query_one(gated, &[]).await.unwrap().get::<_, i64>(0), 0);
    lease(&server, "clock_timestamp()").await;
    for statement in ["update public.everything set body = 'late'", "delete from public.everything"] {
        assert_eq!(code(&owner.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    lease(&server, "'-infinity'").await;
    let late = owner.batch_execute(&unique("late")).await.unwrap_err();
    assert_eq!(code(&late), FENCED, "an end before all time");
    server.stop(Stop::Immediate).await.unwrap();
}

/// A child of a listed table that has another parent: by that one's name its rows are written, too.
#[tokio::test]
async fn a_child_of_two_tables_is_guarded_by_the_other_ones_name_too() {
    let Some((_room, server)) = armed("two parents").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let tables = "create table public.other (tx text, note text); \
        create table public.both () inherits (public.documents, public.other); \
        insert into public.both (tx, note) values ('b', 'in time')";
    owner.batch_execute(tables).await.unwrap();
    apply(&server).await;
    lease(&server, "clock_timestamp() - interval '1 minute'").await;
    for statement in
        ["update public.other set note = 'late'", "delete from public.other", "truncate public.other cascade"]
    {
        assert_eq!(code(&owner.batch_execute(statement).await.unwrap_err()), FENCED, "{statement}");
    }
    server.stop(Stop::Immediate).await.unwrap();
}

#[tokio::test]
async fn partitions_and_children_are_guarded_and_so_are_new_ones() {
    let Some((_room, server)) = armed("partitions").await else { return };
    let owner = server.administrator("rag").await.unwrap();
    let tables = "create table public.parted (id bigint, at date) partition by range (at); \
        create table public.parted_2026 partition of public.parted for values from ('2026-01-01') to ('2027-01-01'); \
        create table public.child () inherits (public.documents);";
    owner.batch_execute(tables).await.unwrap();
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
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
    let look = async || heartbeat(&operator, &store, ddl::commit_bound(&plan)).await.unwrap();
    assert_eq!(look().await.unarmed, Vec::<String>::new());
    let next = "create table public.parted_2027 partition of public.parted for values from ('2027-01-01') to ('2028-01-01')";
    // A partition of the next day gets its gate behind the heartbeat that misses it.
    owner.batch_execute(next).await.unwrap();
    assert_eq!(look().await.unarmed, ["`parted_2027` has no gate"]);
    assert_eq!(look().await.unarmed, Vec::<String>::new());
    // One that is busy does not keep its writers waiting, and counts as unarmed until it is not.
    let busy = "create table public.parted_2028 partition of public.parted for values from ('2028-01-01') to ('2029-01-01')";
    owner.batch_execute(busy).await.unwrap();
    let application = server.administrator("rag").await.unwrap();
    application
        .batch_execute("begin; insert into public.parted_2028 values (1, '2028-05-05')")
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(look().await.unarmed, ["`parted_2028` has no gate"]);
    }
    application.batch_execute("commit").await.unwrap();
    assert!(!look().await.gate_armed);
    assert!(look().await.gate_armed);
    lease(&server, "clock_timestamp() - interval '1 second'").await;
    for partition in ["2027", "2028"] {
        let statement = format!("insert into public.parted_{partition} values (2, '{partition}-06-06')");
        assert_eq!(code(&owner.batch_execute(&statement).await.unwrap_err()), FENCED, "{statement}");
    }
    lease(&server, HOUR).await;
    // What another one owns stays as it is, and is named.
    let superuser = server.superuser("rag").await.unwrap();
    let foreign = "create table public.foreign_child () inherits (public.child); alter table public.foreign_child owner to postgres";
    superuser.batch_execute(foreign).await.unwrap();
    for _ in 0..2 {
        assert_eq!(look().await.unarmed, ["`foreign_child` has no gate"]);
    }
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
    let written = heartbeat(&superuser, plan.stores.first().unwrap(), None).await.unwrap();
    // `administrator` owns the tables.
    let found = ["administrator", "becomes", "everything", "inherits", "one_column", "whole"];
    assert_eq!(written.ungated_writers, found);
    assert!(written.unarmed.iter().any(|why| why == "`documents` has no gate"), "{:?}", written.unarmed);
    server.stop(Stop::Immediate).await.unwrap();
}

/// What is locked stays locked while the next is waited for: two seconds are for all of a table, not for each partition.
#[tokio::test]
async fn a_table_and_its_partitions_are_waited_for_together() {
    let Some((_room, server)) = armed("partitions in use").await else { return };
    let mut owner = server.administrator("rag").await.unwrap();
    let tables = "create table public.parted (id bigint) partition by range (id); \
        create table public.parted_1 partition of public.parted for values from (1) to (2); \
        create table public.parted_2 partition of public.parted for values from (2) to (3);";
    owner.batch_execute(tables).await.unwrap();
    let transaction = owner.transaction().await.unwrap();
    transaction.batch_execute("select understudy.put_gate('public.parted')").await.unwrap();
    let left = "select extract(epoch from current_setting('lock_timeout')::interval) * 1000 < 2000";
    assert!(transaction.query_one(left, &[]).await.unwrap().get::<_, bool>(0));
    drop(transaction);
    server.stop(Stop::Immediate).await.unwrap();
}
