//! L5: hints start one execution, and not none. Where nothing but the primary fails and nobody is asked, it is recovered
//! from, in the time that was predicted: a product that never moves would break no other law.

use super::Violation;
use crate::trace::{Event, What};
use crate::world::{Break, Place};
use jiff::Timestamp;
use understudy_core::budget::budget;
use understudy_core::journal::Entry;
use understudy_core::plan::{Mode, OnLeaseLoss, Plan};
use understudy_core::report::Report;
use understudy_core::run::{End, Kind};
use understudy_core::time::{Millis, after, elapsed};

const LAW: &str = "L5 not never";

/// `calm`: nothing went wrong with calls, functions or ticks.
pub fn moves(trace: &[Event], reports: &[Report], plan: &Plan, calm: bool) -> Vec<Violation> {
    let by_itself = plan.lease.on_loss == OnLeaseLoss::Fence && plan.regions.witness.is_some();
    let Some(lost) = lost_alone(trace).filter(|lost| calm && by_itself && nobody_is_asked(plan, lost.at))
    else {
        return Vec::new();
    };
    let say = |what: String| {
        vec![Violation::new(
            LAW,
            format!("the primary was lost at {}, with nothing else wrong: {what}", lost.at),
        )]
    };
    let detected =
        budget(plan, &[]).phases.iter().find(|phase| phase.name == "detect").map(|phase| phase.takes.most);
    if !lost.started {
        // It may have healed before anybody could be sure.
        let long_enough = detected.is_some_and(|most| elapsed(lost.at, lost.until) > most);
        return if long_enough { say(format!("nothing started until {}", lost.until)) } else { Vec::new() };
    }
    let recovered =
        reports.iter().find(|report| report.kind == Kind::Failover && report.end == End::Recovered);
    let Some(report) = recovered else { return say("nobody recovered it".to_owned()) };
    let predicted = report.predicted.iter().find(|phase| phase.name == "sum").map(|sum| sum.at_most_ms);
    match report.rto.at_most.ms.zip(predicted) {
        Some((took, predicted)) if took <= predicted => Vec::new(),
        figures => say(format!("recovered, and its time against what was predicted is {figures:?} ms")),
    }
}

struct Lost {
    at: Timestamp,
    /// When everything healed, or the story ends.
    until: Timestamp,
    started: bool,
}

/// How the primary was lost, if that was all that happened until everything healed.
fn lost_alone(trace: &[Event]) -> Option<Lost> {
    let mut lost: Option<Lost> = None;
    let mut running = false;
    for event in trace {
        if let Some(lost) = &mut lost {
            lost.until = event.at;
        }
        match &event.what {
            // What comes back while somebody works is another story.
            What::Broke(Break::Heal) if running => return None,
            What::Broke(Break::Heal) => break,
            What::Ended { .. } => running = false,
            What::Broke(Break::Kill(Place::Primary) | Break::Isolate(Place::Primary)) if lost.is_none() => {
                lost = Some(Lost { at: event.at, until: event.at, started: false });
            }
            What::Broke(_) | What::Troubled { .. } | What::Overridden { .. } => return None,
            What::Flag { name, raised: true, .. } if name != "freeze" => return None,
            What::Journaled(record) => match &record.entry {
                Entry::Accepted { kind, .. } if *kind != Kind::Failover => return None,
                _ => {}
            },
            What::Started { .. } => {
                running = true;
                if let Some(lost) = &mut lost {
                    lost.started = true;
                }
            }
            _ => {}
        }
    }
    lost
}

/// Whether the plan asks nobody, from the loss until the door is crossed at the latest.
fn nobody_is_asked(plan: &Plan, lost: Timestamp) -> bool {
    let mut minutes = (0..=LONGEST_WAY).map(|minute| after(lost, Millis::from_secs(60 * minute)));
    minutes.all(|at| plan.mode_at(at) == Mode::Automatic)
}

/// In minutes.
const LONGEST_WAY: u64 = 20;
