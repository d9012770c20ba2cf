//! Journal to report: closes, seals and renders; finishes what ended without a report.

use understudy_aws::dynamodb::Table;
use understudy_aws::kms::SigningKey;
use understudy_aws::s3::Bucket;
use understudy_aws::scaffold::WallClock;
use understudy_aws::sns::Pages;
use understudy_aws::{Environment, serve};
use understudy_core::steps::close::{Writer, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let signer = SigningKey::new(env.region(), Environment::value("SIGNING_KEY")?).await;
    let writer = &Writer {
        plan: &env.plan,
        plan_digest: &env.plan_digest,
        cells: &Table::new(env.region(), &env.prefix()).await,
        clock: &WallClock,
        evidence: &Bucket::new(env.region(), Environment::value("EVIDENCE_BUCKET")?).await,
        pager: &Pages::new(env.region(), Environment::value("PAGES_TOPIC")?).await,
        signer: signer.as_ref(),
    };
    serve(|event| async move { answer(writer, &event).await }).await
}
