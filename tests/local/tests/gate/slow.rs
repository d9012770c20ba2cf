//! A server in which looking round takes long: it is told as not known, and the heartbeat is answered all the same.

use super::*;
use understudy_core::sql::Written;

async fn beat(server: &Server, plan: &Plan) -> (Written, Duration) {
    let operator = server.superuser("rag").await.unwrap();
    operator.batch_execute(&format!("set role {PRODUCT}; set statement_timeout = '4s'")).await.unwrap();
    let began = Instant::now();
    let store = plan.stores.first().unwrap();
    let written = heartbeat(&operator, store, ddl::commit_bound(plan)).await.unwrap();
    (written, began.elapsed())
}

/// What the agent waits for a whole statement, with its connection.
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_large_catalog_costs_no_heartbeat() {
    let Some((_room, server)) = armed("a large catalog").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&ddl::script(&plan, plan.stores.first().unwrap())).await.unwrap();
    lease(&server, HOUR).await;
    let (written, _) = beat(&server, &plan).await;
    assert!(written.gate_armed && written.rows.len() == 1, "{written:?}");
    // As two thousand partitions and as many roles make it.
    let slow = "alter function understudy.family(regclass) rename to family_at_once; \
        create function understudy.family(member regclass) returns setof regclass language sql as \
        'select pg_sleep(2.5); select understudy.family_at_once(member)'; \
        grant execute on all functions in schema understudy to ";
    owner.batch_execute(&format!("{slow} {PRODUCT}")).await.unwrap();
    let (written, took) = beat(&server, &plan).await;
    assert!(took < LIMIT, "{took:?}");
    assert!(!written.gate_armed);
    let told = "whether its gates stand is not known: it was not answered in time";
    assert!(written.unarmed.iter().any(|why| why == told), "{:?}", written.unarmed);
    assert!(
        written.ungated_writers.iter().any(|who| who.contains("not known")),
        "{:?}",
        written.ungated_writers
    );
    server.stop(Stop::Immediate).await.unwrap();
}

/// pg_cron never trims what it notes of others' jobs.
#[tokio::test]
async fn a_long_log_of_jobs_disarms_nothing() {
    let Some((_room, server)) = armed("a long log of jobs").await else { return };
    let mut plan = plan();
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let owner = server.administrator("rag").await.unwrap();
    owner.batch_execute(&ddl::script(&plan, plan.stores.first().unwrap())).await.unwrap();
    lease(&server, HOUR).await;
    let slow = format!(
        "create or replace function {JOB_RUNS} returns boolean language sql as 'select pg_sleep(6); select true'"
    );
    owner.batch_execute(&slow).await.unwrap();
    let (written, took) = beat(&server, &plan).await;
    assert!(took < LIMIT, "{took:?}");
    assert!(written.gate_armed, "{:?}", written.unarmed);
    assert_eq!(written.job_runs, None);
    assert_eq!(written.rows.len(), 1, "and it goes on to count");
    server.stop(Stop::Immediate).await.unwrap();
}
