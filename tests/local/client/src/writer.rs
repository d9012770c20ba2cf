//! Writes on a steady schedule and keeps the ledger.
//!
//! An attempt never waits for another one: a service that hangs is asked as often as one that answers. One
//! loop starts attempts, collects them and writes the ledger, so that lines never interleave.

use crate::clock::Clock;
use crate::ledger::{self, Attempt, Event, Ledger, Line};
use crate::resolver::{ResolveError, Resolver};
use crate::web::{self, CallError};
use clap::Args;
use hickory_proto::rr::Name;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, timeout};

const IN_FLIGHT_MAX: usize = 100;
const ATTEMPT_MAX: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Settings {
    /// The name to write to.
    #[arg(long, required_unless_present = "address", value_parser = parse_name)]
    name: Option<Name>,
    /// The port of the service.
    #[arg(long)]
    port: u16,
    /// Who resolves the name.
    #[arg(long, value_name = "IP:PORT", required_unless_present = "address")]
    resolver: Option<SocketAddr>,
    /// Write here and ask no resolver: a writer inside the primary.
    #[arg(long, value_name = "IP", conflicts_with = "resolver")]
    address: Option<Ipv4Addr>,
    /// Attempts each second.
    #[arg(long, default_value_t = 10.0, value_parser = parse_rate)]
    rate: f64,
    /// The ledger; must not be there yet.
    #[arg(long)]
    ledger: PathBuf,
    /// Stop after so many seconds; without it, at SIGTERM or SIGINT.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Why the client ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("give either `--name` with `--resolver`, or `--address`")]
    NoTarget,
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::WriteError),
    #[error("an attempt ended without a result")]
    Attempt(#[from] JoinError),
}

/// Whom to write to.
enum Target {
    Address(Ipv4Addr),
    Name(Box<Resolver>),
}

/// What all attempts share.
struct Writer {
    clock: Clock,
    target: Target,
    host: String,
    port: u16,
    /// Makes transaction ids of two runs differ.
    run: String,
}

/// What an attempt leaves for the ledger.
struct Finished {
    resolved: Option<Event>,
    attempt: Attempt,
}

/// How an attempt can fail.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("request: {0}")]
    Request(String),
    #[error("refused: {reason}")]
    Refused { status: StatusCode, region: Option<String>, reason: String },
    #[error("the acknowledgement is not one: {0}")]
    Acknowledgement(String),
}

/// An answer of the service, good or bad.
#[derive(Deserialize)]
struct Reply {
    id: Option<String>,
    region: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
}

impl Reply {
    /// The class of the refusal, and what the service's own database said.
    fn refusal(&self) -> Option<String> {
        let reason = self.reason.as_deref()?;
        Some(self.detail.as_deref().map_or_else(|| reason.to_owned(), |detail| format!("{reason}: {detail}")))
    }
}

pub async fn run(settings: Settings) -> Result<(), WriteError> {
    let clock = Clock::start();
    let mut terminate = signal(SignalKind::terminate()).map_err(WriteError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WriteError::Signals)?;
    let mut ledger = Ledger::create(&settings.ledger)?;
    let end = settings.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let period = Duration::from_secs_f64(1.0 / settings.rate);
    let writer = Arc::new(Writer::new(settings, clock)?);
    ledger.write(&Line::Event(writer.started(period)))?;

    let mut attempts = JoinSet::new();
    let mut count = 0;
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = until(end) => break,
            Some(finished) = attempts.join_next() => record(&mut ledger, finished?)?,
            _ = ticks.tick() => {
                count += 1;
                if attempts.len() < IN_FLIGHT_MAX {
                    attempts.spawn(writer.clone().attempt(count));
                } else {
                    ledger.write(&Line::Attempt(writer.not_sent(count)))?;
                }
            }
        }
    }
    while let Some(finished) = attempts.join_next().await {
        record(&mut ledger, finished?)?;
    }
    Ok(ledger.write(&Line::Event(Event::Stopped { at: clock.now(), attempts: count }))?)
}

