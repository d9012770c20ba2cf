//! Starts executions of the workflow, by version ARN, so that a run keeps the code it began with.

use crate::fault::fault;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use serde_json::{Value, json};
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Executions, Started, Tokens};

#[derive(Clone, Debug)]
pub struct Workflow {
    client: Client,
    arn: String,
}

impl Workflow {
    pub async fn new(region: &Region, arn: String) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await), arn }
    }
}

/// Answers tasks that wait. Held by the approver alone.
#[derive(Clone, Debug)]
pub struct TaskTokens {
    client: Client,
}

impl TaskTokens {
    pub async fn new(region: &Region) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await) }
    }
}

impl Tokens for TaskTokens {
    async fn send(&self, token: &str, output: &Value) -> Result<(), Fault> {
        match self.client.send_task_success().task_token(token).output(output.to_string()).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|e| {
                    e.is_task_timed_out() || e.is_task_does_not_exist() || e.is_invalid_token()
                }) =>
            {
                Err(Fault::invalid("answer: the workflow does not wait for it any more; it came too late"))
            }
            Err(error) => Err(fault("answer the workflow", &error)),
        }
    }
}

impl Executions for Workflow {
    async fn start(&self, name: &str, incident: &str) -> Result<Started, Fault> {
        let input = json!({"incident": incident}).to_string();
        match self.client.start_execution().state_machine_arn(&self.arn).name(name).input(input).send().await
        {
            Ok(_) => Ok(Started::Now),
            Err(error)
                if error.as_service_error().is_some_and(StartExecutionError::is_execution_already_exists) =>
            {
                Ok(Started::Already)
            }
            Err(error) => Err(fault(&format!("start `{name}`"), &error)),
        }
    }
}
