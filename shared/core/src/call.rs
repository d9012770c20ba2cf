//! What a function is called for: its schedule, a task of the workflow, the end of an execution, a statement.
//!
//! Read strictly: an event of no known shape is `Invalid` and names the field. Nothing is done before all of it
//! is understood.

use crate::fault::Fault;
use crate::sql::{Secret, Statement};
use crate::steps::Task;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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

/// The ends that no step of the workflow can report. Any other status must not close an execution.
const SILENT_ENDS: [&str; 3] = ["FAILED", "TIMED_OUT", "ABORTED"];
/// Step Functions' own bound for a name.
const LONGEST_NAME: usize = 80;

pub fn read(event: &Value) -> Result<Call, Fault> {
    if is_time(event)? {
        return Ok(Call::Tick);
    }
    if event.get("detail").is_some() {
        return ended(event);
    }
    if event.get("step").is_none() {
        return Err(Fault::invalid(
            "event: neither a tick (`tick`), a task (`step`) nor a status change (`detail`)",
        ));
    }
    task(event).map(Call::Task)
}

/// Whether it is time to look: by the schedule or by a look between two ticks.
pub(crate) fn is_time(event: &Value) -> Result<bool, Fault> {
    Ok(is_tick(event)? || look_due(event)?.is_some())
}

/// When a look between two ticks was due; `None`: the event is none.
pub(crate) fn look_due(event: &Value) -> Result<Option<Timestamp>, Fault> {
    if event.get("look").is_none() {
        return Ok(None);
    }
    only(event, &["look"])?;
    field(event, "look", "an instant").map(Some)
}

/// Whether the schedule called. A tick says nothing else, so whoever adds to it meant something else.
pub(crate) fn is_tick(event: &Value) -> Result<bool, Fault> {
    match (event.get("tick"), event.as_object().map_or(0, Map::len)) {
        (None, _) => Ok(false),
        (Some(Value::Bool(true)), 1) => Ok(true),
        (Some(Value::Bool(true)), _) => Err(Fault::invalid("tick: must stand alone")),
        _ => Err(Fault::invalid("tick: must be `true`")),
    }
}

fn task(event: &Value) -> Result<Task, Fault> {
    only(event, &["execution", "step", "end", "entered"])?;
    Ok(Task {
        step: field(event, "step", "a step of the workflow")?,
        execution: execution(event.get("execution"), "execution")?,
        end: field(event, "end", "the name of an end, or null")?,
        entered: field(event, "entered", "an instant, or null")?,
    })
}

fn ended(event: &Value) -> Result<Call, Fault> {
    let named = execution(event.pointer("/detail/name"), "detail.name")?;
    let status = event.pointer("/detail/status").and_then(Value::as_str).unwrap_or_default();
    let marks = [("source", "aws.states"), ("detail-type", "Step Functions Execution Status Change")];
    if !SILENT_ENDS.contains(&status) {
        return Err(Fault::invalid(format!("detail.status: must be one of {}", SILENT_ENDS.join(", "))));
    }
    for (name, word) in marks {
        if event.get(name).and_then(Value::as_str) != Some(word) {
            return Err(Fault::invalid(format!("{name}: must be `{word}`")));
        }
    }
    Ok(Call::Ended { execution: named, status: status.to_owned() })
}

/// An execution's name becomes part of keys, so it holds nothing that a key could mean something by.
pub(crate) fn execution(value: Option<&Value>, field: &str) -> Result<String, Fault> {
    let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let name = value.and_then(Value::as_str).filter(|name| (1..=LONGEST_NAME).contains(&name.len()));
    name.filter(plain).map(str::to_owned).ok_or_else(|| {
        Fault::invalid(format!("{field}: must be 1 to {LONGEST_NAME} letters, digits, `-` or `_`"))
    })
}

/// Reads the statement that `sql-agent` is asked for. It may hold a login, so no value of it is ever repeated.
pub fn statement(event: &Value) -> Result<Statement, Fault> {
    let name = event.get("statement").and_then(Value::as_str).unwrap_or_default();
    let Some((_, arguments)) = STATEMENTS.iter().find(|(known, _)| *known == name) else {
        let known = STATEMENTS.map(|(name, _)| name).join(", ");
        return Err(Fault::invalid(format!("statement: must be one of {known}")));
    };
    let fields: Vec<&str> =
        arguments.iter().map(|argument| argument.name).chain(std::iter::once("statement")).collect();
    only(event, &fields)?;
    // Null must be said: a `valid_ms` that got lost must not become a lease without end.
    for argument in *arguments {
        if !event.get(argument.name).is_some_and(argument.fits) {
            return Err(Fault::invalid(format!("{}: must be {}", argument.name, argument.expected)));
        }
    }
    serde_json::from_value(event.clone())
        .map_err(|_| Fault::bug("statement: each of its fields reads, the whole does not"))
}

/// One argument of a statement, and what it must be.
struct Argument {
    name: &'static str,
    expected: &'static str,
    fits: fn(&Value) -> bool,
}

const STORE: Argument = Argument { name: "store", expected: "text", fits: Value::is_string };
const EPOCH: Argument = Argument { name: "epoch", expected: "a whole number", fits: Value::is_u64 };
const HOLDER: Argument = Argument { name: "holder", expected: "text", fits: Value::is_string };
const SINCE: Argument =
    Argument { name: "since", expected: "an instant or null", fits: reads::<Option<Timestamp>> };
const VALID_MS: Argument =
    Argument { name: "valid_ms", expected: "a whole number or null", fits: |v| v.is_null() || v.is_u64() };
const LOGIN: Argument =
    Argument { name: "login", expected: "`username` and `password`, both text", fits: reads::<Secret> };
const TOKEN: Argument = Argument { name: "token", expected: "text", fits: Value::is_string };

const STATEMENTS: [(&str, &[Argument]); 6] = [
    ("heartbeat", &[STORE]),
    ("set_lease", &[STORE, EPOCH, HOLDER, SINCE, VALID_MS]),
    ("fence", &[STORE, EPOCH, HOLDER]),
    ("replica_status", &[STORE]),
    ("application_read", &[STORE, LOGIN]),
    ("application_write", &[STORE, LOGIN, TOKEN]),
];

fn reads<T: DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

/// A field that nobody reads is a mistake of whoever wrote it.
pub(crate) fn only(event: &Value, known: &[&str]) -> Result<(), Fault> {
    let unknown =
        event.as_object().and_then(|fields| fields.keys().find(|name| !known.contains(&name.as_str())));
    match unknown {
        Some(name) => Err(Fault::invalid(format!("event: has no use for a field `{name}`"))),
        None => Ok(()),
    }
}

/// The field at `name`, a path such as `answer.by`.
pub(crate) fn field<T: DeserializeOwned>(event: &Value, name: &str, expected: &str) -> Result<T, Fault> {
    let value = name.split('.').try_fold(event, |at, part| at.get(part)).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|_| Fault::invalid(format!("{name}: must be {expected}")))
}
