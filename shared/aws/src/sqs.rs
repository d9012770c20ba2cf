//! Looks ahead, to the queue that comes back to the function that sends them.

use crate::fault::fault;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::Timestamp;
use serde_json::json;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::Looks;
use understudy_core::time::Millis;

/// SQS takes no more in one call.
const BATCH: usize = 10;

#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// The queue that the template names in `LOOKS_QUEUE`; `None` where it is empty or not set.
    pub async fn of_looks(region: &Region) -> Option<Self> {
        let url = std::env::var("LOOKS_QUEUE").ok().filter(|url| !url.is_empty())?;
        Some(Self { client: Client::new(&crate::scaffold::sdk_config(region).await), url })
    }
}

/// Delayed by whole seconds, rounded up: a look that came early would be one too many.
fn entry(number: usize, (due, wait): &(Timestamp, Millis)) -> Result<SendMessageBatchRequestEntry, Fault> {
    SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(json!({ "look": due }).to_string())
        .delay_seconds(i32::try_from(wait.secs_ceil()).map_err(Fault::bug)?)
        .build()
        .map_err(Fault::bug)
}

impl Looks for Queue {
    async fn send(&self, looks: &[(Timestamp, Millis)]) -> Result<(), Fault> {
        for batch in looks.chunks(BATCH) {
            let entries = batch.iter().enumerate().map(|(number, look)| entry(number, look));
            let sent = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect::<Result<_, _>>()?))
                .send()
                .await
                .map_err(|error| fault("send looks ahead", &error))?;
            if let Some(refused) = sent.failed().first() {
                let why = refused.message().unwrap_or(refused.code());
                return Err(Fault::transient(format!("send looks ahead: {why}")));
            }
        }
        Ok(())
    }
}
