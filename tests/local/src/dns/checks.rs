//! Keeps every health check under watch, one task each, and writes what it sees on the board.
//!
//! A look that could not be made (the emulator is down) changes nothing. A look that failed (the endpoint
//! refused) counts.

use super::board::{CheckKind, HealthBoard};
use super::cloudwatch::{self, Condition};
use super::emulator::Emulator;
use super::http::{self, CallError, Limits};
use super::route53::{Endpoint, HealthCheck, Insufficient, Target};
use super::{DnsError, Latest};
use crate::config::{Cloud, Place};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// How often a metric is read: a few times in the shortest period that a demonstration has.
const METRIC_INTERVAL: Duration = Duration::from_millis(500);
/// How often the checks that count others look at them.
const OTHERS_INTERVAL: Duration = Duration::from_millis(100);
/// The host of a function URL, which the emulator serves by its name.
const FUNCTION_URL: &str = ".lambda-url.";
/// What Route 53 gives an endpoint to accept a connection, and to answer.
const CONNECT_MAX: Duration = Duration::from_secs(4);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A busy machine needs so long for a healthy answer, however fast time passes.
const PROBE_MIN: Duration = Duration::from_millis(300);

/// What every watcher needs.
#[derive(Clone)]
struct Outlook {
    cloud: Arc<Cloud>,
    board: Arc<HealthBoard>,
    latest: Latest,
}

/// Starts a watcher for each check that appears or changes, and ends those of checks that are gone.
pub(super) async fn watch(
    cloud: Arc<Cloud>,
    board: Arc<HealthBoard>,
    mut latest: Latest,
) -> Result<(), DnsError> {
    let outlook = Outlook { cloud, board, latest: latest.clone() };
    let mut tasks = JoinSet::new();
    let mut watched: BTreeMap<String, (HealthCheck, AbortHandle)> = BTreeMap::new();
    while latest.changed().await.is_ok() {
        let Some(snapshot) = latest.borrow_and_update().clone() else { continue };
        let listed = |id: &String| snapshot.checks.iter().any(|check| check.id == *id);
        watched.retain(|id, (_, task)| {
            let stays = listed(id);
            if !stays {
                task.abort();
                outlook.board.forget(id);
            }
            stays
        });
        for check in &snapshot.checks {
            if watched.get(&check.id).is_some_and(|(known, _)| known == check) {
                continue;
            }
            let task = tasks.spawn(outlook.clone().keep_watch(check.clone()));
            if let Some((_, before)) = watched.insert(check.id.clone(), (check.clone(), task)) {
                before.abort();
            }
        }
        // Aborted watchers are collected, so that the set does not grow with every change.
        while tasks.try_join_next().is_some() {}
    }
    Ok(())
}

impl Outlook {
    async fn keep_watch(self, check: HealthCheck) {
        match &check.target {
            _ if check.disabled => {
                let kind = kind_of(&check.target);
                self.report(&check, kind, true, "the check is disabled".into());
                // It stays on the board as it is, until the check is changed or deleted.
            }
            Target::Metric { alarm, region, insufficient } => {
                self.watch_metric(&check, alarm, region, *insufficient).await;
            }
            Target::Endpoint(endpoint) => self.watch_endpoint(&check, endpoint).await,
            Target::Calculated { children, threshold } => {
                self.watch_others(&check, children, *threshold).await;
            }
        }
    }

    async fn watch_metric(&self, check: &HealthCheck, alarm: &str, region: &str, insufficient: Insufficient) {
        let emulator = Emulator::new(&self.cloud);
        // A new check without data is healthy; an edited one goes on from what it was.
        let mut last = self.board.is_healthy(&check.id) != check.inverted || !self.knows(check);
        let mut ticks = interval(METRIC_INTERVAL);
        loop {
            ticks.tick().await;
            let now = Timestamp::now();
            match cloudwatch::judge(&emulator, region, alarm, self.cloud.speed, now).await {
                Ok(judgement) => {
                    let healthy = status(judgement.condition, insufficient, last);
                    if judgement.condition != Condition::NoData {
                        last = healthy;
                    }
                    self.report(check, CheckKind::Metric, healthy, judgement.reason);
                }
                Err(error) => tracing::debug!(check = check.id, %error, "a metric could not be read"),
            }
        }
    }

    async fn watch_others(&self, check: &HealthCheck, children: &[String], threshold: usize) {
        let mut ticks = interval(OTHERS_INTERVAL);
        loop {
            ticks.tick().await;
            let healthy = children.iter().filter(|child| self.board.is_healthy(child)).count();
            let reason = format!("{healthy} of {} healthy", children.len());
            self.report(check, CheckKind::Calculated, healthy >= threshold, reason);
        }
    }

