//! Whether automation is free to act, and whether the switch that it would move is alive.

use super::{Finding, Grade, finding, pass};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::situation::Situation;
use crate::time::elapsed;
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
