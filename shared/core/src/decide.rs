//! Whether the primary is down and what follows: the one place where an outage is declared.
//!
//! Pure and total. Alarms never reach this function: a hint only makes somebody call it (forgeable text
//! decides nothing). The same inputs give the same decision whoever asks and how often (L5).

use crate::drill::may_rehearse;
use crate::incident::{Attempt, Incident, Start};
use crate::lease::{Standing, lapse_span};
use crate::plan::{Mode, Plan};
use crate::run::{Kind, Request};
use crate::state::Flag;
use crate::time::{Millis, after, before, elapsed};
use crate::votes::{Observer, Onset, Vote, Votes};
use crate::words::{instant, span};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything that the decision looks at, gathered once.
#[derive(Clone, Debug, PartialEq)]
pub struct Question<'a> {
    pub now: Timestamp,
    pub plan: &'a Plan,
    pub votes: &'a Votes,
    pub lease: &'a Standing,
    /// Some keeper that can be read saw the primary renew, if ever so long ago.
    pub renewed_once: bool,
    /// Why no dead-man is known to stop the primary's writers once its lease is over; `None`: one is.
    pub unarmed: Option<&'a str>,
    /// Since when a planned move that was taken back may have stopped the writers.
    pub stopped_since: Option<Timestamp>,
    pub incident: Option<&'a Incident>,
    /// Somebody stopped all automation.
    pub hold: Option<&'a Flag>,
    /// What the standby last said keeps it from taking over: the ids of the blocking findings.
    pub blocking: Option<&'a [String]>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Nothing is wrong, or not for long enough.
    Watch {
        reason: String,
    },
    /// People must look; nothing is started.
    Page {
        reason: String,
        dedup: String,
    },
    /// An attempt is under way; make sure that it was really started.
    Running {
        execution: String,
    },
    /// The primary is back: the incident, in which nothing runs, is over.
    Over {
        incident: String,
    },
    /// A person brought to its end what stopped: the incident is over.
    Closed {
        incident: String,
        by: String,
        why: String,
    },
    /// What a person asked for does not fit what is known.
    Declined {
        reason: String,
    },
    Start(Start),
}

/// As people read it.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watch { reason } => write!(f, "watch: {reason}"),
            Self::Page { reason, .. } => write!(f, "people are told: {reason}"),
            Self::Running { execution } => write!(f, "`{execution}` runs"),
            Self::Over { incident } => write!(f, "the primary is back, and incident `{incident}` is over"),
            Self::Closed { incident, by, why } => {
                write!(f, "{by} closes incident `{incident}`: {why}")
            }
            Self::Declined { reason } => write!(f, "declined: {reason}"),
            Self::Start(start) => {
                write!(f, "start attempt {} of `{}`, a {}", start.attempt, start.incident, start.kind.name())
            }
        }
    }
}

/// What the votes call for.
pub fn decide(q: &Question<'_>) -> Decision {
    if let Some(running) = q.incident.and_then(Incident::running) {
        return Decision::Running { execution: running.execution.clone() };
    }
    if let Some(stopped) = q.incident.filter(|incident| incident.is_open()).and_then(Incident::stopped) {
        return half_way(q, stopped);
    }
    if let Standing::Moved { epoch } = q.lease {
        return watch(format!("the standby holds the lease since epoch {epoch}; going back is a failback"));
    }
    let votes = q.votes.judged(&q.plan.detection, q.now);
    let (down, needed) = tally(q, &votes);
    if let Standing::Stale { since } = q.lease
        && down < needed
    {
        // A database that takes no write behind a health path that answers by itself, or a guard that does not run.
        let why = match q.stopped_since {
            None => "Its database takes no write, or its guard does not run".to_owned(),
            Some(at) => format!(
                "A planned move that was taken back stopped its writers at {}, and its guard has not let them in since",
                instant(at)
            ),
        };
        return Decision::Page {
            reason: format!(
                "the primary's lease was last renewed at {}, and {down} of {needed} needed votes say down: {}. {why}. \
                 No failover starts by itself; if it should move, `understudy \
                 failover` asks for it",
                instant(*since),
                describe(&votes)
            ),
            dedup: "lease-stale".to_owned(),
        };
    }
    if down > 0 && down < needed {
        // Somebody has not seen the primary for the whole window, but too few agree: people should know, and
        // nothing is started.
        return Decision::Page {
            reason: format!(
                "{down} of {needed} needed votes say down: {}. No failover is started",
                describe(&votes)
            ),
            dedup: "too-few-votes".to_owned(),
        };
    }
    if let Some(incident) = over(q, &votes) {
        return Decision::Over { incident };
    }
    if down < needed {
        return watch(format!("{down} of {needed} needed votes say down: {}", describe(&votes)));
    }
    let Some(onset) = onset(q) else {
        return watch("the votes give no instant at which it began".to_owned());
    };
    if let Some(reason) = held_back(q) {
        return Decision::Page { reason, dedup: "held-back".to_owned() };
    }
    confirmed(q, onset, &votes)
}

