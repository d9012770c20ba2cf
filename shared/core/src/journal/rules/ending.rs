//! L6, L9: one end that fits, everything taken back that must be, and drills called drills.

use super::{Breach, Chain, breach, is_intent, lacks};
use crate::journal::{Entry, Record};
use crate::plan::rehearsal_name;
use crate::run::{End, Kind};
use crate::steps::{Effect, STEPS, Step};

fn ends<'a>(chain: &Chain<'a>) -> Vec<(&'a Record, End)> {
    let closed = chain.records.iter().filter_map(|record| match &record.entry {
        Entry::Closed { end, .. } => Some((record, *end)),
        _ => None,
    });
    closed.collect()
}

pub(super) fn ended(chain: &Chain<'_>) -> Vec<Breach> {
    let ends = ends(chain);
    let mut broken = Vec::new();
    if ends.len() != 1 {
        broken.push(lacks("L6", format!("was closed {} times", ends.len())));
    }
    let Some((closing, end)) = ends.first() else { return broken };
    if chain.records.last().is_some_and(|last| last.seq != closing.seq) {
        broken.push(breach("L6", closing, "has records behind its last one"));
    }
    if closing.writer != "report-writer" {
        broken.push(breach("L6", closing, format!("was closed by `{}`", closing.writer)));
    }
    broken.extend(unfitting(chain, closing, *end).map(|what| breach("L6", closing, what)));
    broken
}

/// What was done that the end does not tell.
fn unfitting(chain: &Chain<'_>, closing: &Record, end: End) -> Option<String> {
    let through = |entry: &Entry| matches!(entry, Entry::Continued { from } if from.promotes);
    let did = |step: Step| {
        let intends = |entry: &Entry| is_intent(entry, step) || (step == Step::Promote && through(entry));
        chain.before(closing).any(|record| intends(&record.entry))
    };
    let success = matches!(end, End::Recovered | End::Rehearsed);
    if success && chain.kind().is_some_and(|kind| kind.success() != end) {
        return Some(format!("is a {}, and says `{end}`", chain.kind()?.name()));
    }
    match end {
        End::RolledBack if chain.continues() && !did(Step::GrantBack) => {
            Some("rolled back, and what it was to go on from was not taken back".to_owned())
        }
        End::RolledBack if did(Step::Promote) => {
            Some("rolled back, and a promotion was asked for".to_owned())
        }
        End::Refused if did(Step::CloseLease) => Some("refused, and the lease was closed".to_owned()),
        _ => None,
    }
}

/// Where an execution ends before the one-way door, every reversible step was taken back: not only meant to be.
pub(super) fn undone(chain: &Chain<'_>) -> Vec<Breach> {
    let Some((closing, end)) = ends(chain).first().copied() else { return Vec::new() };
    if !matches!(end, End::RolledBack | End::Refused) {
        return Vec::new();
    }
    // What one that stopped did stands in its own journal: whoever goes on from it takes all of it back.
    let continued = chain.intends(Step::Continue);
    let kept = STEPS.iter().filter_map(|row| {
        let Effect::Reversible { undo } = row.effect else { return None };
        let done = chain.intends(row.step).or(continued)?;
        let back =
            chain.records.iter().any(|record| record.seq > done.seq && takes_back(&record.entry, undo));
        (!back).then(|| {
            breach("L6", closing, format!("`{end}` without `{undo:?}`, which takes back `{:?}`", row.step))
        })
    });
    kept.collect()
}

fn takes_back(entry: &Entry, undo: Step) -> bool {
    matches!(entry, Entry::Outcome { step, outcome, .. } if *step == undo && outcome == "done")
}

pub(super) fn rehearsed(chain: &Chain<'_>) -> Vec<Breach> {
    let Some(first) = chain.records.first().filter(|_| chain.kind() == Some(Kind::Drill)) else {
        return Vec::new();
    };
    let suffix = rehearsal_name("");
    if first.plan.ends_with(&suffix) {
        return Vec::new();
    }
    vec![breach("L9", first, format!("a drill under `{}`, which is no rehearsal's plan", first.plan))]
}
