//! The RDS endpoint over the two real PostgreSQL servers: Query protocol, AWS's refusals, and the statuses
//! of a promotion in AWS's order and, divided by the cloud's speed, in AWS's time.
//!
//! It exists because the public emulators are unfaithful exactly here: they promote at once, keep naming the
//! source and promote twice. Nothing about PostgreSQL itself is imitated. Who may call is not checked.
//!
//! A promotion lives in this process: one that was under way when it ended is forgotten, and the data folder
//! then says whether the server is still a replica.

mod xml;

use crate::config::{Cloud, Database, Place};
use crate::gateway::{self, Body};
use crate::postgres::{PostgresError, REPLICATOR_PASSWORD, SUPERUSER, Server};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After a promotion was accepted the status says `available` for this long, as if nothing had been asked.
pub const UNNOTICED: Duration = Duration::from_secs(15);
/// Then `modifying`, at the end of which the server really leaves recovery.
pub const MODIFYING: Duration = Duration::from_secs(135);
/// Then `rebooting`, at the beginning of which the server really restarts.
pub const REBOOTING: Duration = Duration::from_secs(150);
/// The whole of a promotion whose instance keeps backups already.
pub const PROMOTION: Duration = UNNOTICED.saturating_add(MODIFYING).saturating_add(REBOOTING);
/// `backing-up`, inside the promotion of an instance that kept no backups.
pub const FIRST_BACKUP: Duration = Duration::from_mins(2);

/// What a promotion sets where its caller names no retention and none was set before.
const DEFAULT_RETENTION_DAYS: u8 = 1;
/// AWS takes 0 to 35 days.
const RETENTION_DAYS_MAX: u8 = 35;
/// Logs reach the backup store this often.
const LOG_UPLOAD: Duration = Duration::from_mins(5);
/// A server that is restarting does not answer; a description must not wait for it.
const LOOK: Duration = Duration::from_secs(2);

/// The status of an instance, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Available,
    Modifying,
    Rebooting,
    BackingUp,
    /// A real step of the promotion failed; the log of this process says which.
    Failed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting",
            Self::BackingUp => "backing-up",
            Self::Failed => "failed",
        })
    }
}

/// One instance as the control API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    pub id: String,
    pub place: Place,
    pub status: Status,
    /// The instance that it replicates; gone only at the end of a promotion.
    pub source: Option<String>,
    pub promoting: bool,
    pub backup_retention_days: u8,
    pub latest_restorable: Option<Timestamp>,
    #[serde(skip)]
    host: Option<String>,
}

impl Instance {
    fn of(database: &Database, is_replica: bool) -> Self {
        Self {
            id: database.id.clone(),
            place: database.place,
            status: Status::Available,
            source: database.source.clone().filter(|_| is_replica),
            promoting: false,
            backup_retention_days: database.backup_retention_days,
            latest_restorable: None,
            host: database.host.clone(),
        }
    }
}

/// The service in all Regions; every clone is a handle on the same one.
#[derive(Clone, Debug)]
pub struct Rds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cloud: Arc<Cloud>,
    servers: BTreeMap<String, Server>,
    instances: Mutex<BTreeMap<String, Instance>>,
}

/// A refusal, as AWS words it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    fn not_found(id: &str) -> Self {
        let message = format!("DBInstance {id} not found.");
        Self { status: StatusCode::NOT_FOUND, code: "DBInstanceNotFound", message }
    }

    fn state(message: impl Into<String>) -> Self {
        Self::bad("InvalidDBInstanceState", message)
    }
}

/// A request: who asks, in which Region, with which parameters.
struct Asked<'a> {
    from: Place,
    place: Option<Place>,
    region: &'a str,
    parameters: BTreeMap<String, String>,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        let missing =
            || Refusal::bad("MissingParameter", format!("The request must contain the parameter {name}"));
        self.get(name).ok_or_else(missing)
    }
}

/// What a request concerns, as IAM names it: one instance, or all of the Region where none is named.
pub fn resource(region: &str, form: &[u8]) -> String {
    let named = |name: &str| matches!(name, "DBInstanceIdentifier" | "ResourceName");
    let found = form_urlencoded::parse(form).find(|(name, _)| named(name));
    let id = found.map_or_else(|| "*".to_owned(), |(_, value)| value.into_owned());
    if id.starts_with("arn:") { id } else { xml::arn(region, &id) }
}

impl Rds {
    /// The instances that the cloud describes. A replica is one only while its data folder says so.
    pub fn new(cloud: Arc<Cloud>) -> Result<Self, PostgresError> {
        let mut servers = BTreeMap::new();
        let mut instances = BTreeMap::new();
        for database in &cloud.databases {
            let server = Server::at(&cloud, database.place)?;
            instances.insert(database.id.clone(), Instance::of(database, server.is_standby()));
            servers.insert(database.id.clone(), server);
        }
        Ok(Self(Arc::new(Inner { cloud, servers, instances: Mutex::new(instances) })))
    }