/// Whoever holds the lease: it serves nobody, or leaves something behind, until a person goes on from there. Where the primary
/// holds it again and is lost meanwhile, that is another matter, and told as one.
fn half_way(q: &Question<'_>, stopped: &Attempt) -> Decision {
    let votes = q.votes.judged(&q.plan.detection, q.now);
    let (down, needed) = tally(q, &votes);
    let lost = down >= needed
        && match q.lease {
            Standing::Stale { .. } => true,
            Standing::Unknown { .. } => q.renewed_once,
            Standing::Renewed { .. } | Standing::Moved { .. } => false,
        };
    let also = if !lost {
        String::new()
    } else if stopped.kind == Kind::Failback {
        format!(
            ". THE PRIMARY IS DOWN as well ({}). Before its door `continue` goes back without it; behind it the runbook says who \
             holds what was written",
            describe(&votes)
        )
    } else {
        format!(
            ". THE PRIMARY IS DOWN as well ({}), and no failover starts by itself: `understudy failover` asks for one",
            describe(&votes)
        )
    };
    Decision::Page {
        reason: format!(
            "`{}` stopped half-way ({}): `understudy continue` goes on from there, or read the runbook{also}",
            stopped.execution,
            stopped.end_text()
        ),
        dedup: format!("{}-half-way{}", stopped.execution, if lost { "-and-down" } else { "" }),
    }
}

/// An open incident is over once the lease is renewed again, nobody fails to see the primary and somebody sees it.
fn over(q: &Question<'_>, votes: &[(Observer, Vote)]) -> Option<String> {
    let incident = q.incident.filter(|incident| incident.is_open())?;
    let alive = matches!(q.lease, Standing::Renewed { .. });
    let failing = votes.iter().any(|(_, vote)| matches!(vote, Vote::Down { .. } | Vote::Failing { .. }));
    let up = votes.iter().any(|(_, vote)| matches!(vote, Vote::Up { .. }));
    (alive && up && !failing).then(|| incident.id.clone())
}

/// The votes say down: the lease decides whether the primary is dead or only unreachable.
fn confirmed(q: &Question<'_>, onset: Onset, votes: &[(Observer, Vote)]) -> Decision {
    match q.lease {
        // The lease outlives the window: a renewal from before the outage says nothing of now. One that was made then is
        // seen within two ticks, for schedules fire anywhere within theirs.
        Standing::Renewed { seen_at, ttl, .. }
            if *seen_at <= after(onset.first_bad, q.plan.tick.times(2)) =>
        {
            watch(format!(
                "the primary cannot be reached ({}); its last renewal was seen at {}, and whether it lives is known once \
                 its lease of {} has run out",
                describe(votes),
                instant(*seen_at),
                span(*ttl)
            ))
        }
        // A renewing writer is alive: moving away from it is a switchover, by a person (L8, L11).
        Standing::Renewed { keeper, .. } => Decision::Page {
            reason: format!(
                "the primary cannot be reached ({}), but keeper `{keeper}` still gets its renewals: it is alive \
                 and writing. This is a partition or a grey failure; no failover is started. If it should move, \
                 start a switchover",
                describe(votes)
            ),
            dedup: "partition".to_owned(),
        },
        Standing::Unknown { reason } => Decision::Page {
            reason: format!(
                "the primary cannot be reached ({}), and its lease cannot be judged: {reason}. No failover is \
                 started on unknown evidence",
                describe(votes)
            ),
            dedup: "lease-unknown".to_owned(),
        },
        Standing::Stale { .. } | Standing::Moved { .. } => start(q, onset),
    }
}

fn start(q: &Question<'_>, onset: Onset) -> Decision {
    match q.incident.filter(|incident| incident.is_open()) {
        None => first(q, Kind::Failover, None, Some(onset)),
        Some(incident) => match incident.attempts.last() {
            Some(last) if !worth_another(last, q.blocking) => Decision::Page {
                reason: format!(
                    "attempt {} of `{}` ended {}; nothing that it named has changed since",
                    last.number,
                    incident.id,
                    last.end_text()
                ),
                dedup: format!("{}-ended", last.execution),
            },
            Some(last) if too_soon(q, incident, last) => watch(format!(
                "attempt {} of `{}` was refused by {}, as {} before it: the next one waits a while",
                last.number,
                incident.id,
                last.refused_by().unwrap_or_default().join(", "),
                incident.refused_in_a_row().saturating_sub(1)
            )),
            _ => next(incident, Kind::Failover, None, Some(onset)),
        },
    }
}

