//! L7: no figure without evidence, none that flatters.

use super::Violation;
use crate::trace::{Event, STALLED, What};
use crate::world::{Break, Place};
use jiff::Timestamp;
use understudy_core::journal::Entry;
use understudy_core::report::{Figure, Met, Report};
use understudy_core::run::{End, Kind};
use understudy_core::switch::Side;
use understudy_core::time::elapsed;

const LAW: &str = "L7 no flattering figures";

/// What a report owes its reader, by itself.
pub fn figures(report: &Report) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut say = |what: String| broken.push(Violation::new(LAW, format!("{}: {what}", report.execution)));
    let (rto, rpo) = (&report.rto, &report.rpo);
    let named = [
        ("rto.at_least", &rto.at_least),
        ("rto.at_most", &rto.at_most),
        ("rpo.bound", &rpo.bound),
        ("rpo.observed", &rpo.observed),
    ];
    for (name, figure) in named {
        if let Some(what) = unexplained(name, figure, &report.not_measured) {
            say(what);
        }
    }
    if rto.met == Met::Met && rto.at_most.ms.is_none_or(|most| most > rto.objective_ms) {
        say("the RTO is called met without a worst case within it".to_owned());
    }
    if rpo.met == Met::Met && rpo.bound.ms.is_none_or(|bound| bound > rpo.objective_ms) {
        say("the RPO is called met without a bound within it".to_owned());
    }
    if rpo.bound.ms.is_some() && (report.receipt.is_none() || rpo.last_received_commit_at.is_none()) {
        say("the RPO has a bound without receipt and position".to_owned());
    }
    if rto.at_most.ms.is_some() && report.clock.confirmed.is_none() {
        say("the RTO has a figure without a confirmation".to_owned());
    }
    if matches!(report.end, End::Recovered | End::Rehearsed) && report.clock.confirmed.is_none() {
        say("it is called recovered without a confirmation".to_owned());
    }
    if let (Some(least), Some(most)) = (rto.at_least.ms, rto.at_most.ms)
        && least > most
    {
        say(format!("the RTO ranges from {least} down to {most} ms"));
    }
    broken
}

fn unexplained(name: &str, figure: &Figure, not_measured: &[String]) -> Option<String> {
    let told = not_measured.iter().any(|line| line.starts_with(&format!("{name}: ")));
    match (figure.ms, &figure.why_null) {
        (Some(_), None) if !told => None,
        (None, Some(why)) if !why.is_empty() && told => None,
        _ => Some(format!("`{name}` is {:?} with reason {:?}", figure.ms, figure.why_null)),
    }
}

/// What a report says, against what clients really saw and really lost.
pub fn truth(report: &Report, trace: &[Event]) -> Vec<Violation> {
    let (trace, to) = (part(report, trace), report.kind.to());
    let mut broken = Vec::new();
    if let (Some(most), Some(outage)) = (report.rto.at_most.ms, outage(trace, to)) {
        // What failed before somebody asked for a planned move is no part of it.
        let planned = (report.kind != Kind::Failover).then_some(report.clock.accepted);
        let begin = planned.map_or(outage.first_failure, |accepted| accepted.max(outage.first_failure));
        let begin = begin.max(seen_from(trace, report.clock.accepted));
        let surely = elapsed(begin, outage.last_failure).0;
        if most < surely {
            let what = format!("clients were down {surely} ms, the report says at most {most}");
            broken.push(Violation::new(LAW, what));
        }
    }
    if let (Some(bound), Some(received), Some(lost)) =
        (report.rpo.bound.ms, report.rpo.last_received_commit_at, last_lost_write(trace, to))
        && elapsed(received, lost).0 > bound
    {
        let what = format!("a write of {lost} is lost, more than {bound} ms behind the last one received");
        broken.push(Violation::new(LAW, what));
    }
    broken
}

