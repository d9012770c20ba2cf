//! What is known, from where and since when; or why it is not known.
//!
//! Every fact that a decision may rest on travels as [`Observed`]. There is no default and no zero:
//! a missing, null or stale reading is [`Observed::Unknown`], which satisfies no condition (L4).

use crate::time::{Millis, elapsed};
use crate::words::span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A reading with its source and instant, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    Known { value: T, source: String, at: Timestamp },
    Unknown { reason: String },
}

impl<T> Observed<T> {
    pub fn known(value: T, source: impl Into<String>, at: Timestamp) -> Self {
        Self::Known { value, source: source.into(), at }
    }

    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// The reading if it is no older than `max_age` at `now`; a stale reading is Unknown (L4).
    pub fn fresh(self, now: Timestamp, max_age: Millis) -> Self {
        match self {
            Self::Known { source, at, .. } if elapsed(at, now) > max_age => {
                let age = span(elapsed(at, now));
                Self::unknown(format!("{source} was last read {age} ago, more than {}", span(max_age)))
            }
            other => other,
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Self::Known { value, source, at } => Observed::Known { value: f(value), source, at },
            Self::Unknown { reason } => Observed::Unknown { reason },
        }
    }
}

impl<T> Observed<Option<T>> {
    /// A reading of "nothing there" is Unknown, not a value.
    pub fn flatten(self, absent: &str) -> Observed<T> {
        match self {
            Self::Known { value: Some(value), source, at } => Observed::Known { value, source, at },
            Self::Known { value: None, source, .. } => Observed::unknown(format!("{source}: {absent}")),
            Self::Unknown { reason } => Observed::Unknown { reason },
        }
    }
}
