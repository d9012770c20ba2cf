//! Safety: what the machine cannot know, and what people must be able to do.

use super::{Finding, Level, Look, finding};
use crate::plan::{Category, Mode, OnLeaseLoss, RecoveredBy, StoreKind};
use crate::time::Millis;
use crate::words::list;

/// What two clocks that are kept by the Amazon Time Sync Service may still differ by.
const CLOCKS: Millis = Millis(100);
/// Half of the margin ends a statement, half an idle transaction: less than this ends the work of a busy application.
const MARGIN: Millis = Millis(2000);

/// S3 takes no longer name of a bucket. Ours is `understudy-PLAN-ACCOUNT-REGION`.
const LONGEST_BUCKET: usize = 63;
const ACCOUNT: usize = 12;

/// A calendar that ran out takes every holiday for a session: automation stops where it need not, drills are declined.
pub(super) fn holidays(look: &Look<'_>) -> Vec<Finding> {
    let Some(calendar) = &look.plan.calendar else { return Vec::new() };
    let Some(last) = calendar.holidays.iter().max().filter(|last| **last < look.today) else {
        return Vec::new();
    };
    let message = format!("every holiday of the calendar lies behind: the last one was {last}");
    let help = "add those that the market has published since, and its half-days";
    vec![finding(Level::Warning, message, help).at(["calendar.holidays"])]
}

pub(super) fn names(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let around = "understudy---".len() + ACCOUNT + plan.regions.standby.0.len();
    let most = LONGEST_BUCKET.saturating_sub(around);
    if plan.name.len() <= most {
        return Vec::new();
    }
    let message = format!(
        "the name `{}` has {} characters, and in {} the evidence bucket's name leaves room for {most}",
        plan.name,
        plan.name.len(),
        plan.regions.standby.0
    );
    let help = "shorten it: the stack cannot be deployed. Its rehearsal's name is ten characters longer";
    vec![finding(Level::Error, message, help).at(["plan"])]
}

pub(super) fn witness(look: &Look<'_>) -> Vec<Finding> {
    if look.plan.regions.witness.is_some() {
        return Vec::new();
    }
    let message =
        "there is no witness: one keeper holds the lease, and two votes judge the primary".to_owned();
    let help = "add `witness` in a third Region: without it a standby that is cut off and a primary that is gone look alike, and \
                no failover gets an *expired* receipt";
    vec![finding(Level::Warning, message, help).at(["regions.witness", "regions.standby"])]
}

pub(super) fn waiver(look: &Look<'_>) -> Vec<Finding> {
    let reason = look.plan.lease.arming.as_ref().and_then(|arming| arming.shadow_waived.as_ref());
    let told = reason.map(|reason| {
        let message = format!("the shadow period was waived: \"{reason}\"");
        let help = "run 30 days in the shadow and write `shadow_days`: a false fence of a healthy primary is an outage made by \
                    Understudy; until then every report prints the waiver";
        finding(Level::Warning, message, help).at(["lease.arming.shadow_waived"])
    });
    told.into_iter().collect()
}

pub(super) fn clocks(look: &Look<'_>) -> Vec<Finding> {
    let lease = &look.plan.lease;
    let mut findings = Vec::new();
    if lease.drift < CLOCKS {
        let message = format!(
            "two clocks are trusted to drift by no more than {} over a lease of {}",
            lease.drift, lease.ttl
        );
        let help = "write `1s`: it costs a second of the wait, and a clock that drifts further than it may breaks the one-writer law";
        findings.push(finding(Level::Warning, message, help).at(["lease.drift", "lease.ttl"]));
    }
    if lease.commit_margin < MARGIN {
        let message =
            format!("every writer's statements and pauses are bounded by half of {}", lease.commit_margin);
        let help = "write `10s`: a busy application's transactions must fit into half of the margin";
        findings.push(finding(Level::Warning, message, help).at(["lease.commit_margin"]));
    }
    findings
}

/// A replica holds what the primary holds, the damage too (L8).
pub(super) fn scenarios(look: &Look<'_>) -> Vec<Finding> {
    let scenarios = look.plan.scenarios.iter().enumerate();
    let wrong = scenarios.filter_map(|(index, scenario)| {
        let at = format!("scenarios[{index}].recovered_by");
        let (level, message, help) = match (scenario.category, scenario.recovered_by) {
            (Category::Corruption | Category::Security, RecoveredBy::Failover) => (
                Level::Error,
                format!("`{}` is to be recovered by a failover, and the replica has the damage too", scenario.name),
                "write `recovered_by: restore`: choose a point before the first bad write, restore beside, look, then cut over",
            ),
            (Category::Partition, RecoveredBy::Failover) => (
                Level::Warning,
                format!("`{}` is a partition: the primary lives and serves, and no failover starts by itself", scenario.name),
                "expect a page, not a move; if it should move, a person starts a switchover",
            ),
            _ => return None,
        };
        Some(finding(level, message, help).at([at]))
    });
    wrong.collect()
}

