//! L8: a hold, or an abort of this execution, that was raised in time stops the one-way step.

use super::Violation;
use crate::trace::{Event, What};
use jiff::Timestamp;
use std::collections::BTreeMap;
use understudy_core::journal::Entry;
use understudy_core::steps::Step;
use understudy_core::time::{Millis, elapsed};

const LAW: &str = "L8 people hold the one-way doors";

/// A hold is read just before the step; whoever read it a moment before it came may go on for as long as a function
/// lives at most.
const IN_TIME: Millis = Millis::from_secs(60);
/// And what such a one asked for last may reach the service so much later.
const UNDER_WAY: Millis = Millis::from_secs(64);

pub fn held(trace: &[Event]) -> Vec<Violation> {
    let mut held: Option<Timestamp> = None;
    let mut aborted: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let mut running = "";
    let mut taken = false;
    let mut broken = Vec::new();
    // Behind the door there is no way back: only who goes through it first is held.
    let since = |held: Option<Timestamp>, aborted: &BTreeMap<&str, Timestamp>, execution: &str| {
        [held, aborted.get(execution).copied()].into_iter().flatten().min()
    };
    for event in trace {
        match &event.what {
            What::Flag { name, raised, .. } => match name.strip_prefix("abort/") {
                Some(execution) => drop(aborted.entry(execution).or_insert(event.at)),
                None if name == "hold" => held = raised.then(|| held.unwrap_or(event.at)),
                None => {}
            },
            What::Journaled(record) if matches!(record.entry, Entry::Intent { step: Step::Promote, .. }) => {
                // By when its writer made the record: a table may take it long after that.
                let since = since(held, &aborted, &record.execution);
                if let Some(since) = since.filter(|since| !taken && elapsed(*since, record.at) > IN_TIME) {
                    let what = format!("{}: a promotion, on hold since {since}", record.at);
                    broken.push(Violation::new(LAW, what));
                }
            }
            What::PromoteTaken { instance } => {
                let longest = IN_TIME.saturating_add(UNDER_WAY);
                let since = since(held, &aborted, running);
                if let Some(since) = since.filter(|since| !taken && elapsed(*since, event.at) > longest) {
                    let what = format!("{}: `{instance}` was promoted, on hold since {since}", event.at);
                    broken.push(Violation::new(LAW, what));
                }
                taken = true;
            }
            What::Started { execution } => (running, taken) = (execution, false),
            _ => {}
        }
    }
    broken
}
