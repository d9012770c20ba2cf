//! L5: one execution per attempt, one at a time; each instance is promoted once; intent stands before effect.

use super::Violation;
use crate::trace::{Event, What};
use crate::world::Break;
use std::collections::BTreeSet;
use understudy_core::journal::Entry;
use understudy_core::steps::Step;

const LAW: &str = "L5 once";

pub fn once(trace: &[Event]) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut say = |what: String| broken.push(Violation::new(LAW, what));
    let mut running: Option<&str> = None;
    let mut started = BTreeSet::new();
    let mut attempts = BTreeSet::new();
    let mut promoted = BTreeSet::new();
    let mut intended = BTreeSet::new();
    for event in trace {
        match &event.what {
            What::Started { execution } => {
                if !started.insert(execution) {
                    say(format!("{}: `{execution}` started twice", event.at));
                }
                if let Some(other) = running {
                    say(format!("{}: `{execution}` started while `{other}` runs", event.at));
                }
                running = Some(execution);
            }
            What::Ended { execution, .. } if running == Some(execution.as_str()) => running = None,
            What::PromoteTaken { instance } => {
                if !promoted.insert(instance) {
                    say(format!("{}: `{instance}` promoted twice", event.at));
                }
                if !intended.contains(&Step::Promote) {
                    say(format!("{}: `{instance}` promoted, and no record intends it", event.at));
                }
            }
            What::Broke(Break::Rebuild) => promoted.clear(),
            What::Acknowledged { client, .. }
                if tries(client).is_some_and(|steps| !steps.iter().any(|step| intended.contains(step))) =>
            {
                say(format!("{}: `{client}` wrote, and no record intends it", event.at));
            }
            What::Published { level } if *level >= 1.0 && !intended.contains(&Step::MoveTraffic) => {
                say(format!("{}: the switch says 1, and no record intends it", event.at));
            }
            What::Journaled(record) => match &record.entry {
                Entry::Accepted { incident, attempt, .. } if !attempts.insert((incident, attempt)) => {
                    say(format!("{}: attempt {attempt} of `{incident}` accepted twice", event.at));
                }
                // Behind a closed journal nothing is done any more, even if the workflow still says goodbye.
                Entry::Intent { step, .. } => drop(intended.insert(*step)),
                Entry::Closed { .. } if running == Some(record.execution.as_str()) => running = None,
                _ => {}
            },
            _ => {}
        }
    }
    broken
}

/// The steps that write as that client, only to see whether it is taken; `None` for clients of the application.
fn tries(client: &str) -> Option<&'static [Step]> {
    match client {
        "verify" => Some(&[Step::VerifyWrite]),
        "probe" => Some(&[Step::Assess, Step::LookAgain, Step::Confirm]),
        _ => None,
    }
}
