//! What makes somebody look: an alarm however it is delivered, or the tick. Read strictly, believed in nothing.
//!
//! A hint carries no evidence. Its text is forgeable, so it never reaches a decision; only its source and name
//! are kept, for the journal.

use crate::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub enum Hint {
    /// The schedule, every minute.
    Tick,
    /// An alarm of this plan went to ALARM.
    Alarm { name: String, delivered_by: Delivery },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    Sns,
}

impl Hint {
    pub fn text(&self) -> String {
        match self {
            Self::Tick => "tick".to_owned(),
            Self::Alarm { name, delivered_by } => format!("alarm `{name}` by {delivered_by:?}"),
        }
    }
}

/// What an event holds: reasons to look, and reasons why some of it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub hints: Vec<Hint>,
    pub ignored: Vec<String>,
}

/// Reads an event as the service delivered it. An event of no known shape is `Invalid` and names the field.
pub fn read(event: &Value, plan: &str) -> Result<Read, Fault> {
    if event.get("tick").is_some() {
        return match event.get("tick") {
            Some(Value::Bool(true)) => Ok(Read { hints: vec![Hint::Tick], ignored: Vec::new() }),
            _ => Err(Fault::invalid("tick: must be `true`")),
        };
    }
    match event.get("Records") {
        Some(Value::Array(records)) if !records.is_empty() => read_records(records, plan),
        Some(_) => Err(Fault::invalid("Records: must be a non-empty list")),
        None => Err(Fault::invalid("event: neither a tick (`tick`) nor an SNS notification (`Records`)")),
    }
}

fn read_records(records: &[Value], plan: &str) -> Result<Read, Fault> {
    let mut all = Read::default();
    for (index, record) in records.iter().enumerate() {
        let at = format!("Records[{index}].Sns.Message");
        let message = record
            .pointer("/Sns/Message")
            .and_then(Value::as_str)
            .ok_or_else(|| Fault::invalid(format!("{at}: must be text")))?;
        let alarm: Value =
            serde_json::from_str(message).map_err(|e| Fault::invalid(format!("{at}: not JSON: {e}")))?;
        let field = |name: &str| {
            alarm
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| Fault::invalid(format!("{at}.{name}: must be text")))
        };
        let (name, state) = (field("AlarmName")?, field("NewStateValue")?);
        judge(name, state, plan, Delivery::Sns, &mut all);
    }
    Ok(all)
}

/// The alarms that belong to a plan, by the template's naming.
pub fn alarm_prefix(plan: &str) -> String {
    format!("understudy-{plan}-")
}

fn judge(name: &str, state: &str, plan: &str, delivered_by: Delivery, all: &mut Read) {
    if !name.starts_with(&alarm_prefix(plan)) {
        all.ignored.push(format!("alarm `{name}` is not one of this plan"));
    } else if state != "ALARM" {
        all.ignored.push(format!("alarm `{name}` went to {state}"));
    } else {
        all.hints.push(Hint::Alarm { name: name.to_owned(), delivered_by });
    }
}