fn first(q: &Question<'_>, kind: Kind, asked: Option<Request>, onset: Option<Onset>) -> Decision {
    let incident = Incident::id_at(q.now);
    Decision::Start(Start { incident, attempt: 1, kind, asked, continues: None, onset })
}

fn next(incident: &Incident, kind: Kind, asked: Option<Request>, onset: Option<Onset>) -> Decision {
    Decision::Start(Start {
        incident: incident.id.clone(),
        attempt: incident.attempts.last().map_or(1, |last| last.number.saturating_add(1)),
        kind,
        asked,
        continues: None,
        onset: incident.onset.or(onset),
    })
}

/// What stopped goes on where a person asks for it: an attempt of its own, for behind its last record the other writes
/// nothing any more (L6). What it may do is judged by the record of the one that stopped, not by votes: behind the
/// one-way door the only way is forward, before it the only one is back.
pub fn decide_continue(q: &Question<'_>, by: &str, why: &str) -> Decision {
    if let Some(running) = q.incident.and_then(Incident::running) {
        return Decision::Running { execution: running.execution.clone() };
    }
    if let Some(hold) = q.hold {
        return declined(held(hold));
    }
    let Some(incident) = q.incident.filter(|incident| incident.is_open()) else {
        return declined("no incident is open: nothing stopped half-way".to_owned());
    };
    let Some(stopped) = incident.stopped() else {
        let last = incident.attempts.last().map_or_else(|| "nothing".to_owned(), Attempt::end_text);
        return declined(format!("the last attempt ended {last}, and left nothing to go on from"));
    };
    let asked = Request { kind: stopped.kind, by: by.to_owned(), why: why.to_owned() };
    match next(incident, stopped.kind, Some(asked), None) {
        Decision::Start(start) => {
            Decision::Start(Start { continues: Some(stopped.execution.clone()), ..start })
        }
        other => other,
    }
}

/// What was brought to its end by hand is closed where a person says so, once the lease says who serves: nobody who serves,
/// and nothing open, would be a state without a road. `claimed`: by whom the newest lease is closed, if by anybody.
pub fn decide_close(q: &Question<'_>, by: &str, why: &str, claimed: Option<&str>) -> Decision {
    if let Some(running) = q.incident.and_then(Incident::running) {
        return Decision::Running { execution: running.execution.clone() };
    }
    let Some(incident) = q.incident.filter(|incident| incident.is_open()) else {
        return declined("no incident is open".to_owned());
    };
    let held = claimed.filter(|execution| incident.knows(execution));
    let back = incident.stopped().is_some_and(|stopped| stopped.kind == Kind::Failback);
    let unsettled = match (q.lease, held) {
        // Of a way back that stopped the primary may renew, and serve nobody.
        (Standing::Renewed { .. }, _) if !back => None,
        (Standing::Renewed { .. } | Standing::Moved { .. }, None) => None,
        (Standing::Renewed { .. } | Standing::Moved { .. } | Standing::Stale { .. }, Some(execution)) => {
            Some(format!("the lease is held for `{execution}` alone"))
        }
        (Standing::Stale { .. }, None) => Some("nobody is known to hold the lease".to_owned()),
        (Standing::Unknown { reason }, _) => Some(format!("who holds the lease is not known: {reason}")),
    };
    match unsettled {
        Some(why) => declined(format!(
            "{why}: `understudy continue` goes on from what stopped; what was done by hand is closed once `lease current` says who \
             serves (runbook)"
        )),
        None => Decision::Closed { incident: incident.id.clone(), by: by.to_owned(), why: why.to_owned() },
    }
}