    /// Every instance, in the order of their names.
    pub fn instances(&self) -> Vec<Instance> {
        self.0.lock().values().cloned().collect()
    }

    /// Answers one request that was signed for `region` by somebody in `from`.
    pub async fn answer(&self, from: Place, region: &str, form: &[u8]) -> Response<Body> {
        let parameters = form_urlencoded::parse(form).into_owned().collect();
        let asked = Asked { from, place: self.0.cloud.place_of(region), region, parameters };
        let done = match asked.get("Action") {
            Some("DescribeDBInstances") => self.describe(&asked).await,
            Some("PromoteReadReplica") => self.promote(&asked).await,
            Some("ListTagsForResource") => self.tags(&asked),
            other => {
                let action = other.unwrap_or_default();
                let message = format!("The action {action} is not valid for this endpoint (the local RDS).");
                Err(Refusal::bad("InvalidAction", message))
            }
        };
        match done {
            Ok(document) => gateway::answer(StatusCode::OK, "text/xml", document),
            Err(refusal) => {
                gateway::answer(refusal.status, "text/xml", xml::refusal(refusal.code, &refusal.message))
            }
        }
    }

    /// Makes the instance in `place` anew, as a replica of the one in `of`. Whatever it held is gone.
    pub async fn make_replica(&self, of: Place, place: Place) -> Result<Instance, PostgresError> {
        let at = |wanted: Place| {
            let found = self.instances().into_iter().find(|one| one.place == wanted);
            found.ok_or(PostgresError::NoDatabase { place: wanted })
        };
        let (source, mut instance) = (at(of)?, at(place)?);
        let server = Server::at(&self.0.cloud, place)?;
        server.remove().await?;
        server.base_backup(self.0.cloud.db(place, of), &slot(place), REPLICATOR_PASSWORD).await?;
        server.start().await?;
        tracing::info!(database = instance.id, source = source.id, "made anew as a replica");
        instance.source = Some(source.id);
        (instance.status, instance.promoting) = (Status::Available, false);
        self.0.lock().insert(instance.id.clone(), instance.clone());
        Ok(instance)
    }

    async fn describe(&self, asked: &Asked<'_>) -> Result<String, Refusal> {
        let shown = match asked.get("DBInstanceIdentifier") {
            Some(id) => vec![self.0.find(asked, id)?],
            None => self.instances().into_iter().filter(|one| Some(one.place) == asked.place).collect(),
        };
        let mut list = String::new();
        for instance in shown {
            list.push_str(&self.render(asked, instance).await);
        }
        Ok(xml::result("DescribeDBInstances", &xml::raw("DBInstances", &list)))
    }

    async fn promote(&self, asked: &Asked<'_>) -> Result<String, Refusal> {
        let id = asked.required("DBInstanceIdentifier")?;
        let id = self.0.find(asked, id)?.id;
        let retention = asked.get("BackupRetentionPeriod").map(retention_days).transpose()?;
        let accepted = self.0.accept(&id, retention)?;
        tracing::info!(database = id, "promotion accepted");
        tokio::spawn(promotion(Arc::clone(&self.0), id, retention));
        Ok(xml::result("PromoteReadReplica", &self.render(asked, accepted).await))
    }

    fn tags(&self, asked: &Asked<'_>) -> Result<String, Refusal> {
        self.0.find(asked, asked.required("ResourceName")?)?;
        Ok(xml::result("ListTagsForResource", &xml::raw("TagList", "")))
    }

