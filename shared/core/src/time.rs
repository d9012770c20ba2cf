//! Instants and spans as the whole of Understudy writes them.
//!
//! An instant is a `jiff::Timestamp` (RFC 3339, UTC, in every record). A span is [`Millis`], whole
//! milliseconds, so that a unit is never guessed. Nothing here reads a clock: `now` is always handed in.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    pub const ZERO: Self = Self(0);

    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Whole seconds, rounded up: Step Functions waits count in seconds, and a wait must never end early.
    pub const fn secs_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    /// The shortest exact form: `90s` stays `90s`, `1500ms` stays `1500ms`, an hour is `1h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "0s"),
            n if n % 86_400_000 == 0 => write!(f, "{}d", n / 86_400_000),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1000 == 0 => write!(f, "{}s", n / 1000),
            n => write!(f, "{n}ms"),
        }
    }
}

/// `later - earlier`, never negative: a reordered pair counts as no time at all.
pub fn elapsed(earlier: Timestamp, later: Timestamp) -> Millis {
    let millis = later.as_millisecond().saturating_sub(earlier.as_millisecond());
    Millis(u64::try_from(millis).unwrap_or(0))
}

/// `at + span`, held at the end of representable time.
pub fn after(at: Timestamp, span: Millis) -> Timestamp {
    let shift = SignedDuration::from_millis(i64::try_from(span.0).unwrap_or(i64::MAX));
    at.checked_add(shift).unwrap_or(Timestamp::MAX)
}

/// `at - span`, held at the beginning of representable time.
pub fn before(at: Timestamp, span: Millis) -> Timestamp {
    let shift = SignedDuration::from_millis(i64::try_from(span.0).unwrap_or(i64::MAX));
    at.checked_sub(shift).unwrap_or(Timestamp::MIN)
}
