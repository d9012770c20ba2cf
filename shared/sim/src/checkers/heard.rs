//! L8: silence is a no: an answer that was given after its question ran out is on no record.

use super::Violation;
use crate::trace::{Event, What};
use std::collections::BTreeMap;
use understudy_core::journal::Entry;
use understudy_core::time::{Millis, elapsed};

const LAW: &str = "L8 people hold the one-way doors";

/// The clocks of who asks and of who hears the answer differ by less.
const SKEW: Millis = Millis::from_secs(1);

pub fn heard(trace: &[Event]) -> Vec<Violation> {
    let mut said = BTreeMap::new();
    let mut until = BTreeMap::new();
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            // Said twice, it counts from the first time.
            What::Said { by, yes, digest } => {
                said.entry((by.as_str(), *yes, digest.as_str())).or_insert(event.at);
            }
            What::Journaled(record) => match &record.entry {
                Entry::Asked { question, digest } => drop(until.insert(digest.clone(), question.expires_at)),
                Entry::Answered { yes, by, digest, .. } => {
                    let at = said.get(&(by.as_str(), *yes, digest.as_str())).copied();
                    let known = at.zip(until.get(digest).copied());
                    if let Some((at, until)) = known.filter(|(at, until)| elapsed(*until, *at) > SKEW) {
                        let what =
                            format!("`{by}` was heard, who spoke at {at}, after {until}: silence was a no");
                        broken.push(Violation::new(LAW, what));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    broken
}
