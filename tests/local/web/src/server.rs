//! The service's face: routes, answers and bounds.

use crate::StartError;
use crate::database::{self, Written};
use crate::failure::{Class, Failure};
use crate::pool::Pool;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const CONNECTIONS_MAX: usize = 256;
const BODY_MAX: usize = 64 * 1024;
const TX_MAX: usize = 200;
const PAGE_MAX: i64 = 5_000;
/// For a request's head, and again for its body.
const READ_MAX: Duration = Duration::from_secs(5);
/// After an error of `accept`, which is most often a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub struct Service {
    region: String,
    pool: Pool,
    /// Whether capacity was raised; stands for an autoscaling group.
    raised: AtomicBool,
    /// Why the database was last of no use, if it still is: each change is logged once.
    trouble: Mutex<Option<Class>>,
}

#[derive(Deserialize)]
struct Transaction {
    id: String,
    body: String,
}

type Answer = (StatusCode, Value);

/// Serves until SIGTERM or SIGINT.
pub async fn serve(at: SocketAddr, service: Service) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let listener = TcpListener::bind(at).await.map_err(|source| StartError::Listen { at, source })?;
    tracing::info!(%at, region = service.region, "serving");
    tokio::select! {
        () = accept(listener, Arc::new(service)) => {}
        _ = terminate.recv() => tracing::info!("stopped by SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopped by SIGINT"),
    }
    Ok(())
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed: without a place nobody is accepted, and the kernel's queue waits.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                tokio::spawn(async move {
                    let _place = place;
                    converse(stream, service).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, service: Arc<Service>) {
    let handle = service_fn(move |request| {
        let service = service.clone();
        // A client that gives up must not cost the session that works for it: a login is dear, and a service that
        // answers slowly would only log in.
        tokio::spawn(async move { service.respond(request).await })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_MAX)
        .serve_connection(TokioIo::new(stream), handle);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended");
    }
}

impl Service {
    pub fn new(region: String, pool: Pool) -> Self {
        Self { region, pool, raised: AtomicBool::new(false), trouble: Mutex::new(None) }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let (status, answer) = match (&head.method, head.uri.path()) {
            (&Method::GET, "/health") => self.health().await,
            (&Method::POST, "/transactions") => self.write(body).await,
            (&Method::GET, "/transactions") => self.list(head.uri.query().unwrap_or_default()).await,
            (&Method::POST, "/admin/capacity/raise") => self.set_capacity(true),
            (&Method::POST, "/admin/capacity/lower") => self.set_capacity(false),
            (&Method::POST, "/admin/recycle") => self.recycle(),
            (&Method::GET, "/admin") => self.state(),
            _ => (StatusCode::NOT_FOUND, json!({"error": "no such route"})),
        };
        let mut response = Response::new(Full::from(answer.to_string()));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        response
    }

    async fn health(&self) -> Answer {
        match database::health(&self.pool).await {
            Ok(()) => {
                self.note(None);
                (StatusCode::OK, json!({"status": "ok", "region": self.region}))
            }
            Err(failure) => self.unavailable(&failure),
        }
    }

    async fn write(&self, body: Incoming) -> Answer {
        let transaction = match read_transaction(body).await {
            Ok(transaction) => transaction,
            Err(problem) => return bad_request(&problem),
        };
        // Of a repetition only this is known: it was committed before.
        let (status, committed_at) =
            match database::write(&self.pool, &transaction.id, &transaction.body).await {
                Ok(Written::Committed) => (StatusCode::CREATED, Some(Timestamp::now())),
                Ok(Written::AlreadyThere) => (StatusCode::OK, None),
                Err(failure) => return self.unavailable(&failure),
            };
        self.note(None);
        let answer = json!({"id": transaction.id, "region": self.region, "committed_at": committed_at});
        (status, answer)
    }

