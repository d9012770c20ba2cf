//! The side that is to serve: is each store a replica close enough behind, would it be promoted, and does the
//! application answer there?

use super::{Finding, Grade, finding, pass};
use crate::observed::Observed;
use crate::plan::{Plan, Store, UncertainRows};
use crate::situation::{Situation, StoreSituation};
use crate::sql::{Replica, Written};
use crate::switch::Side;
use crate::time::{Millis, elapsed};
use crate::words::span;

pub(super) fn replica_answers(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-03";
    let ask = |store: &Store, seen: &StoreSituation| {
        with_replica(id, store, (seen, s.to), |replica| {
            if replica.in_recovery {
                pass(id, &store.name, "it answers and is in recovery")
            } else {
                finding(
                    id,
                    &store.name,
                    Grade::Block,
                    "it answers, but it is not in recovery: it takes writes of its own",
                    "if it was promoted, it may be the one that serves: build the other side anew as a replica of it, and \
                     go back by `understudy failback`. Rebuild this one only once it is known to serve nobody",
                )
            }
        })
    };
    each_store(plan, s, ask, id)
}

/// A watermark may be this many ticks older than the last renewal that was seen: both come from the same tick of
/// the guard, so one that is older says nothing of what was written since.
const WATERMARK_TICKS: u64 = 3;

/// The watermark, if it belongs to the last renewals; else why it does not count (L4).
pub fn current_watermark<'a>(
    plan: &Plan,
    s: &Situation,
    seen: &'a StoreSituation,
) -> Result<&'a crate::sql::Written, String> {
    let (written, recorded_at) = match &seen.watermark {
        Observed::Known { value, at, .. } => (value, *at),
        Observed::Unknown { reason } => return Err(reason.clone()),
    };
    let renewals = s.keepers.iter().filter_map(|view| view.sighting.value().map(|seen| seen.first_seen_at));
    let newest = renewals.max().ok_or("no renewal was ever seen to compare it with")?;
    let behind = elapsed(recorded_at, newest);
    if behind > plan.tick.times(WATERMARK_TICKS) {
        return Err(format!("it was recorded {} before the last renewal that was seen", span(behind)));
    }
    Ok(written)
}

/// How far the replica's data is behind what the primary last wrote.
///
/// Judged against the watermark, never against the clock: an idle primary is not a lagging replica. A replica
/// that has replayed past the watermark's position lags nothing that is known of.
pub fn lag_behind(watermark: &crate::sql::Written, replica: &Replica) -> Option<Millis> {
    match (replica.replayed, replica.replayed_commit_at) {
        (Some(replayed), _) if replayed >= watermark.position => Some(Millis::ZERO),
        (Some(_), Some(commit_at)) => Some(elapsed(commit_at, watermark.committed_at)),
        _ => None,
    }
}

pub(super) fn replica_lag(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-04";
    let ask = |store: &Store, seen: &StoreSituation| {
        with_replica(id, store, (seen, s.to), |replica| match current_watermark(plan, s, seen) {
            Ok(watermark) => judge_lag(id, store, replica, lag_behind(watermark, replica)),
            Err(reason) => finding(
                id,
                &store.name,
                Grade::Unknown,
                format!("what the primary last wrote is not on record: {reason}"),
                "start the guard in the primary; it records a watermark every tick",
            ),
        })
    };
    each_store(plan, s, ask, id)
}

fn judge_lag(id: &str, store: &Store, replica: &Replica, lag: Option<Millis>) -> Finding {
    let Some(lag) = lag else {
        return finding(
            id,
            &store.name,
            Grade::Unknown,
            "the replica does not say what it has replayed",
            "check that it streams from the primary",
        );
    };
    let paused = if replica.replay_paused { "; its replay is paused" } else { "" };
    let evidence = format!(
        "{} behind the last watermark (warn {}, block {}){paused}; received {}, replayed {}",
        span(lag),
        span(store.lag.warn),
        span(store.lag.block),
        replica.received.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string()),
        replica.replayed.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string()),
    );
    let fix = if replica.replay_paused {
        "resume its replay: `select pg_wal_replay_resume()` on the replica".to_owned()
    } else {
        "wait until it has caught up; what it has not received is lost if the primary is".to_owned()
    };
    if lag > store.lag.block {
        finding(id, &store.name, Grade::Block, evidence, fix)
    } else if lag > store.lag.warn || replica.replay_paused {
        finding(id, &store.name, Grade::Warn, evidence, fix)
    } else {
        pass(id, &store.name, evidence)
    }
}

/// The position first: a replica that replayed past it holds all that was written by then, whatever a count says. Counts
/// second, for what a position does not show; one that cannot be had blocks nothing for good.
pub(super) fn consistency(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-05";
    let ask = |store: &Store, seen: &StoreSituation| {
        with_replica(id, store, (seen, s.to), |replica| match current_watermark(plan, s, seen) {
            Ok(watermark) => judge_rows(id, store, watermark, replica),
            Err(reason) => finding(
                id,
                &store.name,
                Grade::Unknown,
                format!("what the primary last held is not on record: {reason}"),
                "start the guard in the primary; it records a watermark every tick",
            ),
        })
    };
    each_store(plan, s, ask, id)
}