/// From when a prober can see an outage: that of a database that takes no write behind a health path that answers, as past
/// its lease, of one that answers every other half minute, whose probe was answered between two writes of a client, or of a
/// name that somebody else's datapoint moved while our own was lost, only once the primary itself is lost, and lost for the
/// time that led to the decision. ARCHITECTURE owes it.
fn seen_from(trace: &[Event], accepted: Timestamp) -> Timestamp {
    let unseen = |broken: &Break| {
        use Break::{DiskHangs, Flapping, GuardOf, RogueSwitch, SetsNothing};
        matches!(broken, DiskHangs | SetsNothing | GuardOf(_) | RogueSwitch | Flapping)
    };
    let past = |event: &Event| event.at <= accepted && matches!(event.what, What::PastLease);
    let lost = |broken: &Break| {
        use Break::{ApplicationDown, Isolate, Kill};
        matches!(broken, Kill(at) | Isolate(at) | ApplicationDown(at) if *at == Place::Primary)
    };
    let broke = |wanted: &dyn Fn(&Break) -> bool| {
        let told = |event: &&Event| matches!(&event.what, What::Broke(broken) if wanted(broken));
        trace.iter().filter(|event| event.at <= accepted).rfind(told).map(|event| event.at)
    };
    if broke(&unseen).is_some() || trace.iter().any(past) {
        return broke(&lost).unwrap_or(Timestamp::MAX);
    }
    Timestamp::MIN
}

/// The other way round: a report that says more than clients saw. A probe that fails by itself may make it so,
/// which flatters nobody; where no call fails it must not happen.
pub fn overstated(report: &Report, trace: &[Event]) -> Option<Violation> {
    let (least, outage) = (report.rto.at_least.ms?, outage(part(report, trace), report.kind.to())?);
    let at_best = elapsed(outage.last_success, outage.first_success).0;
    let what = format!("clients were down at most {at_best} ms, the report says at least {least}");
    (least > at_best).then(|| Violation::new(LAW, what))
}

/// The part of a story that a report is about: the way there, or the way back.
fn part<'t>(report: &Report, trace: &'t [Event]) -> &'t [Event] {
    let turns = |event: &Event| match &event.what {
        What::Journaled(record) => {
            matches!(record.entry, Entry::Accepted { kind, .. } if kind.to() == Side::Primary)
        }
        _ => false,
    };
    let Some(turn) = trace.iter().position(turns) else { return trace };
    let (there, back) = trace.split_at(turn);
    if report.kind.to() == Side::Primary { back } else { there }
}

/// What a client outside saw.
struct Outage {
    last_success: Timestamp,
    first_failure: Timestamp,
    last_failure: Timestamp,
    first_success: Timestamp,
}

/// From the last write that the one side took to the first that the side `to` took.
fn outage(trace: &[Event], to: Side) -> Option<Outage> {
    let success = |wanted: Side| move |event: &&Event| matches!(&event.what, What::Acknowledged { side, client: "outside", .. } if *side == wanted);
    let first_success = trace.iter().find(success(to))?.at;
    let before = || trace.iter().take_while(|event| event.at < first_success);
    let last_success = before().filter(success(to.other())).last()?.at;
    let mut failures = before()
        .filter(|event| event.at > last_success && matches!(event.what, What::Failed { .. }))
        .map(|event| event.at);
    let first_failure = failures.next()?;
    Some(Outage {
        last_success,
        first_failure,
        last_failure: failures.last().unwrap_or(first_failure),
        first_success,
    })
}

/// When the newest write was acknowledged that the promoted store does not hold.
fn last_lost_write(trace: &[Event], to: Side) -> Option<Timestamp> {
    let kept = trace.iter().find_map(|event| match &event.what {
        What::StandsAlone { position, .. } => Some(*position),
        _ => None,
    })?;
    trace
        .iter()
        .filter(|event| {
            matches!(&event.what, What::Acknowledged { side, position, client } if *side != to && *position > kept
                && *client != STALLED)
        })
        .map(|event| event.at)
        .next_back()
}
