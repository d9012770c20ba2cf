//! What makes somebody look: an alarm however it is delivered, the tick, or a person. Read strictly, believed in
//! nothing.
//!
//! A hint carries no evidence. Its text is forgeable, so it never reaches a decision; only its source and name
//! are kept, for the journal.

use crate::call;
use crate::fault::Fault;
use crate::run::{Kind, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub enum Hint {
    /// The schedule, or a look between two of its ticks.
    Tick,
    /// An alarm of this plan went to ALARM.
    Alarm { name: String, delivered_by: Delivery },
    /// A person asks for an execution.
    Asked(Request),
    /// A person asks that what stopped goes on.
    Continue { by: String, why: String },
}

/// How CloudWatch delivered an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The function is the alarm's own action.
    Direct,
    /// A rule matched the state change.
    EventBridge,
    /// The alarm notified a topic.
    Sns,
}

impl Delivery {
    const fn words(self) -> &'static str {
        match self {
            Self::Direct => "directly",
            Self::EventBridge => "by EventBridge",
            Self::Sns => "by SNS",
        }
    }
}

impl Hint {
    pub fn text(&self) -> String {
        match self {
            Self::Tick => "tick".to_owned(),
            Self::Alarm { name, delivered_by } => {
                format!("alarm `{name}`, delivered {}", delivered_by.words())
            }
            Self::Asked(Request { kind, by, why }) => format!("{} asked for by {by}: {why}", kind.name()),
            Self::Continue { by, why } => format!("asked to go on by {by}: {why}"),
        }
    }
}

/// What an event holds: reasons to look, and reasons why some of it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub hints: Vec<Hint>,
    pub ignored: Vec<String>,
}

/// One way of delivery: where it keeps what is read of an alarm.
///
/// Metric, metric-math, composite and health-check alarms differ only in fields that nobody reads here.
struct Shape {
    delivered_by: Delivery,
    name: &'static [&'static str],
    state: &'static [&'static str],
    /// Words that must stand at the top of the event.
    marks: &'static [(&'static str, &'static str)],
}

const DIRECT: Shape = Shape {
    delivered_by: Delivery::Direct,
    name: &["alarmData", "alarmName"],
    state: &["alarmData", "state", "value"],
    marks: &[("source", "aws.cloudwatch")],
};
const EVENT_BRIDGE: Shape = Shape {
    delivered_by: Delivery::EventBridge,
    name: &["detail", "alarmName"],
    state: &["detail", "state", "value"],
    marks: &[("source", "aws.cloudwatch"), ("detail-type", "CloudWatch Alarm State Change")],
};
/// The text of one notification; the records around it are unpacked first.
const NOTIFICATION: Shape =
    Shape { delivered_by: Delivery::Sns, name: &["AlarmName"], state: &["NewStateValue"], marks: &[] };

/// CloudWatch takes no longer name. The journal's records have a bound, and a name is written into them.
const LONGEST_NAME: usize = 255;
const STATES: [&str; 3] = ["ALARM", "OK", "INSUFFICIENT_DATA"];

/// Reads an event as the service delivered it. An event of no known shape is `Invalid` and names the field.
pub fn read(event: &Value, plan: &str) -> Result<Read, Fault> {
    let mut all = Read::default();
    if call::is_time(event)? {
        all.hints.push(Hint::Tick);
    } else if event.get("start").is_some() {
        all.hints.push(Hint::Asked(request(event)?));
    } else if event.get("continue").is_some() {
        call::only(event, &["continue"])?;
        call::only(event.get("continue").unwrap_or(&Value::Null), &["by", "why"])?;
        all.hints.push(Hint::Continue { by: said(event, "continue.by")?, why: said(event, "continue.why")? });
    } else if let Some(records) = event.get("Records") {
        read_records(records, plan, &mut all)?;
    } else if event.get("alarmData").is_some() {
        read_alarm(event, &DIRECT, "", plan, &mut all)?;
    } else if event.get("detail").is_some() {
        read_alarm(event, &EVENT_BRIDGE, "", plan, &mut all)?;
    } else {
        let known = "a tick (`tick`), a request (`start`, `continue`), an alarm (`alarmData`), a state change (`detail`), a \
                     notification (`Records`)";
        return Err(Fault::invalid(format!("event: none of {known}")));
    }
    Ok(all)
}

