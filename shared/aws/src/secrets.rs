//! The application's login, read where it is needed and passed on; never kept, never logged.

use crate::fault::fault;
use aws_sdk_secretsmanager::Client;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::Secrets;
use understudy_core::sql::Secret;

#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
}

impl SecretsManager {
    pub async fn new(region: &Region) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await) }
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
