//! Questions about the standby, their answers with evidence, and the sum of the answers.
//!
//! One row a check in [`CHECKS`]; each is a pure function of the situation. A check never reads the world and
//! never asks the primary. Unknown blocks like a bad answer does (L4); every refusal says what to do (L11), and each
//! row whether a named person may override it.

use crate::lease::{Standing, standing};
use crate::observed::Observed;
use crate::overrides::{self, Override};
use crate::plan::{Plan, Store};
use crate::run::Kind;
use crate::situation::{Situation, StoreSituation};
use crate::sql::Replica;
use crate::switch::Side;
use crate::time::{Millis, elapsed};
use crate::votes::Vote;
use crate::words::{count, instant, span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Pass,
    Warn,
    Block,
    /// It could not be answered. Blocks where a `Block` would.
    Unknown,
}

/// The answer to one check about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `PF-03`; stable across versions.
    pub id: String,
    /// The store or route asked about; the plan's name where it is about all.
    pub subject: String,
    pub grade: Grade,
    /// What was seen.
    pub evidence: String,
    /// What to do about it; empty when it passed.
    pub fix: String,
    /// Who took it upon themselves, where it would block and somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
}

impl Finding {
    pub fn blocks(&self) -> bool {
        self.is_bad() && self.overridden.is_none()
    }

    /// It says no, or nothing; whether or not somebody overrides it.
    pub fn is_bad(&self) -> bool {
        matches!(self.grade, Grade::Block | Grade::Unknown)
    }

    /// As people are shown it: `PF-04 metadata`.
    pub fn name(&self) -> String {
        format!("{} {}", self.id, self.subject)
    }

    /// The finding's id with its subject: what one attempt is compared to the next by.
    pub fn key(&self) -> String {
        format!("{}:{}", self.id, self.subject)
    }
}

/// The sum of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ready,
    Refused,
}

pub fn verdict(findings: &[Finding]) -> Verdict {
    // No evidence, no pass: an empty list of findings is a refusal (L7).
    if findings.is_empty() || findings.iter().any(Finding::blocks) {
        Verdict::Refused
    } else {
        Verdict::Ready
    }
}

/// When the standby is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nothing is to be done: readiness, watched on a schedule.
    Watch,
    Execution(Kind),
}

impl Occasion {
    /// The side whose fitness is asked about.
    pub fn to(self) -> Side {
        match self {
            Self::Watch => Side::Standby,
            Self::Execution(kind) => kind.to(),
        }
    }

    /// A person moves an application that lives.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::Execution(kind) if kind.is_planned())
    }
}

const FAILOVER: Occasion = Occasion::Execution(Kind::Failover);
const SWITCHOVER: Occasion = Occasion::Execution(Kind::Switchover);
const DRILL: Occasion = Occasion::Execution(Kind::Drill);
const FAILBACK: Occasion = Occasion::Execution(Kind::Failback);
const ALWAYS: &[Occasion] = &[Occasion::Watch, FAILOVER, SWITCHOVER, DRILL, FAILBACK];
/// The side that serves lives and gives way.
const PLANNED: &[Occasion] = &[SWITCHOVER, DRILL, FAILBACK];

/// Who may spare an execution a check that blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// A person, by name: see [`crate::overrides`].
    Named,
    /// Nobody: why not, and what to do instead.
    Nobody { why: &'static str, instead: &'static str },
}

