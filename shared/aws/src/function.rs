//! Another function: called and waited for, or looked at.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationError;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;
use std::collections::HashMap;
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

/// A function as it is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// `Active`, `Inactive`, `Pending`, `Failed`, or `unknown` where the service tells none.
    pub state: String,
    pub environment: HashMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Function {
    client: Client,
    name: String,
}

/// How many invocations at once the account has left in this Region, beside what single functions reserved.
pub async fn concurrency_left(config: &SdkConfig) -> Result<i32, Fault> {
    let settings = Client::new(config).get_account_settings().send().await;
    let settings = settings.map_err(|error| fault("read the account's settings", &error))?;
    let left = settings.account_limit.and_then(|limit| limit.unreserved_concurrent_executions);
    left.ok_or_else(|| Fault::transient("the account's settings name no concurrency"))
}

impl Function {
    pub fn new(config: &SdkConfig, name: String) -> Self {
        Self { client: Client::new(config), name }
    }

    /// `None` where there is no such function.
    pub async fn look(&self) -> Result<Option<Deployed>, Fault> {
        match self.client.get_function_configuration().function_name(&self.name).send().await {
            Ok(found) => Ok(Some(Deployed {
                state: found.state.map_or_else(|| "unknown".to_owned(), |state| state.as_str().to_owned()),
                environment: found.environment.and_then(|told| told.variables).unwrap_or_default(),
            })),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetFunctionConfigurationError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault(&format!("look at `{}`", self.name), &error)),
        }
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
