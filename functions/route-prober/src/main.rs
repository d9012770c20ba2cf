//! What a client sees: votes on the primary from standby and witness; confirms recovery from outside.

use understudy_aws::cloudwatch::CloudWatch;
use understudy_aws::dns::Resolver;
use understudy_aws::dynamodb::Table;
use understudy_aws::http::Web;
use understudy_aws::scaffold::WallClock;
use understudy_aws::{Environment, serve};
use understudy_core::prober::{Prober, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let dns = Resolver::new()?;
    let prober = &Prober {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        role: env.role,
        cells: &Table::new(env.region(), &env.prefix()).await,
        clock: &WallClock,
        http: &Web::new(dns.clone())?,
        dns: &dns,
        metrics: &CloudWatch::new(env.region(), &env.plan.name).await,
    };
    serve(|event| async move { answer(prober, &event).await }).await
}