/// L11: a living primary has no override.
const LIVES: Spare = Spare::Nobody {
    why: "no override makes a primary dead",
    instead: "with a living one the road is `understudy switchover`; with one that cannot be judged, make every keeper \
              readable",
};
const HELD: Spare = Spare::Nobody {
    why: "a hold is lifted by name, and one that cannot be read may be up",
    instead: "lift it with `understudy resume`, or make the state table readable",
};
const IDENTITY: Spare = Spare::Nobody {
    why: "what is not known to be the primary's replica is never promoted: it may be another database, or the one that \
          serves",
    instead: "make it reachable and available, or name the right one in the plan",
};
const GIVES_WAY: Spare = Spare::Nobody {
    why: "a side that does not hold the lease cannot give way",
    instead: "start the primary's guard, or let the votes decide on a failover",
};
const MOVED: Spare = Spare::Nobody {
    why: "there is nothing to come back from while the standby holds no lease",
    instead: "make every keeper readable",
};
const FENCE: Spare = Spare::Nobody {
    why: "while others may write, no receipt says that the primary stopped",
    instead: "name them among `writer_roles`, take their rights, or run `understudy plan sql` for the gate",
};
const NEEDLESS: Spare =
    Spare::Nobody { why: "it blocks nothing", instead: "read what it says before you arm anything" };
const NO_CHECK: Spare = Spare::Nobody {
    why: "there is no such check",
    instead: "`understudy status` names what blocks, such as `PF-04 metadata`",
};

/// Who may spare an execution the check `id`.
pub fn spare(id: &str) -> Spare {
    CHECKS.iter().find(|check| check.id == id).map_or(NO_CHECK, |check| check.spare)
}

/// One row of the table of checks.
pub struct Check {
    pub id: &'static str,
    pub question: &'static str,
    pub asked: &'static [Occasion],
    pub spare: Spare,
    ask: fn(&Plan, &Situation) -> Vec<Finding>,
}

pub const CHECKS: &[Check] = &[
    Check {
        id: "PF-01",
        question: "is the primary still down?",
        asked: &[FAILOVER],
        spare: LIVES,
        ask: primary_down,
    },
    Check {
        id: "PF-02",
        question: "is automation free to act?",
        asked: ALWAYS,
        spare: HELD,
        ask: not_on_hold,
    },
    Check {
        id: "PF-03",
        question: "does the replica answer, as a replica?",
        asked: ALWAYS,
        spare: IDENTITY,
        ask: replica_answers,
    },
    Check {
        id: "PF-04",
        question: "is the replica close enough behind?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: replica_lag,
    },
    Check {
        id: "PF-05",
        question: "does the replica hold the rows?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: consistency,
    },
    Check {
        id: "PF-06",
        question: "can the service promote it now?",
        asked: ALWAYS,
        spare: IDENTITY,
        ask: instance_promotable,
    },
    Check {
        id: "PF-07",
        question: "can the application log in to it?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: application_login,
    },
    Check {
        id: "PF-08",
        question: "does the standby's application answer?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: standby_answers,
    },
    Check {
        id: "PF-09",
        question: "is the switch published?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: switch_published,
    },
    Check {
        id: "PF-10",
        question: "can the old primary be fenced?",
        asked: &[Occasion::Watch, FAILOVER],
        spare: Spare::Named,
        ask: fence_possible,
    },
    Check {
        id: "PF-11",
        question: "is the primary there to give way?",
        asked: &[SWITCHOVER, DRILL],
        spare: GIVES_WAY,
        ask: primary_lives,
    },
    Check {
        id: "PF-12",
        question: "does the fence stop every writer?",
        asked: PLANNED,
        spare: FENCE,
        ask: all_writers_known,
    },
    Check {
        id: "PF-13",
        question: "is the standby there to give way?",
        asked: &[FAILBACK],
        spare: MOVED,
        ask: standby_lives,
    },
    Check {
        id: "PF-14",
        question: "does the primary follow the standby?",
        asked: &[FAILBACK],
        spare: IDENTITY,
        ask: primary_follows,
    },
    Check {
        id: "PF-15",
        question: "how often would the dead-man have acted?",
        asked: &[Occasion::Watch],
        spare: NEEDLESS,
        ask: would_have_fenced,
    },
];

