//! The writer's right to write: lease, keepers, epoch, and how one Region judges another's renewals.
//!
//! Two keepers hold a copy each. The primary holds the lease while either acknowledges a renewal; the standby
//! may take over only after it closed both. What the standby counts from is its own first [`Sighting`] of a renewal, and
//! never an instant before the one at which the primary says that it was made: of two clocks the later counts. What it
//! counts is what the guard of that renewal [`Enforced`], which need not be what the standby's own plan says: two
//! versions of plan and code live side by side in every deploy.

use crate::fault::Fault;
use crate::looks::Unbroken;
use crate::observed::Observed;
use crate::plan::{Lease as LeasePlan, OnLeaseLoss, Region};
use crate::state::Change;
use crate::time::{Millis, after, elapsed};
use crate::words::span;
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
    /// By the clock of the primary's database, just before the write that this renewal attests: it was sighted no
    /// earlier, whatever the clock says by which it was.
    #[serde(default)]
    pub renewed_at: Option<Timestamp>,
    /// What the guard of this renewal enforces; unknown of a guard that is older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<Enforced>,
    /// Since when a planned move that gave the lease back may have stopped the writers: a renewal shows that they write
    /// again. Until then whoever is without service is so because of us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<Timestamp>,
    /// The execution that took the epoch, once the keeper is closed to renewals of the one before.
    pub closed_by: Option<String>,
}

/// What the guard of a renewal enforces in its databases: by its own plan, and by what it found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// The digest of the guard's plan.
    pub plan: String,
    /// What the guard gives the lease: its plan's, or longer until looks between the ticks are counted on.
    pub ttl: Millis,
    /// The looks between the ticks that came without a gap, each of which renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<Unbroken>,
    pub commit_margin: Millis,
    pub drift: Millis,
    /// The longest that any database may let writers in, from this renewal's heartbeat on: what it set, what it found, and
    /// what an earlier renewal may still set. `None`: without end.
    pub within: Option<Millis>,
    /// The databases that were found not to hold what was renewed for them before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<Unset>,
}

/// A database that does not get the lease that the keepers renew: writers are refused there, or will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unset {
    pub store: String,
    /// By that database's clock: the first heartbeat at which it was behind the renewal before.
    pub since: Timestamp,
    /// Past it the lease that it holds lets no writer in; `None`: that one has no end.
    pub ends: Option<Timestamp>,
}

impl Lease {
    /// How long after this renewal its holder may still commit, as the dead-man was armed with it: the larger of what its
    /// guard enforces and what `plan` says.
    pub fn lapse_span(&self, plan: &LeasePlan) -> Millis {
        let Some(theirs) = &self.enforced else { return lapse_span(plan) };
        let within = theirs.within.unwrap_or(theirs.ttl).max(theirs.ttl);
        let larger = LeasePlan {
            ttl: plan.ttl.max(within),
            drift: plan.drift.max(theirs.drift),
            commit_margin: plan.commit_margin.max(theirs.commit_margin),
            ..plan.clone()
        };
        lapse_span(&larger)
    }

    /// How long this renewal is good for, by its guard's plan and by ours.
    pub(crate) fn ttl(&self, plan: &LeasePlan) -> Millis {
        self.enforced.as_ref().map_or(plan.ttl, |theirs| plan.ttl.max(theirs.ttl))
    }

    /// Why this renewal is no proof of an armed dead-man to a standby whose plan has `digest`; `None`: it is one.
    pub fn unarmed(&self, digest: &str) -> Option<String> {
        if !self.armed {
            return Some("the last renewal came without a proof that the dead-man is armed".to_owned());
        }
        match &self.enforced {
            None => Some(
                "the guard of the last renewal does not say what it enforces: it is older than this standby"
                    .to_owned(),
            ),
            Some(theirs) if theirs.plan != digest => Some(
                "the guard of the last renewal has another version of the plan than this standby".to_owned(),
            ),
            Some(theirs) if theirs.within.is_none() => {
                Some("a database of the primary may let writers in without end".to_owned())
            }
            Some(_) => None,
        }
    }

