//! L6: an execution that was taken back leaves nothing behind: no freeze, and the lease where it was; one that succeeded
//! and left the freeze says so.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeMap;
use understudy_core::journal::Entry;
use understudy_core::plan::{Plan, Region};
use understudy_core::run::End;

const LAW: &str = "L6 nothing left behind";

pub fn left(trace: &[Event], plan: &Plan) -> Vec<Violation> {
    // Who froze: what another execution left for people is not this one's.
    let mut frozen = None;
    let mut leases: BTreeMap<_, (u64, &Region)> = BTreeMap::new();
    // Whether the primary held the newest lease when each execution was accepted, if anybody did.
    let mut held = BTreeMap::new();
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Flag { name, raised, by } if name == "freeze" => {
                frozen = raised.then_some(by.as_str());
            }
            What::Lease { keeper, epoch, holder } => drop(leases.insert(*keeper, (*epoch, holder))),
            What::Journaled(record) => {
                let newest = leases.values().max_by_key(|(epoch, _)| *epoch);
                let primary_holds = newest.map(|(_, holder)| **holder == plan.regions.primary);
                match &record.entry {
                    Entry::Accepted { continues, .. } => {
                        // Whoever goes on takes back what that one did.
                        let stopped = continues.as_deref().and_then(|stopped| held.get(stopped).copied());
                        held.insert(record.execution.as_str(), stopped.unwrap_or(primary_holds));
                    }
                    Entry::Closed { end: end @ (End::Recovered | End::Rehearsed), cause }
                        if frozen == Some(record.execution.as_str()) && !cause.contains("freeze") =>
                    {
                        let what = format!(
                            "{}: `{}` ended `{end}`, left the freeze and does not say so",
                            event.at, record.execution
                        );
                        broken.push(Violation::new(LAW, what));
                    }
                    Entry::Closed { end: end @ (End::RolledBack | End::Refused), .. } => {
                        let mut say = |what: &str| {
                            let what =
                                format!("{}: `{}` ended `{end}` and {what}", event.at, record.execution);
                            broken.push(Violation::new(LAW, what));
                        };
                        if frozen == Some(record.execution.as_str()) {
                            say("left the freeze");
                        }
                        let before = held.get(record.execution.as_str()).copied().flatten();
                        if before.is_some() && before != primary_holds {
                            say("kept the lease");
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    broken
}
