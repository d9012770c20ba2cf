//! Rehearses, on schedule or on demand: starts a drill in the rehearsal environment, and nowhere else.

use understudy_aws::dynamodb::Table;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sfn::Workflow;
use understudy_aws::sns::Pages;
use understudy_aws::{Environment, serve};
use understudy_core::drill::answer;
use understudy_core::handler::Handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let (prefix, region) = (env.prefix(), env.region());
    let standby = Table::new(region, &prefix).await;
    let witness = Table::witness(&env.plan, &prefix).await;
    let executions = Workflow::new(region, Environment::value("STATE_MACHINE")?).await;
    let pager = Pages::new(region, Environment::value("PAGES_TOPIC")?).await;
    let handler = &Handler {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &standby,
        witness: witness.as_ref(),
        clock: &WallClock,
        executions: &executions,
        pager: &pager,
        writer: "drill-runner",
    };
    serve(|event| async move { answer(handler, &event).await }).await
}
