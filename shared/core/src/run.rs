//! The working state of one execution: what its steps hand to each other.
//!
//! One cell for each execution. It is state, not evidence: a report reads the journal, never this.

use crate::fault::Fault;
use crate::lease::KeeperView;
use crate::overrides::Override;
use crate::ports::Cells;
use crate::sql::Lsn;
use crate::state::{Change, keys, look, update};
use crate::steps::Step;
use crate::switch::Side;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What kind of execution this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Unplanned: the primary is lost.
    Failover,
    /// Planned: the primary lives and gives way; nothing is lost.
    Switchover,
    /// A planned move in the rehearsal environment.
    Drill,
    /// Planned, the other way: the standby serves and gives way to the primary, which follows it by now.
    Failback,
}

impl Kind {
    /// The side that is to serve.
    pub fn to(self) -> Side {
        match self {
            Self::Failover | Self::Switchover | Self::Drill => Side::Standby,
            Self::Failback => Side::Primary,
        }
    }

    /// Both sides live, and a person asked: one gives way, and nothing is lost.
    pub fn is_planned(self) -> bool {
        self != Self::Failover
    }

    /// The end of one that went well.
    pub fn success(self) -> End {
        match self {
            Self::Failover | Self::Switchover | Self::Failback => End::Recovered,
            Self::Drill => End::Rehearsed,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Drill => "drill",
            Self::Failback => "failback",
        }
    }
}

/// Who asked for an execution, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub kind: Kind,
    /// A role or a name from the plan's roster.
    pub by: String,
    pub why: String,
}

/// How an execution ended. Every execution reaches exactly one (L6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum End {
    Recovered,
    /// As `Recovered`, in the rehearsal environment: production was not moved.
    Rehearsed,
    RolledBack,
    Refused,
    NeedsOperator,
    /// It ended without saying so; closed from outside.
    Unfinished,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Recovered => "Recovered",
            Self::Rehearsed => "Rehearsed",
            Self::RolledBack => "RolledBack",
            Self::Refused => "Refused",
            Self::NeedsOperator => "NeedsOperator",
            Self::Unfinished => "Unfinished",
        };
        f.write_str(name)
    }
}

/// What stops the old primary from writing, and how that is known. Nothing is promoted without one (L2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "receipt", rename_all = "snake_case")]
pub enum Receipt {
    /// The primary stopped its writers by order, and two looks found none left. Since the first of them nothing
    /// was written; `last_written`: what every store held by then.
    Proved { epoch: u64, quiet_since: Timestamp, proved_at: Timestamp, last_written: Vec<LastWritten> },
    /// The lease ran out by this Region's clock, and the dead-man in the database was seen armed with the last
    /// renewal. `lapsed_at`: the last instant at which the old writer could commit.
    Expired { epoch: u64, last_renewal_seen_at: Timestamp, lapsed_at: Timestamp },
    /// Nothing proves it; a named person took the stated risk.
    Accepted { epoch: u64, by: String, at: Timestamp, risk: String },
}

impl Receipt {
    /// The last instant at which the old writer could commit; `None` where that was accepted, not shown.
    pub fn last_commit_possible_at(&self) -> Option<Timestamp> {
        match self {
            Self::Proved { quiet_since, .. } => Some(*quiet_since),
            Self::Expired { lapsed_at, .. } => Some(*lapsed_at),
            Self::Accepted { .. } => None,
        }
    }

    pub fn epoch(&self) -> u64 {
        match self {
            Self::Proved { epoch, .. } | Self::Expired { epoch, .. } | Self::Accepted { epoch, .. } => *epoch,
        }
    }

    /// What the old primary had written of every store; known only of one that was asked.
    pub fn last_written(&self) -> Option<&[LastWritten]> {
        match self {
            Self::Proved { last_written, .. } => Some(last_written),
            Self::Expired { .. } | Self::Accepted { .. } => None,
        }
    }
}

