//! What a function is called for: its schedule, a task of the workflow, or the end of an execution.
//!
//! Read strictly: an event of no known shape is `Invalid` and names the field.

use crate::fault::Fault;
use crate::steps::Task;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Tick,
    Task(Task),
    /// EventBridge: an execution ended without being able to say so itself.
    Ended {
        execution: String,
        status: String,
    },
}

pub fn read(event: &Value) -> Result<Call, Fault> {
    if let Some(tick) = event.get("tick") {
        return match tick {
            Value::Bool(true) => Ok(Call::Tick),
            _ => Err(Fault::invalid("tick: must be `true`")),
        };
    }
    if event.get("detail").is_some() {
        return ended(event);
    }
    if event.get("step").is_none() {
        return Err(Fault::invalid(
            "event: neither a tick (`tick`), a task (`step`) nor a status change (`detail`)",
        ));
    }
    serde_json::from_value(event.clone())
        .map(Call::Task)
        .map_err(|error| Fault::invalid(format!("task: {error}")))
}

fn ended(event: &Value) -> Result<Call, Fault> {
    let text = |path: &str, name: &str| {
        let value = event.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        value.map(str::to_owned).ok_or_else(|| Fault::invalid(format!("{name}: must be text")))
    };
    Ok(Call::Ended {
        execution: text("/detail/name", "detail.name")?,
        status: text("/detail/status", "detail.status")?,
    })
}