    async fn list(&self, query: &str) -> Answer {
        let page = match Page::parse(query) {
            Ok(page) => page,
            Err(problem) => return bad_request(&problem),
        };
        match database::list(&self.pool, page.after, page.limit).await {
            Ok(transactions) => {
                // A short page is the last one.
                let full = i64::try_from(transactions.len()).is_ok_and(|length| length == page.limit);
                let next = transactions.last().filter(|_| full).map(|last| last.id);
                (StatusCode::OK, json!({"region": self.region, "transactions": transactions, "next": next}))
            }
            Err(failure) => self.unavailable(&failure),
        }
    }

    fn set_capacity(&self, raised: bool) -> Answer {
        self.raised.store(raised, Ordering::Release);
        tracing::info!(raised, "capacity");
        self.state()
    }

    fn recycle(&self) -> Answer {
        self.pool.recycle();
        tracing::info!("connections recycled");
        self.state()
    }

    fn state(&self) -> Answer {
        let (idle, recycled) = self.pool.state();
        let capacity = if self.raised.load(Ordering::Acquire) { "raised" } else { "normal" };
        let state = json!({
            "region": self.region, "capacity": capacity,
            "idle_connections": idle, "recycled": recycled,
        });
        (StatusCode::OK, state)
    }

    /// Logs when the database stops or starts to be of use, or is of none for another reason.
    fn note(&self, failure: Option<&Failure>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let class = failure.map(|failure| failure.class);
        if *trouble == class {
            return;
        }
        *trouble = class;
        match failure {
            Some(failure) => tracing::warn!(%failure, "the database is of no use"),
            None => tracing::info!("the database is of use again"),
        }
    }

    fn unavailable(&self, failure: &Failure) -> Answer {
        self.note(Some(failure));
        #[derive(Serialize)]
        struct Unavailable<'a> {
            status: &'static str,
            region: &'a str,
            reason: Class,
            detail: &'a str,
        }
        let answer = Unavailable {
            status: "unavailable",
            region: &self.region,
            reason: failure.class,
            detail: &failure.detail,
        };
        (StatusCode::SERVICE_UNAVAILABLE, json!(answer))
    }
}

fn bad_request(problem: &str) -> Answer {
    (StatusCode::BAD_REQUEST, json!({"error": problem}))
}

async fn read_transaction(body: Incoming) -> Result<Transaction, String> {
    let body = timeout(READ_MAX, Limited::new(body, BODY_MAX).collect()).await;
    let body = body.map_err(|_| "the body did not come in time".to_owned())?;
    let body = body.map_err(|error| format!("the body could not be read: {error}"))?.to_bytes();
    let transaction: Transaction = serde_json::from_slice(&body)
        .map_err(|error| format!("the body is not `{{\"id\", \"body\"}}`: {error}"))?;
    if transaction.id.is_empty() || transaction.id.len() > TX_MAX {
        return Err(format!("`id` must have 1 to {TX_MAX} bytes"));
    }
    Ok(transaction)
}

/// Which part of the list is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    after: i64,
    limit: i64,
}

impl Page {
    fn parse(query: &str) -> Result<Self, String> {
        let mut page = Self { after: 0, limit: 1_000 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = value.parse().map_err(|_| format!("`{name}` must be a number, and is `{value}`"))?;
            match name {
                "after" => page.after = number,
                "limit" if (1..=PAGE_MAX).contains(&number) => page.limit = number,
                "limit" => return Err(format!("`limit` must be 1 to {PAGE_MAX}")),
                _ => return Err(format!("`{name}` is not a parameter: `after` and `limit` are")),
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(Page::parse(""), Ok(Page { after: 0, limit: 1_000 }));
        assert_eq!(Page::parse("after=7&limit=2"), Ok(Page { after: 7, limit: 2 }));
        for wrong in ["limit=0", "limit=5001", "after=x", "before=1"] {
            assert!(Page::parse(wrong).is_err(), "{wrong}");
        }
    }
}