    async fn render(&self, asked: &Asked<'_>, instance: Instance) -> String {
        let inner = &self.0;
        let latest_restorable = inner.look_at_log(&instance).await;
        let replication = inner.replication(&instance).await;
        let link = || inner.cloud.link(asked.from, instance.place).to_string();
        let replicas =
            self.instances().into_iter().filter(|other| other.source.as_ref() == Some(&instance.id));
        xml::instance(&xml::View {
            address: instance.host.clone().unwrap_or_else(link),
            port: inner.cloud.db_port,
            arn: xml::arn(asked.region, &instance.id),
            source: instance.source.as_ref().map(|source| inner.name_for(asked.region, source)),
            replicas: replicas.map(|replica| inner.name_for(asked.region, &replica.id)).collect(),
            latest_restorable,
            replication,
            instance: &instance,
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, id: &str, change: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.lock().get_mut(id) {
            change(instance);
        }
    }

    fn set(&self, id: &str, status: Status) {
        tracing::info!(database = id, %status, "status");
        self.update(id, |instance| instance.status = status);
    }

    /// The instance of this name or ARN, in the Region that was asked.
    fn find(&self, asked: &Asked<'_>, name: &str) -> Result<Instance, Refusal> {
        let id = name.rsplit_once(":db:").map_or(name, |(_, id)| id);
        let found = self.lock().get(id).filter(|one| Some(one.place) == asked.place).cloned();
        found.ok_or_else(|| Refusal::not_found(name))
    }

    /// The bare name inside one Region, the ARN across two.
    fn name_for(&self, region: &str, id: &str) -> String {
        let place = self.lock().get(id).map(|instance| instance.place);
        match place.and_then(|place| self.cloud.region_of(place)) {
            Some(other) if other != region => xml::arn(other, id),
            _ => id.to_owned(),
        }
    }

    /// Takes the promotion of `id` on, or refuses it; both in one step, so that of two callers one is refused.
    fn accept(&self, id: &str, retention: Option<u8>) -> Result<Instance, Refusal> {
        let mut instances = self.lock();
        let has_replicas = instances.values().any(|other| other.source.as_deref() == Some(id));
        let instance = instances.get_mut(id).ok_or_else(|| Refusal::not_found(id))?;
        if instance.source.is_none() {
            return Err(Refusal::state("DB Instance is not a read replica"));
        }
        if instance.status != Status::Available || instance.promoting {
            let status = instance.status;
            return Err(Refusal::state(format!(
                "DB Instance {id} cannot be promoted now; its status is {status}."
            )));
        }
        if retention == Some(0) && has_replicas {
            return Err(Refusal::state(format!("DB Instance {id} has read replicas and must keep backups.")));
        }
        instance.promoting = true;
        Ok(instance.clone())
    }

    /// Sets the retention; true when backups were off and are on now.
    fn enable_backups(&self, id: &str, retention: Option<u8>) -> bool {
        let mut instances = self.lock();
        let Some(instance) = instances.get_mut(id) else { return false };
        let before = instance.backup_retention_days;
        let default = if before == 0 { DEFAULT_RETENTION_DAYS } else { before };
        instance.backup_retention_days = retention.unwrap_or(default);
        before == 0 && instance.backup_retention_days > 0
    }

    /// The end of the log that the backups have, as far as a look at the server can tell.
    async fn look_at_log(&self, instance: &Instance) -> Option<Timestamp> {
        let server = self.servers.get(&instance.id)?;
        if instance.backup_retention_days == 0 {
            return None;
        }
        if server.is_running().await.unwrap_or(false) {
            let every = self.cloud.scaled(LOG_UPLOAD).as_millis().max(1);
            let every = i64::try_from(every).unwrap_or(i64::MAX);
            let now = Timestamp::now().as_millisecond();
            let uploaded = Timestamp::from_millisecond(now - now.rem_euclid(every)).ok();
            self.update(&instance.id, |one| one.latest_restorable = one.latest_restorable.max(uploaded));
        }
        self.lock().get(&instance.id)?.latest_restorable
    }

    /// What RDS says of a replica's stream; `None` for an instance that is no replica.
    async fn replication(&self, instance: &Instance) -> Option<xml::Replication> {
        instance.source.as_ref()?;
        let server = self.servers.get(&instance.id)?;
        let look = async {
            let session = server.superuser(SUPERUSER).await.ok()?;
            let receiver = "SELECT status = 'streaming' FROM pg_stat_wal_receiver";
            session.query_opt(receiver, &[]).await.ok()??.try_get(0).ok()
        };
        Some(match tokio::time::timeout(LOOK, look).await {
            Ok(Some(true)) => xml::Replication::Replicating,
            _ if instance.promoting => xml::Replication::Terminated,
            _ => xml::Replication::Error,
        })
    }
}

/// The name of the slot that a replica in `place` streams by.
fn slot(place: Place) -> String {
    format!("replica_in_{}", place.name())
}

fn retention_days(given: &str) -> Result<u8, Refusal> {
    let problem = || {
        let message =
            format!("Invalid backup retention period: {given}. Must be between 0 and {RETENTION_DAYS_MAX}.");
        Refusal::bad("InvalidParameterValue", message)
    };
    given.parse().ok().filter(|days| *days <= RETENTION_DAYS_MAX).ok_or_else(problem)
}

/// An accepted promotion, to its end.
async fn promotion(inner: Arc<Inner>, id: String, retention: Option<u8>) {
    if let Err(error) = promotion_steps(&inner, &id, retention).await {
        tracing::error!(database = id, %error, "the promotion failed");
        inner.set(&id, Status::Failed);
        inner.update(&id, |instance| instance.promoting = false);
    }
}

async fn promotion_steps(inner: &Inner, id: &str, retention: Option<u8>) -> Result<(), PostgresError> {
    let Some(server) = inner.servers.get(id) else { return Ok(()) };
    let pass = |period| tokio::time::sleep(inner.cloud.scaled(period));
    pass(UNNOTICED).await;
    inner.set(id, Status::Modifying);
    pass(MODIFYING).await;
    server.promote().await?;
    inner.set(id, Status::Rebooting);
    let rebooted = async {
        pass(REBOOTING).await;
        Ok(())
    };
    tokio::try_join!(server.restart(), rebooted)?;
    if inner.enable_backups(id, retention) {
        inner.set(id, Status::BackingUp);
        pass(FIRST_BACKUP).await;
    }
    inner.update(id, |instance| {
        instance.source = None;
        instance.promoting = false;
    });
    inner.set(id, Status::Available);
    Ok(())
}
