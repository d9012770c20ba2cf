//! L6: nobody is left in silence: when clients are without service for long, people have been told of it.

use super::Violation;
use crate::trace::{Event, What};
use crate::world::{Break, Place};
use jiff::Timestamp;
use understudy_core::plan::Plan;
use understudy_core::time::{Millis, elapsed};

const LAW: &str = "L6 everything ends, explained";

/// What lasts is told again after so many ticks; a lost one or a late one more.
const AGAIN: u64 = 17;

pub fn silent(trace: &[Event], plan: &Plan) -> Vec<Violation> {
    let mut broken = without_service(trace, plan);
    broken.extend(without_its_lease(trace, plan));
    broken
}

/// A database that does not get the lease that its guard renews is told by that, where nothing else goes wrong.
fn without_its_lease(trace: &[Event], plan: &Plan) -> Option<Violation> {
    let patience = patience(plan);
    let (mut well, mut since) = (true, None);
    for event in trace {
        match &event.what {
            What::Broke(Break::SetsNothing) => since = well.then_some(event.at),
            What::Broke(Break::GuardOf(_) | Break::GuardOurs) => {}
            What::Broke(_) | What::Started { .. } => (well, since) = (false, None),
            What::Paged(page) if page.dedup.starts_with("unset-") => since = None,
            _ => {}
        }
        if let Some(since) = since.filter(|since| elapsed(*since, event.at) > patience) {
            let what =
                format!("{}: no lease has reached the database since {since}, and nobody was told", event.at);
            return Some(Violation::new(LAW, what));
        }
    }
    None
}

fn without_service(trace: &[Event], plan: &Plan) -> Vec<Violation> {
    let (patience, again) = (patience(plan), plan.tick.times(AGAIN));
    let mut away = Away::default();
    let mut told: Option<Timestamp> = None;
    let mut since: Option<Timestamp> = None;
    let mut broken = Vec::new();
    for event in trace {
        match &event.what {
            What::Broke(what) => away.meet(*what, event.at),
            What::Paged(_) => told = Some(event.at),
            What::Acknowledged { client: "outside", .. } => since = None,
            What::Failed { client: "outside" } => {
                let begun = *since.get_or_insert(event.at);
                // Who tells changed meanwhile: it is counted from then.
                let could = begun.max(away.changed.unwrap_or(begun));
                let late = elapsed(could, event.at) > patience;
                let heard = told.is_some_and(|told| told >= begun || elapsed(told, begun) <= again);
                if late && !heard && !away.all() {
                    let what =
                        format!("{}: clients have failed since {begun}, and nobody was told", event.at);
                    broken.push(Violation::new(LAW, what));
                    return broken;
                }
            }
            _ => {}
        }
    }
    broken
}

/// By when an outage that anybody can see is told: a window, the lease, and ten ticks, of which a slow Region and lost ones may
/// take most.
fn patience(plan: &Plan) -> Millis {
    let window = plan.detection.window.max(plan.lease.ttl.max(plan.tick.times(4)));
    window.saturating_add(plan.tick.times(10))
}

/// Who tells is away himself: the standby tells of the primary, and the witness of the standby.
#[derive(Default)]
struct Away {
    standby: bool,
    witness: bool,
    /// When one of the two went or came back last.
    changed: Option<Timestamp>,
}

impl Away {
    fn all(&self) -> bool {
        self.standby && self.witness
    }

    fn meet(&mut self, what: Break, at: Timestamp) {
        let before = (self.standby, self.witness);
        match what {
            Break::Kill(place) | Break::Isolate(place) | Break::Still(place) => self.set(place, true),
            Break::Returns(place) => self.set(place, false),
            Break::Heal => (self.standby, self.witness) = (false, false),
            _ => {}
        }
        if before != (self.standby, self.witness) {
            self.changed = Some(at);
        }
    }

    fn set(&mut self, place: Place, away: bool) {
        match place {
            Place::Standby => self.standby = away,
            Place::Witness => self.witness = away,
            _ => {}
        }
    }
}
