//! A plan as a person would explain it: what is promised, when the primary counts as down, who is asked, what moves.
//!
//! The same words serve the terminal and the page. Nothing here judges: that is the linter's.

mod page;
mod picture;

pub use page::page;
pub use picture::svg;

use crate::plan::{DeclaredStore, Drill, Hook, HookPoint, Mode, OnLeaseLoss, Plan, Route, Store};
use crate::time::Millis;
use crate::words::{count, list, span};

/// A heading and what stands under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub head: &'static str,
    pub lines: Vec<String>,
}

/// The plan in words, section by section.
#[must_use]
pub fn explain(plan: &Plan) -> Vec<Section> {
    let sections = [
        ("Promise", promise(plan)),
        ("Places", places(plan)),
        ("Down means", down(plan)),
        ("People", people(plan)),
        ("Fence", fence(plan)),
        ("Data", plan.stores.iter().map(store).chain(plan.declared_stores.iter().map(declared)).collect()),
        ("Traffic", plan.routes.iter().map(route).collect()),
        ("Calls", plan.hooks.iter().map(hook).collect()),
        ("Rehearsal", drills(plan)),
    ];
    let told = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    told.map(|(head, lines)| Section { head, lines }).collect()
}

fn promise(plan: &Plan) -> Vec<String> {
    let share = plan
        .objectives
        .availability
        .map(|share| format!("; it serves {share} of the time"))
        .unwrap_or_default();
    let mut lines = vec![format!(
        "back within {} of a failure, {}{share}",
        span(plan.objectives.rto),
        losing(plan.objectives.rpo)
    )];
    for tier in &plan.tiers {
        let of: Vec<&str> = plan
            .services
            .iter()
            .filter(|one| one.tier.as_ref() == Some(&tier.name))
            .map(|one| one.name.as_str())
            .collect();
        let of = if of.is_empty() { String::new() } else { format!(": {}", of.join(", ")) };
        lines.push(format!("{} within {}, {}{of}", tier.name, span(tier.rto), losing(tier.rpo)));
    }
    lines.extend(plan.calendar.as_ref().map(|calendar| {
        let hours: Vec<String> = calendar.sessions.iter().map(crate::plan::SessionHours::words).collect();
        format!("sessions {} ({}){}", list(&hours), calendar.time_zone, days_off(calendar))
    }));
    lines.push(format!("{} answers for it", plan.owner));
    lines
}

fn losing(rpo: Millis) -> String {
    if rpo == Millis::ZERO {
        "losing nothing".to_owned()
    } else {
        format!("losing at most {} of writes", span(rpo))
    }
}

fn places(plan: &Plan) -> Vec<String> {
    let watcher = match &plan.regions.witness {
        Some(witness) => format!("{} only watches and keeps the second copy of the lease", witness.0),
        None => "nobody else watches".to_owned(),
    };
    vec![format!("{} serves, {} takes over, {watcher}", plan.regions.primary.0, plan.regions.standby.0)]
}

fn down(plan: &Plan) -> Vec<String> {
    let voters = if plan.regions.witness.is_some() { 3 } else { 2 };
    let mut lines = vec![
        format!(
            "{} of {voters} votes bad for {} without a break, looked at every {}",
            plan.detection.quorum,
            span(plan.detection.window),
            span(plan.pace())
        ),
        format!("and no keeper has seen the lease renewed for {}", span(plan.lease.ttl)),
        format!("after an execution nothing new starts for {}", span(plan.detection.cooldown)),
    ];
    lines.extend(plan.maintenance.iter().map(|window| {
        format!("from {} to {} nothing moves by itself: {}", window.from, window.to, window.why)
    }));
    lines
}

