//! An alarm however delivered, or the minute tick: decide from the votes, start at most one execution.

use understudy_aws::dynamodb::Table;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sfn::Workflow;
use understudy_aws::sns::Pages;
use understudy_aws::sqs::Queue;
use understudy_aws::{Environment, serve_looking};
use understudy_core::handler::{Handler, answer};
use understudy_core::looks::Eyes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let (prefix, region) = (env.prefix(), env.region());
    let standby = Table::new(region, &prefix).await;
    let witness = Table::witness(&env.plan, &prefix).await;
    let executions = Workflow::new(region, Environment::value("STATE_MACHINE")?).await;
    let queue = Queue::of_looks(region).await;
    let pager = Pages::new(region, Environment::value("PAGES_TOPIC")?).await;
    let handler = &Handler {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &standby,
        witness: witness.as_ref(),
        clock: &WallClock,
        executions: &executions,
        pager: &pager,
        writer: "alarm-handler",
    };
    let eyes = &Eyes {
        plan: &env.plan,
        cells: &standby,
        clock: &WallClock,
        queue: queue.as_ref(),
        function: "alarm-handler",
    };
    serve_looking(eyes, async |event| answer(handler, event).await).await
}