/// What the replica's position says of its rows; `None`: nothing.
fn by_position(store: &Store, watermark: &Written, replica: &Replica) -> Option<String> {
    match lag_behind(watermark, replica)? {
        Millis::ZERO => Some("by its position the replica holds all that was written".to_owned()),
        lag if lag <= store.lag.block => {
            Some(format!("the replica is {} behind, which the plan allows", span(lag)))
        }
        _ => None,
    }
}

fn judge_rows(id: &str, store: &Store, watermark: &Written, replica: &Replica) -> Finding {
    let rows = |table: &String| Some((*watermark.rows.get(table)?, *replica.rows.get(table)?));
    let (known, uncounted): (Vec<_>, Vec<_>) =
        store.counted().iter().map(|table| (table, rows(table))).partition(|(_, rows)| rows.is_some());
    let share = |there: u64, here: u64| if there == 0 { 1.0 } else { precise(here) / precise(there) };
    let shares = known.iter().filter_map(|(table, rows)| {
        let (there, here) = (*rows)?;
        Some((share(there, here), format!("`{table}`: {here} of {there} rows")))
    });
    let worst = shares.min_by(|one, other| one.0.total_cmp(&other.0));
    let position = by_position(store, watermark, replica);
    let uncertain = |evidence: String, fix: &str| match &position {
        Some(position) => finding(id, &store.name, Grade::Warn, format!("{evidence}; {position}"), fix),
        None => finding(id, &store.name, Grade::Unknown, evidence, fix),
    };
    match worst {
        Some((share, evidence)) if share < store.min_consistency => {
            let evidence = format!("{evidence}, less than {}", store.min_consistency);
            let fix = "rebuild the replica, or wait until it has caught up";
            match position {
                Some(_) => {
                    uncertain(evidence, "rows were deleted since, or written where the replica is not yet")
                }
                None => finding(id, &store.name, Grade::Block, evidence, fix),
            }
        }
        _ if !uncounted.is_empty() => {
            let names: Vec<String> = uncounted.iter().map(|(table, _)| format!("`{table}`")).collect();
            uncertain(
                format!("not counted on both sides within a second: {}", names.join(", ")),
                "leave large tables out of the store's `counted`; the operator role needs SELECT on the others",
            )
        }
        Some((_, evidence)) => pass(id, &store.name, evidence),
        None => pass(id, &store.name, "the plan names no table to count"),
    }
}

/// Whether the plan has people asked about what these findings leave uncertain.
pub fn asks_about_rows(plan: &Plan, findings: &[Finding]) -> bool {
    let asks = |name: &str| {
        let store = plan.stores.iter().find(|store| store.name == name);
        store.is_some_and(|store| store.uncertain_rows == Some(UncertainRows::Ask))
    };
    findings.iter().any(|found| found.id == "PF-05" && found.grade == Grade::Warn && asks(&found.subject))
}

/// Row counts far below 2^53 are exact as `f64`; above it the ratio is still right to 1e-15.
#[expect(clippy::cast_precision_loss, reason = "a ratio of row counts needs no more")]
fn precise(rows: u64) -> f64 {
    rows as f64
}

pub(super) fn instance_promotable(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-06";
    let ask = |store: &Store, seen: &StoreSituation| match &seen.instance {
        Observed::Unknown { reason } => finding(
            id,
            &store.name,
            Grade::Unknown,
            reason,
            "check the instance's id and the verifier's permissions",
        ),
        Observed::Known { value, .. } if value.source.is_none() => finding(
            id,
            &store.name,
            Grade::Block,
            format!("`{}` is no replica (status `{}`)", value.id, value.status),
            "name the replica in the plan. If this one was promoted, it may be the one that serves: build the other \
             side anew as a replica of it, and go back by `understudy failback`; rebuild this one only once it is \
             known to serve nobody",
        ),
        Observed::Known { value, .. } if value.status != "available" => finding(
            id,
            &store.name,
            Grade::Block,
            format!("`{}` is `{}`; promotion is refused until it is `available`", value.id, value.status),
            "wait for it; keep the backup window out of trading hours",
        ),
        // Without retention already on, a backup runs inside the promotion and makes it longer.
        Observed::Known { value, .. } if value.backup_retention_days.unwrap_or(0) == 0 => finding(
            id,
            &store.name,
            Grade::Warn,
            format!("`{}` keeps no backups: the promotion will take one first", value.id),
            "set a backup retention period on the replica",
        ),
        Observed::Known { value, .. } => pass(
            id,
            &store.name,
            format!("`{}` is available, replica of `{}`", value.id, value.source.as_deref().unwrap_or("")),
        ),
    };
    each_store(plan, s, ask, id)
}

