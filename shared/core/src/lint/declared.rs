//! What a plan says and nobody does yet.

use super::{Finding, Level, Look, finding};
use crate::plan::{DrillKind, Plan};
use crate::words::{count, list};

pub(super) fn declared_only(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let all = parts(plan);
    if all.is_empty() {
        return Vec::new();
    }
    let message = format!("declared only, read and printed but done by nobody: {}", list(&all));
    let help = "nothing to change: do these by other means, and do not count on Understudy for them";
    vec![finding(Level::Note, message, help)]
}

fn parts(plan: &Plan) -> Vec<String> {
    let drills = plan.drills.iter().filter(|drill| drill.kind != DrillKind::RegionFailover).count();
    let counted = [
        (plan.declared_stores.len(), "declared store"),
        (plan.backups.len(), "backup"),
        (plan.scenarios.len(), "scenario"),
        (drills, "drill of another kind"),
        (plan.escalation.len(), "escalation level"),
        (plan.communications.len(), "communication"),
        (plan.after_recovery.len(), "step after recovery"),
    ];
    let counted = counted.into_iter().filter(|(number, _)| *number > 0);
    let mut parts: Vec<String> = counted
        .map(|(number, noun)| match noun.split_once(' ') {
            // `drills of another kind`, not `drill of another kinds`.
            Some((head, tail)) if tail.starts_with("of ") || tail.starts_with("after ") => {
                format!("{} {tail}", count(number, head))
            }
            _ => count(number, noun),
        })
        .collect();
    parts.extend(plan.upkeep.is_some().then(|| "upkeep".to_owned()));
    parts.extend(
        plan.drill_guard
            .as_ref()
            .is_some_and(|guard| !guard.stop_when.is_empty() || guard.rest.is_some())
            .then(|| "what stops or spaces a drill".to_owned()),
    );
    parts
}

pub(super) fn required(look: &Look<'_>) -> Vec<Finding> {
    let needed = look.plan.declared_stores.iter().enumerate().filter(|(_, store)| store.required);
    needed.map(|(index, store)| {
        let message = format!("`{}` is required, and Understudy neither watches nor promotes it", store.name);
        let help = "a failover without it would be no recovery, so `understudy package` refuses this plan: write `required: false` and \
                    what comes of it in `after_a_move`, or wait until its kind is executed";
        finding(Level::Error, message, help).at([format!("declared_stores[{index}].required")])
    }).collect()
}