/// The end of what a stopped primary wrote in one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastWritten {
    pub store: String,
    #[schemars(with = "String")]
    pub position: Lsn,
    /// By the primary's clock.
    pub committed_at: Timestamp,
}

/// The last position that a store's standby received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    pub store: String,
    pub required: bool,
    #[schemars(with = "Option<String>")]
    pub received: Option<Lsn>,
    #[schemars(with = "Option<String>")]
    pub replayed: Option<Lsn>,
    /// Commit time, by the old primary's clock, of the last transaction that is surely here.
    pub commit_at: Option<Timestamp>,
}

/// The probes of the public name, from the first failure to lasting success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub last_bad: Option<Timestamp>,
    /// The first of the present unbroken run of successes.
    pub first_good: Option<Timestamp>,
    pub probes: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub execution: String,
    pub incident: String,
    pub attempt: u32,
    pub kind: Kind,
    pub plan_digest: String,
    /// Who asked for it; `None` when the votes did.
    pub asked: Option<Request>,
    /// The ended execution that this one goes on from, where a person asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    pub accepted_at: Timestamp,
    /// The workflow was asked to start it.
    pub started: bool,
    /// The epoch that this execution claims; fixed when the standby is assessed.
    pub epoch: Option<u64>,
    /// The newest renewal seen when all keepers were closed, and whether the dead-man was armed with it.
    pub closed: Option<Closed>,
    /// Since when looks at a primary that gives way have found no writer.
    pub quiet_since: Option<Timestamp>,
    pub receipt: Option<Receipt>,
    pub positions: Vec<Position>,
    /// A promotion was about to be asked for: from here nothing is taken back.
    pub promotion_asked: bool,
    /// The lease was about to be given back: from here nothing is promoted.
    #[serde(default)]
    pub given_back: bool,
    pub promoted: BTreeMap<String, Timestamp>,
    pub confirmation: Confirmation,
    /// What a person is shown when asked, in one line.
    pub shown: String,
    /// What may be lost at most as far as is known, when a person was first asked.
    pub stated_loss_ms: Option<u64>,
    /// The overrides that this rests on, when a person was first asked.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// How often an approval was asked for.
    pub approvals_asked: u32,
    /// Findings that refused this run.
    pub blocking: Vec<String>,
    /// How often each waiting step has looked; loops end by these (L6).
    pub looks: BTreeMap<Step, u32>,
    /// When each waiting step first looked.
    pub since: BTreeMap<Step, Timestamp>,
    /// What one that goes on saw of the instances of the side that takes over.
    #[serde(default)]
    pub sighted: Sighted,
    /// So many records, from the first on, were sealed by a tick.
    #[serde(default)]
    pub sealed: u64,
    pub end: Option<End>,
}

/// What was seen of the instances of the side that takes over, look after look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighted {
    /// Since when they could not be asked for.
    pub unreached_since: Option<Timestamp>,
    /// At some look one was busy, or stood alone: a hand may have promoted it.
    pub perhaps_promoted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub at: Timestamp,
    /// Every keeper with its last renewal, or why it could not be closed.
    #[serde(default)]
    pub keepers: Vec<KeeperView>,
    /// Every keeper of the plan was closed; otherwise no *expired* receipt exists.
    pub all: bool,
    pub last_renewal_seen_at: Option<Timestamp>,
    /// Every last renewal that still holds came with the proof of an armed dead-man.
    pub armed: bool,
    /// Why not.
    #[serde(default)]
    pub unarmed: Option<String>,
    /// After it no writer of the old epoch can commit, by what the guards of those renewals enforce.
    #[serde(default)]
    pub lapses_at: Option<Timestamp>,
}

