//! Whether clients reach who serves: the public name, looked at as a client uses it, on every tick of the standby's prober.
//!
//! Votes look at the primary's own endpoint, and an execution looks at the name for as long as it runs. Whatever takes the
//! name away at another time, or the standby while it serves, is seen here, and told.

use crate::fault::Fault;
use crate::plan::{Plan, Route};
use crate::ports::{Cells, Clock, Dns, DnsAnswer, Http};
use crate::state::{Change, keys, look as look_up, update_note};
use crate::switch::{Desired, Side, standby_serves};
use crate::time::{Millis, elapsed};
use crate::words::list;
use futures_util::future::{join_all, join3};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The last look at the public names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub at: Timestamp,
    /// Since when no look was good; `None`: the last one was.
    pub bad: Option<Bad>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    pub since: Timestamp,
    /// So many in a row.
    pub looks: u32,
    /// What the last of them saw.
    pub detail: String,
}

/// A name is called bad by so many looks in a row at least: ticks come twice.
const LOOKS: u32 = 3;

impl Served {
    /// Since when clients do not reach who serves, if that lasts: longer than it takes to see that the primary is down, which
    /// is told by itself.
    pub fn lost(&self, plan: &Plan, now: Timestamp) -> Option<&Bad> {
        let long = plan.detection.window.saturating_add(plan.tick.times(3));
        let fresh = elapsed(self.at, now) <= plan.tick.times(3);
        self.bad.as_ref().filter(|bad| fresh && bad.looks >= LOOKS && elapsed(bad.since, now) >= long)
    }
}

/// Looks once by every public name, and keeps what was seen.
pub async fn look<C: Cells, K: Clock>(
    plan: &Plan,
    cells: &C,
    clock: &K,
    http: &impl Http,
    dns: &impl Dns,
) -> Result<(), Fault> {
    let begun = clock.now();
    // Where the switch does not read, its own looks say so; here any side is as good.
    let desired = look_up::<Desired>(cells, &keys::switch()).await.ok();
    let serves =
        desired.map(|desired| if standby_serves(desired.as_deref()) { Side::Standby } else { Side::Primary });
    let looks = join_all(plan.routes.iter().map(|route| look_at(route, serves, plan, http, dns))).await;
    let bad: Vec<String> = looks.into_iter().flatten().collect();
    update_note::<Served, _>(cells, &keys::served(), |last| {
        // A run of bad looks with a hole in it is none.
        let recent = |last: &&Served| elapsed(last.at, begun) <= plan.tick.times(3);
        let before = last.filter(recent).and_then(|last| last.bad.as_ref());
        let bad = (!bad.is_empty()).then(|| Bad {
            since: before.map_or(begun, |before| before.since),
            looks: before.map_or(1, |before| before.looks.saturating_add(1)),
            detail: bad.join("; "),
        });
        Ok(Change::Write(Served { at: clock.now(), bad }))
    })
    .await
    .map(|_| ())
}

/// What is wrong with one name; `None`: nothing.
async fn look_at(
    route: &Route,
    serves: Option<Side>,
    plan: &Plan,
    http: &impl Http,
    dns: &impl Dns,
) -> Option<String> {
    let timeout = plan.detection.probe_timeout;
    let public = http.get(&format!("{}{}", route.public(), route.health_path), timeout).await;
    if !public.is_good() {
        let at = match dns.addresses(&route.record, timeout).await {
            DnsAnswer::Values(values) => format!("at {}", list(&values)),
            DnsAnswer::Failed(why) => format!("which does not resolve ({why})"),
        };
        return Some(format!("`{}` {at}: health {public}", route.record));
    }
    leads_away(route, serves?, timeout, dns).await
}

/// That a name leads to the other side than the one that serves, where that is certain: by the addresses of all three, for
/// those of a load balancer come and go.
async fn leads_away(route: &Route, serves: Side, timeout: Millis, dns: &impl Dns) -> Option<String> {
    let (own, other) = (route.host(serves), route.host(serves.other()));
    let asked = join3(
        dns.addresses(&route.record, timeout),
        dns.addresses(&own, timeout),
        dns.addresses(&other, timeout),
    );
    let (DnsAnswer::Values(public), DnsAnswer::Values(own), DnsAnswer::Values(other)) = asked.await else {
        return None;
    };
    let meets = |side: &[String]| public.iter().any(|address| side.contains(address));
    (!meets(&own) && meets(&other)).then(|| {
        format!("`{}` leads to the {}, and the {} serves", route.record, serves.other().name(), serves.name())
    })
}
