//! L6: what ended can be shown: the bucket holds every record as the table does, and a report of this very journal.

use super::Violation;
use super::ends::Whole;
use std::borrow::Borrow;
use understudy_core::journal::{Entry, Stored};
use understudy_core::report::Report;

const LAW: &str = "L6 sealed";

/// What the evidence bucket holds of one execution's journal, record by record.
pub type Sealed = (String, Vec<Vec<u8>>);

/// `whole` are the same journals, read.
pub fn sealed<S: Borrow<Stored>>(
    journals: &[(String, Vec<S>)],
    whole: &[(&str, Whole)],
    sealed: &[Sealed],
    reports: &[Report],
) -> Vec<Violation> {
    let told = journals.iter().zip(whole).filter_map(|((execution, chain), (_, whole))| {
        // That a journal is not whole, or has no end, is told by `ends` and by the rules.
        let end = whole.as_ref().ok()?.iter().find_map(|record| match &record.entry {
            Entry::Closed { end, .. } => Some(*end),
            _ => None,
        })?;
        let objects = sealed.iter().find(|(known, _)| known == execution).map(|(_, objects)| objects);
        let objects = objects.map(Vec::as_slice).unwrap_or_default();
        let same = |(stored, object): (&S, &Vec<u8>)| stored.borrow().bytes().as_bytes() == object.as_slice();
        if objects.len() != chain.len() {
            return Some(format!(
                "`{execution}`: {} records, and {} in the bucket",
                chain.len(),
                objects.len()
            ));
        }
        if let Some(at) = chain.iter().zip(objects).position(|pair| !same(pair)) {
            return Some(format!("`{execution}`: record {} is another in the bucket", at + 1));
        }
        let Some(report) = reports.iter().find(|report| report.execution == *execution) else {
            return Some(format!("`{execution}` ended `{end}` and has no report"));
        };
        let head = chain.last().map(|last| last.borrow().sha256());
        if report.end != end || Some(report.journal.head_sha256.as_str()) != head {
            return Some(format!("`{execution}` ended `{end}`, and its report tells of another journal"));
        }
        None
    });
    told.map(|what| Violation::new(LAW, what)).collect()
}
