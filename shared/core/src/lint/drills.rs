//! Rehearsals: whether they fit into their time, come often enough, and can run at all.

use super::{Finding, Level, Look, finding};
use crate::plan::{Drill, DrillKind, Framework, Plan};
use crate::time::Millis;
use crate::words::span;
use jiff::Timestamp;
use jiff::tz::TimeZone;

const YEAR: Millis = Millis::from_secs(366 * 86_400);

pub(super) fn phases(look: &Look<'_>) -> Vec<Finding> {
    let drills = look.plan.drills.iter().enumerate();
    let long = drills.filter_map(|(index, drill)| {
        let window = drill.window?;
        let sum = drill.phases.iter().fold(Millis::ZERO, |sum, phase| sum.saturating_add(phase.takes));
        (sum > window).then(|| {
            let steps: Vec<String> = drill.phases.iter().map(|phase| phase.takes.to_string()).collect();
            let message =
                format!("the phases of `{}` take {}, and its window is {window}", drill.name, span(sum));
            let help = format!("write `window: {}m`, or rehearse less at a time", sum.0.div_ceil(60_000));
            finding(Level::Error, message, &help)
                .at([format!("drills[{index}].window"), format!("drills[{index}].phases")])
                .computed(vec![format!("{} = {}", steps.join(" + "), span(sum))])
        })
    });
    long.collect()
}

pub(super) fn gaps(look: &Look<'_>) -> Vec<Finding> {
    let drills = look.plan.drills.iter().enumerate();
    let rare = drills.filter_map(|(index, drill)| {
        let every = drill.at_least_every?;
        let late = |message: String, help: &str| {
            finding(Level::Error, message, help)
                .at([format!("drills[{index}].at_least_every"), format!("drills[{index}].schedule")])
        };
        let Some(schedule) = &drill.schedule else {
            let message = format!("`{}` is to come at least every {every}, and starts only when somebody asks", drill.name);
            return Some(finding(Level::Warning, message, "give it a `schedule`, or know who asks for it").at([format!("drills[{index}].at_least_every")]));
        };
        match drill.longest_gap() {
            None => Some(late(format!("`{}` is to come at least every {every}, and its schedule never fires from 2026 to 2034", drill.name), "mend the schedule")),
            Some(gap) if gap > every => Some(
                late(
                    format!("`{}` is to come at least every {every}, and its schedule leaves up to {} without one", drill.name, span(gap)),
                    "fire more often, or say what the schedule keeps: quarters of the calendar leave up to 92 days. What the \
                     clocks skip in spring does not fire, and behind a schedule's last year nothing does",
                )
                .computed(vec![format!(
                    "{} in {}: longest gap from 2026 to 2034, {}",
                    schedule.text(),
                    drill.time_zone.as_deref().unwrap_or("UTC"),
                    span(gap)
                )]),
            ),
            Some(_) => None,
        }
    });
    rare.collect()
}

/// What the text of a rule asks, as far as it asks for tests at a cadence: (rule, its words in short, longest gap).
fn cadence(framework: Framework) -> Option<(&'static str, Millis)> {
    Some(match framework {
        Framework::RegSci => {
            ("Reg SCI 1004 asks for functional and performance tests at least every 12 months", YEAR)
        }
        Framework::PciDss => ("PCI DSS 12.10.2 asks for a test of the response plan every 12 months", YEAR),
        Framework::MifidIi => ("MiFID II RTS 6, article 14, asks for a test every year", YEAR),
        Framework::Dora => ("DORA, article 11(6), asks for tests at least yearly", YEAR),
        // They ask for reviews, planned intervals or evidence, and name no cadence of tests.
        Framework::Finra4370
        | Framework::Sec17a4
        | Framework::Sox
        | Framework::Glba
        | Framework::Soc2
        | Framework::Iso22301
        | Framework::Iso27001
        | Framework::NistCsf
        | Framework::Gdpr
        | Framework::Ccpa => return None,
    })
}

/// A drill that moves the application, as far as it can be rehearsed.
fn moves(drill: &Drill) -> bool {
    matches!(drill.kind, DrillKind::RegionFailover | DrillKind::ApplicationFailover)
}

