//! Questions about the records by which traffic moves.
//!
//! PRIMARY must hang on the switch alone and SECONDARY on nothing, or Route 53 moves clients by itself: to a
//! standby that still refuses writes, or back to a primary that was fenced.

use super::{
    Deployment, Follows, Half, HealthCheck, LiveRoute, MetricAlarm, RecordSet, Row, switch_alarm_name,
};
use crate::checks::{Finding, Grade};
use crate::observed::Observed;
use crate::parameters::host;
use crate::plan::{Plan, Route};

/// The two halves of a name, as far as they are there.
struct Pair<'a> {
    primary: Option<&'a RecordSet>,
    secondary: Option<&'a RecordSet>,
}

impl<'a> Pair<'a> {
    fn halves(&self) -> impl Iterator<Item = (&'static str, &'a RecordSet)> {
        let named = [("PRIMARY", self.primary), ("SECONDARY", self.secondary)];
        named.into_iter().filter_map(|(name, half)| Some((name, half?)))
    }
}

/// The halves of a name; of two that claim the same half, the first.
fn halves(records: &Observed<Vec<RecordSet>>) -> Pair<'_> {
    let half = |wanted| records.value().and_then(|sets| sets.iter().find(|set| set.half == Some(wanted)));
    Pair { primary: half(Half::Primary), secondary: half(Half::Secondary) }
}

/// Asks `ask` of every route of the plan that was looked at; LV-01 reports one that was not.
fn each(plan: &Plan, seen: &Deployment, ask: impl Fn(&Route, &LiveRoute) -> Option<Finding>) -> Vec<Finding> {
    let looked = |route: &Route| seen.routes.iter().find(|live| live.route == route.name);
    plan.routes.iter().filter_map(|route| ask(route, looked(route)?)).collect()
}

pub(super) fn pair(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let looked = |route: &Route| seen.routes.iter().find(|live| live.route == route.name);
    let ask = |route: &Route| {
        let row = Row { id, subject: &route.name };
        match looked(route) {
            None => row.unknown("it was not looked at", "report this as a defect"),
            Some(live) => is_pair(&row, &route.record, &live.public),
        }
    };
    plan.routes.iter().map(ask).collect()
}

fn is_pair(row: &Row<'_>, name: &str, records: &Observed<Vec<RecordSet>>) -> Finding {
    let sets = match records {
        Observed::Known { value, .. } => value,
        Observed::Unknown { reason } => {
            return row.unknown(reason, "let this login list the records of the plan's `zone_id`");
        }
    };
    let count = |half| sets.iter().filter(|set| set.half == Some(half)).count();
    let kinds: Vec<&str> = sets.iter().map(|set| set.kind.as_str()).collect();
    match (sets.len(), count(Half::Primary), count(Half::Secondary)) {
        (2, 1, 1) if kinds.first() == kinds.last() => {
            row.pass(format!("`{name}`: a PRIMARY and a SECONDARY, {}", kinds.join(", ")))
        }
        (0, ..) => row.block(
            format!("the zone holds no `{name}`"),
            "deploy the standby's stack, which makes the pair; an existing name is then led to it",
        ),
        (_, 0, 0) => row.block(
            format!("`{name}` is there, but is no failover pair: {}", kinds.join(", ")),
            "let the plan's `record` be a name of its own, and lead this one to it with a CNAME",
        ),
        (all, primaries, secondaries) => row.block(
            format!("`{name}` has {all} record sets: {primaries} PRIMARY, {secondaries} SECONDARY"),
            "leave exactly one PRIMARY and one SECONDARY of one type",
        ),
    }
}

pub(super) fn switched(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        let primary = halves(&live.public).primary?;
        let Some(check) = &primary.health_check else {
            return Some(row.block(
                "PRIMARY hangs on no health check: the switch moves nothing",
                "put the id that the stack's output `SwitchHealthCheck` names on PRIMARY",
            ));
        };
        Some(match look_up(live, check) {
            Err(reason) => row.unknown(reason, "let this login read health checks"),
            Ok(Some(HealthCheck {
                follows: Follows::Calculated { children, threshold },
                inverted,
                disabled,
            })) => {
                let plainly = !inverted && !disabled && usize::try_from(*threshold) == Ok(children.len());
                follows_both(&row, plan, live, check, (children, plainly))
            }
            Ok(found) if route.fast => {
                let metric = follows_switch(&row, plan, check, found);
                if metric.grade != Grade::Pass {
                    return Some(metric);
                }
                row.warn(
                    "the plan says `fast`, and PRIMARY hangs on the metric alone: predictions count with seconds",
                    "deploy the standby's stack with `FastSwitch=true`, once `made` and its checks are healthy",
                )
            }
            Ok(found) => follows_switch(&row, plan, check, found),
        })
    })
}

