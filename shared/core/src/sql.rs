//! The closed set of statements that `sql-agent` answers, as data.
//!
//! No SQL text ever travels in an event; only these names and their arguments do. Secrets travel in
//! [`Secret`], which shows nothing in logs.

use crate::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A login of the application. Serialised only into the request to `sql-agent`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("username", &self.username).field("password", &"…").finish()
    }
}

/// What to run, on which store, in the Region of the agent that is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "statement", rename_all = "snake_case", deny_unknown_fields)]
pub enum Statement {
    /// Commit a heartbeat on the primary and read what it has written so far.
    Heartbeat { store: String },
    /// Set the lease row that the statement gate reads: `epoch` may write for `valid_ms` from `since`,
    /// an instant of the database's own clock; without `valid_ms` the lease has no end. Writers that a fence
    /// locked out may log in again.
    SetLease { store: String, epoch: u64, holder: String, since: Option<Timestamp>, valid_ms: Option<u64> },
    /// Stop every writer: the lease row ends under `epoch` of `holder`, the writer roles may not log in, their
    /// sessions end. Then look at what is left of them, and commit a last heartbeat.
    Fence { store: String, epoch: u64, holder: String },
    /// Read the replica's positions and counts.
    ReplicaStatus { store: String },
    /// Log in as the application and read.
    ApplicationRead { store: String, login: Secret },
    /// Log in as the application, write one row, commit, read it back on a second connection.
    ApplicationWrite { store: String, login: Secret, token: String },
}

impl Statement {
    pub fn store(&self) -> &str {
        match self {
            Self::Heartbeat { store }
            | Self::SetLease { store, .. }
            | Self::Fence { store, .. }
            | Self::ReplicaStatus { store }
            | Self::ApplicationRead { store, .. }
            | Self::ApplicationWrite { store, .. } => store,
        }
    }

    /// The statement's name in logs and evidence; never its arguments.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Heartbeat { .. } => "heartbeat",
            Self::SetLease { .. } => "set_lease",
            Self::Fence { .. } => "fence",
            Self::ReplicaStatus { .. } => "replica_status",
            Self::ApplicationRead { .. } => "application_read",
            Self::ApplicationWrite { .. } => "application_write",
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Heartbeat(Written),
    LeaseSet,
    Fence(FenceLook),
    Replica(Replica),
    ApplicationRead,
    /// The row was committed and then read back by another connection.
    ApplicationWrote,
    /// The server was reached and said no, or could not be reached: the class and what it said.
    Failed {
        class: FailureClass,
        detail: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// No connection: refused, timed out, name not found.
    Unreachable,
    /// The server refused the login.
    Login,
    /// The server takes no writes.
    ReadOnly,
    /// The statement gate stopped the write.
    Fenced,
    /// It did not end in time.
    Timeout,
    /// Anything else the server said.
    Sql,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "not reached",
            Self::Login => "login refused",
            Self::ReadOnly => "takes no writes",
            Self::Fenced => "stopped by the gate",
            Self::Timeout => "not answered in time",
            Self::Sql => "refused",
        })
    }
}

/// What the primary had written when the heartbeat committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The database's clock before the heartbeat; the lease counts from here.
    pub before: Timestamp,
    /// The database's clock after the heartbeat's commit.
    pub committed_at: Timestamp,
    pub position: Lsn,
    /// Rows by table; a table that could not be counted in time is absent.
    pub rows: BTreeMap<String, u64>,
    /// Nothing is in `unarmed`: the dead-man stops every writer that it is meant to stop.
    pub gate_armed: bool,
    /// Why the dead-man does not count as armed, each in words: a table without its gate, a lease without end, a way
    /// round that the server has open. Empty from an agent that is older than this field, whatever it saw.
    #[serde(default)]
    pub unarmed: Vec<String>,
    /// The lease as this database held it when the heartbeat began; unknown to an older agent.
    #[serde(default)]
    pub lease: Option<LeaseInside>,
    /// What the sessions of the writer roles are like; unknown to an older agent.
    #[serde(default)]
    pub sessions: Option<WriterSessions>,
    /// Which cluster this is; unknown to an older agent.
    #[serde(default)]
    pub lineage: Option<Lineage>,
    /// Who beside the plan's writers can write its tables, where no gate would stop them: roles by name, subscriptions,
    /// and whoever could not be looked for.
    pub ungated_writers: Vec<String>,
    /// The job that ends the writers' sessions past the lease ran of late; unknown to a script older than that job.
    #[serde(default)]
    pub job_runs: Option<bool>,
}

/// The lease as a database holds it, all by its own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInside {
    pub epoch: u64,
    /// From when the end was counted; `None`: nobody ever renewed it here.
    pub since: Option<Timestamp>,
    /// Past it no writer passes the gate; `None`: it has no end.
    pub ends: Option<Timestamp>,
}

/// Sessions of the plan's writer roles, as far as anybody else can see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterSessions {
    pub open: u64,
    /// So many began before their role was given its time-outs, and have none.
    pub unbounded: u64,
    /// The longest transaction that is open.
    pub longest: Millis,
    /// When one wrote last whose own time-outs are longer than the commit margin allows; `None`: none was seen.
    pub unbounded_wrote_at: Option<Timestamp>,
    /// Prepared transactions of anybody: a fence waits for none of them. Unknown of a guard that is older than this field.
    #[serde(default)]
    pub prepared: Option<u64>,
}

/// Which cluster a server is of, and which of its histories it follows: a replica has its primary's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// `pg_control_system().system_identifier`, in digits.
    pub system: String,
    pub timeline: u32,
}

/// What a fence left of the writers, and what the primary had written by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceLook {
    /// Sessions of the writer roles.
    pub sessions: u64,
    /// Prepared transactions: they outlive the session that made them.
    pub prepared: u64,
    /// Other sessions that hold a lock for writing on a table of the plan: one that passed the gate may be on its way to
    /// the disk. `None`: an older agent did not look.
    #[serde(default)]
    pub others: Option<u64>,
    /// The last heartbeat, committed after the look.
    pub written: Written,
}

impl FenceLook {
    /// Who may still write; `None` when nobody may.
    pub fn unquiet(&self) -> Option<String> {
        if self.sessions > 0 {
            return Some(format!("{} sessions of its writers are open", self.sessions));
        }
        if self.prepared > 0 {
            return Some(format!("{} prepared transactions wait for their commit", self.prepared));
        }
        match self.others {
            Some(0) => {}
            Some(others) => return Some(format!("{others} other sessions are writing to its tables")),
            None => return Some("whether other sessions write was not looked at".to_owned()),
        }
        let others = &self.written.ungated_writers;
        (!others.is_empty()).then(|| format!("no gate stops {}", others.join(", ")))
    }
}

/// A replica as it sees itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    pub in_recovery: bool,
    /// The last position written to its disk; `None` before the first.
    pub received: Option<Lsn>,
    pub replayed: Option<Lsn>,
    /// Commit time, by the primary's clock, of the last transaction replayed.
    pub replayed_commit_at: Option<Timestamp>,
    pub replay_paused: bool,
    pub rows: BTreeMap<String, u64>,
    /// The server's own clock.
    pub now: Timestamp,
    /// Which cluster it is a copy of; unknown to an older agent.
    #[serde(default)]
    pub lineage: Option<Lineage>,
}

/// A position in the write-ahead log, ordered; written as PostgreSQL does, `16/B374D848`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a log position such as `16/B374D848`");
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| wrong())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| wrong())?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