/// What a person may have started. Asking replaces the wait for better evidence, never the evidence: a failover
/// needs a primary that is down, a switchover one that lives (L8, L11), a drill one that is no production's (L9), a
/// failback a standby that serves. None of them but the first ever starts by itself.
pub fn decide_asked(q: &Question<'_>, request: &Request) -> Decision {
    if let Some(running) = q.incident.and_then(Incident::running) {
        return Decision::Running { execution: running.execution.clone() };
    }
    if let Some(hold) = q.hold {
        return declined(held(hold));
    }
    if let Some(stopped) = q.incident.filter(|incident| incident.is_open()).and_then(Incident::stopped)
        && request.kind.is_planned()
    {
        return declined(format!(
            "`{}` stopped half-way: `understudy continue` first, then ask again",
            stopped.execution
        ));
    }
    let fits = match request.kind {
        Kind::Failover => primary_is_lost(q).map(Some),
        Kind::Switchover => primary_lives(q).map(|()| None),
        Kind::Failback => standby_serves(q).map(|()| None),
        Kind::Drill => may_rehearse(q.plan, q.now).and_then(|()| primary_lives(q)).map(|()| None),
    };
    let onset = match fits {
        Ok(onset) => onset,
        Err(reason) => return declined(reason),
    };
    match q.incident.filter(|incident| incident.is_open()) {
        Some(incident) => next(incident, request.kind, Some(request.clone()), onset),
        None => first(q, request.kind, Some(request.clone()), onset),
    }
}

/// Going back needs somebody to come back from. Whether there is something to go back to is judged by the checks.
fn standby_serves(q: &Question<'_>) -> Result<(), String> {
    match q.lease {
        Standing::Moved { .. } => Ok(()),
        Standing::Renewed { keeper, .. } => {
            Err(format!("the primary serves already: keeper `{keeper}` gets its renewals"))
        }
        Standing::Stale { since } => Err(format!(
            "the standby holds no lease; the primary's was last renewed at {since}. That is a failover, or nothing"
        )),
        Standing::Unknown { reason } => Err(format!("who holds the lease is not known: {reason}")),
    }
}

fn primary_lives(q: &Question<'_>) -> Result<(), String> {
    match q.lease {
        Standing::Renewed { .. } => Ok(()),
        Standing::Moved { epoch } => Err(format!("the standby serves already, since epoch {epoch}")),
        Standing::Stale { since } => Err(format!(
            "the primary has not renewed its lease since {since}, so it cannot give way: that is a failover"
        )),
        Standing::Unknown { reason } => Err(format!("whether the primary lives is not known: {reason}")),
    }
}

/// A person may ask where the votes would not: of a primary that answers and no longer renews, and of one that is down
/// while a keeper cannot be read. Neither is known to write; that it cannot, only a receipt says (L2).
fn primary_is_lost(q: &Question<'_>) -> Result<Onset, String> {
    let votes = q.votes.judged(&q.plan.detection, q.now);
    let (down, needed) = tally(q, &votes);
    match q.lease {
        Standing::Stale { since } if down < needed => {
            return no_receipt(q, &votes).map_or_else(|| Ok(stopped_renewing(q, *since)), Err);
        }
        Standing::Stale { .. } => {}
        Standing::Moved { epoch } => return Err(format!("the standby serves already, since epoch {epoch}")),
        Standing::Renewed { keeper, .. } => {
            return Err(format!(
                "keeper `{keeper}` still gets renewals: the primary is alive and writing. Start a switchover"
            ));
        }
        Standing::Unknown { .. } if down >= needed && q.renewed_once => {}
        Standing::Unknown { reason } => {
            return Err(format!(
                "its lease cannot be judged: {reason}. {down} of {needed} needed votes say down: {}",
                describe(&votes)
            ));
        }
    }
    onset(q).ok_or_else(|| "the votes give no instant at which it began".to_owned())
}

/// Why a failover of a primary that answers could only hurt it: what is closed stops its writers once its guard is back, and
/// without a dead-man only an acceptance is left, which does not count while somebody sees it (L8, L11).
fn no_receipt(q: &Question<'_>, votes: &[(Observer, Vote)]) -> Option<String> {
    let up = votes.iter().find(|(_, vote)| matches!(vote, Vote::Up { .. }))?.0.name();
    let why = q.unarmed?;
    Some(format!(
        "observer `{up}` sees the primary, and nothing would show that it writes no more: {why}. Let its guard run again; or, if \
         it is to be given up, take its application off the net, and ask once no observer sees it"
    ))
}

/// It took a write as it renewed last, which was seen within two ticks; that it takes none now is only known now.
fn stopped_renewing(q: &Question<'_>, since: Timestamp) -> Onset {
    let seen = onset(q);
    let last_good = before(since, q.plan.tick.times(2));
    Onset {
        last_good: Some(seen.and_then(|seen| seen.last_good).map_or(last_good, |good| good.min(last_good))),
        first_bad: seen.map_or(q.now, |seen| seen.first_bad),
    }
}

/// When it began, by the votes; or since a planned move that was taken back stopped the writers, which no probe of a
/// health path sees (L7).
fn onset(q: &Question<'_>) -> Option<Onset> {
    let seen = q.votes.onset(&q.plan.detection, q.now)?;
    let last_good = seen.last_good.map(|good| q.stopped_since.map_or(good, |stopped| good.min(stopped)));
    Some(Onset { last_good, ..seen })
}