/// Asks every check of the occasion. One that cannot answer does not hide the others.
pub fn assess(plan: &Plan, occasion: Occasion, situation: &Situation) -> Vec<Finding> {
    let asked = CHECKS.iter().filter(|check| check.asked.contains(&occasion));
    let findings = asked.flat_map(|check| (check.ask)(plan, situation));
    findings.map(|finding| overrides::weigh(plan, situation, finding)).collect()
}

fn finding(
    id: &str,
    subject: &str,
    grade: Grade,
    evidence: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        id: id.to_owned(),
        subject: subject.to_owned(),
        grade,
        evidence: evidence.into(),
        fix: fix.into(),
        overridden: None,
    }
}

fn pass(id: &str, subject: &str, evidence: impl Into<String>) -> Finding {
    finding(id, subject, Grade::Pass, evidence, "")
}

/// Looks again: between the alarm and now the primary may have come back.
fn primary_down(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let down = s.votes.judged(&plan.detection, s.at);
    let bad = down.iter().filter(|(_, vote)| matches!(vote, Vote::Down { .. })).count();
    let needed = usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX);
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("{bad} of {needed} needed votes say down; lease: {}", describe_lease(&lease));
    let one = match (bad >= needed, lease) {
        (true, Standing::Stale { .. }) => pass("PF-01", &plan.name, evidence),
        (_, Standing::Unknown { .. }) => finding(
            "PF-01",
            &plan.name,
            Grade::Unknown,
            evidence,
            "make every keeper of the lease readable, or fence the primary by hand and ask for an accepted fence",
        ),
        _ => finding(
            "PF-01",
            &plan.name,
            Grade::Block,
            evidence,
            "the primary is not down: nothing to do. To move away from a living primary, start a switchover",
        ),
    };
    vec![one]
}

fn describe_lease(lease: &Standing) -> String {
    match lease {
        Standing::Renewed { keeper } => format!("renewed at `{keeper}`"),
        Standing::Stale { since } => format!("stale, last renewal seen {}", instant(*since)),
        Standing::Moved { epoch } => format!("moved, epoch {epoch}"),
        Standing::Unknown { reason } => format!("unknown ({reason})"),
    }
}

