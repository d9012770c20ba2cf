//! L1: from the accepted outage on, no step reaches for the Region that failed.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeSet;
use understudy_core::journal::Entry;
use understudy_core::run::Kind;

const LAW: &str = "L1 clear of the dead";

pub fn clear(trace: &[Event]) -> Vec<Violation> {
    // By execution: a late delivery of a planned move may still ask the primary while a failover goes on without it.
    let mut failovers = BTreeSet::new();
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Journaled(record) => {
                if matches!(record.entry, Entry::Accepted { kind: Kind::Failover, .. }) {
                    failovers.insert(record.execution.as_str());
                }
            }
            What::ReachedForPrimary { step, execution } if failovers.contains(execution.as_str()) => {
                let what = format!("{}: `{step:?}` reached for the Region that failed", event.at);
                broken.push(Violation::new(LAW, what));
            }
            _ => {}
        }
    }
    broken
}
