//! L2: an epoch grows with each change of hands, at each keeper, and never falls; nobody holds one that another held.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeMap;

const LAW: &str = "L2 epochs only grow";

pub fn epochs(trace: &[Event]) -> Vec<Violation> {
    let mut at_keeper = BTreeMap::new();
    let mut holders = BTreeMap::new();
    let mut broken = Vec::new();
    for event in trace {
        let What::Lease { keeper, epoch, holder } = &event.what else { continue };
        let before = at_keeper.insert(*keeper, *epoch).unwrap_or(0);
        if *epoch <= before {
            let what = format!("{}: keeper {keeper:?} went from epoch {before} to {epoch}", event.at);
            broken.push(Violation::new(LAW, what));
        }
        let other = holders.entry(*epoch).or_insert_with(|| holder.clone());
        if other != holder {
            let what = format!("{}: epoch {epoch} is `{}`'s and `{}`'s", event.at, other.0, holder.0);
            broken.push(Violation::new(LAW, what));
        }
    }
    broken
}
