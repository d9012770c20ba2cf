//! Another function, called and waited for.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;
use understudy_core::fault::Fault;

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    Answered(Value),
    /// The function itself failed: its error type and words.
    Failed {
        kind: String,
        message: String,
    },
}

#[derive(Clone, Debug)]
pub struct Function {
    client: Client,
    name: String,
}

impl Function {
    pub fn new(config: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(config), name }
    }

    /// Calls with `payload`. `what` names the call in errors; the payload may hold a secret and never does.
    pub async fn call(&self, what: &str, payload: Vec<u8>) -> Result<Called, Fault> {
        let call = self.client.invoke().function_name(&self.name).payload(Blob::new(payload));
        let reply = call.send().await.map_err(|error| fault(what, &error))?;
        let bytes = reply.payload.map(Blob::into_inner).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::bug(format!("{what}: the answer does not read: {error}")))?;
        if reply.function_error.is_none() {
            return Ok(Called::Answered(answer));
        }
        let told = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        Ok(Called::Failed { kind: told("errorType"), message: told("errorMessage") })
    }
}
