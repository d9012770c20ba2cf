//! Everything of three Regions that is no database, played in memory: state tables, evidence, RDS, names, people.
//!
//! What is real here is what the rounds are about: PostgreSQL, the statements of `sql-agent`, the wires, and the code of
//! the functions. Each call crosses the link between its two places, waits where that hangs, and fails where it is cut.

use super::draw::Fencing;
use crate::config::{Cloud, Place};
use crate::links::Links;
use crate::rds::Rds;
use crate::up::APPLICATION_PASSWORD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sql_agent::agent::Agent;
use sql_agent::connect::Connector;
use std::cell::{Cell as Slot, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_postgres::{Client, Config, NoTls};
use understudy_aws::dns::Resolver;
use understudy_core::fault::Fault;
use understudy_core::journal::Stored;
use understudy_core::plan::Plan;
use understudy_core::ports::{
    Cell, Cells, Clock, Databases, Dns, DnsAnswer, Evidence, Executions, FenceOrder, FencedStore, GivesWay,
    Http, HttpAnswer, InstanceStatus, Key, Metric, Metrics, Page, Pager, Role, Secrets, Signature, Signer,
    Started, Tokens, Written,
};
use understudy_core::sql::{Answer, Secret, Statement};
use understudy_core::state::keys;
use understudy_core::time::Millis;

/// Nobody waits longer for a call to answer.
const CALL_MAX: Duration = Duration::from_millis(1_500);
/// A call takes this long at least, and up to three times as long.
const CALL_MIN: u64 = 2;

/// One application in three Regions.
pub struct Region {
    pub plan: Plan,
    pub digest: String,
    pub cloud: Cloud,
    pub links: Links,
    pub fencing: Fencing,
    rds: Rds,
    standby: RefCell<BTreeMap<Key, Cell>>,
    witness: RefCell<BTreeMap<Key, Cell>>,
    objects: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The level of the switch: 1 sends clients to the standby.
    level: Slot<f64>,
    started: RefCell<Vec<String>>,
    starts: mpsc::UnboundedSender<String>,
    tokens: RefCell<Vec<(String, Value)>>,
    /// Rings with each token that is sent.
    pub sent: Notify,
    /// Promotions that RDS took on.
    promotions: Slot<u32>,
    agents: BTreeMap<Place, Agent>,
}

impl Region {
    pub fn new(
        (plan, digest): (Plan, String),
        cloud: Cloud,
        links: Links,
        rds: Rds,
        fencing: Fencing,
    ) -> Result<(Rc<Self>, mpsc::UnboundedReceiver<String>), Fault> {
        let agent = |role| {
            let connector = Connector::new(Resolver::new()?, "off")?;
            Ok::<_, Fault>(Agent { plan: plan.clone(), role, connector, credentials: || Ok(nobodys()) })
        };
        let agents = BTreeMap::from([
            (Place::Primary, agent(Role::Primary)?),
            (Place::Standby, agent(Role::Standby)?),
        ]);
        let (starts, started) = mpsc::unbounded_channel();
        let region = Self {
            plan,
            digest,
            cloud,
            links,
            fencing,
            rds,
            standby: RefCell::default(),
            witness: RefCell::default(),
            objects: RefCell::default(),
            level: Slot::new(0.0),
            started: RefCell::default(),
            starts,
            tokens: RefCell::default(),
            sent: Notify::new(),
            promotions: Slot::new(0),
            agents,
        };
        Ok((Rc::new(region), started))
    }

    /// What a call costs, and whether it comes through.
    pub async fn pass(&self, from: Place, to: Place) -> Result<(), Fault> {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(CALL_MIN..=3 * CALL_MIN))).await;
        let mut link = self.links.follow(from, to);
        match tokio::time::timeout(CALL_MAX, link.pass()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(Fault::transient(format!("{from} to {to}: {refused}"))),
            Err(_) => Err(Fault::transient(format!("{from} to {to}: no answer in time"))),
        }
    }

    /// The executions that were started, in their order.
    pub fn executions(&self) -> Vec<String> {
        self.started.borrow().clone()
    }

    pub fn promotions(&self) -> u32 {
        self.promotions.get()
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.borrow().get(key).cloned()
    }

    /// What stands in the standby's table, whatever the links let through: for whoever judges.
    pub fn look<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        read(&self.standby, key)
    }

    /// As [`Region::look`], in the witness's table.
    pub fn look_at_witness<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        read(&self.witness, key)
    }

    /// The records of an execution, as the table holds them.
    pub fn journal(&self, execution: &str) -> Vec<Stored> {
        (1..).map_while(|seq| self.look(&keys::journal(execution).key(seq))).collect()
    }

    /// The output that was sent with `token`.
    pub fn take_token(&self, token: &str) -> Option<Value> {
        let mut tokens = self.tokens.borrow_mut();
        let at = tokens.iter().position(|(sent, _)| sent == token)?;
        Some(tokens.swap_remove(at).1)
    }

    /// The table of `at`, called from `from`.
    pub fn table(&self, from: Place, at: Place) -> Table<'_> {
        Table { region: self, from, at }
    }

    pub fn net(&self, from: Place) -> Net<'_> {
        Net { region: self, from }
    }

    /// A session of the application with the database of `to`.
    pub async fn log_in(&self, from: Place, to: Place) -> Result<Client, tokio_postgres::Error> {
        log_in(&self.plan, self.cloud.db(from, to)).await
    }
}

