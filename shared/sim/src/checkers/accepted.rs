//! L2 and L8: a risk counts as accepted only while nobody sees the primary. What an observer's host dated rightly, nobody's wrong
//! clock may take for old.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeMap;
use understudy_core::journal::Entry;
use understudy_core::plan::Plan;
use understudy_core::run::Receipt;
use understudy_core::time::{Millis, elapsed};

const LAW: &str = "L2 one writer";

/// A look that came within this of the acceptance may have come behind what was read for it.
const LATE: Millis = Millis::from_secs(30);
/// What is dated further off than this from when it was written was dated by a wrong clock, or came late.
const RIGHT: Millis = Millis::from_secs(15);

pub fn accepted(trace: &[Event], plan: &Plan) -> Vec<Violation> {
    let mut last = BTreeMap::new();
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Looked { observer, at, up } => {
                let dated_right = elapsed(*at, event.at).max(elapsed(event.at, *at)) <= RIGHT;
                last.insert(observer.as_str(), (event.at, *up && dated_right));
            }
            What::Journaled(record) => {
                if !matches!(record.entry, Entry::Fenced { receipt: Receipt::Accepted { .. } }) {
                    continue;
                }
                let counts = |at| {
                    let age = elapsed(at, event.at);
                    age > LATE && age.saturating_add(LATE) < plan.detection.vote_max_age
                };
                let seen = last.iter().find(|(_, (at, up))| *up && counts(*at));
                if let Some((observer, (at, _))) = seen {
                    let what = format!(
                        "{}: the risk was accepted at {}, and `{observer}` had seen the primary up at {at}",
                        record.execution, event.at
                    );
                    broken.push(Violation::new(LAW, what));
                }
            }
            _ => {}
        }
    }
    broken
}