/// A health check by the id that a record names.
fn look_up<'a>(live: &'a LiveRoute, id: &str) -> Result<Option<&'a HealthCheck>, String> {
    match live.checks.iter().find(|(known, _)| known == id) {
        Some((_, Observed::Known { value, .. })) => Ok(value.as_ref()),
        Some((_, Observed::Unknown { reason })) => Err(reason.clone()),
        None => Err(format!("health check `{id}` was not looked at")),
    }
}

/// The fast switch: PRIMARY is healthy while the metric says so and no checker was told that the standby serves.
fn follows_both(
    row: &Row<'_>,
    plan: &Plan,
    live: &LiveRoute,
    id: &str,
    (children, plainly): (&[String], bool),
) -> Finding {
    let fix = "deploy the standby's stack again, which makes this check of the switch's metric and its endpoint, and change nothing \
               about it";
    let mut metric = None;
    let mut endpoint = false;
    for child in children {
        match look_up(live, child) {
            Err(reason) => return row.unknown(reason, "let this login read health checks"),
            Ok(Some(HealthCheck {
                follows: Follows::Endpoint { host },
                inverted: true,
                disabled: false,
            })) => {
                endpoint = host.contains(&format!(".lambda-url.{}.", plan.regions.standby.0));
            }
            Ok(found) => metric = Some(follows_switch(row, plan, child, found)),
        }
    }
    match metric {
        Some(metric) if metric.grade != Grade::Pass => metric,
        Some(_) if endpoint && plainly && children.len() == 2 => row.pass(format!(
            "PRIMARY hangs on `{id}`: the switch's metric, and its endpoint every ten seconds"
        )),
        _ => row.block(
            format!(
                "PRIMARY hangs on `{id}`, which is not the switch's metric and its inverted endpoint together"
            ),
            fix,
        ),
    }
}

fn follows_switch(row: &Row<'_>, plan: &Plan, id: &str, found: Option<&HealthCheck>) -> Finding {
    let alarm = switch_alarm_name(plan);
    let fix = "put the id that the stack's output `SwitchHealthCheck` names on PRIMARY, and change nothing about that check";
    let Some(check) = found else {
        return row.block(format!("PRIMARY hangs on `{id}`, and there is no such health check"), fix);
    };
    let Follows::Alarm { name, region, without_data } = &check.follows else {
        return row.block(format!("PRIMARY hangs on `{id}`, which follows {}", told(&check.follows)), fix);
    };
    if *name != alarm || *region != plan.regions.standby.0 {
        return row.block(format!("PRIMARY hangs on `{id}`, which follows {}", told(&check.follows)), fix);
    }
    if check.inverted || check.disabled {
        let how = if check.inverted { "inverted" } else { "disabled" };
        return row.block(format!("the switch health check `{id}` is {how}"), fix);
    }
    if without_data != "LastKnownStatus" {
        let evidence = format!(
            "without data the switch health check says `{without_data}`: losing CloudWatch moves clients"
        );
        return row.block(evidence, "let it say `LastKnownStatus`, as the template does");
    }
    row.pass(format!("PRIMARY hangs on `{id}`, which follows {}", told(&check.follows)))
}

fn told(follows: &Follows) -> String {
    match follows {
        Follows::Alarm { name, region, .. } => format!("the data of alarm `{name}` in {region}"),
        Follows::Endpoint { host } => format!("the endpoint `{host}`"),
        Follows::Calculated { children, threshold } => {
            format!("{threshold} of {} other health checks", children.len())
        }
        Follows::Other(kind) => format!("something of kind {kind}"),
    }
}

pub(super) fn secondary_unchecked(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        Some(match &halves(&live.public).secondary?.health_check {
            None => row.pass("SECONDARY hangs on no health check"),
            Some(check) => row.block(
                format!("SECONDARY hangs on `{check}`: while that is bad, Route 53 answers PRIMARY, also after a failover"),
                "take the health check off SECONDARY",
            ),
        })
    })
}

pub(super) fn targets_unfollowed(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        let pair = halves(&live.public);
        pair.primary.or(pair.secondary)?;
        let following: Vec<&str> = pair
            .halves()
            .filter(|(_, set)| set.evaluates_target == Some(true))
            .map(|(name, _)| name)
            .collect();
        Some(if following.is_empty() {
            row.pass("no half evaluates the health of its target")
        } else {
            row.block(
                format!(
                    "{}: `EvaluateTargetHealth` is true, so Route 53 moves clients by itself",
                    following.join(" and ")
                ),
                "set `EvaluateTargetHealth` to false on both halves",
            )
        })
    })
}

