//! L2: nothing is promoted without a receipt; behind a receipt the side that gives way takes no write, nor once the
//! other one took one. Where a named person took that risk, it is taken.

use super::Violation;
use crate::trace::{Event, STALLED, What};
use understudy_core::journal::Entry;
use understudy_core::run::Receipt;
use understudy_core::steps::Step;
use understudy_core::switch::Side;

const LAW: &str = "L2 one writer";

/// The first few tell it; a night of them tells no more.
const MOST: usize = 3;

pub fn one_writer(trace: &[Event]) -> Vec<Violation> {
    let mut watch = Watch::towards(Side::Standby);
    let mut broken: Vec<Violation> =
        trace.iter().filter_map(|event| Some(Violation::new(LAW, watch.next(event)?))).collect();
    broken.truncate(MOST);
    broken
}

struct Watch {
    /// The side that is to take over.
    to: Side,
    receipt: Option<Receipt>,
    /// Somebody took the risk of two writers.
    risk_taken: bool,
    taker_writes: bool,
}

impl Watch {
    fn towards(to: Side) -> Self {
        Self { to, receipt: None, risk_taken: false, taker_writes: false }
    }

    fn next(&mut self, event: &Event) -> Option<String> {
        match &event.what {
            What::Journaled(record) => {
                match &record.entry {
                    // The way back is another story.
                    Entry::Accepted { kind, .. } if kind.to() != self.to => {
                        *self = Self::towards(kind.to());
                    }
                    // By the newest receipt: what somebody accepted of an earlier attempt says nothing of this one.
                    Entry::Fenced { receipt } => {
                        self.risk_taken = matches!(receipt, Receipt::Accepted { .. });
                        self.receipt = Some(receipt.clone());
                    }
                    // Once the lease is given back, the receipt is worth nothing, and the risk is over.
                    Entry::Intent { step: Step::GrantBack, .. } => {
                        (self.receipt, self.risk_taken) = (None, false);
                    }
                    _ => {}
                }
                None
            }
            What::PromoteTaken { instance } if self.receipt.is_none() => {
                Some(format!("{}: `{instance}` promoted without a receipt", event.at))
            }
            What::Acknowledged { side, .. } if *side == self.to => {
                self.taker_writes = true;
                None
            }
            // A commit that passed its gate in time and hangs on its way to the disk: no receipt speaks for it.
            What::Acknowledged { client, .. } if *client == STALLED => None,
            What::Acknowledged { client, position, .. } if !self.risk_taken => {
                let since = if self.taker_writes {
                    "after the new one had written"
                } else if self.receipt.is_some() {
                    "behind the receipt that it could write no more"
                } else {
                    return None;
                };
                Some(format!(
                    "{}: the {} told `{client}` that {position} is committed, {since}",
                    event.at,
                    if self.to == Side::Standby { "old primary" } else { "standby" }
                ))
            }
            _ => None,
        }
    }
}