fn read<T: DeserializeOwned>(cells: &RefCell<BTreeMap<Key, Cell>>, key: &Key) -> Option<T> {
    let body = cells.borrow().get(key).map(|cell| cell.body.clone())?;
    serde_json::from_value(body).ok()
}

/// A session of the application.
pub async fn log_in(plan: &Plan, at: std::net::SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let role = plan.stores.first().map(|store| store.application.role.as_str());
    log_in_as(plan, at, role.unwrap_or_default()).await
}

/// A session of `role`, which has the application's password.
pub async fn log_in_as(
    plan: &Plan,
    at: std::net::SocketAddr,
    role: &str,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = Config::new();
    config.hostaddr(at.ip()).port(at.port()).password(APPLICATION_PASSWORD).connect_timeout(CALL_MAX);
    config.user(role);
    if let Some(store) = plan.stores.first() {
        config.dbname(&store.database);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The servers of the local cloud ask `understudy` for no token.
fn nobodys() -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new("test", "test", None, None, "the local cloud")
}

/// The clock of this machine is everybody's.
pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

pub struct Table<'a> {
    region: &'a Region,
    from: Place,
    at: Place,
}

impl Table<'_> {
    fn cells(&self) -> &RefCell<BTreeMap<Key, Cell>> {
        if self.at == Place::Witness { &self.region.witness } else { &self.region.standby }
    }
}

impl Cells for Table<'_> {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        self.region.pass(self.from, self.at).await?;
        Ok(self.cells().borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        self.region.pass(self.from, self.at).await?;
        let mut cells = self.cells().borrow_mut();
        if cells.get(key).map(|cell| cell.version) != expected {
            return Ok(Written::Conflict);
        }
        let version = expected.unwrap_or(0).saturating_add(1);
        cells.insert(key.clone(), Cell { version, body: body.clone() });
        Ok(Written::Done)
    }
}

/// `sql-agent` of one place.
pub struct SqlAgent<'a> {
    pub region: &'a Region,
    pub place: Place,
}

impl understudy_core::ports::Sql for SqlAgent<'_> {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let agent = self.region.agents.get(&self.place);
        let agent = agent.ok_or_else(|| Fault::bug("no sql-agent here"))?;
        agent.answer(serde_json::to_value(statement).map_err(Fault::bug)?).await
    }
}

/// RDS of the standby.
pub struct Managed<'a>(pub &'a Region);

impl Databases for Managed<'_> {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault> {
        self.0.pass(Place::Standby, Place::Standby).await?;
        let known = self.0.rds.instances().into_iter().find(|one| one.id == instance);
        Ok(known.map(|one| InstanceStatus {
            id: one.id,
            status: one.status.to_string(),
            source: one.source,
            backup_retention_days: Some(i32::from(one.backup_retention_days)),
        }))
    }

    async fn promote(&self, instance: &str, _: Option<i32>) -> Result<(), Fault> {
        self.0.pass(Place::Standby, Place::Standby).await?;
        let form = format!("Action=PromoteReadReplica&DBInstanceIdentifier={instance}");
        let region = &self.0.plan.regions.standby.0;
        let answer = self.0.rds.answer(Place::Standby, region, form.as_bytes()).await;
        if answer.status().is_success() {
            self.0.promotions.set(self.0.promotions.get() + 1);
            return Ok(());
        }
        Err(Fault::transient(format!("RDS refused: {}", answer.status())))
    }
}

/// HTTP, DNS and metrics, as seen from one place. The application answers in person: it is its login and its table.
pub struct Net<'a> {
    region: &'a Region,
    from: Place,
}

impl Net<'_> {
    /// Whom `url` leads to.
    fn place_of(&self, url: &str) -> Option<Place> {
        self.region.plan.routes.iter().find_map(|route| {
            let public = format!("http://{}:", route.record);
            if url.starts_with(&public) {
                return Some(self.public());
            }
            let sides = [(&route.primary, Place::Primary), (&route.standby, Place::Standby)];
            sides.into_iter().find(|(base, _)| url.starts_with(base.as_str())).map(|(_, place)| place)
        })
    }

    fn public(&self) -> Place {
        if self.region.level.get() < 1.0 { Place::Primary } else { Place::Standby }
    }

    async fn bounded(&self, timeout: Millis, work: impl Future<Output = Result<(), String>>) -> HttpAnswer {
        match tokio::time::timeout(timeout.as_std(), work).await {
            Ok(Ok(())) => HttpAnswer::Status(200),
            Ok(Err(why)) => HttpAnswer::Failed(why),
            Err(_) => HttpAnswer::Failed("no answer in time".to_owned()),
        }
    }

    async fn client(&self, url: &str) -> Result<Client, String> {
        let to = self.place_of(url).ok_or_else(|| format!("`{url}` is nobody's"))?;
        self.region.log_in(self.from, to).await.map_err(|error| error.to_string())
    }
}

