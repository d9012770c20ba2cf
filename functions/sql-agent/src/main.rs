//! Named statements on PostgreSQL, inside the VPC, without a single AWS call.

mod agent;
mod connect;
mod statements;
mod token;

use understudy_aws::dns::Resolver;
use understudy_aws::{Environment, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let agent = &agent::Agent {
        connector: connect::Connector::new(Resolver::new()?, &Environment::value("DATABASE_TLS")?)?,
        plan: env.plan,
        role: env.role,
    };
    serve(|event| async move { agent.answer(event).await }).await
}
