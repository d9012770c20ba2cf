//! L1: from the accepted outage on, no step reaches for the Region that failed.

use super::Violation;
use crate::trace::{Event, What};
use understudy_core::journal::Entry;
use understudy_core::run::Kind;

const LAW: &str = "L1 clear of the dead";

pub fn clear(trace: &[Event]) -> Vec<Violation> {
    let mut lost = false;
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Journaled(record) => match &record.entry {
                Entry::Accepted { kind, .. } => lost = *kind == Kind::Failover,
                Entry::Closed { .. } => lost = false,
                _ => {}
            },
            What::ReachedForPrimary { step } if lost => {
                let what = format!("{}: `{step:?}` reached for the Region that failed", event.at);
                broken.push(Violation::new(LAW, what));
            }
            _ => {}
        }
    }
    broken
}
