//! L3, L5: one order; one acceptance; intent before effect.

use super::evidence::gated;
use super::{Breach, Chain, breach, is_intent, lacks};
use crate::incident::execution_name;
use crate::journal::Entry;
use crate::run::{End, Kind};
use crate::steps::runner::called_nothing;
use crate::steps::{Effect, Step, spec};

type Milestone = (&'static str, fn(&Entry) -> bool);

/// In the order that the law gives; each needs every one above it.
const MILESTONES: &[Milestone] = &[
    ("confirm the outage", |entry| matches!(entry, Entry::Accepted { .. })),
    ("assess the standby", |entry| matches!(entry, Entry::Assessed { .. })),
    ("freeze", |entry| is_intent(entry, Step::Freeze)),
    ("close the lease", |entry| is_intent(entry, Step::CloseLease)),
    ("say what the close found", |entry| matches!(entry, Entry::LeaseClosed { .. })),
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

pub(super) fn milestones(chain: &Chain<'_>) -> Vec<Breach> {
    let mut broken = Vec::new();
    let mut reached = 0;
    for record in chain.records {
        if let Entry::Continued { from } = &record.entry {
            // What comes before the door stands in the journal that it names.
            let door = MILESTONES.iter().position(|(name, _)| *name == "promote").filter(|_| from.promotes);
            reached = reached.max(door.map_or(0, |door| door.saturating_add(1)));
        }
        let Some(rank) = MILESTONES.iter().position(|(_, is)| is(&record.entry)) else { continue };
        if rank > reached
            && let Some(((name, _), (missing, _))) = MILESTONES.get(rank).zip(MILESTONES.get(reached))
        {
            broken.push(breach("L3", record, format!("`{name}` before `{missing}`")));
        }
        reached = reached.max(rank.saturating_add(1));
    }
    broken.extend(gated(chain));
    broken
}

pub(super) fn once(chain: &Chain<'_>) -> Vec<Breach> {
    let mut broken = Vec::new();
    let accepted = chain.records.iter().filter(|record| matches!(record.entry, Entry::Accepted { .. }));
    for record in accepted {
        if record.seq != 1 {
            broken.push(breach("L5", record, "accepted once more, behind its first record"));
        }
        if let Entry::Accepted { incident, attempt, .. } = &record.entry
            && record.execution != execution_name(incident, *attempt)
        {
            broken.push(breach("L5", record, "its name is not the one of its incident and attempt"));
        }
    }
    broken.extend(goes_on(chain));
    match chain.records.first() {
        Some(first) if !matches!(first.entry, Entry::Accepted { .. }) => {
            broken.push(breach("L5", first, "does not begin with its acceptance"));
        }
        Some(_) => {}
        None => broken.push(lacks("L5", "there is no record")),
    }
    broken.extend(chain.records.iter().filter_map(|record| match &record.entry {
        Entry::Outcome { step, outcome, detail }
            if outcome == "done" && changes(*step) && !called_nothing(detail) =>
        {
            let through = |entry: &Entry| matches!(entry, Entry::Continued { from } if from.promotes);
            let told = chain.before(record).any(|earlier| {
                is_intent(&earlier.entry, *step) || (*step == Step::Promote && through(&earlier.entry))
            });
            (!told).then(|| breach("L5", record, format!("`{step:?}` was done and never intended")))
        }
        Entry::Assessed { .. } if chain.kind().is_some_and(Kind::is_planned) => {
            // Each look of a planned move tries a write; two deliveries that begin in the same millisecond write one record.
            let looks =
                chain.before(record).filter(|earlier| matches!(earlier.entry, Entry::Assessed { .. }));
            let tries = chain.before(record).filter(|earlier| tries_a_write(&earlier.entry));
            (looks.count() >= tries.count().saturating_mul(2))
                .then(|| breach("L5", record, "a write was tried and never intended"))
        }
        _ => None,
    }));
    broken
}

/// Who goes on from another one takes up what that held, once, and begins nothing of its own before it.
fn goes_on(chain: &Chain<'_>) -> Vec<Breach> {
    let stated = chain.records.first().and_then(|first| match &first.entry {
        Entry::Accepted { continues, .. } => continues.as_ref(),
        _ => None,
    });
    let mut taken = 0;
    let mut broken = Vec::new();
    for record in chain.records {
        match &record.entry {
            Entry::Continued { from } => {
                taken += 1;
                if stated != Some(&from.execution) {
                    let what = format!("goes on from `{}`, and was not accepted to", from.execution);
                    broken.push(breach("L5", record, what));
                } else if taken > 1 {
                    broken.push(breach("L5", record, "went on once more"));
                }
                let captured = !from.positions.is_empty() || from.by_hand;
                if from.promotes && (from.receipt.is_none() || from.epoch.is_none() || !captured) {
                    broken.push(breach(
                        "L2",
                        record,
                        "goes forward without a receipt, its epoch, or positions",
                    ));
                }
            }
            Entry::Assessed { .. }
            | Entry::LeaseClosed { .. }
            | Entry::Fenced { .. }
            | Entry::Captured { .. }
                if stated.is_some() =>
            {
                broken.push(breach("L5", record, "goes on from another one, and begins anew all the same"));
            }
            _ => {}
        }
    }
    broken
}

fn tries_a_write(entry: &Entry) -> bool {
    is_intent(entry, Step::Assess) || is_intent(entry, Step::LookAgain)
}

fn changes(step: Step) -> bool {
    spec(step).is_some_and(|row| row.effect != Effect::Observe)
}
