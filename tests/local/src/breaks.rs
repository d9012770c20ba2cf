//! Ways in which a Region fails, played on a running local cloud.

use crate::aws::{Aws, AwsError};
use crate::config::{Cloud, Place};
use crate::postgres::{PostgresError, Server, Stop};
use crate::processes::{ProcessError, Processes};
use crate::up::web_name;
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use understudy_core::plan::Plan;

/// Datapoints of the lone alarm.
const FLAPS: u32 = 3;

/// What is done to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Break {
    /// Its database and its web service die at once.
    Kill,
    /// Everything in it accepts connections and never answers.
    Hang,
    /// Everything in it refuses connections.
    Refuse,
    /// It is cut off from every other place, lives, and goes on writing.
    Isolate,
    /// Only its link with the standby is cut.
    Link,
    /// Nothing: a lone alarm that flaps.
    None,
    /// The replica receives but no longer replays, for longer than the plan allows; then the primary dies.
    Lag,
    /// As `Lag`, and the replica is not mended: a person takes the lag on.
    Override,
    /// The primary dies while a person has declared that its data is corrupt.
    Corruption,
    /// The primary dies, and the standby's application stands still as it is to serve: the execution stops behind its one-way
    /// door, and a person goes on from there.
    HalfWay,
    /// Nothing: a person asks a living primary to give way.
    Switchover,
    /// Nothing: after a switchover the old primary is built anew, and a person goes back to it.
    Failback,
    /// Nothing: a person asks for a drill. The cloud is the plan's rehearsal environment.
    Drill,
}

impl Break {
    /// What the demo says as it happens.
    pub fn announced(self) -> String {
        match self {
            Self::Switchover => "asking the living primary to give way".to_owned(),
            Self::Failback => "asking the standby to give way to the primary again".to_owned(),
            Self::Drill => "asking the rehearsal environment for a drill".to_owned(),
            Self::Lag | Self::Override => "breaking the primary, whose replica lags".to_owned(),
            Self::HalfWay => "breaking the primary, whose standby will not serve at once".to_owned(),
            Self::Corruption => "breaking the primary, whose data was declared corrupt".to_owned(),
            _ => format!("breaking the primary: {self:?}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BreakError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("the replica refused to change its replay")]
    Replay(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the network did not take the change: {0}")]
    Network(String),
}

/// What must have gone wrong before the primary fails.
pub async fn prepare(what: Break, cloud: &Cloud, plan: &Plan) -> Result<(), BreakError> {
    if !matches!(what, Break::Lag | Break::Override) {
        return Ok(());
    }
    stop_replica(cloud, plan).await?;
    // Time in which the primary commits what the replica only receives.
    let block = plan.stores.iter().map(|store| store.lag.block).max().unwrap_or_default();
    tokio::time::sleep(block.saturating_add(plan.tick.times(2)).as_std()).await;
    Ok(())
}

pub async fn apply(what: Break, cloud: &Cloud, plan: &Plan) -> Result<(), BreakError> {
    let everybody = [Place::Standby, Place::Witness, Place::Outside];
    match what {
        Break::Kill | Break::Lag | Break::Override | Break::Corruption | Break::HalfWay => kill(cloud).await,
        Break::Hang => to_primary(cloud, "hang", &Place::ALL).await,
        Break::Refuse => to_primary(cloud, "refuse", &Place::ALL).await,
        Break::Isolate => {
            for place in everybody {
                set_link(cloud, place, Place::Primary, "hang").await?;
                set_link(cloud, Place::Primary, place, "hang").await?;
            }
            Ok(())
        }
        Break::Link => {
            set_link(cloud, Place::Standby, Place::Primary, "refuse").await?;
            set_link(cloud, Place::Primary, Place::Standby, "refuse").await
        }
        Break::Switchover | Break::Failback | Break::Drill => Ok(()),
        Break::None => {
            let aws = Aws::at(cloud, Place::Standby).await;
            for _ in 0..FLAPS {
                aws.publish("PrimaryHealthy", &plan.name, 0.0).await?;
                aws.publish("PrimaryHealthy", &plan.name, 1.0).await?;
                tokio::time::sleep(plan.tick.as_std()).await;
            }
            Ok(())
        }
    }
}

/// The application of a place stands still, or goes on.
pub fn still(cloud: &Cloud, place: Place, stands: bool) -> Result<(), BreakError> {
    let signal = if stands { Signal::STOP } else { Signal::CONT };
    Ok(Processes::of(&cloud.state_dir).signal(&web_name(place), signal)?)
}

/// Opens every link.
pub async fn heal_links(cloud: &Cloud) -> Result<(), BreakError> {
    for (from, to) in Place::pairs() {
        set_link(cloud, from, to, "open").await?;
    }
    Ok(())
}

/// The replica goes on receiving, and no longer replays.
pub async fn stop_replica(cloud: &Cloud, plan: &Plan) -> Result<(), BreakError> {
    replay(cloud, plan, "select pg_wal_replay_pause()").await
}

/// Lets the replica replay again.
pub async fn heal_replica(cloud: &Cloud, plan: &Plan) -> Result<(), BreakError> {
    replay(cloud, plan, "select pg_wal_replay_resume()").await
}

async fn replay(cloud: &Cloud, plan: &Plan, statement: &str) -> Result<(), BreakError> {
    let standby = Server::at(cloud, Place::Standby)?;
    for store in &plan.stores {
        standby.superuser(&store.database).await?.batch_execute(statement).await?;
    }
    Ok(())
}

async fn kill(cloud: &Cloud) -> Result<(), BreakError> {
    Processes::of(&cloud.state_dir).signal(&web_name(Place::Primary), Signal::KILL)?;
    Ok(Server::at(cloud, Place::Primary)?.stop(Stop::Immediate).await?)
}

async fn to_primary(cloud: &Cloud, state: &str, from: &[Place]) -> Result<(), BreakError> {
    for place in from {
        set_link(cloud, *place, Place::Primary, state).await?;
    }
    Ok(())
}

/// Sets one link: `open`, `refuse` or `hang`.
pub async fn set_link(cloud: &Cloud, from: Place, to: Place, state: &str) -> Result<(), BreakError> {
    control(cloud, "/links", &json!({"from": from.name(), "to": to.name(), "state": state})).await
}

/// Builds the primary's instance anew, as a replica of the one that serves: what people do by hand before they go back.
pub async fn rebuild_primary(cloud: &Cloud) -> Result<(), BreakError> {
    control(cloud, "/replicas", &json!({"of": Place::Standby.name(), "in": Place::Primary.name()})).await
}

async fn control(cloud: &Cloud, path: &str, body: &Value) -> Result<(), BreakError> {
    let told = |error: &dyn std::fmt::Display| BreakError::Network(error.to_string());
    let stream = TcpStream::connect(cloud.control()).await.map_err(|e| told(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| told(&e))?;
    tokio::spawn(connection);
    let request = Request::put(path)
        .header("host", cloud.control().to_string())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|e| told(&e))?;
    let answer = sender.send_request(request).await.map_err(|e| told(&e))?;
    if answer.status().is_success() { Ok(()) } else { Err(told(&answer.status())) }
}
