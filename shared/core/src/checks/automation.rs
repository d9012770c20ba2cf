//! Whether automation is free to act, and whether the switch that it would move is alive and moves anything.

use super::{Finding, Grade, finding, pass};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::situation::Situation;
use crate::time::elapsed;
use crate::wiring::Wiring;
use crate::words::instant;

pub(super) fn not_on_hold(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-02";
    vec![match &s.hold {
        Observed::Known { value: None, .. } => pass(id, &plan.name, "no hold"),
        Observed::Known { value: Some(flag), .. } => finding(
            id,
            &plan.name,
            Grade::Block,
            match flag.category {
                None => format!("on hold since {} by `{}`: {}", instant(flag.at), flag.by, flag.why),
                Some(_) => format!("{}, since {}", flag.told(), instant(flag.at)),
            },
            flag.road(),
        ),
        Observed::Unknown { reason } => {
            finding(id, &plan.name, Grade::Unknown, reason, "make the state table readable")
        }
    }]
}

/// Levels are re-published every tick; three missed ones mean that nobody would move the switch either.
const SWITCH_TICKS: u64 = 3;

pub(super) fn switch_published(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-09";
    let fix = "check dns-switcher's schedule and its permission to publish the switch metric";
    vec![match &s.switch {
        Observed::Unknown { reason } => finding(id, &plan.name, Grade::Unknown, reason, fix),
        Observed::Known { value, .. } => match value.published_at {
            Some(at) if elapsed(at, s.at) <= plan.tick.times(SWITCH_TICKS) => {
                pass(id, &plan.name, format!("level {} published at {}", value.serves.level(), instant(at)))
            }
            Some(at) => {
                finding(id, &plan.name, Grade::Block, format!("last published at {}", instant(at)), fix)
            }
            None => finding(id, &plan.name, Grade::Block, "never published", fix),
        },
    }]
}

/// What was found so many ticks ago says nothing certain of now: Route 53's API may be what is lost, and keeps no failover
/// waiting (L1).
const WIRING_TICKS: u64 = 15;
pub(super) fn switch_wired(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-17";
    let unread = |reason: &str| {
        let fix = "see the log of dns-switcher: its tick reads records, health checks and the switch's alarm";
        vec![finding(
            id,
            &plan.name,
            Grade::Warn,
            format!("nobody has looked whether the switch moves the names: {reason}"),
            fix,
        )]
    };
    let wiring = match &s.wiring {
        Observed::Unknown { reason } => return unread(reason),
        Observed::Known { value: None, .. } => return unread("the tick that looks has not come yet"),
        Observed::Known { value: Some(wiring), .. } => wiring,
    };
    let Some(read_at) = wiring.read_at else {
        return unread(wiring.missed.as_deref().unwrap_or("no look was whole"));
    };
    // Of a look that is dated ahead nobody knows how old it is.
    let old =
        elapsed(read_at, s.at) > plan.tick.times(WIRING_TICKS) || elapsed(s.at, read_at) > plan.tick.times(2);
    let told = faults(wiring, old);
    if !told.is_empty() {
        return told;
    }
    let evidence = format!("records, health checks and alarm were as they must be at {}", instant(read_at));
    if !old {
        return vec![pass(id, &plan.name, evidence)];
    }
    let since = wiring.missed.as_deref().unwrap_or("nobody has looked");
    vec![finding(
        id,
        &plan.name,
        Grade::Warn,
        format!("{evidence}; since: {since}"),
        "let dns-switcher read them",
    )]
}

/// What was found: what holds a name blocks while it is young, everything else warns.
fn faults(wiring: &Wiring, old: bool) -> Vec<Finding> {
    let as_ours = |found: &Finding, grade| Finding {
        id: "PF-17".to_owned(),
        grade,
        evidence: format!("{}: {}", found.id, found.evidence),
        ..found.clone()
    };
    let stuck = wiring.stuck.iter().map(|found| as_ours(found, if old { Grade::Warn } else { Grade::Block }));
    let mut told: Vec<Finding> = stuck.collect();
    for found in &wiring.findings {
        if told.iter().all(|known| known.subject != found.subject) {
            told.push(as_ours(found, Grade::Warn));
        }
    }
    told
}
