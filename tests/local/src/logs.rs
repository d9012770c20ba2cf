//! What the functions logged: every error that the break itself does not explain.

use crate::config::{Cloud, Place};
use jiff::Timestamp;
use serde_json::Value;
use std::fs;

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

fn is_unexplained(line: &str, broken_at: Timestamp) -> bool {
    let Ok(entry) = serde_json::from_str::<Value>(line) else {
        return line.contains("panicked") || line.contains("ERROR");
    };
    if entry.get("level").and_then(Value::as_str) != Some("ERROR") {
        return false;
    }
    let message = entry.pointer("/fields/message").and_then(Value::as_str).unwrap_or_default();
    let transient = message.starts_with("Transient: ");
    let at = entry.get("timestamp").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    !(transient && at.is_some_and(|at| at >= broken_at))
}
