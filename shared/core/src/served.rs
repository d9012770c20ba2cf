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

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::plan::read;
    use crate::ports::HttpAnswer;
    use crate::time::before;
    use futures_util::FutureExt;
    use serde_json::Value;
    use std::collections::BTreeMap;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn plan() -> Plan {
        let text = include_str!("../../../tests/plans/minute-ticks.yaml");
        read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Names and their addresses; whatever is asked by HTTP answers.
    struct Names(BTreeMap<String, &'static [&'static str]>);

    impl Dns for Names {
        async fn txt(&self, _name: &str, _timeout: Millis) -> DnsAnswer {
            DnsAnswer::Failed("not asked".to_owned())
        }

        async fn addresses(&self, name: &str, _timeout: Millis) -> DnsAnswer {
            match self.0.get(name) {
                Some(addresses) => DnsAnswer::Values(addresses.iter().map(|one| (*one).to_owned()).collect()),
                None => DnsAnswer::Failed("no such name".to_owned()),
            }
        }
    }

    impl Http for Names {
        async fn get(&self, _url: &str, _timeout: Millis) -> HttpAnswer {
            HttpAnswer::Status(200)
        }

        async fn post(&self, _url: &str, _body: &Value, _timeout: Millis) -> HttpAnswer {
            HttpAnswer::Failed("not asked".to_owned())
        }
    }

    /// An old primary may say that it is well by itself, long after it takes no writes: by the addresses it is told.
    #[test]
    fn a_name_that_leads_to_the_other_side_is_seen_though_that_answers() {
        let plan = plan();
        let route = plan.routes.first().expect("a route");
        let told = |public: &'static [&'static str], standby: &'static [&'static str]| {
            let names = Names(BTreeMap::from([
                (route.record.clone(), public),
                (route.host(Side::Primary), &["192.0.2.1", "192.0.2.2"] as &[&str]),
                (route.host(Side::Standby), standby),
            ]));
            look_at(route, Some(Side::Standby), &plan, &names, &names).now_or_never().expect("nothing waits")
        };
        assert_eq!(told(&["198.51.100.1"], &["198.51.100.1"]), None);
        let away = told(&["192.0.2.2"], &["198.51.100.1"]).expect("it leads to the primary");
        assert!(away.contains("leads to the primary, and the standby serves"), "{away}");
        // Addresses of a load balancer come and go: only what is certain counts.
        assert_eq!(told(&["198.51.100.9"], &["198.51.100.1"]), None);
        assert_eq!(told(&["192.0.2.1", "198.51.100.1"], &["198.51.100.1"]), None);
    }

    #[test]
    fn one_bad_look_is_told_to_nobody_and_neither_is_an_old_one() {
        let plan = plan();
        let long = plan.detection.window.saturating_add(plan.tick.times(3));
        let served = |looks, since, at| Served {
            at,
            bad: Some(Bad { since, looks, detail: "health 503".to_owned() }),
        };
        let begun = before(NOW, long);
        assert!(served(LOOKS, begun, NOW).lost(&plan, NOW).is_some());
        assert!(served(LOOKS - 1, begun, NOW).lost(&plan, NOW).is_none());
        assert!(served(LOOKS, before(NOW, Millis(long.0 - 1)), NOW).lost(&plan, NOW).is_none());
        let stale = before(NOW, Millis(plan.tick.times(3).0 + 1));
        assert!(served(LOOKS, begun, stale).lost(&plan, NOW).is_none());
        assert!(Served { at: NOW, bad: None }.lost(&plan, NOW).is_none());
    }
}
