//! The application's login, read where it is needed and passed on; never kept, never logged.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;
use understudy_core::fault::Fault;
use understudy_core::live::HeldSecret;
use understudy_core::plan::Region;
use understudy_core::ports::Secrets;
use understudy_core::sql::Secret;

#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
}

impl SecretsManager {
    pub async fn new(region: &Region) -> Self {
        Self::from_config(&crate::scaffold::sdk_config(region).await)
    }

    pub fn from_config(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Whether a secret is there. What it holds is not asked for.
    pub async fn look(&self, secret_id: &str) -> Result<Option<HeldSecret>, Fault> {
        match self.client.describe_secret().secret_id(secret_id).send().await {
            Ok(found) => Ok(Some(HeldSecret { leaves_on: found.deleted_date.map(|at| at.to_string()) })),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeSecretError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault(&format!("describe secret `{secret_id}`"), &error)),
        }
    }
}

impl Secrets for SecretsManager {
    async fn login(&self, secret_id: &str) -> Result<Secret, Fault> {
        let what = format!("secret `{secret_id}`");
        let answer = self
            .client
            .get_secret_value()
            .secret_id(secret_id)
            .send()
            .await
            .map_err(|error| fault(&what, &error))?;
        let text = answer.secret_string.ok_or_else(|| Fault::invalid(format!("{what}: it holds no text")))?;
        // The parser's message could quote the secret: it is not passed on.
        serde_json::from_str(&text).map_err(|_| {
            Fault::invalid(format!("{what}: must be a JSON object with `username` and `password`"))
        })
    }
}
