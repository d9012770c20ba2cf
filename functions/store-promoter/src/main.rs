//! Closes the lease, fences, captures, promotes, un-fences, and believes only a write that it read back.

use understudy_aws::dynamodb::Table;
use understudy_aws::primary_guard::Guard;
use understudy_aws::rds::Rds;
use understudy_aws::scaffold::WallClock;
use understudy_aws::secrets::SecretsManager;
use understudy_aws::sql_agent::SqlAgent;
use understudy_aws::{Environment, serve};
use understudy_core::ports::Both;
use understudy_core::steps::promoter::{Ports, Promoter, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let (prefix, region, primary) = (env.prefix(), env.region(), &env.plan.regions.primary);
    let witness = Table::witness(&env.plan, &prefix).await;
    let promoter = &Promoter {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(region, &prefix).await,
        clock: &WallClock,
        ports: Ports {
            witness: witness.as_ref(),
            sql: Both {
                standby: &SqlAgent::new(region, &prefix).await,
                primary: &SqlAgent::new(primary, &prefix).await,
            },
            databases: Both { standby: &Rds::new(region).await, primary: &Rds::new(primary).await },
            secrets: &SecretsManager::new(region).await,
            guard: &Guard::new(primary, &prefix).await,
        },
    };
    serve(|event| async move { answer(promoter, &event).await }).await
}
