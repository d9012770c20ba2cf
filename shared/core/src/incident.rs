//! The incident: what the votes say is wrong, or a person wants moved, and the attempts at it.
//!
//! One cell holds the current one. At most one attempt runs; the cell's conditional write is what makes a
//! hundred alarms one execution (L5).

use crate::fault::Fault;
use crate::lease::KeeperView;
use crate::run::{End, Kind, Request};
use crate::state::Change;
use crate::votes::{Observer, Onset, Vote};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// `i-20261121t031500z`: when it was opened.
    pub id: String,
    /// `None` for a planned move: nothing is wrong.
    pub onset: Option<Onset>,
    pub opened_at: Timestamp,
    pub attempts: Vec<Attempt>,
    /// Set when an attempt recovered, or a person closed it.
    pub closed_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    /// The execution's name, `<incident>-a<n>`: a closed name is refused for 90 days, so each is used once.
    pub execution: String,
    pub kind: Kind,
    /// Who asked for it; `None` when the votes did.
    pub asked: Option<Request>,
    /// The ended execution that this one goes on from, where a person asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    pub opened_at: Timestamp,
    /// What it was opened on. Whoever finishes the opening later has seen other things since.
    pub grounds: Option<Grounds>,
    pub ended: Option<Ended>,
}

/// What was seen when an attempt was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    pub hint: String,
    pub votes: Vec<(Observer, Vote)>,
    pub keepers: Vec<KeeperView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    pub end: End,
    /// The findings that refused it.
    pub blocking: Vec<String>,
    /// It ended before it claimed the lease: whatever stood half-way before it still does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub took_nothing: bool,
}

/// Attempts that an incident keeps.
const MOST_ATTEMPTS: usize = 32;

impl Incident {
    pub fn id_at(now: Timestamp) -> String {
        let text = jiff::fmt::strtime::format("i-%Y%m%dt%H%M%Sz", now);
        // The format above is constant and valid; milliseconds are as unique should it ever fail.
        text.unwrap_or_else(|_| format!("i-{}", now.as_millisecond()))
    }

    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// Whether `execution` is an attempt of this one.
    pub fn knows(&self, execution: &str) -> bool {
        self.attempts.iter().any(|attempt| attempt.execution == execution)
    }

    pub fn running(&self) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.ended.is_none())
    }

    /// The attempt that stopped where only a person goes on, if what it holds is still its own: one that was refused
    /// since, or ended before it claimed anything, took nothing from it.
    pub fn stopped(&self) -> Option<&Attempt> {
        let ended = self.attempts.iter().rev().map_while(|attempt| Some((attempt, attempt.ended.as_ref()?)));
        let mut since = None;
        for (attempt, ended) in ended {
            let stopped = matches!(ended.end, End::NeedsOperator | End::Unfinished).then_some(attempt);
            match ended.end {
                End::Refused => {}
                _ if ended.took_nothing && attempt.continues.is_none() => since = since.or(stopped),
                _ => return stopped.or(since),
            }
        }
        since
    }

    /// Of many that were refused the oldest are left out: an item has a bound, and each of them has its journal and its
    /// report.
    fn forget_refused(&mut self) {
        let mut surplus = self.attempts.len().saturating_sub(MOST_ATTEMPTS);
        self.attempts.retain(|attempt| {
            let forgotten = surplus > 0 && attempt.refused_by().is_some();
            surplus = surplus.saturating_sub(usize::from(forgotten));
            !forgotten
        });
    }

    /// How many of the last attempts in a row were refused.
    pub fn refused_in_a_row(&self) -> u32 {
        let refused = self.attempts.iter().rev().take_while(|attempt| attempt.refused_by().is_some()).count();
        u32::try_from(refused).unwrap_or(u32::MAX)
    }

    pub fn last_ended_at(&self) -> Option<Timestamp> {
        self.attempts.iter().filter_map(|attempt| attempt.ended.as_ref().map(|ended| ended.at)).max()
    }
}

