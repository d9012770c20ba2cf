//! How the records of a route and the health checks below them are read: one after the other, for Route 53 answers five
//! requests a second for a whole account.

use super::{Follows, HealthCheck, LiveRoute, RecordSet};
use crate::fault::Fault;
use crate::observed::Observed;
use crate::plan::Route;
use crate::ports::{Clock, Records};
use std::collections::BTreeSet;

const SOURCE: &str = "Route 53";

/// The public name and the verdict's, the health checks that they name, and those which these count.
pub async fn look_at_route(route: &Route, records: &impl Records, clock: &impl Clock) -> LiveRoute {
    let public = observed(records.records(&route.zone_id, &route.record).await, clock);
    let verdict = observed(records.records(&route.zone_id, &route.verdict_record).await, clock);
    let named = [&public, &verdict].into_iter().flat_map(health_checks).collect();
    let mut checks = look_at_checks(named, records, clock).await;
    let below = checks.iter().filter_map(|(_, check)| children(check.value()?.as_ref()?)).flatten().cloned();
    let below = look_at_checks(below.collect(), records, clock).await;
    checks.extend(below);
    LiveRoute { route: route.name.clone(), public, verdict, checks }
}

async fn look_at_checks(
    ids: BTreeSet<String>,
    records: &impl Records,
    clock: &impl Clock,
) -> Vec<(String, Observed<Option<HealthCheck>>)> {
    let mut checks = Vec::new();
    for id in ids {
        let check = observed(records.health_check(&id).await, clock);
        checks.push((id, check));
    }
    checks
}

fn observed<T>(read: Result<T, Fault>, clock: &impl Clock) -> Observed<T> {
    match read {
        Ok(value) => Observed::known(value, SOURCE, clock.now()),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

fn children(check: &HealthCheck) -> Option<&[String]> {
    match &check.follows {
        Follows::Calculated { children, .. } => Some(children),
        Follows::Alarm { .. } | Follows::Endpoint { .. } | Follows::Other(_) => None,
    }
}

fn health_checks(records: &Observed<Vec<RecordSet>>) -> Vec<String> {
    records.value().into_iter().flatten().filter_map(|set| set.health_check.clone()).collect()
}
