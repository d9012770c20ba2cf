//! The control API of the local cloud: see what is, and break or mend links.
//!
//! For the person or test that plays the disaster; the product must never call it. It decides nothing.

use crate::config::{Cloud, Place};
use crate::dns::{Health, HealthBoard};
use crate::gateway::{Body, answer};
use crate::links::{Link, LinkState, Links, accept_each};
use crate::rds::{Instance, Rds};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Far more than any request here needs.
const BODY_MAX: usize = 64 * 1024;

/// What `GET /state` shows.
#[derive(Debug, Serialize)]
struct State {
    links: Vec<Link>,
    health_checks: BTreeMap<String, Health>,
    databases: Vec<Instance>,
}

/// What `PUT /links` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLinks {
    from: Side,
    to: Side,
    state: LinkState,
}

/// What `PUT /replicas` takes: whatever was there is gone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeReplica {
    of: Place,
    r#in: Place,
}

/// A place, or `*` for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Side {
    Any,
    One(Place),
}

impl TryFrom<String> for Side {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let place = Place::ALL.into_iter().find(|place| place.name() == text);
        place.map(Self::One).ok_or_else(|| format!("`{text}` is not a place"))
    }
}

impl Side {
    fn fits(self, place: Place) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == place,
        }
    }
}

/// Why the control API cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} as the control API; another local cloud may be up already")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// The control API, bound and not yet running.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    api: Api,
}

#[derive(Clone, Debug)]
struct Api {
    links: Links,
    rds: Rds,
    health: Arc<HealthBoard>,
}

impl Control {
    pub async fn bind(
        cloud: &Cloud,
        links: Links,
        rds: Rds,
        health: Arc<HealthBoard>,
    ) -> Result<Self, BindError> {
        let address = cloud.control();
        let listener = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
        Ok(Self { listener, api: Api { links, rds, health } })
    }

    /// Answers for as long as it is awaited.
    pub async fn run(self) {
        accept_each(&self.listener, |stream| connection(stream, self.api.clone())).await;
    }
}

async fn connection(stream: TcpStream, api: Api) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(api.request(request).await) });
    // An error here is a caller that went away.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Api {
    async fn request(&self, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/state") => json(StatusCode::OK, &self.state()),
            (&Method::PUT, "/links") => match body(request).await {
                Ok(body) => self.set_links(&body),
                Err(refused) => refused,
            },
            (&Method::PUT, "/replicas") => match body(request).await {
                Ok(body) => self.make_replica(&body).await,
                Err(refused) => refused,
            },
            (method, path) => {
                let message = format!(
                    "no `{method} {path}` here; there are `GET /state`, `PUT /links` and `PUT /replicas`"
                );
                refuse(StatusCode::NOT_FOUND, &message)
            }
        }
    }

    async fn make_replica(&self, body: &[u8]) -> Response<Body> {
        let wanted: MakeReplica = match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(error) => {
                let message = format!("{error}; wanted is {{\"of\": place, \"in\": place}}");
                return refuse(StatusCode::BAD_REQUEST, &message);
            }
        };
        match self.rds.make_replica(wanted.of, wanted.r#in).await {
            Ok(instance) => json(StatusCode::OK, &instance),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn state(&self) -> State {
        let (links, health_checks) = (self.links.all(), self.health.all());
        State { links, health_checks, databases: self.rds.instances() }
    }

    fn set_links(&self, body: &[u8]) -> Response<Body> {
        let wanted: SetLinks = match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(error) => {
                let message = format!(
                    "{error}; wanted is {{\"from\": place or \"*\", \"to\": place or \"*\", \
                     \"state\": \"open\", \"refuse\" or \"hang\"}}"
                );
                return refuse(StatusCode::BAD_REQUEST, &message);
            }
        };
        let any = wanted.from == Side::Any || wanted.to == Side::Any;
        let fits = |from, to| wanted.from.fits(from) && wanted.to.fits(to) && !(any && from == to);
        let chosen = || Place::pairs().filter(|(from, to)| fits(*from, *to));
        for (from, to) in chosen() {
            self.links.set(from, to, wanted.state);
        }
        let set: Vec<Link> = chosen().map(|(from, to)| Link { from, to, state: wanted.state }).collect();
        json(StatusCode::OK, &set)
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    match Limited::new(request.into_body(), BODY_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(refuse(StatusCode::BAD_REQUEST, &format!("the body could not be read: {error}"))),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => answer(status, "application/json", text),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "error": message }))
}
