//! How every health check is right now, for the answers and for whoever asks the control API.
//!
//! A check that is not on the board has not been looked at yet and counts as healthy, as with Route 53.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a health check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// The data stream of a CloudWatch alarm.
    Metric,
    /// An address that is asked over the link from outside.
    Endpoint,
    /// Other checks.
    Calculated,
}

/// One check's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    pub healthy: bool,
    /// When it became so.
    pub since: Timestamp,
    pub kind: CheckKind,
    /// What the last look saw.
    pub last_reason: String,
}

/// Health by the id of the check.
#[derive(Debug, Default)]
pub struct HealthBoard {
    checks: Mutex<BTreeMap<String, Health>>,
}

impl HealthBoard {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn all(&self) -> BTreeMap<String, Health> {
        self.lock().clone()
    }

    pub fn is_healthy(&self, id: &str) -> bool {
        self.lock().get(id).is_none_or(|health| health.healthy)
    }

    /// Writes down one look; `since` moves only when the state does.
    pub(super) fn report(&self, id: &str, kind: CheckKind, healthy: bool, reason: String, now: Timestamp) {
        let mut checks = self.lock();
        let since = match checks.get(id) {
            Some(before) if before.healthy == healthy => before.since,
            before => {
                tracing::info!(check = id, healthy, first = before.is_none(), reason, "health check");
                now
            }
        };
        checks.insert(id.to_owned(), Health { healthy, since, kind, last_reason: reason });
    }

    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// No code panics while it holds the lock, so that a poisoned board is still whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Health>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_moves_only_with_the_state() {
        let board = HealthBoard::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(board.is_healthy("a"), "a check nobody has looked at");
        board.report("a", CheckKind::Endpoint, true, "200".into(), at(1));
        board.report("a", CheckKind::Endpoint, true, "204".into(), at(2));
        assert_eq!(board.all()["a"].since, at(1));
        assert_eq!(board.all()["a"].last_reason, "204");
        board.report("a", CheckKind::Endpoint, false, "503".into(), at(3));
        assert_eq!(board.all()["a"].since, at(3));
        assert!(!board.is_healthy("a"));
        board.forget("a");
        assert!(board.is_healthy("a"));
    }
}
