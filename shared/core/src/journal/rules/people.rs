//! L8: people hold the one-way doors.

use super::{Breach, Chain, breach};
use crate::approval::{Matter, Question};
use crate::checks::Verdict;
use crate::journal::{Entry, Record};
use crate::plan::Mode;
use crate::steps::Step;
use crate::time::{Millis, after, before};
use crate::words::same_name;
use std::collections::BTreeSet;

/// An answer is put on record by the function that took it, within its life.
const ON_RECORD_WITHIN: Millis = Millis::from_secs(30);

/// Where the plan asks, or somebody was asked, nothing reversible begins without a yes to the newest question.
pub(super) fn asked(chain: &Chain<'_>) -> Vec<Breach> {
    let mut broken: Vec<Breach> = chain
        .records
        .iter()
        .filter_map(|record| Some(breach("L8", record, unbound(chain, record)?)))
        .collect();
    let Some(going_on) = chain.intends(Step::Freeze) else { return broken };
    let open = open_last(chain, going_on);
    // By the session at which the standby was looked at last: it may close while people think.
    let looked =
        chain.before(going_on).filter(|record| matches!(record.entry, Entry::Assessed { .. })).last();
    let asks = |at| chain.plan.is_some_and(|plan| plan.mode_at(at) == Mode::Approval);
    // And by the one at the door, unless it opened in the very moment in which that was crossed.
    let door = chain.intends(Step::Promote).map(|record| record.at);
    let crossed = door.is_some_and(|at| asks(at) && asks(before(at, ON_RECORD_WITHIN)));
    let needed = crossed || looked.is_some_and(|look| asks(look.at));
    // Which of them was shown when people answered is not known here: a no to one is a no to all.
    let no = open.iter().any(|asked| refused(chain, going_on, asked));
    let yes = open.iter().find(|asked| !no && agreed(chain, going_on, asked));
    match yes {
        None if open.is_empty() && needed => {
            broken.push(breach("L8", going_on, "the plan asks people, and nobody was asked"));
        }
        None if !open.is_empty() => {
            broken.push(breach("L8", going_on, "went on without a yes to the question that was open"));
        }
        Some(asked) if needed && !rested_on(chain, going_on, asked) => {
            broken.push(breach(
                "L8",
                going_on,
                "went on with other overrides than were shown to who said yes",
            ));
        }
        _ => {}
    }
    broken
}

/// Whether a good look since the question rests on the overrides that it showed, and on no others.
fn rested_on(chain: &Chain<'_>, before: &Record, asked: &Asked<'_>) -> bool {
    chain.before(before).filter(|record| record.seq > asked.seq).any(|record| match &record.entry {
        Entry::Assessed { verdict: Verdict::Ready, findings, .. } => {
            findings.iter().filter_map(|finding| finding.overridden.as_ref()).eq(&asked.question.overrides)
        }
        _ => false,
    })
}

/// A question as it was put on record.
struct Asked<'a> {
    seq: u64,
    question: &'a Question,
    /// What answers are bound to: an older version of this code left it to be made anew.
    digest: String,
}

fn asked_at(record: &Record) -> Option<Asked<'_>> {
    match &record.entry {
        Entry::Asked { question, digest } => {
            let digest = if digest.is_empty() { question.digest() } else { digest.clone() };
            Some(Asked { seq: record.seq, question, digest })
        }
        _ => None,
    }
}

/// The approval that was asked for last. More than one where a late delivery put an older question on record behind the
/// newer one; a new look at the standby ends all before it.
fn open_last<'a>(chain: &Chain<'a>, before: &Record) -> Vec<Asked<'a>> {
    let (mut open, mut looked) = (Vec::new(), false);
    for record in chain.before(before) {
        looked |= matches!(record.entry, Entry::Assessed { .. });
        if let Some(asked) = asked_at(record).filter(|asked| asked.question.matter == Matter::Approval) {
            if std::mem::take(&mut looked) {
                open.clear();
            }
            open.push(asked);
        }
    }
    open
}

fn agreed(chain: &Chain<'_>, before: &Record, asked: &Asked<'_>) -> bool {
    let people: BTreeSet<String> = answers(chain, before, asked)
        .into_iter()
        .filter(|(yes, _)| *yes)
        .map(|(_, by)| by.trim().to_lowercase())
        .collect();
    people.len() >= usize::try_from(asked.question.approvals).unwrap_or(usize::MAX)
}

fn refused(chain: &Chain<'_>, before: &Record, asked: &Asked<'_>) -> bool {
    answers(chain, before, asked).iter().any(|(yes, _)| !yes)
}

fn answers<'a>(chain: &Chain<'a>, before: &Record, asked: &Asked<'_>) -> Vec<(bool, &'a String)> {
    let answers = chain.before(before).filter_map(|record| match &record.entry {
        Entry::Answered { matter: Matter::Approval, yes, by, digest } if *digest == asked.digest => {
            Some((*yes, by))
        }
        _ => None,
    });
    answers.collect()
}

/// An answer is bound to a question that was asked, is given in time, and by somebody else than who asked for it.
fn unbound(chain: &Chain<'_>, record: &Record) -> Option<String> {
    let Entry::Answered { matter, yes, by, digest } = &record.entry else { return None };
    let mut known =
        chain.before(record).filter_map(asked_at).filter(|asked| asked.question.matter == *matter);
    let Some(Asked { question, .. }) = known.find(|asked| asked.digest == *digest) else {
        return Some(format!("`{by}` answered a question that was not asked"));
    };
    if record.at > after(question.expires_at, ON_RECORD_WITHIN) {
        return Some(format!("`{by}` answered after {}: silence was a no", question.expires_at));
    }
    if *yes && question.overrides.iter().any(|given| same_name(&given.by, by)) {
        return Some(format!("`{by}` approved what `{by}` overrides a check for"));
    }
    (*yes && question.started_by.as_ref().is_some_and(|asked| same_name(asked, by)))
        .then(|| format!("`{by}` approved what `{by}` asked for"))
}
