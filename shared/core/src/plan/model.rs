//! The plan: the declared recovery of one application, as types.
//!
//! Every value here has been read and checked by [`super::read`]; nothing downstream validates again.
//! Spans carry their unit in the type, sizes in the name. A plan is data: it knows no AWS type and no clock.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// One application's recovery, read whole or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The plan's own name; part of every resource name. `[a-z][a-z0-9-]{1,30}`.
    pub name: String,
    pub title: String,
    pub environment: Environment,
    /// Who answers for the plan: a role, not a person.
    pub owner: String,
    pub regions: Regions,
    pub objectives: Objectives,
    /// How often probers, guard and deciders look.
    pub tick: Millis,
    pub detection: Detection,
    pub lease: Lease,
    pub policy: Policy,
    pub stores: Vec<Store>,
    pub routes: Vec<Route>,
    pub hooks: Vec<Hook>,
    pub retention: Retention,
    /// Where this plan is rehearsed; `None` for a plan that never is, and for a rehearsal itself.
    pub rehearsal: Option<Rehearsal>,
}

/// What a plan's stacks may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    Production,
    /// A twin that serves nobody; the only place where a drill starts anything (L9).
    Rehearsal,
}

/// An AWS Region name such as `us-west-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// Serves in normal times.
    pub primary: Region,
    /// Takes over; everything of Understudy but the guard runs here.
    pub standby: Region,
    /// Only watches: a second prober and the second keeper of the lease.
    pub witness: Option<Region>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    pub rto: Millis,
    pub rpo: Millis,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// How long votes must be bad without a break before the primary counts as down.
    pub window: Millis,
    /// How many of the outside votes (standby, witness, Route 53) must be bad.
    pub quorum: u32,
    /// A vote older than this is Unknown.
    pub vote_max_age: Millis,
    /// One probe may take this long.
    pub probe_timeout: Millis,
    /// After an execution ended, no new incident is opened for this long.
    pub cooldown: Millis,
    /// What a prober asks first to prove itself: `https://…` addresses outside the primary Region.
    pub controls: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// A renewal is good for this long.
    pub ttl: Millis,
    /// Longest that a statement or an idle transaction of a writer may live past the lease.
    pub commit_margin: Millis,
    /// Bound on the drift of two clocks over one lease.
    pub drift: Millis,
    pub on_loss: OnLeaseLoss,
    pub arming: Option<Arming>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLeaseLoss {
    /// Keep serving, page, and count what would have happened. No *expired* receipt exists.
    Stay,
    /// The dead-man in the database stops the writers.
    Fence,
}

/// Who armed `on_loss: fence`, and on what evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arming {
    pub by: String,
    /// RFC 3339 date, `2026-11-01`.
    pub signed_on: String,
    pub shadow: Shadow,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shadow {
    /// Days without a single would-have-fenced; at least 30.
    Days(u32),
    /// Waived, with the reason that every report prints.
    Waived(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub failover: Mode,
    pub approval_timeout: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Approval,
    Automatic,
}

/// Something that holds data and has a replica in the standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    pub name: String,
    pub kind: StoreKind,
    /// A required store gates the failover and counts in the RPO.
    pub required: bool,
    pub database: String,
    pub primary: Instance,
    pub standby: Instance,
    /// The role that Understudy logs in as; never a superuser.
    pub operator_role: String,
    /// Login roles that may write; fenced and un-fenced together.
    pub writer_roles: Vec<String>,
    pub application: Application,
    /// `schema.table` names that the statement gate guards and the watermark counts.
    pub tables: Vec<String>,
    pub lag: Lag,
    /// Smallest share of the watermark's row count that the standby must hold, 0..=1.
    pub min_consistency: f64,
    /// Promotion is given up after this long.
    pub promote_timeout: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// An RDS for PostgreSQL cross-Region read replica.
    RdsPostgres,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// `DBInstanceIdentifier`.
    pub id: String,
    pub host: String,
    pub port: u16,
}

/// The login that the application itself uses; promotion is believed only when it can write and read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    pub role: String,
    /// Secrets Manager id, in the standby Region, of a JSON object with `username` and `password`.
    pub secret: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    pub typical: Millis,
    pub warn: Millis,
    pub block: Millis,
}

/// A name that clients use, and the way to move it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub name: String,
    /// The public record, without trailing dot.
    pub record: String,
    pub zone_id: String,
    pub ttl: Millis,
    pub strategy: Strategy,
    /// Where the primary answers by its own name, whatever the public record says: `http(s)://host[:port]`.
    pub primary: String,
    pub standby: String,
    /// TXT record pair on Route 53's endpoint check of the primary: `up` or `down`.
    pub verdict_record: String,
    /// What clients ask: port and scheme of the public name.
    pub scheme: Scheme,
    pub port: u16,
    /// A read that must answer 2xx within the probe timeout.
    pub health_path: String,
    /// A write that must answer 2xx: the confirmation transacts through it.
    pub transaction_path: String,
    /// How long success must last, seen from outside, before traffic counts as moved.
    pub hold: Millis,
    /// Give up confirming after this long.
    pub confirm_timeout: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Metric, alarm and health check: data plane only.
    SwitchMetric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

/// A call to something of the user's own at a named moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    pub name: String,
    pub at: HookPoint,
    /// `POST` here must answer 2xx.
    pub http: String,
    /// `POST` here undoes it. Required where the step is reversible.
    pub undo: Option<String>,
    pub timeout: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// From the assessment on: compute in the standby rises.
    Capacity,
    /// After promotion, before verification: pools reconnect.
    Recycle,
    /// After traffic moved: queues and consumers run.
    Consumers,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    pub evidence_years: u32,
}

/// The twin's own resources, one for each of the plan's; all else is the plan's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    pub stores: Vec<TwinStore>,
    pub routes: Vec<TwinRoute>,
    pub hooks: Vec<TwinHook>,
}

/// Stands in for the plan's store of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinStore {
    pub name: String,
    pub primary: Instance,
    pub standby: Instance,
    /// Secrets Manager id of the application's login to the twin.
    pub secret: String,
}

/// Stands in for the plan's route of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinRoute {
    pub name: String,
    pub record: String,
    /// May be the plan's zone: the records in it are the twin's own.
    pub zone_id: String,
    pub primary: String,
    pub standby: String,
    pub verdict_record: String,
    pub scheme: Scheme,
    pub port: u16,
}

/// Stands in for the plan's hook of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinHook {
    pub name: String,
    pub http: String,
    pub undo: Option<String>,
}
