//! Sessions of the writers: their time-outs, the lock that ends them, the job of pg_cron, and who renews.

use super::*;

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
        heartbeat(&operator, &store, bound).await.unwrap().unarmed.len()
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
    // A plan that arms nothing takes back what an armed one set.
    let settings = async || {
        let read = "select rolconfig from pg_roles where rolname = $1";
        owner.query_one(read, &[&APPLICATION.role]).await.unwrap().get::<_, Option<Vec<String>>>(0)
    };
    assert!(settings().await.is_some());
    plan.lease.on_loss = OnLeaseLoss::Stay;
    owner.batch_execute(&ddl::script(&plan, &store)).await.unwrap();
    assert_eq!(settings().await, None);
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
    let sessions = async || heartbeat(&operator, store, None).await.unwrap().sessions.unwrap();
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
        let lease = heartbeat(operator, store, None).await.unwrap().lease.unwrap();
        (lease.epoch, lease.ends.map(|ends| ends.as_second() - now.as_second()))
    };
    statements::set_lease(&mut operator, 1, "here", Some(before(0)), Some(180_000)).await.unwrap();
    for (since, valid) in [(60, Some(180_000)), (60, Some(600_000)), (60, None)] {
        statements::set_lease(&mut operator, 1, "here", Some(before(since)), valid).await.unwrap();
        assert_eq!(inside(&operator).await, (1, Some(180)), "{since} {valid:?}");
    }
    statements::fence(&mut operator, store, None, (2, "there"), soon()).await.unwrap();
    let late = statements::set_lease(&mut operator, 1, "here", Some(before(-60)), Some(180_000)).await;
    assert!(late.is_err(), "of an epoch that is over");
    assert!(inside(&operator).await.1.unwrap() <= 1);
    let refused = log_in(&room, APPLICATION.role).await.err().unwrap();
    assert_eq!(code(&refused), "28000", "a late renewal lets nobody in");
    // The fence of a side that gave way came along, by a clock that ran ahead; whoever takes over lifts it all the same.
    let owner = server.administrator("rag").await.unwrap();
    let ahead = "update understudy.lease set valid_until = clock_timestamp() + interval '10 minutes', \
        since = clock_timestamp() + interval '10 minutes'";
    owner.batch_execute(ahead).await.unwrap();
    statements::set_lease(&mut operator, 2, "there", None, None).await.unwrap();
    assert_eq!(inside(&operator).await, (2, None));
    log_in(&room, APPLICATION.role).await.unwrap();
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

/// The job and a renewal want the same row: the job lets the renewal pass, and keeps it from nothing.
#[tokio::test]
async fn the_job_waits_for_no_renewal_and_keeps_none_waiting() {
    let Some((_room, server)) = armed("the job beside a renewal").await else { return };
    let (owner, renews) =
        (server.administrator("rag").await.unwrap(), server.administrator("rag").await.unwrap());
    lease(&server, "clock_timestamp() - interval '1 second'").await;
    renews.batch_execute(&format!("begin; update understudy.lease set valid_until = {HOUR}")).await.unwrap();
    // It finds the lease over, and the row in the hands of a renewal.
    owner.batch_execute("begin").await.unwrap();
    let lapse =
        async || owner.query_one("select understudy.lapse()", &[]).await.unwrap().get::<_, Option<bool>>(0);
    assert_eq!(lapse().await, None, "whoever holds the row renews");
    renews.batch_execute("commit").await.unwrap();
    assert_eq!(lapse().await, Some(false));
    // While the job's transaction goes on, the next renewal is taken at once.
    renews.batch_execute("set lock_timeout = '1s'").await.unwrap();
    renews.batch_execute(&format!("update understudy.lease set valid_until = {HOUR}")).await.unwrap();
    owner.batch_execute("commit").await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
}

/// The gates read a sequence, and a sequence keeps what a roll-back takes from the row: who wrote in between has no look at
/// its commit, and counts until it is over.
#[tokio::test]
async fn a_writer_that_read_an_end_which_was_rolled_back_is_seen() {
    let Some((room, server)) = armed("an end that was rolled back").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().unwrap();
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}")).await.unwrap();
    let unarmed = async || heartbeat(&operator, store, ddl::commit_bound(&plan)).await.unwrap().unarmed;
    let earlier =
        |why: &[String]| why.iter().any(|why| why.contains("may have written before the lease had an end"));
    for (way, back) in [
        ("begin; update understudy.lease set valid_until = 'infinity'", "rollback"),
        ("select setval('understudy.lease_end', 9223372036854775807)", "select 1"),
    ] {
        for again in [false, true] {
            lease(&server, HOUR).await;
            assert!(!earlier(&unarmed().await), "{way}");
            let writer = application(&room).await;
            owner.batch_execute(way).await.unwrap();
            writer.batch_execute(&format!("begin; {}", unique("unseen"))).await.unwrap();
            owner.batch_execute(back).await.unwrap();
            if again {
                owner.batch_execute(&ddl::script(&plan, store)).await.unwrap();
            } else {
                lease(&server, HOUR).await;
            }
            let why = unarmed().await;
            assert!(earlier(&why), "{way}: {why:?}");
            writer.batch_execute("rollback").await.unwrap();
            assert!(!earlier(&unarmed().await), "{way}");
        }
    }
    server.stop(Stop::Immediate).await.unwrap();
}
