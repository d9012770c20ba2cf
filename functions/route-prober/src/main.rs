//! What a client sees: votes on the primary from standby and witness; confirms recovery from outside.

use understudy_aws::cloudwatch::CloudWatch;
use understudy_aws::dns::Resolver;
use understudy_aws::dynamodb::Table;
use understudy_aws::http::Web;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sqs::Queue;
use understudy_aws::watch::Watching;
use understudy_aws::{Environment, serve_looking};
use understudy_core::looks::Eyes;
use understudy_core::prober::{Prober, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let dns = Resolver::new()?;
    let cells = Table::new(env.region(), &env.prefix()).await;
    let queue = Queue::of_looks(env.region()).await;
    let watching = Watching::of(&env).await?;
    let prober = &Prober {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        role: env.role,
        cells: &cells,
        clock: &WallClock,
        http: &Web::new(dns.clone())?,
        dns: &dns,
        metrics: &CloudWatch::new(env.region(), &env.plan.name).await,
        watch: watching.watch(),
    };
    let eyes = &Eyes {
        plan: &env.plan,
        cells: &cells,
        clock: &WallClock,
        queue: queue.as_ref(),
        function: "route-prober",
    };
    serve_looking(eyes, async |event| answer(prober, event).await).await
}
