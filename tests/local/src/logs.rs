//! What a run left in its logs: what the functions said, what they called, and every error that the break itself
//! does not explain.

use crate::config::{Cloud, Place};
use jiff::Timestamp;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Errors logged by any function of any Region.
///
/// Explained are only transient faults after the break: something did not answer, was asked again, and the
/// execution went on. Everything else is told.
pub fn unexplained_errors(cloud: &Cloud, broken_at: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    for place in [Place::Primary, Place::Standby, Place::Witness] {
        let Some(region) = cloud.region_of(place) else { continue };
        let folder = cloud.state_dir.join("logs").join(region);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let name = entry.file_name().to_string_lossy().into_owned();
            told.extend(
                text.lines()
                    .filter(|line| is_unexplained(line, broken_at))
                    .map(|line| format!("{region} {name}: {line}")),
            );
        }
    }
    told
}

/// Every whole line of a file of JSON lines; none when there is no such file.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How each call of an operation was answered; `None` when the caller got no answer.
pub fn calls(cloud: &Cloud, operation: &str, since: Timestamp) -> Vec<Option<u64>> {
    let lines = json_lines(&cloud.state_dir.join("calls.jsonl"));
    let called = |line: &Value| {
        line.get("operation").and_then(Value::as_str) == Some(operation)
            && instant(line, "time").is_some_and(|at| at >= since)
    };
    lines.iter().filter(|line| called(line)).map(|line| line.get("status").and_then(Value::as_u64)).collect()
}

/// What a function answered, to whomever.
pub fn answers(cloud: &Cloud, place: Place, function: &str, since: Timestamp) -> Vec<Value> {
    let Some(region) = cloud.region_of(place) else { return Vec::new() };
    let lines = json_lines(&cloud.state_dir.join("logs").join(region).join(format!("{function}.log")));
    let answer = |line: &Value| {
        let text = line.pointer("/fields/answer").and_then(Value::as_str)?;
        instant(line, "timestamp").filter(|at| *at >= since).and(serde_json::from_str(text).ok())
    };
    lines.iter().filter_map(answer).collect()
}

/// How often a function used a permission.
pub fn permissions_used(cloud: &Cloud, function: &str, action: &str, since: Timestamp) -> usize {
    let lines = json_lines(&cloud.state_dir.join("iam.jsonl"));
    let session = format!("/{function}");
    let used = |line: &&Value| {
        line.get("action").and_then(Value::as_str) == Some(action)
            && line.get("principal").and_then(Value::as_str).is_some_and(|name| name.ends_with(&session))
            && line.get("at").and_then(Value::as_f64).is_some_and(|at| at >= seconds(since))
    };
    lines.iter().filter(used).count()
}

fn instant(line: &Value, field: &str) -> Option<Timestamp> {
    line.get(field)?.as_str()?.parse().ok()
}

/// As the emulator writes instants.
fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn is_unexplained(line: &str, broken_at: Timestamp) -> bool {
    let Ok(entry) = serde_json::from_str::<Value>(line) else {
        return line.contains("panicked") || line.contains("ERROR");
    };
    if entry.get("level").and_then(Value::as_str) != Some("ERROR") {
        return false;
    }
    let message = entry.pointer("/fields/message").and_then(Value::as_str).unwrap_or_default();
    let transient = message.starts_with("Transient: ");
    !(transient && instant(&entry, "timestamp").is_some_and(|at| at >= broken_at))
}
