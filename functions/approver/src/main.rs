//! Shows the decision, takes the answer; the only holder of the workflow's token.

use understudy_aws::dynamodb::Table;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sfn::TaskTokens;
use understudy_aws::sns::Pages;
use understudy_aws::{Environment, serve};
use understudy_core::approval::{Approver, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let approver = &Approver {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(env.region(), &env.prefix()).await,
        clock: &WallClock,
        tokens: &TaskTokens::new(env.region()).await,
        pager: &Pages::new(env.region(), Environment::value("PAGES_TOPIC")?).await,
    };
    serve(|event| async move { answer(approver, &event).await }).await
}
