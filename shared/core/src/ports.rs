//! What the core asks of the world: small traits, one capability each.
//!
//! Each has one real adapter in `understudy-aws` and one fake in the simulator. A port says what is wanted,
//! never how a service spells it. No port takes a default: what cannot be read is an error or `Unknown`.

use crate::fault::Fault;
use crate::live::{HealthCheck, MetricAlarm, RecordSet};
use crate::plan::Region;
use crate::sql::{Answer, FenceLook, Secret, Statement};
use crate::switch::Side;
use crate::time::Millis;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// The wall clock of this Region.
pub trait Clock {
    fn now(&self) -> Timestamp;
}

/// One versioned document of the state table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub version: u64,
    pub body: Value,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Somebody else wrote first: read again, decide again.
    Conflict,
}

/// A state table: strongly consistent reads, conditional writes, nothing else.
///
/// `expected` is the version that was read, `None` for a cell that must not exist yet. A write whose reply
/// is lost is `Transient`; the caller reads again and never assumes (L5).
#[expect(async_fn_in_trait, reason = "called on concrete adapters only; no `dyn`, no spawned generic future")]
pub trait Cells {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault>;
    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault>;

    /// [`Cells::read`] with the body in its type. A table that holds values and not text may spare the way through
    /// text, and share what it holds; it must answer the same.
    async fn load<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        key: &Key,
    ) -> Result<Option<(u64, Arc<T>)>, Fault> {
        let Some(cell) = self.read(key).await? else { return Ok(None) };
        match serde_json::from_value(cell.body) {
            Ok(value) => Ok(Some((cell.version, Arc::new(value)))),
            Err(error) => Err(Fault::bug(format!("cell `{}/{}` does not read: {error}", key.kind, key.id))),
        }
    }

    /// [`Cells::write`] of a body in its type.
    async fn store<T: Serialize + Send + Sync + 'static>(
        &self,
        key: &Key,
        expected: Option<u64>,
        value: &Arc<T>,
    ) -> Result<Written, Fault> {
        let body = serde_json::to_value(value.as_ref())
            .map_err(|error| Fault::bug(format!("cell body: {error}")))?;
        self.write(key, expected, &body).await
    }

    /// The cells of `series` behind number `last`, in order, up to the first that is missing. A table that can be
    /// asked for a range spares a call for each cell.
    ///
    /// Right only for cells that are written once and in order: what it answers is then what stood there when the
    /// gap was seen, though no call sees several cells at one instant.
    async fn follow<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        series: &Series<'_>,
        last: u64,
    ) -> Result<Vec<Arc<T>>, Fault> {
        let mut found = Vec::new();
        for seq in last.saturating_add(1).. {
            let Some((_, value)) = self.load(&series.key(seq)).await? else { break };
            found.push(value);
        }
        Ok(found)
    }
}

/// The name of a cell: `kind` is the partition, which IAM can restrict; `id` tells cells of a kind apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: &'static str,
    pub id: Cow<'static, str>,
}

impl Key {
    pub fn new(kind: &'static str, id: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, id: id.into() }
    }
}

/// Cells that are numbered from 1 on.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    pub kind: &'static str,
    pub id: &'a str,
}

impl Series<'_> {
    /// Numbers have six digits, so that a table's order of keys is theirs.
    pub const LAST: u64 = 999_999;

    pub fn key(&self, seq: u64) -> Key {
        Key::new(self.kind, format!("{}/{seq:06}", self.id))
    }
}

/// A queue whose messages come back to the function that sent them, each once its delay is over.
#[expect(async_fn_in_trait, reason = "called on concrete adapters only; no `dyn`, no spawned generic future")]
pub trait Looks {
    /// Sends one message a look: `{"look": …}` with the instant at which it is due, so long from now.
    async fn send(&self, looks: &[(Timestamp, Millis)]) -> Result<(), Fault>;
}

/// The named statements of `sql-agent` in one Region.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Sql {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault>;
}

/// The order to stop the writers of the primary, under the epoch that the standby claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceOrder {
    pub execution: String,
    pub epoch: u64,
}

/// What the order left of the writers of one store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FencedStore {
    pub store: String,
    pub look: FenceLook,
    /// The plan by whose tables and roles was stopped and looked; unknown of an older guard.
    #[serde(default)]
    pub plan_digest: Option<String>,
}

/// The side that gives way in a planned move. On the way out of an outage nobody asks it: nothing waits for the Region
/// that failed (L1).
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait GivesWay {
    /// Stops the writers, or stops them again; tells what is left of them in every store.
    async fn fence(&self, order: &FenceOrder) -> Result<Vec<FencedStore>, Fault>;
}

