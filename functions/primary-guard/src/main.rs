//! The one piece in the primary: renews the lease for a writer that writes, and records its watermark.

use understudy_aws::dynamodb::Table;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sql_agent::SqlAgent;
use understudy_aws::sqs::Queue;
use understudy_aws::{Environment, serve_looking};
use understudy_core::guard::{Guard, answer};
use understudy_core::looks::Eyes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let prefix = env.prefix();
    let witness = Table::witness(&env.plan, &prefix).await;
    let standby = Table::new(&env.plan.regions.standby, &prefix).await;
    let queue = Queue::of_looks(env.region()).await;
    let guard = &Guard {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        standby: &standby,
        witness: witness.as_ref(),
        clock: &WallClock,
        sql: &SqlAgent::new(env.region(), &prefix).await,
    };
    let eyes = &Eyes {
        plan: &env.plan,
        cells: &standby,
        clock: &WallClock,
        queue: queue.as_ref(),
        function: "primary-guard",
    };
    serve_looking(eyes, async |event| answer(guard, event).await).await
}
