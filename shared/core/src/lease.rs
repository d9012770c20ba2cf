//! The writer's right to write: lease, keepers, epoch, and how one Region judges another's renewals.
//!
//! Two keepers hold a copy each. The primary holds the lease while either acknowledges a renewal; the standby
//! may take over only after it closed both. No instant of one machine is compared with another's: what the
//! standby counts from is its own first [`Sighting`] of a renewal.

use crate::fault::Fault;
use crate::observed::Observed;
use crate::plan::{Lease as LeasePlan, Region};
use crate::state::Change;
use crate::time::{Millis, after, elapsed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The lease as one keeper holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Grows by one each time the lease changes hands; never falls.
    pub epoch: u64,
    pub holder: Region,
    /// Grows by one with each renewal, whoever holds the lease, and with nothing else: by it a renewal is told from a
    /// change of hands.
    pub counter: u64,
    /// Whether the dead-man in the database was seen armed when this renewal was made.
    pub armed: bool,
    /// By the clock of the primary's database, just before the write that this renewal attests. For counting gaps
    /// only: nobody else's clock is compared with it.
    #[serde(default)]
    pub renewed_at: Option<Timestamp>,
    /// Since when a planned move that gave the lease back may have stopped the writers: a renewal shows that they write
    /// again. Until then whoever is without service is so because of us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<Timestamp>,
    /// The execution that took the epoch, once the keeper is closed to renewals of the one before.
    pub closed_by: Option<String>,
}

impl Lease {
    /// The first renewal of `epoch`.
    pub fn granted(epoch: u64, holder: &Region, armed: bool) -> Self {
        Self {
            epoch,
            holder: holder.clone(),
            counter: 1,
            armed,
            renewed_at: None,
            stopped_since: None,
            closed_by: None,
        }
    }
}

/// Why a renewal was refused: the lease is in other hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub epoch: u64,
    pub holder: Region,
}

/// One renewal by `holder` under `epoch`. A keeper that missed a change of hands catches up; it never goes back.
pub fn renew(current: Option<&Lease>, epoch: u64, holder: &Region, armed: bool) -> Result<Lease, Lost> {
    match current {
        None => Ok(Lease::granted(epoch, holder, armed)),
        Some(lease) if lease.epoch == epoch && lease.holder == *holder => {
            let counter = lease.counter.saturating_add(1);
            Ok(Lease { counter, armed, stopped_since: None, ..lease.clone() })
        }
        Some(lease) if lease.epoch < epoch => {
            let counter = lease.counter.saturating_add(1);
            Ok(Lease { counter, ..Lease::granted(epoch, holder, armed) })
        }
        Some(lease) => Err(Lost { epoch: lease.epoch, holder: lease.holder.clone() }),
    }
}

/// Who takes the lease over, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub epoch: u64,
    pub claimant: &'a Region,
    pub execution: &'a str,
    /// A guard renewed for who held it, and its last renewal says whether the dead-man was armed. The standby has no
    /// guard: what lies there from before says nothing of the stores that take over from it.
    pub guarded: bool,
}

/// Claims the lease at a keeper: the close. Idempotent for the same execution (L5); an execution that finds a newer or
/// foreign claim is fenced off.
pub fn close(current: Option<&Lease>, claim: Claim<'_>) -> Result<Change<Lease>, Fault> {
    let Claim { epoch, claimant, execution, guarded } = claim;
    match current {
        Some(lease) if lease.epoch == epoch && lease.closed_by.as_deref() == Some(execution) => {
            Ok(Change::Keep)
        }
        Some(lease) if lease.epoch >= epoch => Err(Fault::Fenced(format!(
            "epoch {epoch} was to be claimed, but a keeper already holds epoch {} for `{}`",
            lease.epoch, lease.holder.0
        ))),
        other => Ok(Change::Write(Lease {
            epoch,
            holder: claimant.clone(),
            counter: other.map_or(0, |lease| lease.counter),
            armed: guarded && other.is_some_and(|lease| lease.armed),
            renewed_at: other.and_then(|lease| lease.renewed_at),
            stopped_since: other.and_then(|lease| lease.stopped_since),
            closed_by: Some(execution.to_owned()),
        })),
    }
}