fn not_on_hold(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

/// Asks `ask` of every required store; an optional one only warns.
fn each_store(
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

fn replica_answers(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

fn replica_lag(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

fn consistency(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-05";
    let ask = |store: &Store, seen: &StoreSituation| {
        with_replica(id, store, (seen, s.to), |replica| match current_watermark(plan, s, seen) {
            Ok(watermark) => judge_rows(id, store, &watermark.rows, &replica.rows),
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

type Rows = std::collections::BTreeMap<String, u64>;

fn judge_rows(id: &str, store: &Store, primary: &Rows, standby: &Rows) -> Finding {
    let mut worst: Option<(f64, String)> = None;
    for table in &store.tables {
        let (Some(&there), Some(&here)) = (primary.get(table), standby.get(table)) else {
            let fix = "grant the operator role SELECT on it, and see that counting ends within its time";
            return finding(
                id,
                &store.name,
                Grade::Unknown,
                format!("`{table}` was not counted on both sides"),
                fix,
            );
        };
        let share = if there == 0 { 1.0 } else { precise(here) / precise(there) };
        if worst.as_ref().is_none_or(|(lowest, _)| share < *lowest) {
            worst = Some((share, format!("`{table}`: {here} of {there} rows")));
        }
    }
    match worst {
        Some((share, evidence)) if share < store.min_consistency => finding(
            id,
            &store.name,
            Grade::Block,
            format!("{evidence}, less than {}", store.min_consistency),
            "rebuild the replica, or wait until it has caught up",
        ),
        Some((_, evidence)) => pass(id, &store.name, evidence),
        None => pass(id, &store.name, "the plan names no table to count"),
    }
}

/// Row counts far below 2^53 are exact as `f64`; above it the ratio is still right to 1e-15.
#[expect(clippy::cast_precision_loss, reason = "a ratio of row counts needs no more")]
fn precise(rows: u64) -> f64 {
    rows as f64
}

fn instance_promotable(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

fn application_login(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

fn standby_answers(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

/// Levels are re-published every tick; three missed ones mean that nobody would move the switch either.
const SWITCH_TICKS: u64 = 3;

fn switch_published(plan: &Plan, s: &Situation) -> Vec<Finding> {
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

fn fence_possible(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-10";
    if plan.lease.on_loss == crate::plan::OnLeaseLoss::Stay {
        return vec![finding(
            id,
            &plan.name,
            Grade::Warn,
            "`on_loss: stay`: no dead-man is armed, so only a living primary's proof or a named person's acceptance fences it",
            "arm the dead-man: `lease.on_loss: fence` with an `arming` block",
        )];
    }
    let newest =
        s.keepers.iter().filter_map(|view| view.sighting.value()).max_by_key(|seen| seen.first_seen_at);
    vec![match newest {
        Some(seen) if seen.lease.armed => {
            pass(id, &plan.name, format!("the dead-man was armed with the last renewal{}", sessions_end(s)))
        }
        Some(_) => finding(
            id,
            &plan.name,
            Grade::Block,
            "the last renewal came without a proof that the dead-man is armed",
            "install the statement gate on every table of the plan, `understudy plan sql`, and let the server take no \
             prepared transactions: `max_prepared_transactions = 0`",
        ),
        None => finding(
            id,
            &plan.name,
            Grade::Unknown,
            "no renewal was ever seen",
            "start the guard in the primary",
        ),
    }]
}

/// What becomes of idle sessions past the lease, as far as the heartbeats told: a note, no condition.
fn sessions_end(s: &Situation) -> &'static str {
    let told: Vec<bool> = s
        .stores
        .iter()
        .filter_map(|seen| seen.watermark.value().and_then(|written| written.job_runs))
        .collect();
    match (told.is_empty(), told.iter().all(|runs| *runs)) {
        (true, _) => "",
        (false, true) => "; a job of pg_cron ends the writers' sessions",
        (false, false) => {
            "; no job of pg_cron runs, so idle sessions stay open past the lease, and cannot write"
        }
    }
}

/// A planned move needs a primary that renews: only such a one can say what it wrote last.
fn primary_lives(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-11";
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("lease: {}", describe_lease(&lease));
    vec![match lease {
        Standing::Renewed { .. } => gives_way_serving(plan, s, id, &evidence),
        Standing::Unknown { .. } => {
            finding(id, &plan.name, Grade::Unknown, evidence, "make every keeper of the lease readable")
        }
        Standing::Stale { .. } | Standing::Moved { .. } => finding(
            id,
            &plan.name,
            Grade::Block,
            evidence,
            "start the guard in the primary, or let the votes decide on a failover",
        ),
    }]
}

/// Who holds the lease may serve nobody: that bars no move, and who is asked should know.
fn gives_way_serving(plan: &Plan, s: &Situation, id: &str, lease: &str) -> Finding {
    let looks = s.routes.iter().filter_map(|route| Some((&route.route, route.gives_way.as_ref()?)));
    let mut dark = looks.filter_map(|(route, look)| match look {
        Observed::Known { value, .. } if value.is_good() => None,
        Observed::Known { value, source, .. } => Some(format!("`{route}` at {source}: {value}")),
        Observed::Unknown { reason } => Some(format!("`{route}`: {reason}")),
    });
    match dark.next() {
        None => pass(id, &plan.name, lease),
        Some(dark) => finding(
            id,
            &plan.name,
            Grade::Warn,
            format!("{lease}; it does not serve by {dark}"),
            "find out whether it is lost: a lost side cannot prove that it gave way, and the move waits for that proof \
             until it gives up",
        ),
    }
}

/// Going back needs a standby that serves, by the newest lease, and says what it wrote last.
fn standby_lives(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-13";
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("lease: {}", describe_lease(&lease));
    let unreadable = s.keepers.iter().find_map(|view| match &view.sighting {
        Observed::Unknown { reason } => Some(format!("keeper `{}`: {reason}", view.keeper)),
        Observed::Known { .. } => None,
    });
    vec![match (lease, unreadable) {
        (_, Some(reason)) | (Standing::Unknown { reason }, None) => {
            finding(id, &plan.name, Grade::Unknown, reason, "make every keeper of the lease readable")
        }
        (Standing::Moved { .. }, None) => gives_way_serving(plan, s, id, &evidence),
        (Standing::Renewed { .. } | Standing::Stale { .. }, None) => finding(
            id,
            &plan.name,
            Grade::Block,
            evidence,
            "nothing to do: the standby holds no lease, so there is nothing to come back from",
        ),
    }]
}

/// A replica of anything else, or one that stands alone, lacks what was written since the move.
fn primary_follows(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-14";
    let ask = |store: &Store, seen: &StoreSituation| {
        let (here, source) = (&store.primary.id, &store.standby.id);
        let fix = format!("build `{here}` anew as a replica of `{source}`, and wait until it has caught up");
        match &seen.instance {
            Observed::Unknown { reason } => finding(id, &store.name, Grade::Unknown, reason, fix),
            Observed::Known { value, .. } => match value.source.as_deref().map(last_of_arn) {
                Some(followed) if followed == source => {
                    pass(id, &store.name, format!("`{here}` follows `{source}`"))
                }
                Some(other) => {
                    finding(id, &store.name, Grade::Block, format!("`{here}` follows `{other}`"), fix)
                }
                None => finding(id, &store.name, Grade::Block, format!("`{here}` follows nobody"), fix),
            },
        }
    };
    each_store(plan, s, ask, id)
}

/// The service names a source in another Region by its ARN.
fn last_of_arn(source: &str) -> &str {
    source.rsplit(':').next().unwrap_or(source)
}

/// Whoever arms the dead-man should know how often it would have stopped a writer. It never blocks.
fn would_have_fenced(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-15";
    let ttl = span(plan.lease.ttl);
    vec![match &s.shadow {
        Observed::Unknown { reason } => {
            finding(id, &plan.name, Grade::Warn, reason, "make the state table readable")
        }
        Observed::Known { value: None, .. } => finding(
            id,
            &plan.name,
            Grade::Warn,
            "nothing was counted yet",
            "start the guard in the primary: it counts from its first renewal on",
        ),
        Observed::Known { value: Some(shadow), .. } => {
            let (times, since) = (count(shadow.times as usize, "time"), instant(shadow.since));
            let evidence = format!("{times} since {since} no renewal was taken for longer than {ttl}");
            match shadow.last {
                None => pass(id, &plan.name, evidence),
                Some(gap) => finding(
                    id,
                    &plan.name,
                    Grade::Warn,
                    format!("{evidence}, last from {} to {}", instant(gap.from), instant(gap.to)),
                    "find out whether the primary was gone then: if it served, an armed dead-man would have been the outage",
                ),
            }
        }
    }]
}

/// The order to stop reaches the plan's writer roles; anybody else is stopped by the gate, or by nobody.
fn all_writers_known(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-12";
    let ask = |store: &Store, seen: &StoreSituation| match current_watermark(plan, s, seen) {
        Err(reason) => finding(
            id,
            &store.name,
            Grade::Unknown,
            format!("what the primary last told is not on record: {reason}"),
            "start the guard in the primary; it records a watermark every tick",
        ),
        Ok(told) if told.ungated_writers.is_empty() => {
            let writers = store.writer_roles.join(", ");
            pass(id, &store.name, format!("no writer beside {writers}, or the gate stops it"))
        }
        Ok(told) => finding(
            id,
            &store.name,
            Grade::Block,
            format!("{} can log in and write too, and no gate stops them", told.ungated_writers.join(", ")),
            "name them among `writer_roles`, take their rights, or run `understudy plan sql` for the gate",
        ),
    };
    each_store(plan, s, ask, id)
}
