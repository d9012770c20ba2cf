//! The local cloud's DNS: what Route 53 would answer, in each place, over UDP and TCP.
//!
//! Three parts that know nothing of each other meet here: [`route53`] reads record sets and health checks
//! from the emulator, [`checks`] finds out how each check is, and [`server`] answers by [`zone`]'s routing
//! policy from the last reading and the last health. A reading that fails changes nothing: Route 53's answers
//! outlive its control plane, and so do these.
//!
//! What must never be in here: a decision about traffic. Answers move because a record's health check does,
//! and a health check moves because of a datapoint or a probe.

mod answer;
mod board;
mod checks;
mod cloudwatch;
mod emulator;
mod http;
mod route53;
mod server;
mod zone;

pub use board::{CheckKind, Health, HealthBoard};

use crate::config::{Cloud, Place};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

/// How often record sets and health checks are read: what Route 53 needs seconds for.
const REFRESH: Duration = Duration::from_millis(500);

/// Why the DNS of the local cloud stopped.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("cannot listen for DNS at {at}; is another local cloud using it?")]
    Listen { at: SocketAddr, source: io::Error },
    #[error("the DNS socket at {at} broke")]
    Socket { at: SocketAddr, source: io::Error },
    #[error("a part of the DNS ended by itself")]
    Ended(#[source] Option<JoinError>),
}

/// What the emulator said last: the zone to answer from, and the checks to keep an eye on.
struct Snapshot {
    zone: zone::Zone,
    checks: Vec<route53::HealthCheck>,
}

/// The last good reading; `None` until there is one.
type Latest = watch::Receiver<Option<Arc<Snapshot>>>;

/// Answers in every place until something breaks; `health` shows at any time how the checks are.
pub async fn serve(cloud: Arc<Cloud>, health: Arc<HealthBoard>) -> Result<(), DnsError> {
    let (publish, latest) = watch::channel(None);
    let mut tasks = JoinSet::new();
    for place in Place::ALL {
        let responder =
            answer::Responder { cloud: cloud.clone(), health: health.clone(), place, latest: latest.clone() };
        let listener = server::Listener::bind(cloud.dns(place)).await?;
        tasks.spawn(listener.run(responder));
    }
    tasks.spawn(refresh(cloud.clone(), publish));
    tasks.spawn(checks::watch(cloud, health, latest));
    match tasks.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(broken)) => Err(DnsError::Ended(Some(broken))),
        None => Err(DnsError::Ended(None)),
    }
}

/// Reads the zone again and again; says once when readings begin to fail, and once when they work again.
async fn refresh(cloud: Arc<Cloud>, publish: watch::Sender<Option<Arc<Snapshot>>>) -> Result<(), DnsError> {
    let reader = route53::Reader::new(&cloud);
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said: Option<String> = None;
    while !publish.is_closed() {
        ticks.tick().await;
        match reader.read().await {
            Ok(snapshot) => {
                publish.send_replace(Some(Arc::new(snapshot)));
                if said.take().is_some() {
                    tracing::info!("the hosted zone can be read again");
                }
            }
            Err(error) => {
                let problem = error.to_string();
                if said.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "the hosted zone cannot be read; answers stay as they were");
                    said = Some(problem);
                }
            }
        }
    }
    Ok(())
}