impl Http for Net<'_> {
    async fn get(&self, url: &str, timeout: Millis) -> HttpAnswer {
        let ask = async {
            let client = self.client(url).await?;
            client.batch_execute("select 1").await.map_err(|error| error.to_string())
        };
        self.bounded(timeout, ask).await
    }

    async fn post(&self, url: &str, body: &Value, timeout: Millis) -> HttpAnswer {
        if !self.region.plan.routes.iter().any(|route| url.ends_with(&route.transaction_path)) {
            return HttpAnswer::Status(200);
        }
        let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
        let ask = async {
            let client = self.client(url).await?;
            let insert = "insert into public.documents (tx) values ($1) on conflict do nothing";
            client.execute(insert, &[&id]).await.map(|_| ()).map_err(|error| error.to_string())
        };
        self.bounded(timeout, ask).await
    }
}

impl Dns for Net<'_> {
    /// Route 53's checkers look from outside, and do so when they are asked.
    async fn txt(&self, _name: &str, timeout: Millis) -> DnsAnswer {
        let outside = self.region.net(Place::Outside);
        let Some(route) = self.region.plan.routes.first() else {
            return DnsAnswer::Failed("no route".into());
        };
        let half = Millis(timeout.0 / 2);
        let good = outside.get(&format!("{}{}", route.primary, route.health_path), half).await.is_good();
        DnsAnswer::Values(vec![if good { "up" } else { "down" }.to_owned()])
    }

    async fn addresses(&self, _name: &str, _timeout: Millis) -> DnsAnswer {
        DnsAnswer::Values(vec![self.region.cloud.link(self.from, self.public()).to_string()])
    }
}

impl Metrics for Net<'_> {
    async fn publish(&self, metric: Metric, value: f64) -> Result<(), Fault> {
        self.region.pass(self.from, self.from).await?;
        if metric == Metric::Switch {
            self.region.level.set(value);
        }
        Ok(())
    }
}

/// What the standby's functions are served by besides.
pub struct Desk<'a>(pub &'a Region);

impl Secrets for Desk<'_> {
    async fn login(&self, _secret_id: &str) -> Result<Secret, Fault> {
        let store = self.0.plan.stores.first().ok_or_else(|| Fault::bug("the plan has no store"))?;
        let username = store.application.role.clone();
        Ok(Secret { username, password: APPLICATION_PASSWORD.to_owned() })
    }
}

impl Pager for Desk<'_> {
    async fn page(&self, _page: &Page) -> Result<(), Fault> {
        self.0.pass(Place::Standby, Place::Standby).await
    }
}

impl Evidence for Desk<'_> {
    async fn put_once(&self, key: &str, bytes: &[u8], _content_type: &str) -> Result<Written, Fault> {
        self.0.pass(Place::Standby, Place::Standby).await?;
        let mut objects = self.0.objects.borrow_mut();
        let there = objects.entry(key.to_owned()).or_insert_with(|| bytes.to_vec());
        Ok(if there == bytes { Written::Done } else { Written::Conflict })
    }
}

impl Executions for Desk<'_> {
    async fn start(&self, name: &str, _incident: &str) -> Result<Started, Fault> {
        self.0.pass(Place::Standby, Place::Standby).await?;
        let mut started = self.0.started.borrow_mut();
        if started.iter().any(|known| known == name) {
            return Ok(Started::Already);
        }
        started.push(name.to_owned());
        self.0.starts.send(name.to_owned()).map_err(Fault::bug)?;
        Ok(Started::Now)
    }
}

impl Tokens for Desk<'_> {
    async fn send(&self, token: &str, output: &Value) -> Result<(), Fault> {
        self.0.pass(Place::Standby, Place::Standby).await?;
        self.0.tokens.borrow_mut().push((token.to_owned(), output.clone()));
        self.0.sent.notify_waiters();
        Ok(())
    }
}

impl Signer for Desk<'_> {
    async fn sign(&self, _digest: &[u8; 32]) -> Result<Signature, Fault> {
        Err(Fault::bug("these rounds have no key"))
    }
}

/// The guard is asked in planned moves, and none is made here.
impl GivesWay for Desk<'_> {
    async fn fence(&self, _order: &FenceOrder) -> Result<Vec<FencedStore>, Fault> {
        Err(Fault::bug("an unplanned move never asks the primary"))
    }
}
