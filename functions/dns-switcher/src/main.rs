//! Moves routes by the switch metric; on a tick publishes the level again, and looks whether it would move anything.

use understudy_aws::cloudwatch::CloudWatch;
use understudy_aws::dynamodb::Table;
use understudy_aws::route53::Zones;
use understudy_aws::scaffold::WallClock;
use understudy_aws::{Environment, serve};
use understudy_core::steps::traffic::{Switcher, answer};
use understudy_core::wiring::Eyes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let cloudwatch = CloudWatch::new(env.region(), &env.plan.name).await;
    let switcher = &Switcher {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(env.region(), &env.prefix()).await,
        clock: &WallClock,
        metrics: &cloudwatch,
        wiring: Eyes { records: &Zones::new().await, alarms: &cloudwatch },
    };
    serve(|event| async move { answer(switcher, &event).await }).await
}