/// A keeper as this Region saw it: what it holds, and since when its last renewal has been the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub lease: Lease,
    /// This Region's clock when this counter was first seen.
    pub first_seen_at: Timestamp,
}

/// Keeps a sighting while nothing new is seen. A renewal starts a new one; a close or a lease that is given back does
/// not: we wrote those ourselves, and they say nothing of the writer (L4).
pub fn sight(previous: Option<&Sighting>, lease: &Lease, now: Timestamp) -> Change<Sighting> {
    let first_seen_at = match previous {
        Some(seen) if seen.lease == *lease => return Change::Keep,
        Some(seen) if seen.lease.counter == lease.counter => seen.first_seen_at,
        _ => now,
    };
    Change::Write(Sighting { lease: lease.clone(), first_seen_at })
}

/// The lease of a closed keeper, given back under `epoch`: no renewal, so that what the last one showed still stands.
/// `stopped_since`: when a planned move began to stop the writers.
pub fn give_back(closed: &Lease, epoch: u64, holder: &Region, stopped_since: Option<Timestamp>) -> Lease {
    Lease {
        counter: closed.counter,
        stopped_since: closed.stopped_since.or(stopped_since),
        ..Lease::granted(epoch, holder, closed.armed)
    }
}

/// Since when a planned move may have stopped writers that were not seen to write again: one keeper that took a renewal
/// since is enough, and one that was out of reach as the lease was given back says nothing.
pub fn stopped_since(views: &[KeeperView]) -> Option<Timestamp> {
    let leases = || views.iter().filter_map(|view| Some(&view.sighting.value()?.lease));
    let newest = leases().map(|lease| lease.epoch).max()?;
    let stopped: Option<Vec<Timestamp>> =
        leases().filter(|lease| lease.epoch == newest).map(|lease| lease.stopped_since).collect();
    stopped?.into_iter().min()
}

/// What the standby knows of one keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeeperView {
    pub keeper: String,
    pub sighting: Observed<Sighting>,
}

/// What all keepers together say of the primary's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lease", rename_all = "snake_case")]
pub enum Standing {
    /// Some keeper saw a renewal within its time to live: the primary writes.
    Renewed { keeper: String },
    /// No keeper saw one for longer than the time to live.
    Stale { since: Timestamp },
    /// The standby already holds the newest epoch.
    Moved { epoch: u64 },
    /// At least one keeper could not be read and none was fresh (L4: neither alive nor dead).
    Unknown { reason: String },
}

/// Judges the lease from every keeper. One fresh renewal decides; one unreadable keeper leaves it Unknown.
pub fn standing(views: &[KeeperView], plan: &LeasePlan, standby: &Region, now: Timestamp) -> Standing {
    let known = || views.iter().filter_map(|view| view.sighting.value().map(|sighting| (view, sighting)));
    let newest = known().map(|(_, s)| &s.lease).max_by_key(|lease| lease.epoch);
    if let Some(newest) = newest.filter(|lease| lease.holder == *standby) {
        return Standing::Moved { epoch: newest.epoch };
    }
    if let Some((view, _)) = known().find(|(_, s)| elapsed(s.first_seen_at, now) <= plan.ttl) {
        return Standing::Renewed { keeper: view.keeper.clone() };
    }
    if let Some((keeper, reason)) = views.iter().find_map(|view| match &view.sighting {
        Observed::Unknown { reason } => Some((&view.keeper, reason)),
        Observed::Known { .. } => None,
    }) {
        return Standing::Unknown { reason: format!("keeper `{keeper}`: {reason}") };
    }
    match known().map(|(_, s)| s.first_seen_at).max() {
        Some(since) => Standing::Stale { since },
        None => Standing::Unknown { reason: "no keeper is configured".to_owned() },
    }
}

/// The instant, by the standby's clock, after which a writer of the old epoch can no longer commit: the newest
/// sighting of any closed keeper, plus the time to live, the drift of two clocks over it, and the longest that
/// a transaction may outlive its lease.
pub fn lapses_at(last_sighting: Timestamp, plan: &LeasePlan) -> Timestamp {
    after(last_sighting, lapse_span(plan))
}

/// How long after a renewal was seen the old writer may still commit.
pub fn lapse_span(plan: &LeasePlan) -> Millis {
    plan.ttl.saturating_add(plan.drift).saturating_add(plan.commit_margin)
}
