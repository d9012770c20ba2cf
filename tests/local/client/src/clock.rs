//! The client's own clock: the wall clock at the start, carried on by the monotonic one.
//!
//! A step of the system's clock during a run can neither shorten nor lengthen an outage.

use jiff::{SignedDuration, Timestamp};
use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), steady: Instant::now() }
    }

    /// Whole microseconds, as the ledger keeps them.
    pub fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.steady.elapsed().as_micros()).unwrap_or(i64::MAX);
        let now = self.wall.checked_add(SignedDuration::from_micros(micros)).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}