impl Run {
    /// One that has done nothing yet.
    pub fn first(execution: &str, incident: &str, kind: Kind, accepted_at: Timestamp) -> Self {
        Self {
            execution: execution.to_owned(),
            incident: incident.to_owned(),
            attempt: 1,
            kind,
            plan_digest: String::new(),
            asked: None,
            continues: None,
            accepted_at,
            started: false,
            epoch: None,
            closed: None,
            quiet_since: None,
            receipt: None,
            positions: Vec::new(),
            promotion_asked: false,
            given_back: false,
            promoted: BTreeMap::new(),
            confirmation: Confirmation::default(),
            shown: String::new(),
            stated_loss_ms: None,
            overrides: Vec::new(),
            approvals_asked: 0,
            blocking: Vec::new(),
            looks: BTreeMap::new(),
            since: BTreeMap::new(),
            sighted: Sighted::default(),
            sealed: 0,
            end: None,
        }
    }

    pub async fn read(cells: &impl Cells, execution: &str) -> Result<Arc<Self>, Fault> {
        look::<Self>(cells, &keys::run(execution))
            .await?
            .ok_or_else(|| Fault::invalid(format!("execution: no run `{execution}` is on record")))
    }

    /// Changes the run; `change` must give the same result when repeated (L5).
    pub async fn change(
        cells: &impl Cells,
        execution: &str,
        mut change: impl FnMut(&mut Self),
    ) -> Result<Arc<Self>, Fault> {
        let changed = update::<Self, _>(cells, &keys::run(execution), |current| {
            let Some(run) = current else {
                return Err(Fault::invalid(format!("execution: no run `{execution}` is on record")));
            };
            let mut next = run.clone();
            change(&mut next);
            Ok(if next == *run { Change::Keep } else { Change::Write(next) })
        })
        .await?;
        changed.ok_or_else(|| Fault::bug("a run vanished while it was changed"))
    }

    /// Takes the way through the one-way door. A delayed delivery that finds the way back taken has lost its right:
    /// both are written to one cell, so that of two that race one comes first (L2).
    pub async fn ask_promotion(cells: &impl Cells, execution: &str) -> Result<(), Fault> {
        let taken = |run: &Self| {
            run.given_back
                .then(|| Fault::Fenced("the lease was given back: nothing is promoted any more".to_owned()))
        };
        Self::take_way(cells, execution, taken, |run| run.promotion_asked = true).await
    }

    /// Takes the way back, as [`Run::ask_promotion`] the way through.
    pub async fn give_back(cells: &impl Cells, execution: &str) -> Result<(), Fault> {
        let taken = |run: &Self| {
            let why = "the lease is not given back once a promotion was asked for";
            run.promotion_asked.then(|| Fault::bug(why))
        };
        Self::take_way(cells, execution, taken, |run| run.given_back = true).await
    }

    async fn take_way(
        cells: &impl Cells,
        execution: &str,
        taken: impl Fn(&Self) -> Option<Fault>,
        take: impl Fn(&mut Self),
    ) -> Result<(), Fault> {
        update::<Self, _>(cells, &keys::run(execution), |current| {
            let Some(run) = current else {
                return Err(Fault::invalid(format!("execution: no run `{execution}` is on record")));
            };
            if let Some(fault) = taken(run) {
                return Err(fault);
            }
            let mut next = run.clone();
            take(&mut next);
            Ok(if next == *run { Change::Keep } else { Change::Write(next) })
        })
        .await
        .map(|_| ())
    }

    /// Counts one more look of a waiting step and says since when it has been looking.
    pub async fn look(
        cells: &impl Cells,
        execution: &str,
        step: Step,
        now: Timestamp,
    ) -> Result<(Arc<Self>, u32, Timestamp), Fault> {
        let run = Self::change(cells, execution, |run| {
            *run.looks.entry(step).or_insert(0) += 1;
            run.since.entry(step).or_insert(now);
        })
        .await?;
        let looks = run.looks.get(&step).copied().unwrap_or(1);
        let since = run.since.get(&step).copied().unwrap_or(now);
        Ok((run, looks, since))
    }

    /// The epoch that this run claims, or why there is none yet.
    pub fn claimed_epoch(&self) -> Result<u64, Fault> {
        self.epoch.ok_or_else(|| Fault::bug("a step that needs the epoch ran before the assessment fixed it"))
    }
}
