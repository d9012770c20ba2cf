//! L6: everything ends, explained: one named end, one last record, a chain that holds, and people were told.

use super::Violation;
use crate::trace::{Event, What};
use understudy_core::journal::{ChainError, Entry, Record};
use understudy_core::run::End;

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
    started.flat_map(|execution| ended(execution, trace, journals)).chain(stuck).collect()
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