pub(super) fn application_login(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-07";
    let ask = |store: &Store, seen: &StoreSituation| match &seen.login {
        Observed::Known { .. } => {
            pass(id, &store.name, format!("`{}` logged in and read", store.application.role))
        }
        Observed::Unknown { reason } => finding(
            id,
            &store.name,
            Grade::Unknown,
            reason,
            format!(
                "check the secret `{}` in the standby Region against the role `{}`",
                store.application.secret, store.application.role
            ),
        ),
    };
    each_store(plan, s, ask, id)
}

/// A replica of anything else, or one that stands alone, lacks what the side that gives way wrote: an instance that was
/// renamed keeps its replicas, and one that was restored under the old name has none.
pub(super) fn follows_the_other(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-14";
    let other = s.to.other();
    let ask = |store: &Store, seen: &StoreSituation| {
        let (here, source) = (&store.instance(s.to).id, &store.instance(other).id);
        let fix = format!("build `{here}` anew as a replica of `{source}`, and wait until it has caught up");
        let block = |evidence: String| finding(id, &store.name, Grade::Block, evidence, fix.clone());
        let instance = match &seen.instance {
            Observed::Unknown { reason } => return finding(id, &store.name, Grade::Unknown, reason, fix),
            Observed::Known { value, .. } => value,
        };
        match instance.source.as_deref() {
            None => return block(format!("`{here}` follows nobody")),
            Some(followed) if !names(followed, source, &plan.regions.of(other).0) => {
                return block(format!(
                    "`{here}` follows `{followed}`, and `{source}` in the {} is what it is to stand in for",
                    other.name()
                ));
            }
            Some(_) => {}
        }
        let (told, own) = (
            seen.watermark.value().and_then(|written| written.lineage.as_ref()),
            seen.replica.value().and_then(|replica| replica.lineage.as_ref()),
        );
        let Some((told, own)) = told.zip(own) else {
            return pass(id, &store.name, format!("`{here}` follows `{source}`"));
        };
        if told.system != own.system {
            let (theirs, ours) = (&told.system, &own.system);
            return block(format!("`{here}` is a copy of the cluster {ours}, and `{source}` is {theirs}"));
        }
        // A replica that streams nothing just now may say an older one; a newer one is a history of its own.
        if own.timeline > told.timeline {
            return block(format!(
                "`{here}` is on timeline {}, and `{source}` wrote on timeline {}: their histories have parted",
                own.timeline, told.timeline
            ));
        }
        pass(id, &store.name, format!("`{here}` follows `{source}`, cluster {}", told.system))
    };
    each_store(plan, s, ask, id)
}

/// Whether the service's word for a source means this instance: its name, or from another Region its ARN.
pub fn names(followed: &str, instance: &str, region: &str) -> bool {
    match followed.split(':').collect::<Vec<_>>().as_slice() {
        [name] => *name == instance,
        ["arn", _, "rds", at, _, "db", name] => *name == instance && *at == region,
        _ => false,
    }
}

pub(super) fn standby_answers(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-08";
    plan.routes
        .iter()
        .map(|route| {
            let fix = format!(
                "start the application in the {}: `GET {}{}` must answer 2xx",
                s.to.name(),
                route.endpoint(s.to),
                route.health_path
            );
            match s.routes.iter().find(|seen| seen.route == route.name).map(|seen| &seen.answer) {
                Some(Observed::Known { value, .. }) if value.is_good() => {
                    pass(id, &route.name, value.to_string())
                }
                Some(Observed::Known { value, .. }) => {
                    finding(id, &route.name, Grade::Block, value.to_string(), fix)
                }
                Some(Observed::Unknown { reason }) => finding(id, &route.name, Grade::Unknown, reason, fix),
                None => finding(id, &route.name, Grade::Unknown, "it was not looked at", fix),
            }
        })
        .collect()
}

/// Asks `ask` of every required store; an optional one only warns.
pub(super) fn each_store(
    plan: &Plan,
    s: &Situation,
    ask: impl Fn(&Store, &StoreSituation) -> Finding,
    id: &str,
) -> Vec<Finding> {
    plan.stores
        .iter()
        .map(|store| match s.stores.iter().find(|seen| seen.store == store.name) {
            Some(seen) => soften(ask(store, seen), store.required),
            None => {
                finding(id, &store.name, Grade::Unknown, "it was not looked at", "report this as a defect")
            }
        })
        .collect()
}

fn soften(finding: Finding, required: bool) -> Finding {
    if required || !finding.is_bad() { finding } else { Finding { grade: Grade::Warn, ..finding } }
}

/// The replica's own words, or a finding that says why there are none.
fn with_replica(
    id: &str,
    store: &Store,
    (seen, to): (&StoreSituation, Side),
    ask: impl Fn(&Replica) -> Finding,
) -> Finding {
    match &seen.replica {
        Observed::Known { value, .. } => ask(value),
        Observed::Unknown { reason } => finding(
            id,
            &store.name,
            Grade::Unknown,
            reason,
            format!("make `{}` in the {} reachable for sql-agent", store.instance(to).id, to.name()),
        ),
    }
}
