//! Whether the switch could move clients: records, health checks and alarm, looked at while nothing is wrong.
//!
//! Route 53's API is a control plane in us-east-1: a tick asks it, and an execution reads what the tick found last (L1).
//! What cannot be read leaves the last whole look as it is, and that ages (L4).

use crate::checks::{Finding, Grade};
use crate::fault::Fault;
use crate::live::{self, Deployment, look_at_route};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::ports::{Alarms, Cells, Clock, Records};
use crate::state::{Change, keys, look as look_up, update_note};
use crate::time::elapsed;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Route 53 answers five requests a second for a whole account: one look in so many ticks.
const EVERY_TICKS: u64 = 5;

/// What the last looks at the switch found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wiring {
    /// When all of it was read last; `None`: never yet.
    pub read_at: Option<Timestamp>,
    /// What that look found fault with.
    pub findings: Vec<Finding>,
    /// With these no name moves, whatever is published.
    #[serde(default)]
    pub stuck: Vec<Finding>,
    /// When it was last tried.
    pub tried_at: Timestamp,
    /// Why that try did not read all of it, where it did not.
    pub missed: Option<String>,
}

/// Who is asked.
pub struct Eyes<'a, R, A> {
    pub records: &'a R,
    pub alarms: &'a A,
}

/// Looks, if the last look is old enough, and keeps what it found.
pub async fn look<C: Cells, K: Clock>(
    plan: &Plan,
    cells: &C,
    clock: &K,
    eyes: &Eyes<'_, impl Records, impl Alarms>,
) -> Result<(), Fault> {
    let now = clock.now();
    let last = look_up::<Wiring>(cells, &keys::wiring()).await.ok().flatten();
    let recent =
        |last: &Wiring| last.tried_at <= now && elapsed(last.tried_at, now) < plan.tick.times(EVERY_TICKS);
    if last.as_deref().is_some_and(recent) {
        return Ok(());
    }
    let seen = read(plan, clock, eyes).await;
    let findings = live::of_the_switch(plan, &seen);
    let missed = findings.iter().find(|found| found.grade == Grade::Unknown);
    let missed = missed.map(|found| format!("{}: {}", found.name(), found.evidence));
    update_note::<Wiring, _>(cells, &keys::wiring(), |last| {
        let tried_at = now;
        let next = match (&missed, last) {
            (None, _) => Wiring {
                read_at: Some(seen.at),
                findings: findings.iter().filter(|found| found.grade != Grade::Pass).cloned().collect(),
                stuck: live::stuck(plan, &seen),
                tried_at,
                missed: None,
            },
            (Some(_), Some(last)) => Wiring { tried_at, missed: missed.clone(), ..last.clone() },
            (Some(_), None) => Wiring {
                read_at: None,
                findings: Vec::new(),
                stuck: Vec::new(),
                tried_at,
                missed: missed.clone(),
            },
        };
        Ok(Change::Write(next))
    })
    .await
    .map(|_| ())
}

async fn read(plan: &Plan, clock: &impl Clock, eyes: &Eyes<'_, impl Records, impl Alarms>) -> Deployment {
    let name = live::switch_alarm_name(plan);
    let mut routes = Vec::new();
    for route in &plan.routes {
        routes.push(look_at_route(route, eyes.records, clock).await);
    }
    let alarm = eyes.alarms.alarm(&name).await;
    let at = clock.now();
    let switch_alarm = match alarm {
        Ok(alarm) => Observed::known(alarm, "CloudWatch", at),
        Err(fault) => Observed::unknown(fault.to_string()),
    };
    let unasked = "it was not looked at";
    Deployment {
        at,
        routes,
        switch_alarm,
        stores: Vec::new(),
        functions: Vec::new(),
        concurrency: Observed::unknown(unasked),
        transactions: Vec::new(),
        readiness: Observed::unknown(unasked),
    }
}
