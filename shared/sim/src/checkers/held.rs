//! L8: a hold that was raised in time stops the one-way step.

use super::Violation;
use crate::trace::{Event, What};
use jiff::Timestamp;
use understudy_core::journal::Entry;
use understudy_core::steps::Step;
use understudy_core::time::{Millis, elapsed};

const LAW: &str = "L8 people hold the one-way doors";

/// A hold is read just before the step; whoever read it a moment before it came may go on for as long as a function
/// lives at most.
const IN_TIME: Millis = Millis::from_secs(60);

pub fn held(trace: &[Event]) -> Vec<Violation> {
    let mut raised: Option<Timestamp> = None;
    let mut taken = false;
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Flag { name, raised: up, .. } if name == "hold" => {
                raised = up.then(|| raised.unwrap_or(event.at));
            }
            What::Journaled(record) if matches!(record.entry, Entry::Intent { step: Step::Promote, .. }) => {
                // Behind the door there is no way back: only who goes through it first is held.
                if let Some(since) = raised.filter(|since| !taken && elapsed(*since, event.at) > IN_TIME) {
                    let what = format!("{}: a promotion, on hold since {since}", event.at);
                    broken.push(Violation::new(LAW, what));
                }
            }
            What::PromoteTaken { .. } => taken = true,
            What::Started { .. } => taken = false,
            _ => {}
        }
    }
    broken
}
