//! The agent as a Lambda: its environment, and nothing else.

use sql_agent::agent::Agent;
use sql_agent::connect::Connector;
use sql_agent::token;
use understudy_aws::dns::Resolver;
use understudy_aws::{Environment, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Environment::load()?;
    let agent = &Agent {
        connector: Connector::new(Resolver::new()?, &Environment::value("DATABASE_TLS")?)?,
        plan: env.plan,
        role: env.role,
        credentials: token::from_environment,
    };
    serve(|event| async move { agent.answer(event).await }).await
}
