//! Answers Route 53's checkers: whether the standby serves. Anybody may ask; it can read one cell and do nothing else.

use understudy_aws::dynamodb::Table;
use understudy_aws::{Environment, serve};
use understudy_core::switch::answer_checker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let cells = &Table::new(env.region(), &env.prefix()).await;
    serve(|event| async move { answer_checker(cells, &event).await }).await
}
