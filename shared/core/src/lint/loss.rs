//! Loss: what the promises ask, against what replicas and copies can hold.

use super::{Finding, Level, Look, finding};
use crate::budget::required;
use crate::plan::{Plan, RecoveredBy, Replication};
use crate::time::Millis;
use crate::words::span;

/// Every promise of no loss that nothing synchronous stands behind.
pub(super) fn none_at_all(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let tiers = plan.tiers.iter().enumerate().filter(|(_, tier)| uses(plan, &tier.name));
    let tiers =
        tiers.map(|(index, tier)| (format!("tier `{}`", tier.name), format!("tiers[{index}].rpo"), tier.rpo));
    let services = super::promised::ours(plan)
        .filter(|one| one.own_rpo)
        .filter_map(|one| Some((format!("`{}`", one.name), one.rpo_at, one.rpo?)));
    let whole = ("the application".to_owned(), "objectives.rpo".to_owned(), plan.objectives.rpo);
    let promised =
        std::iter::once(whole).chain(tiers).chain(services).filter(|(_, _, rpo)| *rpo == Millis::ZERO);
    let asynchronous: Vec<String> = required(plan)
        .map(|store| format!("`{}`: asynchronous, {} behind in normal times", store.name, store.lag.typical))
        .chain(
            plan.declared_stores
                .iter()
                .filter(|store| store.required && store.replication != Replication::Synchronous)
                .map(|store| format!("`{}`: not synchronous", store.name)),
        )
        .collect();
    if asynchronous.is_empty() {
        return Vec::new();
    }
    promised.map(|(who, at, _)| {
        let message = format!("{who} is promised no loss, and what holds its data is not synchronous");
        let help = "a write must be acknowledged only once the standby has it, or the promise must be above the lag; a promise \
                    that replication within one site keeps belongs to a service with `met_by: on-site`";
        finding(Level::Error, message, help).at([at]).computed(asynchronous.clone())
    }).collect()
}

/// Whether a service that a move brings back is of this tier.
fn uses(plan: &Plan, tier: &str) -> bool {
    super::promised::ours(plan).any(|service| service.tier.as_deref() == Some(tier))
}

pub(super) fn typical_lag(look: &Look<'_>) -> Vec<Finding> {
    let rpo = look.plan.objectives.rpo;
    let behind = look
        .plan
        .stores
        .iter()
        .enumerate()
        .filter(|(_, store)| store.required && rpo > Millis::ZERO && store.lag.typical >= rpo);
    behind
        .map(|(index, store)| {
            let message = format!(
                "`{}` is {} behind in normal times, and the RPO is {rpo}",
                store.name, store.lag.typical
            );
            let help = "a normal day loses more than is promised: promise more, or replicate faster";
            finding(Level::Error, message, help)
                .at([format!("stores[{index}].lag.typical"), "objectives.rpo".to_owned()])
        })
        .collect()
}

pub(super) fn blocking_lag(look: &Look<'_>) -> Vec<Finding> {
    let rpo = look.plan.objectives.rpo;
    let lax = look
        .plan
        .stores
        .iter()
        .enumerate()
        .filter(|(_, store)| store.required && store.lag.typical < rpo && store.lag.block > rpo);
    lax.map(|(index, store)| {
        let message = format!(
            "`{}` may be {} behind before a failover is blocked, and the RPO is {rpo}",
            store.name, store.lag.block
        );
        let help = format!(
            "write `block: {rpo}` or less; a person may still override the check, by name and with a reason"
        );
        finding(Level::Warning, message, &help)
            .at([format!("stores[{index}].lag.block"), "objectives.rpo".to_owned()])
    })
    .collect()
}

/// A receipt of an expired lease bounds the loss no better than the lease itself.
pub(super) fn shown(look: &Look<'_>) -> Vec<Finding> {
    let (plan, rpo) = (look.plan, look.plan.objectives.rpo);
    let fields = ["objectives.rpo", "lease.ttl", "lease.commit_margin", "lease.drift"];
    match look.budget.rpo_bound {
        Some(bound) if bound.least > rpo => {
            let lease = &plan.lease;
            let message = format!(
                "no report of an unplanned failover can show an RPO of {rpo} as met: the lease alone bounds the loss by {}",
                span(bound.least)
            );
            let help = "a lease that is renewed more often (`look`) and runs out sooner narrows the bound; what was really lost is counted afterwards, and may be far less";
            let sum = format!(
                "{} + {} + {} - 2 x a {} of {} = {}",
                lease.ttl,
                lease.commit_margin,
                lease.drift,
                crate::budget::pace_field(plan),
                plan.pace(),
                span(bound.least)
            );
            vec![finding(Level::Warning, message, help).at(fields).computed(vec![sum])]
        }
        None => {
            let message = format!(
                "no report of an unplanned failover can show an RPO of {rpo} as met: {}",
                look.budget.rpo_because
            );
            let help = "arm the dead-man (`on_loss: fence`) once its shadow period is over; until then say \"not shown\" where the \
                        figure is asked for";
            vec![finding(Level::Note, message, help).at(["objectives.rpo", "lease.on_loss"])]
        }
        Some(_) => Vec::new(),
    }
}

/// What is not there yet when it is needed is lost: half of it on average, all of it at worst.
pub(super) fn copies(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let mut findings = Vec::new();
    for (index, store) in plan.declared_stores.iter().enumerate() {
        let Some(every) = store.shipped_every.filter(|every| store.required && *every > tightest(plan))
        else {
            continue;
        };
        let message = format!(
            "`{}` is shipped every {every}, and {} is promised to be the most that is lost",
            store.name,
            tightest(plan)
        );
        let help = "ship more often, stream, or promise more";
        findings.push(
            finding(Level::Error, message, help).at([format!("declared_stores[{index}].shipped_every")]),
        );
    }
    let best = plan.backups.iter().map(|backup| backup.every).min();
    for (index, scenario) in
        plan.scenarios.iter().enumerate().filter(|(_, one)| one.recovered_by == RecoveredBy::Restore)
    {
        let at = format!("scenarios[{index}].rpo");
        let Some(rpo) = scenario.rpo else { continue };
        let (message, sum) = match best {
            None => {
                (format!("`{}` is recovered from a copy, and the plan makes none", scenario.name), Vec::new())
            }
            Some(every) if every > rpo => (
                format!("`{}` may lose {rpo}, and the newest copy may be {every} old", scenario.name),
                plan.backups.iter().map(|one| format!("`{}`: every {}", one.name, one.every)).collect(),
            ),
            Some(_) => continue,
        };
        let help = "copy as often as the promise asks (continuous backups reach back to a point in time), or promise more";
        findings.push(finding(Level::Error, message, help).at([at, "backups".to_owned()]).computed(sum));
    }
    findings
}

/// The smallest loss that is promised of anything that a move brings back.
fn tightest(plan: &Plan) -> Millis {
    super::promised::ours(plan).filter_map(|service| service.rpo).fold(plan.objectives.rpo, Millis::min)
}

pub(super) fn ages(look: &Look<'_>) -> Vec<Finding> {
    let stale = look.plan.backups.iter().enumerate().filter_map(|(index, backup)| {
        let max_age = backup.max_age.filter(|max_age| *max_age <= backup.every)?;
        let message =
            format!("`{}` is made every {}, and is too old after {max_age}", backup.name, backup.every);
        let help =
            "leave room for the copy itself: a daily copy is found too old after 26 hours, not after 24";
        Some(
            finding(Level::Warning, message, help)
                .at([format!("backups[{index}].max_age"), format!("backups[{index}].every")]),
        )
    });
    stale.collect()
}
