//! L6: everything ends, explained: one named end, one last record, a chain that holds, and people were told.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeSet;
use understudy_core::journal::{ChainError, Entry, Record};
use understudy_core::run::{End, Receipt};
use understudy_core::steps::Step;

const LAW: &str = "L6 ends explained";

/// The workflow's own end where not even the report could be written.
const UNFINISHED: &str = "Unfinished";

/// A journal as far as it is whole.
pub type Whole = Result<Vec<Record>, ChainError>;

pub fn ends(trace: &[Event], journals: &[(&str, Whole)]) -> Vec<Violation> {
    let started = trace.iter().filter_map(|event| match &event.what {
        What::Started { execution } => Some(execution.as_str()),
        _ => None,
    });
    let stuck = trace.iter().filter_map(|event| match &event.what {
        What::DeadEnd { execution } => Some(Violation::new(
            LAW,
            format!("{}: nobody gets `{execution}` on from where it stopped", event.at),
        )),
        _ => None,
    });
    let mut broken: Vec<Violation> =
        started.flat_map(|execution| ended(execution, trace, journals)).chain(stuck).collect();
    broken.extend(waits_for_nothing(trace));
    broken.extend(journals.iter().filter_map(|(name, chain)| forgets(name, chain.as_ref().ok()?, journals)));
    broken
}

/// Nobody waits for a promotion that was not asked for: it is asked for again.
fn waits_for_nothing(trace: &[Event]) -> Option<Violation> {
    let mut asked = BTreeSet::new();
    for event in trace {
        match &event.what {
            What::ThroughTheDoor { execution } => {
                asked.insert(execution.as_str());
            }
            What::Entered { execution, state }
                if state == "AwaitReboot" && !asked.contains(execution.as_str()) =>
            {
                let what = format!("{}: `{execution}` waits for a promotion that nobody asked for", event.at);
                return Some(Violation::new(LAW, what));
            }
            _ => {}
        }
    }
    None
}

/// Who goes on from another one knows whether that asked for a promotion.
fn forgets(name: &str, records: &[Record], journals: &[(&str, Whole)]) -> Option<Violation> {
    let from = records.iter().find_map(|record| match &record.entry {
        Entry::Continued { from } => Some(from),
        _ => None,
    })?;
    let (_, earlier) = journals.iter().find(|(earlier, _)| *earlier == from.execution)?;
    let intends =
        |record: &Record, wanted: Step| matches!(record.entry, Entry::Intent { step, .. } if step == wanted);
    let wrote = |step| earlier.as_ref().is_ok_and(|all| all.iter().any(|record| intends(record, step)));
    let forgets = wrote(Step::Promote) && !wrote(Step::GrantBack) && (!from.promotes || from.by_hand);
    // Beside a primary that lives a promotion under an accepted risk, which the service never took, is taken back.
    let taken_back = !from.by_hand && matches!(from.receipt, Some(Receipt::Accepted { .. }));
    (forgets && !taken_back).then(|| {
        Violation::new(
            "L2 one writer",
            format!("`{name}` does not know that `{}` asked for a promotion", from.execution),
        )
    })
}

fn ended(execution: &str, trace: &[Event], journals: &[(&str, Whole)]) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut say = |what: &str| broken.push(Violation::new(LAW, format!("`{execution}` {what}")));
    let state = trace.iter().find_map(|event| match &event.what {
        What::Ended { execution: name, state, .. } if name == execution => Some(state.as_str()),
        _ => None,
    });
    let Some(state) = state else {
        say("never ended");
        return broken;
    };
    match journals.iter().find(|(name, _)| *name == execution).map(|(_, chain)| chain) {
        None => say("has no journal"),
        Some(Err(error)) => say(&format!("has a broken journal: {error}")),
        Some(Ok(records)) => disagrees(records, state).iter().for_each(|what| say(what)),
    }
    let told = trace.iter().any(|event| match &event.what {
        What::Paged(page) => page.dedup == format!("{execution}-end"),
        _ => false,
    });
    if !told {
        say("ended and nobody was told");
    }
    broken
}

/// The workflow is the same wherever it runs: it calls every success `Recovered`.
fn workflow_end(end: End) -> End {
    if end == End::Rehearsed { End::Recovered } else { end }
}

/// A report writer that is killed after it closed leaves the end that it wrote, and a failed workflow.
fn disagrees(records: &[Record], state: &str) -> Option<String> {
    let end = records.iter().find_map(|record| match &record.entry {
        Entry::Closed { end, .. } => Some(*end),
        _ => None,
    })?;
    // One that was to go on and did not get to it stands where it stood; the workflow says that it did nothing.
    let goes_on = matches!(records.first()?.entry, Entry::Accepted { continues: Some(_), .. });
    let stands = goes_on && end == End::NeedsOperator && state == "RolledBack";
    let fits =
        stands || end == End::Unfinished || state == UNFINISHED || workflow_end(end).to_string() == state;
    (!fits).then(|| format!("says `{end}`, but the workflow ended in `{state}`"))
}
