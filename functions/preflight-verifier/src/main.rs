//! Assesses the standby for one execution; on a schedule watches its readiness.

use understudy_aws::dns::Resolver;
use understudy_aws::dynamodb::Table;
use understudy_aws::http::Web;
use understudy_aws::rds::Rds;
use understudy_aws::scaffold::WallClock;
use understudy_aws::secrets::SecretsManager;
use understudy_aws::sql_agent::SqlAgent;
use understudy_aws::{Environment, serve};
use understudy_core::ports::Both;
use understudy_core::steps::assess::{Ports, Verifier, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let (prefix, region, primary) = (env.prefix(), env.region(), &env.plan.regions.primary);
    let witness = Table::witness(&env.plan, &prefix).await;
    let verifier = &Verifier {
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
            http: &Web::new(Resolver::new()?)?,
            secrets: &SecretsManager::new(region).await,
        },
    };
    serve(|event| async move { answer(verifier, &event).await }).await
}
