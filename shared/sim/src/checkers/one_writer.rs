//! L2: nothing is promoted without a receipt; behind a receipt the old primary takes no write, nor once the new one
//! took one. Where a named person took that risk, it is taken.

use super::Violation;
use crate::trace::{Event, What};
use understudy_core::journal::Entry;
use understudy_core::run::Receipt;
use understudy_core::steps::Step;
use understudy_core::switch::Side;

const LAW: &str = "L2 one writer";

/// The first few tell it; a night of them tells no more.
const MOST: usize = 3;

pub fn one_writer(trace: &[Event]) -> Vec<Violation> {
    let mut watch = Watch::default();
    let mut broken: Vec<Violation> =
        trace.iter().filter_map(|event| Some(Violation::new(LAW, watch.next(event)?))).collect();
    broken.truncate(MOST);
    broken
}

#[derive(Default)]
struct Watch {
    receipt: Option<Receipt>,
    /// Somebody took the risk of two writers.
    risk_taken: bool,
    standby_writes: bool,
}

impl Watch {
    fn next(&mut self, event: &Event) -> Option<String> {
        match &event.what {
            What::Journaled(record) => {
                match &record.entry {
                    Entry::Fenced { receipt } => {
                        self.risk_taken |= matches!(receipt, Receipt::Accepted { .. });
                        self.receipt = Some(receipt.clone());
                    }
                    // Once the lease is given back, the receipt is worth nothing.
                    Entry::Intent { step: Step::GrantBack, .. } => self.receipt = None,
                    _ => {}
                }
                None
            }
            What::PromoteTaken { instance } if self.receipt.is_none() => {
                Some(format!("{}: `{instance}` promoted without a receipt", event.at))
            }
            What::Acknowledged { side: Side::Standby, .. } => {
                self.standby_writes = true;
                None
            }
            What::Acknowledged { side: Side::Primary, client, position } if !self.risk_taken => {
                let since = if self.standby_writes {
                    "after the new one had written"
                } else if self.receipt.is_some() {
                    "behind the receipt that it could write no more"
                } else {
                    return None;
                };
                Some(format!(
                    "{}: the old primary told `{client}` that {position} is committed, {since}",
                    event.at
                ))
            }
            _ => None,
        }
    }
}