pub(super) fn ttl(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        let pair = halves(&live.public);
        pair.primary.or(pair.secondary)?;
        let wanted = route.ttl.secs_ceil();
        let aliases = pair.halves().any(|(_, set)| set.ttl_seconds.is_none());
        let off: Vec<String> = pair
            .halves()
            .filter_map(|(name, set)| Some((name, set.ttl_seconds.filter(|ttl| *ttl != wanted)?)))
            .map(|(name, ttl)| format!("{name} has {ttl} s"))
            .collect();
        Some(if !off.is_empty() {
            row.block(
                format!("{}; the plan says {wanted} s, and reports count with it", off.join(", ")),
                "give the records the plan's `ttl`, or the plan theirs",
            )
        } else if aliases {
            row.warn(
                "an alias takes the TTL of what it stands for, which is not known here",
                "see that the plan's `ttl` is no less than that",
            )
        } else {
            row.pass(format!("{wanted} s, as the plan says"))
        })
    })
}

pub(super) fn sides(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        let pair = halves(&live.public);
        pair.primary.or(pair.secondary)?;
        let (primary, standby) = (host(&route.primary), host(&route.standby));
        let crossed = |set: Option<&RecordSet>, other: &str| set.is_some_and(|set| leads_to(set, other));
        if crossed(pair.primary, &standby) || crossed(pair.secondary, &primary) {
            return Some(row.block(
                format!("the halves are crossed: PRIMARY must lead to `{primary}`, SECONDARY to `{standby}`"),
                "exchange the values of the two halves",
            ));
        }
        let straight = |set: Option<&RecordSet>, own: &str| set.is_none_or(|set| leads_to(set, own));
        Some(if straight(pair.primary, &primary) && straight(pair.secondary, &standby) {
            row.pass(format!("PRIMARY leads to `{primary}`, SECONDARY to `{standby}`"))
        } else {
            let told: Vec<String> = pair
                .halves()
                .map(|(name, set)| format!("{name} leads to {}", set.values.join(", ")))
                .collect();
            row.warn(
                format!("{}; the plan says `{primary}` and `{standby}`", told.join(", ")),
                "see that they are the same two sides",
            )
        })
    })
}

/// Names are compared as DNS does: without case and the last dot.
fn leads_to(set: &RecordSet, name: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    !set.values.is_empty() && set.values.iter().all(|value| plain(value) == plain(name))
}

pub(super) fn verdict(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    each(plan, seen, |route, live| {
        let row = Row { id, subject: &route.name };
        let one = is_pair(&row, &route.verdict_record, &live.verdict);
        if one.blocks() {
            return Some(one);
        }
        let pair = halves(&live.verdict);
        let says = |set: Option<&RecordSet>, word: &str| {
            set.is_some_and(|set| set.values.iter().all(|value| value.trim_matches('"') == word))
        };
        let endpoint = pair.primary.and_then(|set| set.health_check.as_deref()).map(|id| look_up(live, id));
        let fix = "let the stack make this pair: TXT `up` on a health check of the primary's endpoint, `down` on none";
        Some(match endpoint {
            Some(Err(reason)) => row.unknown(reason, "let this login read health checks"),
            Some(Ok(Some(check)))
                if matches!(&check.follows, Follows::Endpoint { host: seen } if *seen == host(&route.primary))
                    && says(pair.primary, "up")
                    && says(pair.secondary, "down")
                    && pair.secondary.is_some_and(|set| set.health_check.is_none()) =>
            {
                row.pass(format!("`{}` says up or down by {}", route.verdict_record, told(&check.follows)))
            }
            _ => row.block(
                format!("`{}` is not the pair that tells Route 53's verdict", route.verdict_record),
                fix,
            ),
        })
    })
}

/// The health check takes the metric from the alarm, and is nothing without it.
pub(super) fn switch_alarm(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let row = Row { id, subject: &plan.name };
    let name = switch_alarm_name(plan);
    let region = &plan.regions.standby.0;
    let fix = "deploy the standby's stack again, which makes this alarm, and change nothing about it";
    vec![match &seen.switch_alarm {
        Observed::Unknown { reason } => row.unknown(reason, "let this login describe the standby's alarms"),
        Observed::Known { value: None, .. } => row.block(
            format!("there is no alarm `{name}` in {region}: what PRIMARY hangs on follows nothing, and no name moves"),
            fix,
        ),
        Observed::Known { value: Some(alarm), .. } => {
            let wrong = unlike_the_template(alarm, plan);
            if wrong.is_empty() {
                row.pass(format!("`{name}` is as the template makes it"))
            } else {
                row.block(format!("`{name}` has {}", wrong.join(", ")), fix)
            }
        }
    }]
}

