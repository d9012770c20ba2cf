//! A plan in fast motion, for demonstrations on one machine.
//!
//! Every duration is shortened, what is promised among them: an outage in fast motion that is held against an
//! objective in real time would always flatter (L7). What is counted or named stays. What comes out passes every
//! rule that the plan itself passes.

use super::model::{Detection, Hook, Lag, Lease, Objectives, Plan, Policy, Route, Store};
use crate::time::Millis;

/// No call over a network is given less.
const CALL_MIN: Millis = Millis(500);
/// Half of the margin bounds a statement and a pause of every writer. A real process takes its time to answer, however
/// fast the plan runs: less than this ends the transactions of a busy application.
const MARGIN_MIN: Millis = Millis(2000);
/// A tick or a look below this leaves no room for a probe, and SQS delays by whole seconds.
const PACE_MIN: Millis = Millis(1000);

impl Plan {
    /// The factor beyond which a look would come too soon behind the one before it.
    #[must_use]
    pub fn fastest(&self) -> f64 {
        float(self.pace()) / float(PACE_MIN)
    }

    /// The plan with its durations divided by `factor`.
    ///
    /// | field | becomes |
    /// |---|---|
    /// | `tick`, `look` | divided, rounded down, at least 1 s: the factor itself is lowered where it would ask for less |
    /// | `detection.window`, `cooldown` | divided, rounded up |
    /// | `detection.vote_max_age` | divided, rounded up, at least two ticks and a probe |
    /// | `detection.probe_timeout` | divided, at least 1 s for its two asks, always below `look`, or `tick` without |
    /// | `lease.ttl`, `drift` | divided, rounded up |
    /// | `lease.commit_margin` | divided, at least 2 s unless the plan says less, always below the scaled `ttl` |
    /// | `policy.approval_timeout`, `stores[].promote_timeout` | divided, rounded up |
    /// | `routes[].ttl` | divided, rounded up to whole seconds, at least 1 s |
    /// | `routes[].hold` | divided, rounded down, at least 1 ms |
    /// | `routes[].confirm_timeout` | divided, rounded up, always above the hold |
    /// | `hooks[].timeout` | divided, at least 500 ms |
    /// | `objectives`, `stores[].lag` | divided, rounded down |
    /// | all else | unchanged |
    ///
    /// Nothing ever grows, but `confirm_timeout` by a millisecond where it must stay above the hold. A factor that
    /// does not shorten (1 or less, or not a number) leaves the plan as it is.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let factor = factor.min(self.fastest());
        if factor.is_nan() || factor <= 1.0 {
            return self.clone();
        }
        let scale = Scale(factor);
        let look = self.look.map(|look| scale.down(look).max(PACE_MIN));
        let tick =
            scale.down(self.tick).max(look.map_or(Millis::ZERO, |look| look.saturating_add(Millis(1))));
        Self {
            objectives: Objectives {
                rto: scale.down(self.objectives.rto),
                rpo: if self.objectives.rpo == Millis::ZERO {
                    Millis::ZERO
                } else {
                    scale.down(self.objectives.rpo)
                },
                ..self.objectives
            },
            tick,
            look,
            detection: scale.detection(&self.detection, tick, look.unwrap_or(tick)),
            lease: scale.lease(&self.lease),
            policy: Policy {
                approval_timeout: scale.up(self.policy.approval_timeout),
                ..self.policy.clone()
            },
            stores: self.stores.iter().map(|store| scale.store(store)).collect(),
            routes: self.routes.iter().map(|route| scale.route(route)).collect(),
            hooks: self.hooks.iter().map(|hook| scale.hook(hook)).collect(),
            ..self.clone()
        }
    }
}

/// Bounds are rounded up and what they bound is rounded down, so that every relation of the plan survives.
#[derive(Clone, Copy)]
struct Scale(f64);

impl Scale {
    fn down(self, span: Millis) -> Millis {
        whole((float(span) / self.0).floor())
    }

    fn up(self, span: Millis) -> Millis {
        whole((float(span) / self.0).ceil())
    }

    /// The time of one call: not below what a call needs, unless the plan itself gives less.
    fn call(self, span: Millis) -> Millis {
        self.down(span).max(CALL_MIN).min(span)
    }

    /// A probe asks twice.
    fn probe(self, span: Millis) -> Millis {
        self.down(span).max(CALL_MIN.times(2)).min(span)
    }

    fn detection(self, detection: &Detection, tick: Millis, pace: Millis) -> Detection {
        let probe_timeout = self.probe(detection.probe_timeout).min(pace.saturating_sub(Millis(1)));
        let least = tick.times(2).saturating_add(probe_timeout);
        Detection {
            window: self.up(detection.window),
            vote_max_age: self.up(detection.vote_max_age).max(least),
            probe_timeout,
            cooldown: self.up(detection.cooldown),
            ..detection.clone()
        }
    }

    fn lease(self, lease: &Lease) -> Lease {
        let ttl = self.up(lease.ttl);
        let margin = self.down(lease.commit_margin).max(MARGIN_MIN).min(lease.commit_margin);
        Lease {
            ttl,
            commit_margin: margin.min(ttl.saturating_sub(Millis(1))),
            drift: self.up(lease.drift),
            ..lease.clone()
        }
    }

    fn store(self, store: &Store) -> Store {
        let lag = Lag {
            typical: self.down(store.lag.typical),
            warn: self.down(store.lag.warn),
            block: self.down(store.lag.block),
        };
        Store { promote_timeout: self.up(store.promote_timeout), lag, ..store.clone() }
    }

    fn route(self, route: &Route) -> Route {
        let hold = self.down(route.hold);
        Route {
            ttl: Millis::from_secs(self.up(route.ttl).secs_ceil()),
            hold,
            confirm_timeout: self.up(route.confirm_timeout).max(hold.saturating_add(Millis(1))),
            ..route.clone()
        }
    }

    fn hook(self, hook: &Hook) -> Hook {
        Hook { timeout: self.call(hook.timeout), ..hook.clone() }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a plan's spans end at 400 days, far within the exact integers"
)]
fn float(span: Millis) -> f64 {
    span.0 as f64
}

/// At least a millisecond: no span of a plan is zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, positive, and the cast saturates"
)]
fn whole(millis: f64) -> Millis {
    Millis((millis as u64).max(1))
}
