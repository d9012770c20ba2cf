//! AWS as each place sees it: an HTTP proxy that obeys the links.
//!
//! A request says itself where it goes: its SigV4 credential scope names the Region and the service. So one
//! emulator can play three Regions, and the state of a link cuts a Region's API as it cuts its hosts. The
//! gateway changes nothing in a request or an answer, and checks no signature: who may do what is the
//! emulator's business.

mod calls;
mod scope;

pub use calls::{Calls, CallsError};
pub use scope::{Scope, operation};

use crate::config::{Cloud, Place};
use crate::links::{Gate, Links, accept_each};
use crate::rds::{self, Rds};
use bytes::Bytes;
use calls::Call;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request is held whole, so that it can wait for its link; more than any service here takes is refused.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// What every handler of this crate answers with.
pub type Body = BoxBody<Bytes, hyper::Error>;

/// A body that is known whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// An answer of the local cloud itself.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} as the AWS endpoint of {place}; another local cloud may use this block")]
pub struct BindError {
    address: SocketAddr,
    place: Place,
    source: io::Error,
}

/// The link cut the request; its connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut by the link")]
struct Cut;

/// The AWS endpoints of all places, bound and not yet running.
#[derive(Debug)]
pub struct Gateway {
    listeners: Vec<(Place, TcpListener)>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cloud: Arc<Cloud>,
    links: Links,
    rds: Rds,
    calls: Calls,
    emulator: Client<HttpConnector, Full<Bytes>>,
}

impl Gateway {
    pub async fn bind(cloud: Arc<Cloud>, links: Links, rds: Rds, calls: Calls) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for place in Place::ALL {
            let address = cloud.aws(place);
            let bound = TcpListener::bind(address).await;
            listeners.push((place, bound.map_err(|source| BindError { address, place, source })?));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let emulator = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { listeners, shared: Arc::new(Shared { cloud, links, rds, calls, emulator }) })
    }

    /// Answers for as long as it is awaited.
    pub async fn run(self) {
        let mut running = JoinSet::new();
        for (place, listener) in self.listeners {
            let shared = Arc::clone(&self.shared);
            running.spawn(async move {
                accept_each(&listener, |stream| connection(stream, place, Arc::clone(&shared))).await;
            });
        }
        while running.join_next().await.is_some() {}
    }
}

async fn connection(stream: TcpStream, from: Place, shared: Arc<Shared>) {
    let service = service_fn(|request| shared.request(from, request));
    // An error here is a caller that went away or a link that cut; both are already in the log of calls.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    /// One request. It is logged when it ends, even when its caller goes away first.
    async fn request(&self, from: Place, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let scope = Scope::of(&head);
        let to = scope.as_ref().and_then(|scope| self.cloud.place_of(&scope.region));
        let gate = to.map(|to| self.links.follow(from, to));
        let mut call = Call::new(&self.calls, from, to, scope.clone(), gate.clone());
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            let refusal = "the local gateway takes bodies of up to 64 MiB";
            return Ok(call.answered(answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", refusal)));
        };
        let body = body.to_bytes();
        call.operation(operation(&head, &body));
        let rds = scope.filter(|scope| scope.service == "rds");
        if let Some(scope) = &rds {
            call.resource(rds::resource(&scope.region, &body));
        }
        let work = async {
            match &rds {
                Some(scope) => self.rds.answer(from, &scope.region, &body).await,
                None => self.forward(head, body).await,
            }
        };
        match gate {
            None => Ok(call.answered(work.await)),
            Some(gate) => match through(gate, work).await {
                Ok(response) => Ok(call.answered(response)),
                Err(cut) => Err(call.cut(cut)),
            },
        }
    }

    async fn forward(&self, mut head: hyper::http::request::Parts, body: Bytes) -> Response<Body> {
        let emulator = self.cloud.emulator();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) =
            Uri::builder().scheme("http").authority(emulator.to_string()).path_and_query(path).build()
        else {
            return answer(StatusCode::BAD_REQUEST, "text/plain", "the path cannot be forwarded");
        };
        head.headers.entry(HOST).or_insert_with(|| HeaderValue::from_static("localhost"));
        remove_hop_headers(&mut head.headers);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = head.headers;
        match self.emulator.request(request).await {
            Ok(mut response) => {
                remove_hop_headers(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                response.map(BodyExt::boxed)
            }
            Err(error) => {
                tracing::warn!(%emulator, %error, "the emulator did not answer");
                let text = format!("the emulator at {emulator} did not answer; is it running?");
                answer(StatusCode::BAD_GATEWAY, "text/plain", text)
            }
        }
    }
}

/// Does `work` behind a link: not before it opens, not after it refuses, and its reply has to pass too, so
/// that a caller may hear nothing of what was carried out.
async fn through<T>(mut gate: Gate, work: impl Future<Output = T>) -> Result<T, Cut> {
    gate.pass().await.map_err(|_| Cut)?;
    let mut cut = gate.clone();
    let done = tokio::select! {
        done = work => done,
        _ = cut.refused() => return Err(Cut),
    };
    gate.pass().await.map_err(|_| Cut)?;
    Ok(done)
}

/// These belong to one connection, and framing is made anew on the other one.
fn remove_hop_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
}