impl Attempt {
    pub fn refused_by(&self) -> Option<&[String]> {
        self.ended.as_ref().filter(|ended| ended.end == End::Refused).map(|ended| ended.blocking.as_slice())
    }

    pub fn end_text(&self) -> String {
        self.ended.as_ref().map_or_else(|| "not yet".to_owned(), |ended| ended.end.to_string())
    }
}

pub fn execution_name(incident: &str, attempt: u32) -> String {
    format!("{incident}-a{attempt}")
}

/// An attempt that was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub incident: String,
    pub attempt: u32,
    pub kind: Kind,
    pub asked: Option<Request>,
    /// The ended execution that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    pub onset: Option<Onset>,
}

/// Opens the attempt for somebody who decided so when the incident `seen` stood here. If that is no longer so, or an
/// attempt runs, what stands here is kept and the caller reads it.
pub fn open_attempt(
    current: Option<&Incident>,
    seen: Option<&str>,
    start: &Start,
    now: Timestamp,
) -> Change<Incident> {
    let attempt = Attempt {
        number: start.attempt,
        execution: execution_name(&start.incident, start.attempt),
        kind: start.kind,
        asked: start.asked.clone(),
        continues: start.continues.clone(),
        opened_at: now,
        grounds: None,
        ended: None,
    };
    match current {
        Some(incident) if incident.id == start.incident => {
            let next = incident.attempts.iter().all(|known| known.number < attempt.number);
            if incident.is_open() && incident.running().is_none() && next {
                let mut incident = incident.clone();
                incident.onset = incident.onset.or(start.onset);
                incident.forget_refused();
                incident.attempts.push(attempt);
                return Change::Write(incident);
            }
            Change::Keep
        }
        // Somebody else opened one in between. It may be over by now; the decision is older than that.
        Some(incident) if incident.is_open() || seen != Some(incident.id.as_str()) => Change::Keep,
        _ => Change::Write(Incident {
            id: start.incident.clone(),
            onset: start.onset,
            opened_at: now,
            attempts: vec![attempt],
            closed_at: None,
        }),
    }
}

/// As [`open_attempt`], with what was seen.
pub fn open_attempt_on(
    current: Option<&Incident>,
    seen: Option<&str>,
    start: &Start,
    grounds: &Grounds,
    now: Timestamp,
) -> Change<Incident> {
    let mut change = open_attempt(current, seen, start, now);
    if let Change::Write(incident) = &mut change
        && let Some(opened) = incident.attempts.last_mut()
    {
        opened.grounds = Some(grounds.clone());
    }
    change
}

/// Closes `id` when the primary is back and nothing runs.
pub fn close_incident(current: Option<&Incident>, id: &str, now: Timestamp) -> Change<Incident> {
    match current {
        Some(incident) if incident.id == id && incident.is_open() && incident.running().is_none() => {
            Change::Write(Incident { closed_at: Some(now), ..incident.clone() })
        }
        _ => Change::Keep,
    }
}

/// Writes down how an attempt ended. A recovery, or a rehearsed one, closes the incident; so does the end of a planned move that left
/// everything where it was.
pub fn end_attempt(
    current: Option<&Incident>,
    execution: &str,
    ended: &Ended,
) -> Result<Change<Incident>, Fault> {
    let Some(incident) = current else {
        return Ok(Change::Keep);
    };
    let mut next = incident.clone();
    let Some(attempt) = next.attempts.iter_mut().find(|attempt| attempt.execution == execution) else {
        return Ok(Change::Keep);
    };
    if attempt.ended.is_some() {
        return Ok(Change::Keep);
    }
    attempt.ended = Some(ended.clone());
    let undone = matches!(ended.end, End::RolledBack | End::Refused);
    if matches!(ended.end, End::Recovered | End::Rehearsed) || (next.onset.is_none() && undone) {
        next.closed_at = Some(ended.at);
    }
    Ok(Change::Write(next))
}