    /// The first renewal of `epoch`.
    pub fn granted(epoch: u64, holder: &Region, armed: bool) -> Self {
        Self {
            epoch,
            holder: holder.clone(),
            counter: 1,
            armed,
            renewed_at: None,
            enforced: None,
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
            enforced: other.filter(|_| guarded).and_then(|lease| lease.enforced.clone()),
            stopped_since: other.and_then(|lease| lease.stopped_since),
            closed_by: Some(execution.to_owned()),
        })),
    }
}

/// The claim of an execution that ended, under the name of the one that goes on from it: the same epoch, and no renewal
/// in between. Whatever else the keeper holds it keeps.
pub fn take_up(
    current: Option<&Lease>,
    epoch: u64,
    ended: impl Fn(&str) -> bool,
    execution: &str,
) -> Change<Lease> {
    match current {
        Some(lease) if lease.epoch == epoch && lease.closed_by.as_deref().is_some_and(ended) => {
            Change::Write(Lease { closed_by: Some(execution.to_owned()), ..lease.clone() })
        }
        _ => Change::Keep,
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
/// not: we wrote those ourselves, and they say nothing of the writer (L4). What is dated ahead was not seen then: it was
/// seen by now.
pub fn sight(previous: Option<&Sighting>, lease: &Lease, now: Timestamp) -> Change<Sighting> {
    let first_seen_at = match previous {
        Some(seen) if seen.lease.counter == lease.counter && elapsed(now, seen.first_seen_at) <= AHEAD => {
            seen.first_seen_at
        }
        _ => now,
    };
    let sighting = Sighting { lease: lease.clone(), first_seen_at };
    if previous == Some(&sighting) { Change::Keep } else { Change::Write(sighting) }
}

/// Clocks of two hosts of one Region differ by less; what is dated further ahead was dated by a wrong one.
pub const AHEAD: Millis = Millis::from_secs(5);

impl Sighting {
    /// From when the last renewal counts: no earlier than it was seen here, nor than the primary says that it was made.
    /// Two clocks would have to be wrong in the same direction for this to be too early.
    pub fn counts_from(&self) -> Timestamp {
        self.lease.renewed_at.map_or(self.first_seen_at, |made| made.max(self.first_seen_at))
    }

    /// When the last renewal was seen, as `now` looks back at it. A primary's clock that runs ahead dates what was seen
    /// long ago into the future: then this Region's own counts.
    pub fn seen_by(&self, now: Timestamp) -> Timestamp {
        let counts_from = self.counts_from();
        if elapsed(now, counts_from) > AHEAD { self.first_seen_at } else { counts_from }
    }
}

/// The lease of a closed keeper, given back under `epoch`: no renewal, so that what the last one showed still stands.
/// `stopped_since`: when a planned move began to stop the writers.
pub fn give_back(closed: &Lease, epoch: u64, holder: &Region, stopped_since: Option<Timestamp>) -> Lease {
    let stopped_since = closed.stopped_since.or(stopped_since);
    Lease {
        counter: closed.counter,
        stopped_since,
        enforced: closed.enforced.clone().map(|enforced| Enforced { unset: Vec::new(), ..enforced }),
        // Writers that we stopped ourselves were without a lease because of us: that is no gap to be counted.
        renewed_at: closed.renewed_at.filter(|_| stopped_since.is_none()),
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperView {
    pub keeper: String,
    pub sighting: Observed<Sighting>,
}

/// What all keepers together say of the primary's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lease", rename_all = "snake_case")]
pub enum Standing {
    /// Some keeper saw a renewal within its time to live, `ttl`: the primary writes, or did at `seen_at`, the newest of them.
    Renewed { keeper: String, seen_at: Timestamp, ttl: Millis },
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
    let fresh = known().filter(|(_, seen)| elapsed(seen.first_seen_at, now) <= seen.lease.ttl(plan));
    if let Some((view, seen)) = fresh.max_by_key(|(_, seen)| seen.first_seen_at) {
        return Standing::Renewed {
            keeper: view.keeper.clone(),
            seen_at: seen.first_seen_at,
            ttl: seen.lease.ttl(plan),
        };
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

/// Why the newest renewal proves no armed dead-man to a standby whose plan has `digest`; `None`: it does.
pub fn unarmed(views: &[KeeperView], plan: &LeasePlan, digest: &str) -> Option<String> {
    if plan.on_loss == OnLeaseLoss::Stay {
        return Some("the plan says `on_loss: stay`".to_owned());
    }
    let leases = views.iter().filter_map(|view| Some(&view.sighting.value()?.lease));
    match leases.max_by_key(|lease| (lease.epoch, lease.renewed_at)) {
        Some(newest) => newest.unarmed(digest),
        None => Some("no renewal was ever seen".to_owned()),
    }
}

/// The execution that claimed the newest lease last, whether or not that ended since; `None`: none did.
pub fn claimed_by(views: &[KeeperView]) -> Option<&str> {
    let leases = views.iter().filter_map(|view| Some(&view.sighting.value()?.lease));
    leases.max_by_key(|lease| lease.epoch)?.closed_by.as_deref()
}

/// The database that the newest renewal found to be without its lease for `long`, while the keepers took them all.
pub fn unset(views: &[KeeperView], long: Millis) -> Option<&Unset> {
    let leases = views.iter().filter_map(|view| Some(&view.sighting.value()?.lease));
    let newest = leases.max_by_key(|lease| (lease.epoch, lease.renewed_at))?;
    let renewed_at = newest.renewed_at?;
    newest.enforced.as_ref()?.unset.iter().find(|unset| elapsed(unset.since, renewed_at) >= long)
}

/// How long after a renewal was seen the old writer may still commit: the time to live, the drift of two clocks over it,
/// and the longest that a transaction may outlive its lease.
pub fn lapse_span(plan: &LeasePlan) -> Millis {
    plan.ttl.saturating_add(plan.drift).saturating_add(plan.commit_margin)
}

/// What the last renewals at all keepers, now closed, come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRenewals {
    /// The newest of them.
    pub seen_at: Option<Timestamp>,
    /// After it, by the standby's clock, no writer of the old epoch can commit: the latest of all of them.
    pub lapses_at: Option<Timestamp>,
    /// Why they prove no armed dead-man; `None`: they do.
    pub unarmed: Option<String>,
}

/// Judges the last renewals of the keepers that were closed. Each must prove an armed dead-man, but for one that was
/// made so long before the newest that nothing of it holds any more: which of two is the newer only the primary's own
/// clock says, and that may have been set back.
pub fn last_renewals(closed: &[Sighting], plan: &LeasePlan, digest: &str) -> LastRenewals {
    let newest = closed.iter().filter_map(|seen| Some((seen.lease.renewed_at?, seen.first_seen_at))).max();
    // By both clocks: the primary's may have been set back since.
    let outlived = |seen: &Sighting| match (seen.lease.renewed_at, newest) {
        (Some(made), Some((newest, newest_seen_at))) => {
            let span = seen.lease.lapse_span(plan);
            elapsed(made, newest) > span && elapsed(seen.first_seen_at, newest_seen_at) > span
        }
        _ => false,
    };
    let proves = |seen: &Sighting| if outlived(seen) { None } else { seen.lease.unarmed(digest) };
    let unarmed = match closed {
        [] => Some("no renewal was ever seen".to_owned()),
        closed => closed.iter().find_map(proves),
    };
    let lapses = closed.iter().map(|seen| after(seen.counts_from(), seen.lease.lapse_span(plan)));
    LastRenewals { seen_at: closed.iter().map(Sighting::counts_from).max(), lapses_at: lapses.max(), unarmed }
}

/// How far a renewal that was made and seen may lie ahead of the clock by which it was closed before one of the clocks
/// must be wrong, in words; `None`: it does not.
pub fn made_ahead(seen: &Sighting, closed_at: Timestamp, plan: &LeasePlan) -> Option<String> {
    let ahead = elapsed(closed_at, seen.counts_from());
    (ahead > plan.ttl).then(|| {
        format!(
            "the clock of the primary's database is {} ahead of this Region's: from when its lease counts is not known",
            span(ahead)
        )
    })
}