/// What a person asks for. Who it is says the caller; that somebody may ask at all says IAM.
fn request(event: &Value) -> Result<Request, Fault> {
    call::only(event, &["start"])?;
    call::only(event.get("start").unwrap_or(&Value::Null), &["kind", "by", "why"])?;
    let known = "`failover`, `switchover` or `failback`";
    let kind = call::field(event, "start.kind", known)?;
    if kind == Kind::Drill {
        return Err(Fault::invalid(format!(
            "start.kind: must be {known}; a drill is `drill-runner`'s to start"
        )));
    }
    Ok(Request { kind, by: said(event, "start.by")?, why: said(event, "start.why")? })
}

/// What a person says of a request, at `field`. It is written into the journal.
pub(crate) fn said(event: &Value, field: &str) -> Result<String, Fault> {
    let text: String = call::field(event, field, "text")?;
    if text.trim().is_empty() || text.len() > LONGEST_NAME {
        return Err(Fault::invalid(format!("{field}: must be 1 to {LONGEST_NAME} bytes long")));
    }
    Ok(text)
}

fn read_records(records: &Value, plan: &str, all: &mut Read) -> Result<(), Fault> {
    let records = records.as_array().filter(|records| !records.is_empty());
    let records = records.ok_or_else(|| Fault::invalid("Records: must be a non-empty list"))?;
    for (index, record) in records.iter().enumerate() {
        let at = format!("Records[{index}].");
        let message = text(record, &["Sns", "Message"], &at)?;
        let alarm: Value = serde_json::from_str(message)
            .map_err(|error| Fault::invalid(format!("{at}Sns.Message: not JSON: {error}")))?;
        read_alarm(&alarm, &NOTIFICATION, &format!("{at}Sns.Message."), plan, all)?;
    }
    Ok(())
}

/// Reads one alarm and judges it; `at` is what its fields' names begin with.
fn read_alarm(alarm: &Value, shape: &Shape, at: &str, plan: &str, all: &mut Read) -> Result<(), Fault> {
    let (name, state) = (text(alarm, shape.name, at)?, text(alarm, shape.state, at)?);
    for (field, word) in shape.marks {
        if text(alarm, &[field], at)? != *word {
            return Err(Fault::invalid(format!("{at}{field}: must be `{word}`")));
        }
    }
    if name.is_empty() || name.len() > LONGEST_NAME {
        let field = shape.name.join(".");
        return Err(Fault::invalid(format!("{at}{field}: must be 1 to {LONGEST_NAME} bytes long")));
    }
    if !STATES.contains(&state) {
        let (field, known) = (shape.state.join("."), STATES.join(", "));
        return Err(Fault::invalid(format!("{at}{field}: must be one of {known}")));
    }
    judge(name, state, plan, shape.delivered_by, all);
    Ok(())
}

fn text<'a>(value: &'a Value, path: &[&str], at: &str) -> Result<&'a str, Fault> {
    let field = path.iter().try_fold(value, |value, key| value.get(key));
    field
        .and_then(Value::as_str)
        .ok_or_else(|| Fault::invalid(format!("{at}{}: must be text", path.join("."))))
}

/// The alarms that belong to a plan, by the template's naming.
pub fn alarm_prefix(plan: &str) -> String {
    format!("understudy-{plan}-")
}

fn judge(name: &str, state: &str, plan: &str, delivered_by: Delivery, all: &mut Read) {
    let hint = Hint::Alarm { name: name.to_owned(), delivered_by };
    if !name.starts_with(&alarm_prefix(plan)) {
        all.ignored.push(format!("alarm `{name}` is not one of this plan"));
    } else if state != "ALARM" {
        all.ignored.push(format!("alarm `{name}` went to {state}"));
    } else if all.hints.contains(&hint) {
        all.ignored.push(format!("alarm `{name}` is repeated"));
    } else {
        all.hints.push(hint);
    }
}
