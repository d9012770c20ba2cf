//! L3: one order. Each milestone of a journal stands behind all that must come before it.

use super::Violation;
use understudy_core::journal::{Entry, Stored};
use understudy_core::run::End;
use understudy_core::steps::Step;

const LAW: &str = "L3 one order";

type Milestone = (&'static str, fn(&Entry) -> bool);

/// In the order that the law gives; each needs every one above it.
const MILESTONES: &[Milestone] = &[
    ("confirm the outage", |entry| matches!(entry, Entry::Accepted { .. })),
    ("assess the standby", |entry| matches!(entry, Entry::Assessed { .. })),
    ("freeze", |entry| is_intent(entry, Step::Freeze)),
    ("close the lease", |entry| is_intent(entry, Step::CloseLease)),
    ("fence", |entry| matches!(entry, Entry::Fenced { .. })),
    ("capture", |entry| matches!(entry, Entry::Captured { .. })),
    ("promote", |entry| is_intent(entry, Step::Promote)),
    ("un-fence", |entry| is_intent(entry, Step::Unfence)),
    ("verify", |entry| matches!(entry, Entry::Verified { .. })),
    ("move traffic", |entry| is_intent(entry, Step::MoveTraffic)),
    ("confirm from outside", |entry| matches!(entry, Entry::Confirmed { .. })),
    ("close as recovered", |entry| {
        matches!(entry, Entry::Closed { end: End::Recovered | End::Rehearsed, .. })
    }),
];

fn is_intent(entry: &Entry, wanted: Step) -> bool {
    matches!(entry, Entry::Intent { step, .. } if *step == wanted)
}

/// Steps that must never follow the lease's return.
fn crosses_the_door(entry: &Entry) -> bool {
    is_intent(entry, Step::Promote) || is_intent(entry, Step::Unfence) || is_intent(entry, Step::MoveTraffic)
}

pub fn order(execution: &str, chain: &[Stored]) -> Vec<Violation> {
    let entries: Vec<Entry> =
        chain.iter().filter_map(|stored| stored.record().ok()).map(|record| record.entry).collect();
    let mut broken = Vec::new();
    let mut reached = 0;
    for entry in &entries {
        let Some(rank) = MILESTONES.iter().position(|(_, is)| is(entry)) else { continue };
        if rank > reached
            && let Some(((name, _), (missing, _))) = MILESTONES.get(rank).zip(MILESTONES.get(reached))
        {
            broken.push(Violation::new(LAW, format!("{execution}: `{name}` before `{missing}`")));
        }
        reached = reached.max(rank.saturating_add(1));
    }
    let given_back = entries.iter().position(|entry| is_intent(entry, Step::GrantBack));
    if let Some(at) = given_back
        && entries.iter().skip(at).any(crosses_the_door)
    {
        broken.push(Violation::new(LAW, format!("{execution}: went on after the lease was given back")));
    }
    broken
}