/// What a managed database service says of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub id: String,
    /// The service's own word: `available`, `modifying`, `backing-up`, …
    pub status: String,
    /// The instance it replicates from; `None` once it stands alone.
    pub source: Option<String>,
    pub backup_retention_days: Option<i32>,
}

/// The same thing in both Regions. What stands in the primary's is asked by a failback alone (L1).
pub struct Both<'a, T> {
    pub standby: &'a T,
    pub primary: &'a T,
}

impl<'a, T> Both<'a, T> {
    pub fn at(&self, side: Side) -> &'a T {
        match side {
            Side::Standby => self.standby,
            Side::Primary => self.primary,
        }
    }
}

/// The managed databases of one Region.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Databases {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault>;
    /// Asks for promotion, with the retention of backups that the instance has. Accepted is not done: only
    /// [`Databases::describe`] and a read-back tell.
    async fn promote(&self, instance: &str, backup_retention_days: Option<i32>) -> Result<(), Fault>;
}

/// Starts executions of the workflow.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Executions {
    /// Starts `name` once. `AlreadyExists` is success for the caller who asks twice.
    async fn start(&self, name: &str, incident: &str) -> Result<Started, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Now,
    Already,
}

/// Answers a waiting task of the workflow.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Tokens {
    /// A task that waits no longer is `Invalid`: the answer came too late.
    async fn send(&self, token: &str, output: &Value) -> Result<(), Fault>;
}

/// Write-once evidence. The stored bytes are what is hashed.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Evidence {
    /// Stores `bytes` at `key` once; an equal object already there is `Done`, a different one `Conflict`.
    async fn put_once(&self, key: &str, bytes: &[u8], content_type: &str) -> Result<Written, Fault>;
}

/// What a signing key made of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's full name, so that a reader can ask for its public half.
    pub key: String,
    /// The algorithm, in the service's words.
    pub algorithm: String,
    /// As the algorithm's own standard encodes it: DER for ECDSA.
    pub bytes: Vec<u8>,
}

/// A key that signs and cannot be taken away.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Signer {
    /// Signs a SHA-256 digest. Two signatures of one digest differ: who needs the same one twice keeps the first.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, Fault>;
}

/// Publishes levels as metrics.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Metrics {
    async fn publish(&self, metric: Metric, value: f64) -> Result<(), Fault>;
}

/// The metrics that this product writes, each with the plan as its one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// 1 = the standby serves. The switch health check follows it.
    Switch,
    /// 1 = this prober reached the primary, 0 = it did not. Never published when Unknown.
    PrimaryHealthy,
}

/// One request and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpAnswer {
    Status(u16),
    /// Nothing came: refused, timed out, unresolvable. Says which.
    Failed(String),
}

impl std::fmt::Display for HttpAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Failed(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl HttpAnswer {
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// HTTP as a client does it, bounded by `timeout`.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Http {
    async fn get(&self, url: &str, timeout: Millis) -> HttpAnswer;
    async fn post(&self, url: &str, body: &Value, timeout: Millis) -> HttpAnswer;
}

/// The answer to a DNS question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsAnswer {
    Values(Vec<String>),
    Failed(String),
}

/// DNS, asked afresh each time.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Dns {
    async fn txt(&self, name: &str, timeout: Millis) -> DnsAnswer;
    async fn addresses(&self, name: &str, timeout: Millis) -> DnsAnswer;
}

/// A hosted zone and its health checks, by Route 53's API: a control plane, which nothing on the path asks (L1).
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Records {
    /// Every record set of `name`.
    async fn records(&self, zone_id: &str, name: &str) -> Result<Vec<RecordSet>, Fault>;
    /// `None` where there is no such check.
    async fn health_check(&self, id: &str) -> Result<Option<HealthCheck>, Fault>;
}

/// The metric alarms of one Region.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Alarms {
    /// `None` where there is no such alarm.
    async fn alarm(&self, name: &str) -> Result<Option<MetricAlarm>, Fault>;
}

/// How loud a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// A message to people. Equal `dedup` keys are one matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub severity: Severity,
    pub plan: String,
    pub incident: Option<String>,
    pub text: String,
    pub dedup: String,
}

#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Pager {
    async fn page(&self, page: &Page) -> Result<(), Fault>;
}

/// Reads a secret of this Region. The value is passed on, never kept.
#[expect(async_fn_in_trait, reason = "as Cells")]
pub trait Secrets {
    async fn login(&self, secret_id: &str) -> Result<Secret, Fault>;
}

/// Where this code runs, told by the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Standby,
    Primary,
    Witness,
}

impl Role {
    /// The role's Region by the plan; `None` where the plan has no witness.
    pub fn region(self, regions: &crate::plan::Regions) -> Option<&Region> {
        match self {
            Self::Standby => Some(&regions.standby),
            Self::Primary => Some(&regions.primary),
            Self::Witness => regions.witness.as_ref(),
        }
    }
}