fn people(plan: &Plan) -> Vec<String> {
    let policy = &plan.policy;
    let mode = |mode: Mode| match mode {
        Mode::Approval => "waits for people",
        Mode::Automatic => "starts by itself",
    };
    let mut lines = vec![match policy.in_session {
        Some(other) if other != policy.failover => {
            format!("a failover {} within sessions, and {} outside", mode(other), mode(policy.failover))
        }
        _ => format!("a failover {}", mode(policy.failover)),
    }];
    let asked = policy.failover == Mode::Approval
        || policy.in_session == Some(Mode::Approval)
        || plan.lease.on_loss == OnLeaseLoss::Stay;
    if asked {
        let who = if policy.approvers.is_empty() {
            "anybody who may".to_owned()
        } else {
            policy.approvers.join(" or ")
        };
        let people = count(usize::try_from(policy.approvals).unwrap_or(usize::MAX), "person");
        lines.push(format!(
            "{} must say yes, of {who}, within {}; silence is a no",
            people.replace("persons", "people"),
            span(policy.approval_timeout)
        ));
    }
    lines.extend(
        plan.escalation.iter().map(|level| format!("{} told {}", level.to.join(", "), when(level.after))),
    );
    lines
}

fn when(after: Millis) -> String {
    if after == Millis::ZERO { "at once".to_owned() } else { format!("after {}", span(after)) }
}

fn fence(plan: &Plan) -> Vec<String> {
    let lease = &plan.lease;
    vec![match lease.on_loss {
        OnLeaseLoss::Fence => format!(
            "the database itself stops its writers once the lease ran out: {} + {} + {} after the last renewal",
            span(lease.ttl), span(lease.commit_margin), span(lease.drift)
        ),
        OnLeaseLoss::Stay => {
            "a primary that loses its lease goes on serving: a named person must accept the risk of two writers".to_owned()
        }
    }]
}

fn store(store: &Store) -> String {
    format!(
        "{}: {} is promoted for {}; normally {} behind, people are told from {}, nothing moves from {}{}",
        store.name,
        store.standby.id,
        store.primary.id,
        span(store.lag.typical),
        span(store.lag.warn),
        span(store.lag.block),
        if store.required { "" } else { "; not required" }
    )
}

fn declared(store: &DeclaredStore) -> String {
    let after = store.after_a_move.as_ref().map(|after| format!(": {after}")).unwrap_or_default();
    format!("{}: declared only{after}", store.name)
}

fn route(route: &Route) -> String {
    format!(
        "{}: {} moves by a metric, not by an API; resolvers keep the old answer for up to {}; believed once it has lasted {}",
        route.name,
        route.record,
        span(route.ttl),
        span(route.hold)
    )
}

fn hook(hook: &Hook) -> String {
    let at = match hook.at {
        HookPoint::Capacity => "while the standby is assessed",
        HookPoint::Recycle => "after promotion",
        HookPoint::Consumers => "after traffic has moved",
    };
    let undo = if hook.undo.is_some() { ", and is undone if nothing comes of it" } else { "" };
    format!("{} is called {at}{undo}", hook.name)
}

fn drills(plan: &Plan) -> Vec<String> {
    let one = |drill: &Drill| {
        let when = match &drill.schedule {
            Some(schedule) => schedule.text().to_owned(),
            None => "on demand".to_owned(),
        };
        format!("{}: {} ({when})", drill.name, drill.kind.words())
    };
    let mut lines: Vec<String> = plan.drills.iter().map(one).collect();
    if plan.rehearsal.is_none() {
        lines.push("no rehearsal environment: no drill of the whole move can start".to_owned());
    }
    lines
}

/// `; no session on 20 days from 2026-12-25 to 2028-12-25, an early end on 4`
fn days_off(calendar: &crate::plan::Calendar) -> String {
    let off = match (calendar.holidays.iter().min(), calendar.holidays.iter().max()) {
        (Some(first), Some(last)) => {
            format!("; no session on {} from {first} to {last}", count(calendar.holidays.len(), "day"))
        }
        _ => "; no holidays are written".to_owned(),
    };
    let early = calendar.half_days.len();
    if early == 0 { off } else { format!("{off}, an early end on {early}") }
}