fn record(ledger: &mut Ledger, finished: Finished) -> Result<(), ledger::WriteError> {
    if let Some(event) = finished.resolved {
        ledger.write(&Line::Event(event))?;
    }
    ledger.write(&Line::Attempt(finished.attempt))
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

impl Writer {
    fn new(settings: Settings, clock: Clock) -> Result<Self, WriteError> {
        let (target, host) = match (settings.address, settings.name, settings.resolver) {
            (Some(address), name, _) => {
                let host = name.map_or_else(|| address.to_string(), |name| name.to_ascii());
                (Target::Address(address), host)
            }
            (None, Some(name), Some(at)) => {
                let host = name.to_ascii();
                (Target::Name(Box::new(Resolver::new(at, name, clock))), host)
            }
            _ => return Err(WriteError::NoTarget),
        };
        let host = host.trim_end_matches('.').to_owned();
        let run = format!("{:x}-{:x}", clock.now().as_microsecond(), std::process::id());
        Ok(Self { clock, target, host, port: settings.port, run })
    }

    fn started(&self, period: Duration) -> Event {
        Event::Started {
            at: self.clock.now(),
            period_ms: period.as_secs_f64() * 1000.0,
            timeout_ms: u64::try_from(ATTEMPT_MAX.as_millis()).unwrap_or(u64::MAX),
            target: format!("{}:{}", self.host, self.port),
        }
    }

    async fn attempt(self: Arc<Self>, seq: u64) -> Finished {
        let tx = self.tx(seq);
        let sent_at = self.clock.now();
        // Outside the time-out, so that an attempt that is cut off still says what it had found by then.
        let mut address = None;
        let mut resolved = None;
        let result = timeout(ATTEMPT_MAX, async {
            let (found, event) = self.resolve().await?;
            address = Some(found);
            resolved = event;
            self.write(found, &tx).await
        })
        .await;
        let (ok, status, region, error) = match result {
            Ok(Ok((status, region))) => (true, Some(status), region, None),
            Ok(Err(error)) => {
                let text = crate::chain(&error);
                match error {
                    AttemptError::Refused { status, region, .. } => (false, Some(status), region, Some(text)),
                    _ => (false, None, None, Some(text)),
                }
            }
            Err(_) => (false, None, None, Some(format!("no answer within {} ms", ATTEMPT_MAX.as_millis()))),
        };
        let status = status.map(|status| status.as_u16());
        let done_at = self.clock.now();
        let attempt = Attempt { seq, tx, resolved: address, sent_at, done_at, ok, status, region, error };
        Finished { resolved, attempt }
    }

    /// The line of an attempt for which there was no room.
    fn not_sent(&self, seq: u64) -> Attempt {
        let at: Timestamp = self.clock.now();
        Attempt {
            seq,
            tx: self.tx(seq),
            resolved: None,
            sent_at: at,
            done_at: at,
            ok: false,
            status: None,
            region: None,
            error: Some(format!("not sent: {IN_FLIGHT_MAX} attempts are under way")),
        }
    }

    fn tx(&self, seq: u64) -> String {
        format!("{}-{seq}", self.run)
    }

    async fn resolve(&self) -> Result<(Ipv4Addr, Option<Event>), ResolveError> {
        match &self.target {
            Target::Address(address) => Ok((*address, None)),
            Target::Name(resolver) => resolver.address().await,
        }
    }

    /// Acknowledged means: 200 or 201, and the answer names this very transaction.
    async fn write(&self, address: Ipv4Addr, tx: &str) -> Result<(StatusCode, Option<String>), AttemptError> {
        let body = serde_json::json!({"id": tx, "body": "a transaction of the client outside"});
        let request = Request::post("/transactions")
            .header("host", format!("{}:{}", self.host, self.port))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .map_err(|error| AttemptError::Request(error.to_string()))?;
        let (status, body) = web::call(SocketAddr::from((address, self.port)), request).await?;
        let reply: Result<Reply, _> = serde_json::from_slice(&body);
        if ![StatusCode::OK, StatusCode::CREATED].contains(&status) {
            let reply = reply.ok();
            let reason = reply.as_ref().and_then(Reply::refusal).unwrap_or_else(|| status.to_string());
            return Err(AttemptError::Refused {
                status,
                region: reply.and_then(|reply| reply.region),
                reason,
            });
        }
        let reply = reply.map_err(|error| AttemptError::Acknowledgement(error.to_string()))?;
        if reply.id.as_deref() != Some(tx) {
            return Err(AttemptError::Acknowledgement("it names another transaction".into()));
        }
        Ok((status, reply.region))
    }
}

fn parse_name(text: &str) -> Result<Name, String> {
    Name::from_ascii(text).map_err(|error| format!("`{text}` is no name: {error}"))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.1..=1000.0).contains(&rate) { Ok(rate) } else { Err("must be 0.1 to 1000".into()) }
}