pub(super) fn escalation(look: &Look<'_>) -> Vec<Finding> {
    let (plan, levels) = (look.plan, &look.plan.escalation);
    let asked = super::time::asks_for_acceptance(plan)
        || plan.policy.failover == Mode::Approval
        || plan.policy.in_session == Some(Mode::Approval);
    let Some(first) = levels.first().filter(|_| asked) else { return Vec::new() };
    let mut findings = Vec::new();
    if first.after > plan.policy.approval_timeout {
        let message = format!(
            "the first people are told after {}, and the question to them has expired by then ({})",
            first.after, plan.policy.approval_timeout
        );
        findings.push(
            finding(Level::Warning, message, "tell somebody at once: `after: 0s`")
                .at(["escalation[0].after", "policy.approval_timeout"]),
        );
    }
    let slow = levels.iter().enumerate().find_map(|(index, level)| {
        let within = level
            .acknowledge_within
            .filter(|within| level.after == Millis::ZERO && *within > plan.policy.approval_timeout)?;
        Some((index, within))
    });
    findings.extend(slow.map(|(index, within)| {
        let message = format!(
            "people may take {within} to acknowledge, and an unanswered question is a no after {}",
            plan.policy.approval_timeout
        );
        let help = "ask for an acknowledgement within the time that the question is open";
        finding(Level::Warning, message, help)
            .at([format!("escalation[{index}].acknowledge_within"), "policy.approval_timeout".to_owned()])
    }));
    findings
}

/// Only where the plan has a roster can it be incomplete.
pub(super) fn reachable(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    if plan.contacts.is_empty() {
        return Vec::new();
    }
    let named = plan.policy.approvers.iter().chain(plan.escalation.iter().flat_map(|level| &level.to));
    let mut unknown: Vec<String> = named
        .filter(|role| !plan.contacts.iter().any(|contact| contact.role == **role))
        .map(|role| format!("`{role}`"))
        .collect();
    unknown.sort();
    unknown.dedup();
    if unknown.is_empty() {
        return Vec::new();
    }
    let message = format!("nothing says how to reach {}", list(&unknown));
    vec![finding(Level::Warning, message, "add each to `contacts`, with the channel").at(["contacts"])]
}

pub(super) fn automatic(look: &Look<'_>) -> Vec<Finding> {
    let (policy, lease) = (&look.plan.policy, &look.plan.lease);
    let alone = policy.failover == Mode::Automatic || policy.in_session == Some(Mode::Automatic);
    if !alone || lease.on_loss == OnLeaseLoss::Fence {
        return Vec::new();
    }
    let message = "the failover starts by itself and then waits for people: without an armed dead-man nobody but a person can say \
                   that the old primary has stopped"
        .to_owned();
    let help = "arm the dead-man (`on_loss: fence`), or write `failover: approval` so that people expect the question";
    vec![finding(Level::Warning, message, help).at(["lease.on_loss", "policy.failover"])]
}

/// What RDS's certificates are made out to.
const RDS_NAMES: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

/// An alias of one's own for an instance resolves, and then fails: its certificate is made out to the endpoint, and so is
/// every token that logs in.
pub(super) fn endpoints(look: &Look<'_>) -> Vec<Finding> {
    let stores = look.plan.stores.iter().enumerate();
    let managed = stores.filter(|(_, store)| store.kind == StoreKind::RdsPostgres);
    let hosts = managed.flat_map(|(index, store)| {
        [("primary", &store.primary), ("standby", &store.standby)]
            .map(|(side, instance)| (format!("stores[{index}].{side}.host"), &instance.host))
    });
    let aliases = hosts.filter(|(_, host)| !RDS_NAMES.iter().any(|name| host.ends_with(name)));
    aliases
        .map(|(at, host)| {
            let message = format!(
                "`{host}` is no endpoint of RDS: its certificate does not fit it, and no login by token works"
            );
            let help =
                "write the instance's endpoint, as the console and `aws rds describe-db-instances` show it";
            finding(Level::Warning, message, help).at([at])
        })
        .collect()
}
