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
    /// A person says that what stopped was brought to its end by hand.
    Close { by: String, why: String },
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
            Self::Close { by, why } => format!("called settled by {by}: {why}"),
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

/// Reads an event as the service delivered it. What a service delivers and is no alarm is ignored, with its reason, whatever
/// stands beside it; what a person asks for wrongly, and an event of no known shape, is `Invalid` and names the field.
pub fn read(event: &Value, plan: &str) -> Result<Read, Fault> {
    let mut all = Read::default();
    if call::is_time(event)? {
        all.hints.push(Hint::Tick);
    } else if event.get("start").is_some() {
        all.hints.push(Hint::Asked(request(event)?));
    } else if event.get("continue").is_some() {
        let (by, why) = person(event, "continue")?;
        all.hints.push(Hint::Continue { by, why });
    } else if event.get("close").is_some() {
        let (by, why) = person(event, "close")?;
        all.hints.push(Hint::Close { by, why });
    } else if let Some(records) = event.get("Records") {
        read_records(records, plan, &mut all);
    } else if event.get("alarmData").is_some() {
        all.take(read_alarm(event, &DIRECT, ""), plan, DIRECT.delivered_by);
    } else if event.get("detail").is_some() {
        all.take(read_alarm(event, &EVENT_BRIDGE, ""), plan, EVENT_BRIDGE.delivered_by);
    } else {
        let known = "a tick (`tick`), a request (`start`, `continue`, `close`), an alarm (`alarmData`), a state change (`detail`), a \
                     notification (`Records`)";
        return Err(Fault::invalid(format!("event: none of {known}")));
    }
    Ok(all)
}

/// Who says what stands under `name`, and why.
fn person(event: &Value, name: &str) -> Result<(String, String), Fault> {
    call::only(event, &[name])?;
    call::only(event.get(name).unwrap_or(&Value::Null), &["by", "why"])?;
    Ok((said(event, &format!("{name}.by"))?, said(event, &format!("{name}.why"))?))
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

/// Each record by itself: one that is prose takes no alarm beside it down.
fn read_records(records: &Value, plan: &str, all: &mut Read) {
    let Some(records) = records.as_array().filter(|records| !records.is_empty()) else {
        all.ignored.push("Records: must be a non-empty list".to_owned());
        return;
    };
    for (index, record) in records.iter().enumerate() {
        let at = format!("Records[{index}].");
        match message(record, &at) {
            Ok(message) => {
                let at = format!("{at}Sns.Message.");
                all.take(read_alarm(&message, &NOTIFICATION, &at), plan, NOTIFICATION.delivered_by);
            }
            Err(why) => all.ignored.push(why),
        }
    }
}

/// What a notification tells, where it is an alarm's own text.
fn message(record: &Value, at: &str) -> Result<Value, String> {
    let message: Value = serde_json::from_str(text(record, &["Sns", "Message"], at)?)
        .map_err(|error| format!("{at}Sns.Message: not JSON: {error}"))?;
    match message.get("detail-type") {
        Some(kind) => Err(format!(
            "{at}Sns.Message.detail-type: an event inside a notification: {}",
            short(&kind.to_string())
        )),
        None => Ok(message),
    }
}

/// One alarm as it was delivered.
struct Alarm<'a> {
    name: &'a str,
    state: &'a str,
}

/// Reads one alarm; `at` is what its fields' names begin with. What is none says why.
fn read_alarm<'a>(alarm: &'a Value, shape: &Shape, at: &str) -> Result<Alarm<'a>, String> {
    let (name, state) = (text(alarm, shape.name, at)?, text(alarm, shape.state, at)?);
    for (field, word) in shape.marks {
        let found = text(alarm, &[field], at)?;
        if found != *word {
            return Err(format!("{at}{field}: `{}`, not `{word}`", short(found)));
        }
    }
    if name.is_empty() {
        return Err(format!("{at}{}: must be 1 to {LONGEST_NAME} characters long", shape.name.join(".")));
    }
    if !STATES.contains(&state) {
        let (field, known) = (shape.state.join("."), STATES.join(", "));
        return Err(format!("{at}{field}: must be one of {known}"));
    }
    Ok(Alarm { name, state })
}

fn text<'a>(value: &'a Value, path: &[&str], at: &str) -> Result<&'a str, String> {
    let field = path.iter().try_fold(value, |value, key| value.get(key));
    field.and_then(Value::as_str).ok_or_else(|| format!("{at}{}: must be text", path.join(".")))
}

/// The beginning of a text that somebody else wrote: what is told of it has a bound.
fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut begins: String = text.chars().take(LONGEST).collect();
    if begins.len() < text.len() {
        begins.push('…');
    }
    begins
}

/// The alarms that belong to a plan, by the template's naming.
pub fn alarm_prefix(plan: &str) -> String {
    format!("understudy-{plan}-")
}

/// The alarms that the template makes, behind the prefix.
const OURS: [&str; 2] = ["primary-unhealthy", "switch"];

/// Whether an alarm is one of `plan`, and not of another whose name begins with this one's: `understudy-a-b-switch` is the
/// switch of `a-b`. Of an alarm of your own that is not told; it makes both look.
fn is_of(name: &str, plan: &str) -> bool {
    let Some(rest) = name.strip_prefix(&alarm_prefix(plan)) else { return false };
    OURS.iter().all(|ours| !rest.strip_suffix(ours).is_some_and(|longer| longer.ends_with('-')))
}

impl Read {
    fn take(&mut self, alarm: Result<Alarm<'_>, String>, plan: &str, delivered_by: Delivery) {
        let Alarm { name, state } = match alarm {
            Ok(alarm) => alarm,
            Err(why) => return self.ignored.push(why),
        };
        let told = short(name);
        if !is_of(name, plan) {
            self.ignored.push(format!("alarm `{told}` is not one of this plan"));
        } else if name.len() > LONGEST_NAME {
            self.ignored.push(format!("alarm `{told}`: its name is longer than {LONGEST_NAME} bytes"));
        } else if state != "ALARM" {
            self.ignored.push(format!("alarm `{told}` went to {state}"));
        } else {
            let hint = Hint::Alarm { name: name.to_owned(), delivered_by };
            if self.hints.contains(&hint) {
                self.ignored.push(format!("alarm `{told}` is repeated"));
            } else {
                self.hints.push(hint);
            }
        }
    }
}