fn declined(reason: String) -> Decision {
    Decision::Declined { reason }
}

/// Corruption and security incidents never promote, whoever asks: their road leads elsewhere (L8).
fn held(hold: &Flag) -> String {
    match hold.category {
        None => format!("automation is on hold by `{}`: `understudy resume` lifts it", hold.by),
        Some(_) => format!("{}. {}", hold.told(), hold.road()),
    }
}

/// How many votes say down, and how many are needed.
fn tally(q: &Question<'_>, votes: &[(Observer, Vote)]) -> (usize, usize) {
    let down = votes.iter().filter(|(_, vote)| matches!(vote, Vote::Down { .. })).count();
    (down, usize::try_from(q.plan.detection.quorum).unwrap_or(usize::MAX))
}

/// A refused attempt is repeated only when what blocked it is gone from the newest readiness.
fn worth_another(last: &Attempt, blocking: Option<&[String]>) -> bool {
    match (last.refused_by(), blocking) {
        (Some(refused), Some(now)) => !refused.is_empty() && refused.iter().all(|id| !now.contains(id)),
        _ => false,
    }
}

/// What refuses one attempt after the other and is gone in between: each that is refused doubles the wait, up to a quarter
/// of an hour.
fn too_soon(q: &Question<'_>, incident: &Incident, last: &Attempt) -> bool {
    let refused = incident.refused_in_a_row();
    let Some(ended) = last.ended.as_ref().filter(|_| refused > AT_ONCE) else { return false };
    let ticks = 1_u64.checked_shl(refused.saturating_sub(AT_ONCE)).unwrap_or(u64::MAX).min(LONGEST_WAIT);
    elapsed(ended.at, q.now) < q.plan.tick.times(ticks)
}

/// So many refused attempts in a row are each followed by the next at once.
const AT_ONCE: u32 = 3;
/// In ticks.
const LONGEST_WAIT: u64 = 15;

fn held_back(q: &Question<'_>) -> Option<String> {
    if let Some(hold) = q.hold {
        return Some(format!("the primary is down, but {}", held(hold)));
    }
    if let Some(window) = q.plan.maintenance_at(q.now) {
        return Some(format!(
            "the primary is down, and planned work is under way until {} ({}): nothing moves by itself. If it should, \
             `understudy failover` asks for it",
            instant(window.to),
            window.why
        ));
    }
    // A planned move that was taken back says nothing about a primary that flaps.
    let unplanned = q.incident.filter(|incident| !incident.is_open() && incident.onset.is_some());
    let ended = unplanned.and_then(Incident::last_ended_at)?;
    let cooldown = q.plan.detection.cooldown;
    (elapsed(ended, q.now) < cooldown).then(|| {
        format!(
            "the primary is down again within the cooldown of {}, which ends at {}",
            span(cooldown),
            instant(after(ended, cooldown))
        )
    })
}

/// Whether the plan lets an attempt cross the one-way door at `now` without a person (L8).
pub fn may_promote_alone(plan: &Plan, now: Timestamp) -> bool {
    plan.mode_at(now) == Mode::Automatic
}

/// Whether an attempt that is assessed at `now` will find the door open when it gets there: a session that opens while
/// the lease runs out is known beforehand, and then people are asked at once.
pub fn will_promote_alone(plan: &Plan, now: Timestamp) -> bool {
    let way = lapse_span(&plan.lease).saturating_add(WAY_TO_THE_DOOR);
    let looks = way.0 / CALENDAR_GRAIN.0 + 1;
    (0..=looks).all(|look| may_promote_alone(plan, after(now, CALENDAR_GRAIN.times(look))))
}

/// What an attempt may take from its assessment to the door beside the lease: its own steps, and their retries.
const WAY_TO_THE_DOOR: Millis = Millis::from_secs(60);
/// Sessions open and close on whole minutes.
const CALENDAR_GRAIN: Millis = Millis::from_secs(60);

fn watch(reason: String) -> Decision {
    Decision::Watch { reason }
}

fn describe(votes: &[(Observer, Vote)]) -> String {
    let one = |(observer, vote): &(Observer, Vote)| {
        let said = match vote {
            Vote::Up { .. } => "up".to_owned(),
            Vote::Failing { since } => format!("failing since {}", instant(*since)),
            Vote::Down { since } => format!("down since {}", instant(*since)),
            Vote::Unknown { reason } => format!("unknown ({reason})"),
        };
        format!("{} {said}", observer.name())
    };
    votes.iter().map(one).collect::<Vec<_>>().join(", ")
}
