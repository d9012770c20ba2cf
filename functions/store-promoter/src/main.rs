//! Closes the lease, fences, captures, promotes, un-fences, and believes only a write that it read back.

use understudy_aws::dynamodb::Table;
use understudy_aws::primary_guard::Guard;
use understudy_aws::rds::Rds;
use understudy_aws::scaffold::WallClock;
use understudy_aws::secrets::SecretsManager;
use understudy_aws::sql_agent::SqlAgent;
use understudy_aws::{Environment, serve};
use understudy_core::steps::promoter::{Ports, Promoter, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let (prefix, region) = (env.prefix(), env.region());
    let witness = Table::witness(&env.plan, &prefix).await;
    let promoter = &Promoter {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(region, &prefix).await,
        clock: &WallClock,
        ports: Ports {
            witness: witness.as_ref(),
            sql: &SqlAgent::new(region, &prefix).await,
            databases: &Rds::new(region).await,
            secrets: &SecretsManager::new(region).await,
            guard: &Guard::new(&env.plan.regions.primary, &prefix).await,
        },
    };
    serve(|event| async move { answer(promoter, &event).await }).await
}
