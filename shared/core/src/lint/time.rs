//! Recovery time: what the promises ask, against what the way takes.

use super::{Finding, Level, Look, finding};
use crate::budget::{CHECKERS_TAKE, Phase, Range};
use crate::plan::{Mode, OnLeaseLoss, Plan, StoreKind};
use crate::steps::close::LONGEST_EXECUTION;
use crate::time::Millis;
use crate::words::span;
use std::net::IpAddr;

/// RDS has been seen to take this long to promote.
const PROMOTION: Millis = Millis::from_secs(600);

fn line(phase: &Phase, takes: Millis) -> String {
    format!("{:<8} {:>12}  {}", phase.name, span(takes), phase.because)
}

/// One side of every phase, and the sum.
fn sum(look: &Look<'_>, side: fn(Range) -> Millis) -> Vec<String> {
    let mut lines: Vec<String> =
        look.budget.phases.iter().map(|phase| line(phase, side(phase.takes))).collect();
    lines.push(format!("{:<8} {:>12}", "sum", span(side(look.budget.rto))));
    lines
}

fn fields(look: &Look<'_>) -> Vec<String> {
    let mut all = vec!["objectives.rto".to_owned()];
    for field in look.budget.phases.iter().flat_map(|phase| &phase.fields) {
        if !all.contains(field) {
            all.push(field.clone());
        }
    }
    all
}

pub(super) fn best_case(look: &Look<'_>) -> Vec<Finding> {
    let (rto, least) = (look.plan.objectives.rto, look.budget.rto.least);
    if least <= rto {
        return Vec::new();
    }
    let message = format!("an RTO of {rto} cannot be met: at its shortest the way takes {}", span(least));
    let help =
        "promise what can be kept, or shorten the longest phase above; a faster store kind moves it most";
    vec![finding(Level::Error, message, help).at(fields(look)).computed(sum(look, |takes| takes.least))]
}

pub(super) fn worst_case(look: &Look<'_>) -> Vec<Finding> {
    let (rto, Range { least, most }) = (look.plan.objectives.rto, look.budget.rto);
    if most <= rto || least > rto {
        return Vec::new();
    }
    let message =
        format!("an RTO of {rto} is met at best ({}) and missed at worst ({})", span(least), span(most));
    let help = "shorten the longest phase above (people who answer sooner, a shorter TTL), or promise more time; \
                drills show which end is the usual one";
    vec![finding(Level::Warning, message, help).at(fields(look)).computed(sum(look, |takes| takes.most))]
}

pub(super) fn approval(look: &Look<'_>) -> Vec<Finding> {
    let (plan, policy) = (look.plan, &look.plan.policy);
    let asks = policy.failover == Mode::Approval || policy.in_session == Some(Mode::Approval);
    if !asks || policy.approval_timeout < plan.objectives.rto {
        return Vec::new();
    }
    let message = format!(
        "people may take {} to answer, and the RTO of {} is over by then",
        policy.approval_timeout, plan.objectives.rto
    );
    let help = "ask for an answer within a part of the RTO, or let the failover start by itself";
    vec![finding(Level::Error, message, help).at(["policy.approval_timeout", "objectives.rto"])]
}

/// An approval may be asked for twice, and the fence be accepted once.
const ASKED_AT_MOST: u64 = 3;

/// Behind its one-way door an execution must not run out of time.
pub(super) fn workflow(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let asked = plan.policy.approval_timeout.times(ASKED_AT_MOST);
    let promotion = plan.stores.iter().map(|store| store.promote_timeout).max().unwrap_or_default();
    let confirmation = plan.routes.iter().map(|route| route.confirm_timeout).max().unwrap_or_default();
    let parts =
        [("questions", asked), ("lease", plan.lease.ttl), ("promote", promotion), ("confirm", confirmation)];
    let all = parts.iter().fold(Millis::ZERO, |all, (_, span)| all.saturating_add(*span));
    if all <= LONGEST_EXECUTION {
        return Vec::new();
    }
    let message = format!(
        "an execution may wait {}, and the workflow ends after {}",
        span(all),
        span(LONGEST_EXECUTION)
    );
    let sum = parts.iter().map(|(name, takes)| format!("{name:<9} {:>12}", span(*takes))).collect();
    let help = "ask for answers sooner, or give promotion and confirmation up earlier: an execution that is cut off behind \
                its one-way door leaves the application half-way";
    let fields = ["policy.approval_timeout", "stores[0].promote_timeout", "routes[0].confirm_timeout"];
    vec![finding(Level::Error, message, help).at(fields).computed(sum)]
}

