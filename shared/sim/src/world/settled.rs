//! A world in which nothing happened for long: each look came, so that the guard counts on them (`looks::Unbroken`).

use super::{Place, World};
use crate::functions::Function;
use serde_json::json;
use understudy_core::lease::{Enforced, Lease};
use understudy_core::looks::{Sent, Unbroken, due};
use understudy_core::plan::OnLeaseLoss;
use understudy_core::state::keys;
use understudy_core::time::{before, elapsed};

/// Those that look between their ticks, and the name under which each notes what it sent.
const LOOKING: [(Function, &str); 4] = [
    (Function::PrimaryGuard, "primary-guard"),
    (Function::RouteProber, "route-prober"),
    (Function::WitnessProber, "route-prober"),
    (Function::AlarmHandler, "alarm-handler"),
];

impl World {
    /// Looks came without a gap until now, and those of the next three ticks are on their way. The last renewal was made just
    /// now, and its lease is the plan's.
    pub(crate) fn looks_came(&self) {
        let (plan, now) = (&self.plan, self.now());
        let Some(every) = plan.look else { return };
        let coming = due(now, None, every, plan.tick.times(3));
        let Some((first, until)) = coming.first().copied().zip(coming.last().copied()) else { return };
        for (function, name) in LOOKING {
            let at = if function == Function::WitnessProber { Place::Witness } else { Place::Standby };
            self.put(at, &keys::looks(name), json!(Sent { until }));
            let ahead = coming.iter().map(|due| (function, *due, elapsed(now, *due)));
            self.inner().ahead.extend(ahead);
        }
        let last = before(first, every);
        let looks = Unbroken { since: before(last, plan.tick.times(60)), last };
        let fences = plan.lease.on_loss == OnLeaseLoss::Fence;
        let enforced = Enforced {
            plan: self.digest.to_string(),
            ttl: plan.lease.ttl,
            looks: Some(looks),
            commit_margin: plan.lease.commit_margin,
            drift: plan.lease.drift,
            within: fences.then_some(plan.lease.ttl),
            unset: Vec::new(),
        };
        let granted = Lease::granted(1, &plan.regions.primary, fences);
        let lease = Lease { renewed_at: Some(now), enforced: Some(enforced), ..granted };
        for keeper in [Place::Standby, Place::Witness] {
            self.put(keeper, &keys::lease(), json!(lease));
        }
        if fences {
            self.inner().renew_in_databases(plan.lease.ttl);
        }
    }
}
