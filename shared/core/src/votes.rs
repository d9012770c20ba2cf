//! Votes on the primary: probes recorded one by one, judged over a window.
//!
//! A probe is up, down or Unknown. A vote is bad only when every probe of the whole window was down; a single
//! Unknown breaks the run, because it proves nothing (L4).

use crate::observed::Observed;
use crate::plan::Detection;
use crate::time::{Millis, elapsed};
use crate::words::span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Probes kept for each observer: enough for any window that the plan reader accepts at one probe a tick.
const KEPT: usize = 64;

/// Two hosts of one Region, or of two, differ by less; a probe that comes late is late by less than this, too.
pub const DISAGREE: Millis = Millis::from_secs(90);

/// Who looks at the primary from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observer {
    /// The prober in the standby Region.
    Standby,
    /// The prober in the witness Region.
    Witness,
    /// Route 53's own checkers, read over DNS.
    Route53,
}

impl Observer {
    pub const ALL: [Self; 3] = [Self::Standby, Self::Witness, Self::Route53];

    pub fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Witness => "witness",
            Self::Route53 => "route53",
        }
    }
}

/// One look at the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When the primary was surely still good (the request left) or surely already bad (the failure came).
    pub at: Timestamp,
    pub seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "seen", rename_all = "lowercase")]
pub enum Seen {
    Up,
    Down { reason: String },
    Unknown { reason: String },
}

/// The recent probes of one observer, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub probes: Vec<Probe>,
}

impl History {
    /// Adds a probe in the order of its instant; late and repeated deliveries change nothing (L5). One that is dated
    /// behind the history by more than hosts differ was made by a wrong clock, or that was: which of the two is not known,
    /// so that the run of either ends here (L4).
    pub fn with(&self, probe: Probe) -> Self {
        let mut probes = self.probes.clone();
        let ahead = probes.last().map_or(Millis::ZERO, |last| elapsed(probe.at, last.at));
        if ahead > DISAGREE {
            let reason = format!("two of its clocks disagree by {}", span(ahead));
            probes.retain(|kept| kept.at < probe.at);
            probes.push(Probe { at: probe.at, seen: Seen::Unknown { reason } });
        } else if probes.last().is_none_or(|last| last.at < probe.at) {
            probes.push(probe);
        }
        let surplus = probes.len().saturating_sub(KEPT);
        probes.drain(..surplus);
        Self { probes }
    }

    /// The instant of the last probe that found the primary up, before `limit`.
    pub fn last_good(&self, limit: Timestamp) -> Option<Timestamp> {
        self.probes.iter().rev().find(|p| p.seen == Seen::Up && p.at < limit).map(|p| p.at)
    }

    /// The first of the unbroken run of failures at the end.
    fn down_since(&self) -> Option<Timestamp> {
        self.probes
            .iter()
            .rev()
            .take_while(|probe| matches!(probe.seen, Seen::Down { .. }))
            .last()
            .map(|probe| probe.at)
    }
}

/// One observer's statement about the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "vote", rename_all = "lowercase")]
pub enum Vote {
    Up {
        at: Timestamp,
    },
    /// Down, but not yet for the whole window.
    Failing {
        since: Timestamp,
    },
    /// Down for the whole window.
    Down {
        since: Timestamp,
    },
    Unknown {
        reason: String,
    },
}

impl Vote {
    pub fn down_since(&self) -> Option<Timestamp> {
        match self {
            Self::Down { since } => Some(*since),
            _ => None,
        }
    }
}

/// Judges one observer's history at `now`.
pub fn vote(history: &Observed<Arc<History>>, detection: &Detection, now: Timestamp) -> Vote {
    let history = match history {
        Observed::Known { value, .. } => value,
        Observed::Unknown { reason } => return Vote::Unknown { reason: reason.clone() },
    };
    let Some(last) = history.probes.last() else {
        return Vote::Unknown { reason: "it has not probed yet".to_owned() };
    };
    let ahead = elapsed(now, last.at);
    if ahead > DISAGREE {
        return Vote::Unknown { reason: format!("its last probe is dated {} ahead", span(ahead)) };
    }
    let age = elapsed(last.at, now);
    if age > detection.vote_max_age {
        return Vote::Unknown {
            reason: format!(
                "its last probe is {} old, more than {}",
                span(age),
                span(detection.vote_max_age)
            ),
        };
    }
    match (&last.seen, history.down_since()) {
        (Seen::Up, _) => Vote::Up { at: last.at },
        (Seen::Unknown { reason }, _) => Vote::Unknown { reason: reason.clone() },
        (Seen::Down { .. }, Some(since)) => bad_vote(since, last.at, detection.window),
        (Seen::Down { .. }, None) => Vote::Unknown { reason: "no run of failures".to_owned() },
    }
}

/// The window is measured between two probes of the same observer, never up to `now`: time in which nobody
/// looked is not time in which the primary was down.
fn bad_vote(since: Timestamp, last: Timestamp, window: Millis) -> Vote {
    if elapsed(since, last) >= window { Vote::Down { since } } else { Vote::Failing { since } }
}

/// All outside votes with the histories that they rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Votes {
    pub histories: Vec<(Observer, Observed<Arc<History>>)>,
}

/// When the outage began: after `last_good`, at the latest at `first_bad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onset {
    /// `None` when no good probe is on record.
    pub last_good: Option<Timestamp>,
    pub first_bad: Timestamp,
}

impl Votes {
    pub fn judged(&self, detection: &Detection, now: Timestamp) -> Vec<(Observer, Vote)> {
        self.histories.iter().map(|(observer, h)| (*observer, vote(h, detection, now))).collect()
    }

    /// Between which two probes the outage began, by every observer that now says down. Where one still found the
    /// primary up after another had lost it, it began somewhere between the two.
    pub fn onset(&self, detection: &Detection, now: Timestamp) -> Option<Onset> {
        let votes = self.judged(detection, now);
        let lost = || votes.iter().filter_map(|(_, vote)| vote.down_since());
        let earliest = lost().min()?;
        let last_up = self.last_good(now);
        let first_bad = lost().filter(|at| last_up.is_none_or(|up| up < *at)).min().or(lost().max())?;
        Some(Onset { last_good: self.last_good(earliest), first_bad })
    }

    /// Route 53's `up` is minutes old by design, so only probers say when it was last good.
    fn last_good(&self, limit: Timestamp) -> Option<Timestamp> {
        let probers = self.histories.iter().filter(|(observer, _)| *observer != Observer::Route53);
        probers.filter_map(|(_, history)| history.value().and_then(|h| h.last_good(limit))).max()
    }
}
