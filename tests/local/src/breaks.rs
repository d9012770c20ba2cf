//! Ways in which a Region fails, played on a running local cloud.

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
use serde_json::json;
use tokio::net::TcpStream;

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
}

#[derive(Debug, thiserror::Error)]
pub enum BreakError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("the network did not take the change: {0}")]
    Network(String),
}

pub async fn apply(what: Break, cloud: &Cloud) -> Result<(), BreakError> {
    let everybody = [Place::Standby, Place::Witness, Place::Outside];
    match what {
        Break::Kill => kill(cloud).await,
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
    }
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

async fn set_link(cloud: &Cloud, from: Place, to: Place, state: &str) -> Result<(), BreakError> {
    let body = json!({"from": from.name(), "to": to.name(), "state": state}).to_string();
    let told = |error: &dyn std::fmt::Display| BreakError::Network(error.to_string());
    let stream = TcpStream::connect(cloud.control()).await.map_err(|e| told(&e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| told(&e))?;
    tokio::spawn(connection);
    let request = Request::put("/links")
        .header("host", cloud.control().to_string())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| told(&e))?;
    let answer = sender.send_request(request).await.map_err(|e| told(&e))?;
    if answer.status().is_success() { Ok(()) } else { Err(told(&answer.status())) }
}