    async fn watch_endpoint(&self, check: &HealthCheck, endpoint: &Endpoint) {
        let mut state = Streak { healthy: true, against: 0, threshold: endpoint.failure_threshold };
        if !self.knows(check) {
            // Healthy until it has data, and inverted: unhealthy.
            self.report(check, CheckKind::Endpoint, true, "no data yet".into());
        }
        let mut ticks = interval(self.cloud.scaled(endpoint.interval));
        loop {
            ticks.tick().await;
            let seen = self.probe(endpoint).await;
            let good = seen.as_ref().is_ok_and(|status| status.is_success() || status.is_redirection());
            let reason = match seen {
                Ok(status) => format!("answered {status}"),
                Err(problem) => problem.to_string(),
            };
            self.report(check, CheckKind::Endpoint, state.after(good), reason);
        }
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<StatusCode, ProbeError> {
        let to = self.locate(endpoint)?;
        let host = endpoint
            .host
            .as_ref()
            .map_or_else(|| to.to_string(), |name| name.to_ascii().trim_end_matches('.').to_owned());
        let request = Request::get(&endpoint.path)
            .header("host", host)
            .header("user-agent", "Amazon-Route53-Health-Check-Service")
            .body(Full::<Bytes>::default())
            .map_err(|error| ProbeError::Request(error.to_string()))?;
        let limit = |longest| self.cloud.scaled(longest).max(PROBE_MIN);
        let limits = Limits { connect: limit(CONNECT_MAX), answer: limit(ANSWER_MAX) };
        Ok(http::call(to, request, limits).await?.0)
    }

    /// Where a checker outside finds the endpoint: its place, over the link that leads there.
    fn locate(&self, endpoint: &Endpoint) -> Result<SocketAddr, ProbeError> {
        // A function URL is a part of its Region's Lambda, and no host of a place.
        if endpoint.host.as_ref().is_some_and(|host| host.to_ascii().contains(FUNCTION_URL)) {
            return Ok(self.cloud.emulator());
        }
        let healthy = |id: &str| self.board.is_healthy(id);
        let by_name = || {
            let snapshot = self.latest.borrow().clone()?;
            snapshot.zone.address(endpoint.host.as_ref()?, &healthy)
        };
        let own = endpoint.address.or_else(by_name).ok_or(ProbeError::NoAddress)?;
        let there = super::answer::translate(&self.cloud, Place::Outside, own);
        Ok(SocketAddr::new(IpAddr::V4(there), endpoint.port.unwrap_or(self.cloud.web_port)))
    }

    fn report(&self, check: &HealthCheck, kind: CheckKind, healthy: bool, reason: String) {
        self.board.report(&check.id, kind, healthy != check.inverted, reason, Timestamp::now());
    }

    fn knows(&self, check: &HealthCheck) -> bool {
        self.board.all().contains_key(&check.id)
    }
}

/// Why a probe brought no status.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("the name of the endpoint has no address")]
    NoAddress,
    #[error("the request cannot be written: {0}")]
    Request(String),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// An endpoint's state: it flips, either way, only after `threshold` looks against it in a row.
struct Streak {
    healthy: bool,
    against: u32,
    threshold: u32,
}

impl Streak {
    fn after(&mut self, good: bool) -> bool {
        self.against = if good == self.healthy { 0 } else { self.against.saturating_add(1) };
        if self.against >= self.threshold.max(1) {
            self.healthy = good;
            self.against = 0;
        }
        self.healthy
    }
}

/// Before inversion. `last` is what the check was when it last had data.
fn status(condition: Condition, insufficient: Insufficient, last: bool) -> bool {
    match (condition, insufficient) {
        (Condition::Holds, _) | (Condition::NoData, Insufficient::Unhealthy) => false,
        (Condition::DoesNot, _) | (Condition::NoData, Insufficient::Healthy) => true,
        (Condition::NoData, Insufficient::LastKnownStatus) => last,
    }
}

fn kind_of(target: &Target) -> CheckKind {
    match target {
        Target::Metric { .. } => CheckKind::Metric,
        Target::Endpoint(_) => CheckKind::Endpoint,
        Target::Calculated { .. } => CheckKind::Calculated,
    }
}

fn interval(every: Duration) -> tokio::time::Interval {
    // An interval of nothing would panic.
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_flips_after_the_threshold_either_way() {
        let mut streak = Streak { healthy: true, against: 0, threshold: 3 };
        let seen = [false, false, true, false, false, false, true, true, false, true, true, true];
        let states: Vec<bool> = seen.into_iter().map(|good| streak.after(good)).collect();
        let expected = [true, true, true, true, true, false, false, false, false, false, false, true];
        assert_eq!(states, expected);
    }

    #[test]
    fn without_data_the_check_keeps_what_it_was_told_to() {
        use Insufficient::{Healthy, LastKnownStatus, Unhealthy};
        assert!(!status(Condition::Holds, Healthy, true));
        assert!(status(Condition::DoesNot, Unhealthy, false));
        assert!(status(Condition::NoData, Healthy, false));
        assert!(!status(Condition::NoData, Unhealthy, true));
        assert!(!status(Condition::NoData, LastKnownStatus, false));
        assert!(status(Condition::NoData, LastKnownStatus, true));
    }
}
