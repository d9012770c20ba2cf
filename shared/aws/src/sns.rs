//! Pages, to the one topic that people and their tools subscribe to.

use crate::fault::fault;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Page, Pager, Severity};

/// SNS refuses longer subjects.
const SUBJECT_LIMIT: usize = 99;

#[derive(Clone, Debug)]
pub struct Pages {
    client: Client,
    topic: String,
}

impl Pages {
    pub async fn new(region: &Region, topic: String) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await), topic }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// Subjects are ASCII without line breaks; what does not fit is in the message.
fn subject(page: &Page) -> String {
    let all = format!("{}: {}", page.plan, page.text);
    all.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).take(SUBJECT_LIMIT).collect()
}

impl Pager for Pages {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        let message = serde_json::to_string(page).map_err(Fault::bug)?;
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(severity(page.severity))
            .build()
            .map_err(Fault::bug)?;
        self.client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject(page))
            .message(message)
            .message_attributes("severity", attribute)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| fault("page", &error))
    }
}
