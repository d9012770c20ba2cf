//! `sql-agent`, invoked: the only way to a database.

use crate::fault::fault;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::Sql;
use understudy_core::sql::{Answer, FailureClass, Statement};

/// The agent bounds its own work to less than this.
const PATIENCE: Duration = Duration::from_secs(9);

/// The agent of one Region.
#[derive(Clone, Debug)]
pub struct SqlAgent {
    client: Client,
    function: String,
}

impl SqlAgent {
    pub async fn new(region: &Region, prefix: &str) -> Self {
        let config = crate::scaffold::patient_sdk_config(region, PATIENCE).await;
        Self { client: Client::new(&config), function: format!("{prefix}-sql-agent") }
    }
}

impl Sql for SqlAgent {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let what = format!("sql-agent {} on `{}`", statement.name(), statement.store());
        let payload =
            serde_json::to_vec(statement).map_err(|error| Fault::bug(format!("{what}: {error}")))?;
        let reply = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(|error| fault(&what, &error))?;
        let bytes = reply.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(error) = reply.function_error {
            // The agent's own fault: its words, and nothing of the request, which may hold a secret.
            let told: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let message =
                told.get("errorMessage").and_then(|m| m.as_str()).unwrap_or("no message").to_owned();
            return Ok(Answer::Failed {
                class: FailureClass::Unreachable,
                detail: format!("agent {error}: {message}"),
            });
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Fault::bug(format!("{what}: the answer does not read: {error}")))
    }
}
