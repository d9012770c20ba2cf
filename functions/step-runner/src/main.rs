//! Capacity, freeze and the user's own hooks, each with its undo.

use understudy_aws::dns::Resolver;
use understudy_aws::dynamodb::Table;
use understudy_aws::http::Web;
use understudy_aws::scaffold::WallClock;
use understudy_aws::{Environment, serve};
use understudy_core::steps::runner::{Runner, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let runner = &Runner {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(env.region(), &env.prefix()).await,
        clock: &WallClock,
        http: &Web::new(Resolver::new()?)?,
    };
    serve(|event| async move { answer(runner, &event).await }).await
}
