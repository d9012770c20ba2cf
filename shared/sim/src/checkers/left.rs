//! L6: an execution that was taken back leaves nothing behind: no freeze, and the lease where it was.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeMap;
use understudy_core::plan::Plan;

const LAW: &str = "L6 nothing left behind";

pub fn left(trace: &[Event], plan: &Plan) -> Vec<Violation> {
    let mut frozen = false;
    let mut leases = BTreeMap::new();
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Flag { name, raised, .. } if name == "freeze" => frozen = *raised,
            What::Lease { keeper, epoch, holder } => drop(leases.insert(*keeper, (*epoch, holder))),
            What::Ended { execution, state, .. } if ["RolledBack", "Refused"].contains(&state.as_str()) => {
                if frozen {
                    let what = format!("{}: `{execution}` ended `{state}` and left the freeze", event.at);
                    broken.push(Violation::new(LAW, what));
                }
                let newest = leases.values().max_by_key(|(epoch, _)| *epoch);
                if newest.is_some_and(|(_, holder)| **holder != plan.regions.primary) {
                    let what = format!("{}: `{execution}` ended `{state}` and kept the lease", event.at);
                    broken.push(Violation::new(LAW, what));
                }
            }
            _ => {}
        }
    }
    broken
}
