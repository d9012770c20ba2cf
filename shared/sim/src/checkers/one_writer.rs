//! L2: nothing is promoted without a receipt, and once the new primary took a write the old one takes none.

use super::Violation;
use crate::trace::{Event, What};
use understudy_core::journal::Entry;
use understudy_core::steps::Step;
use understudy_core::switch::Side;

const LAW: &str = "L2 one writer";

pub fn one_writer(trace: &[Event]) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut receipt = false;
    let mut standby_writes = false;
    for event in trace {
        match &event.what {
            What::Journaled(record) => match &record.entry {
                Entry::Fenced { .. } => receipt = true,
                // Once the lease is given back, the receipt is worth nothing.
                Entry::Intent { step: Step::GrantBack, .. } => receipt = false,
                _ => {}
            },
            What::PromoteTaken { instance } if !receipt => {
                broken.push(Violation::new(
                    LAW,
                    format!("{}: `{instance}` promoted without a receipt", event.at),
                ));
            }
            What::Acknowledged { side: Side::Standby, .. } => standby_writes = true,
            What::Acknowledged { side: Side::Primary, client, position } if standby_writes => {
                let what = format!(
                    "{}: the old primary told `{client}` that {position} is committed, after the new one had written",
                    event.at
                );
                broken.push(Violation::new(LAW, what));
            }
            _ => {}
        }
    }
    broken
}