pub(super) fn frameworks(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let shortest = plan.drills.iter().filter(|drill| moves(drill)).filter_map(Drill::longest_gap).min();
    let mut findings = Vec::new();
    for (index, rule) in plan.frameworks.iter().enumerate() {
        let at = format!("frameworks[{index}].name");
        match (cadence(rule.name), shortest) {
            (Some((asks, every)), Some(gap)) if gap > every => {
                let message = format!("{asks}; the plan's own drills leave up to {} without one", span(gap));
                findings.push(
                    finding(Level::Error, message, "schedule a drill of the whole move more often").at([at]),
                );
            }
            (Some((asks, _)), None) => {
                let message = format!("{asks}; no drill of the whole move is scheduled");
                findings.push(
                    finding(Level::Warning, message, "add a drill `kind: region-failover` with a schedule")
                        .at([at]),
                );
            }
            _ => {}
        }
    }
    findings.extend(review(plan));
    findings
}

/// FINRA 4370(b) asks for a review every year.
fn review(plan: &Plan) -> Option<Finding> {
    let index = plan.frameworks.iter().position(|rule| rule.name == Framework::Finra4370)?;
    let every = plan.review.as_ref().map(|review| review.every);
    if every.is_some_and(|every| every <= YEAR) {
        return None;
    }
    let has = every.map_or_else(
        || "the plan names no review".to_owned(),
        |every| format!("the plan is reviewed every {every}"),
    );
    let message = format!("FINRA 4370(b) asks for an annual review; {has}");
    Some(
        finding(Level::Warning, message, "write `review: {by: [...], last: ..., every: 365d}`")
            .at([format!("frameworks[{index}].name")]),
    )
}

/// What `drill-runner` starts needs a rehearsal environment.
pub(super) fn runnable(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let scheduled: Vec<(usize, &Drill)> = plan
        .drills
        .iter()
        .enumerate()
        .filter(|(_, drill)| drill.kind == DrillKind::RegionFailover && drill.schedule.is_some())
        .collect();
    let mut findings = Vec::new();
    let is_rehearsal = plan.environment == crate::plan::Environment::Rehearsal;
    if let (Some((index, drill)), None, false) = (scheduled.first(), &plan.rehearsal, is_rehearsal) {
        let message =
            format!("`{}` is scheduled, and the plan has no rehearsal environment to run it in", drill.name);
        let help = "add `rehearsal`: a twin of each store and route; a drill runs there or nowhere";
        findings.push(finding(Level::Warning, message, help).at([format!("drills[{index}].schedule")]));
    }
    if let Some((index, drill)) = scheduled.get(1) {
        let message = format!(
            "`{}` has a schedule, and only the first scheduled region failover is started by itself",
            drill.name
        );
        let help = "start this one by `understudy drill`, or put both into one schedule";
        findings.push(finding(Level::Note, message, help).at([format!("drills[{index}].schedule")]));
    }
    findings
}

/// What `drill-runner` would decline when the time comes, by the same question that it asks.
pub(super) fn kept_out(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let drills = plan.drills.iter().enumerate().filter(|(_, drill)| drill.kind == DrillKind::RegionFailover);
    let kept = drills.filter_map(|(index, drill)| {
        let zone = TimeZone::get(drill.time_zone.as_deref().unwrap_or("UTC")).ok()?;
        let firings = drill.schedule.as_ref()?.firings(&zone, look.today);
        let declined: Vec<(Timestamp, String)> =
            firings.iter().filter_map(|at| Some((*at, plan.guarded_at(*at)?))).collect();
        let (first, why) = declined.first()?;
        let (level, all) = if declined.len() == firings.len() {
            (Level::Error, "every time")
        } else {
            (Level::Warning, "not every time")
        };
        let message = format!(
            "`{}` is declined, {all}: {} of {} starts until 2034 fall where `drill_guard` keeps drills out",
            drill.name,
            declined.len(),
            firings.len()
        );
        let help = "move the schedule, or say in `drill_guard` that it may run then; a drill that is declined is not made up for";
        Some(
            finding(level, message, help)
                .at([format!("drills[{index}].schedule"), "drill_guard".to_owned()])
                .computed(vec![format!("the first: {first}, {why}")]),
        )
    });
    kept.collect()
}