/// A minimum, so that a stray 1 cannot beat our own 0; one datapoint of standard resolution, so that it moves in time.
fn unlike_the_template(alarm: &MetricAlarm, plan: &Plan) -> Vec<String> {
    let dimensions = [("Plan".to_owned(), plan.name.clone())];
    let held: [(bool, String); 5] = [
        (alarm.metric == "Understudy/Switch", format!("the metric `{}`", alarm.metric)),
        (alarm.dimensions == dimensions, format!("the dimensions {:?}", alarm.dimensions)),
        (alarm.statistic == "Minimum", format!("the statistic `{}`", alarm.statistic)),
        (
            alarm.comparison == "GreaterThanOrEqualToThreshold"
                && (alarm.threshold - 1.0).abs() < f64::EPSILON,
            format!("`{}` {}", alarm.comparison, alarm.threshold),
        ),
        (
            alarm.evaluation_periods == 1 && alarm.period_seconds <= 60,
            format!("{} periods of {} s", alarm.evaluation_periods, alarm.period_seconds),
        ),
    ];
    held.into_iter().filter(|(right, _)| !right).map(|(_, what)| what).collect()
}

/// Why no level of the switch would move a name, route by route: by what is certain. What the other questions find fault with
/// costs something else.
pub fn stuck(plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let region = &plan.regions.standby.0;
    let alarm = match &seen.switch_alarm {
        Observed::Known { value: None, .. } => Some(format!(
            "there is no alarm `{}` in {region}, and the health check follows its data",
            switch_alarm_name(plan)
        )),
        Observed::Known { value: Some(alarm), .. } => {
            let wrong = unlike_the_template(alarm, plan);
            (!wrong.is_empty()).then(|| format!("`{}` has {}", switch_alarm_name(plan), wrong.join(", ")))
        }
        Observed::Unknown { .. } => None,
    };
    let fix = "deploy the standby's stack again, which makes records, health checks and alarm; `understudy plan check --live` \
               names what is wrong";
    each(plan, seen, |route, live| {
        let why = alarm.clone().or_else(|| held_fast(plan, route, live))?;
        Some(Row { id: "LV-08", subject: &route.name }.block(why, fix))
    })
}

/// What holds one name where it is.
fn held_fast(plan: &Plan, route: &Route, live: &LiveRoute) -> Option<String> {
    let sets = live.public.value()?;
    let half = |wanted| sets.iter().filter(move |set| set.half == Some(wanted));
    let name = &route.record;
    if half(Half::Primary).next().is_none() || half(Half::Secondary).next().is_none() {
        return Some(format!("`{name}` is no failover pair"));
    }
    let (primary, standby) = (host(&route.primary), host(&route.standby));
    let leads = |wanted, to: &str| half(wanted).any(|set| leads_to(set, to));
    if leads(Half::Primary, &standby) || leads(Half::Secondary, &primary) {
        return Some(format!("the halves of `{name}` are crossed"));
    }
    let hangs_on_the_switch = |set: &RecordSet| {
        let check = set.health_check.as_deref()?;
        let follows = |id: &str| follows_the_alarm(plan, live, id);
        match look_up(live, check) {
            Ok(Some(HealthCheck { follows: Follows::Calculated { children, .. }, .. })) => {
                Some(children.iter().any(|child| follows(child)))
            }
            Ok(_) => Some(follows(check)),
            // What was not read is not known to hold anything.
            Err(_) => Some(true),
        }
    };
    let loose = half(Half::Primary).any(|set| hangs_on_the_switch(set) != Some(true));
    loose.then(|| format!("PRIMARY of `{name}` does not hang on the switch"))
}

fn follows_the_alarm(plan: &Plan, live: &LiveRoute, id: &str) -> bool {
    match look_up(live, id) {
        Ok(Some(HealthCheck {
            follows: Follows::Alarm { name, region, .. },
            inverted: false,
            disabled: false,
        })) => *name == switch_alarm_name(plan) && *region == plan.regions.standby.0,
        Ok(_) => false,
        Err(_) => true,
    }
}
