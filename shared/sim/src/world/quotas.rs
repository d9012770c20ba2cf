//! What all applications of an account share in the standby's Region: the two token buckets of Step Functions on which
//! a failover draws, as large as AWS documents them for us-west-2.
//!
//! Not here: RDS publishes no quota, no step calls Route 53's API, and Lambda scales each function by itself.

use super::{Inner, World};
use crate::queue::Moment;

/// How many tokens there are at most, and how many come back each second.
#[derive(Clone, Copy, Debug)]
struct Quota {
    most: i64,
    per_second: i64,
}

/// `StartExecution`: beyond it the call fails.
const STARTS: Quota = Quota { most: 1_300, per_second: 300 };
/// State transitions of standard workflows: beyond it an execution is late.
const TRANSITIONS: Quota = Quota { most: 5_000, per_second: 1_500 };
/// What another application's failover takes of them: assumed, for nobody counts theirs.
const TRANSITIONS_EACH: i64 = 20;

/// A bucket that holds thousandths of tokens, so that each millisecond brings `per_second` of them.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    quota: Quota,
    level: i64,
    at: Moment,
}

impl Bucket {
    fn full(quota: Quota, now: Moment) -> Self {
        Self { quota, level: quota.most * 1_000, at: now }
    }

    fn refill(&mut self, now: Moment) {
        let back = (now - self.at).saturating_mul(self.quota.per_second);
        self.level = self.level.saturating_add(back).min(self.quota.most * 1_000);
        self.at = now;
    }

    /// Others take so many. Those who find none stand in the line before us.
    fn rush(&mut self, now: Moment, tokens: i64) {
        self.refill(now);
        self.level = self.level.saturating_sub(tokens.saturating_mul(1_000));
    }

    /// Takes a token; or says in how many milliseconds there is one.
    fn take(&mut self, now: Moment) -> Result<(), i64> {
        self.refill(now);
        let left = self.level - 1_000;
        if left < 0 {
            return Err(left.saturating_neg() / self.quota.per_second + 1);
        }
        self.level = left;
        Ok(())
    }
}

pub(super) struct Quotas {
    starts: Bucket,
    transitions: Bucket,
}

impl Quotas {
    pub(super) fn full(now: Moment) -> Self {
        Self { starts: Bucket::full(STARTS, now), transitions: Bucket::full(TRANSITIONS, now) }
    }
}

impl Inner {
    /// So many other applications start their failover at this moment.
    pub(super) fn rush(&mut self, applications: u64) {
        let applications = i64::try_from(applications).unwrap_or(i64::MAX);
        self.quotas.starts.rush(self.now, applications);
        self.quotas.transitions.rush(self.now, applications.saturating_mul(TRANSITIONS_EACH));
    }
}

impl World {
    /// Whether the account may start one more execution just now.
    pub(super) fn may_start(&self) -> bool {
        let mut inner = self.inner();
        let now = inner.now;
        inner.quotas.starts.take(now).is_ok()
    }

    /// Takes an execution's next transition; or says how long it waits for it, in milliseconds.
    pub(crate) fn take_transition(&self) -> Result<(), i64> {
        let mut inner = self.inner();
        let now = inner.now;
        inner.quotas.transitions.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_what_came_back() {
        let mut starts = Bucket::full(STARTS, 0);
        for _ in 0..STARTS.most {
            assert_eq!(starts.take(0), Ok(()));
        }
        // 300 a second: one each 3 1/3 ms.
        assert_eq!(starts.take(0), Err(4));
        assert_eq!(starts.take(3), Err(1));
        assert_eq!(starts.take(4), Ok(()));
        for _ in 0..STARTS.most {
            assert_eq!(starts.take(3_600_000), Ok(()));
        }
        assert!(starts.take(3_600_000).is_err(), "a full bucket gains nothing");
    }

    #[test]
    fn ten_thousand_starts_take_half_a_minute() {
        let mut starts = Bucket::full(STARTS, 0);
        starts.rush(0, 10_000);
        assert_eq!(starts.take(0), Err(29_004));
        assert!(starts.take(29_003).is_err());
        assert_eq!(starts.take(29_004), Ok(()));
    }
}
