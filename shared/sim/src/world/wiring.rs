//! The records, health checks and alarm of the switch, as Route 53's API and CloudWatch tell of them.

use super::{Place, World};
use understudy_core::fault::Fault;
use understudy_core::live::{Follows, Half, HealthCheck, MetricAlarm, RecordSet, switch_alarm_name};
use understudy_core::ports::{Alarms, Records};
use understudy_core::switch::Side;

/// Whoever in the standby asks for them.
pub struct Wires<'a>(pub &'a World);

const METRIC: &str = "metric";
const STATUS: &str = "status";
const BOTH: &str = "both";
const ENDPOINT: &str = "endpoint";

impl Records for Wires<'_> {
    async fn records(&self, _zone_id: &str, name: &str) -> Result<Vec<RecordSet>, Fault> {
        // A control plane in one Region, which may be the one that is lost.
        let passed = self.0.pass(Place::Standby, Place::Primary).await?;
        let sets = self.0.plan.routes.iter().flat_map(|route| {
            let switch = if route.fast { BOTH } else { METRIC };
            let ttl = route.ttl.secs_ceil();
            let public = move |half, value: String, check| record("CNAME", ttl, half, value, check);
            let verdict = move |half, value: &str, check| record("TXT", ttl, half, value.to_owned(), check);
            let named = [(&route.record, true), (&route.verdict_record, false)];
            named.into_iter().filter(|(known, _)| *known == name).flat_map(move |(_, is_public)| {
                if is_public {
                    [
                        public(Half::Primary, route.host(Side::Primary), Some(switch)),
                        public(Half::Secondary, route.host(Side::Standby), None),
                    ]
                } else {
                    [verdict(Half::Primary, "up", Some(ENDPOINT)), verdict(Half::Secondary, "down", None)]
                }
            })
        });
        self.0.reply(passed, sets.collect()).await
    }

    async fn health_check(&self, id: &str) -> Result<Option<HealthCheck>, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Primary).await?;
        let plan = &self.0.plan;
        let region = &plan.regions.standby.0;
        let primary = plan.routes.first().map(|route| route.host(Side::Primary)).unwrap_or_default();
        let check = |follows, inverted| Some(HealthCheck { follows, inverted, disabled: false });
        let found = match id {
            METRIC => {
                let (name, without_data) = (switch_alarm_name(plan), "LastKnownStatus".to_owned());
                check(Follows::Alarm { name, region: region.clone(), without_data }, false)
            }
            STATUS => {
                let host = format!("status.lambda-url.{region}.on.aws");
                check(Follows::Endpoint { host }, true)
            }
            BOTH => {
                let children = vec![METRIC.to_owned(), STATUS.to_owned()];
                check(Follows::Calculated { children, threshold: 2 }, false)
            }
            ENDPOINT => check(Follows::Endpoint { host: primary }, false),
            _ => None,
        };
        self.0.reply(passed, found).await
    }
}

fn record(kind: &str, ttl: u64, half: Half, value: String, check: Option<&str>) -> RecordSet {
    RecordSet {
        kind: kind.to_owned(),
        half: Some(half),
        ttl_seconds: Some(ttl),
        health_check: check.map(str::to_owned),
        values: vec![value],
        evaluates_target: None,
    }
}

impl Alarms for Wires<'_> {
    async fn alarm(&self, name: &str) -> Result<Option<MetricAlarm>, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        let there = name == switch_alarm_name(&self.0.plan) && !self.0.inner().web.is_cut();
        let alarm = there.then(|| MetricAlarm {
            metric: "Understudy/Switch".to_owned(),
            dimensions: vec![("Plan".to_owned(), self.0.plan.name.clone())],
            statistic: "Minimum".to_owned(),
            comparison: "GreaterThanOrEqualToThreshold".to_owned(),
            threshold: 1.0,
            evaluation_periods: 1,
            period_seconds: 60,
        });
        self.0.reply(passed, alarm).await
    }
}