/// Services that the same move brings back.
pub(super) fn services(look: &Look<'_>) -> Vec<Finding> {
    let least = look.budget.rto.least;
    let late = super::promised::ours(look.plan).filter(|service| service.rto.is_some_and(|rto| rto < least));
    late.map(|service| {
        let rto = service.rto.unwrap_or(least);
        let message = format!("`{}` is promised back within {rto}, and the move takes {} at its shortest", service.name, span(least));
        let help = "if high availability on site keeps this promise, write `met_by: on-site`: Understudy then measures it \
                    and does not execute it; else promise what a move can keep";
        finding(Level::Error, message, help).at([service.rto_at.clone()]).computed(sum(look, |takes| takes.least))
    }).collect()
}

/// A cache that outlives the promise makes it void for whoever resolved just before the switch.
pub(super) fn caches(look: &Look<'_>) -> Vec<Finding> {
    let promises = super::promised::ours(look.plan).filter_map(|one| Some((one.name, one.rto_at, one.rto?)));
    let whole = ("the application".to_owned(), "objectives.rto".to_owned(), look.plan.objectives.rto);
    let tightest = promises.chain([whole]).min_by_key(|(_, _, rto)| *rto);
    let Some((name, at, rto)) = tightest else { return Vec::new() };
    let routes = look.plan.routes.iter().enumerate().filter(|(_, route)| route.ttl >= rto);
    routes.map(|(index, route)| {
        let message = format!("resolvers keep the old answer of `{}` for {}, and {name} is promised back within {rto}", route.name, route.ttl);
        let help = "shorten the TTL well below the promise; below 60 s some resolvers ignore it, and clients that keep connections \
                    open never ask again";
        finding(Level::Error, message, help).at([format!("routes[{index}].ttl"), at.clone()])
    }).collect()
}

pub(super) fn confirmation(look: &Look<'_>) -> Vec<Finding> {
    let Some(switch) = look.budget.phases.iter().find(|phase| phase.name == "switch") else {
        return Vec::new();
    };
    let late = look.plan.routes.iter().enumerate().filter_map(|(index, route)| {
        let needs = switch.takes.most.saturating_add(route.hold);
        (route.confirm_timeout < needs).then(|| {
            let message = format!(
                "confirmation of `{}` is given up after {}, and names may need {} to move and {} to hold",
                route.name,
                route.confirm_timeout,
                span(switch.takes.most),
                route.hold
            );
            let help = format!("write `{}` or more", minutes(needs));
            finding(Level::Warning, message, &help)
                .at([format!("routes[{index}].confirm_timeout"), format!("routes[{index}].hold")])
                .computed(vec![format!("{} + {} = {}", span(switch.takes.most), route.hold, span(needs))])
        })
    });
    late.collect()
}

/// Rounded up to whole minutes.
fn minutes(span: Millis) -> String {
    format!("{}m", span.0.div_ceil(60_000))
}

pub(super) fn promotion(look: &Look<'_>) -> Vec<Finding> {
    let hasty = look
        .plan
        .stores
        .iter()
        .enumerate()
        .filter(|(_, store)| store.kind == StoreKind::RdsPostgres && store.promote_timeout < PROMOTION);
    hasty.map(|(index, store)| {
        let message = format!(
            "promotion of `{}` is given up after {}, and RDS may take {PROMOTION}, a reboot included",
            store.name, store.promote_timeout
        );
        let help = "write `15m`: a promotion that is given up goes on all the same, and a person has to find out how it ended";
        finding(Level::Warning, message, help).at([format!("stores[{index}].promote_timeout")])
    }).collect()
}

/// Route 53's own verdict is one of the votes: it must be able to reach the primary, and it has a pace of its own.
pub(super) fn checkers(look: &Look<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, route) in look.plan.routes.iter().enumerate() {
        let host = crate::parameters::host(&route.primary);
        if host.parse::<IpAddr>().is_ok_and(is_private) {
            let message = format!(
                "`{}` is reached at {host}, an address that Route 53's checkers cannot reach",
                route.name
            );
            let help =
                "name an endpoint that is reached from the internet: its vote would be \"down\" for ever";
            findings.push(finding(Level::Error, message, help).at([format!("routes[{index}].primary")]));
        }
    }
    let window = look.plan.detection.window;
    let voters = if look.plan.regions.witness.is_some() { 3 } else { 2 };
    if window < CHECKERS_TAKE && look.plan.detection.quorum >= voters {
        let message = format!(
            "all {voters} votes are needed after {window}, and Route 53's own comes after {CHECKERS_TAKE}"
        );
        let help = "count on detection at Route 53's pace, or ask for one vote less";
        findings.push(
            finding(Level::Note, message, help)
                .at(["detection.window", "detection.quorum"])
                .computed(vec![format!("3 checks of 30 s = {CHECKERS_TAKE}")]),
        );
    }
    findings
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// Whether the fence waits for people however the plan is set.
pub(super) fn asks_for_acceptance(plan: &Plan) -> bool {
    plan.lease.on_loss == OnLeaseLoss::Stay
}
