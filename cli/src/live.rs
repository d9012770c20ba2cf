//! What a plan check with `--live` reads of AWS: records, instances, secret, functions, readiness. Looks only.
//!
//! Everything is asked at the same time, each bounded, by the credentials of whoever asks. What does not come is
//! Unknown with its reason; what any of it means is the core's business.

mod zone;

use crate::exit::{Code, Failure, print};
use crate::operate::{prefix, wait};
use crate::terminal;
use aws_config::SdkConfig;
use futures_util::future::{join, join_all, join3, join4};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use understudy_aws::dynamodb::Table;
use understudy_aws::function::Function;
use understudy_aws::rds::Rds;
use understudy_aws::scaffold::operator_config;
use understudy_aws::secrets::SecretsManager;
use understudy_core::checks::{Finding, Grade};
use understudy_core::fault::Fault;
use understudy_core::live::{
    Deployment, Follows, HealthCheck, LiveFunction, LiveRoute, LiveStore, RecordSet, findings, functions,
};
use understudy_core::observed::Observed;
use understudy_core::plan::{Plan, Region, Route, Store};
use understudy_core::ports::Role;
use understudy_core::state::{keys, load};
use understudy_core::steps::assess::Readiness;
use zone::Zone;

/// A Region that accepts and never answers costs this much, once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where Route 53's own API lives, whatever the plan's Regions are.
const ROUTE53: &str = "us-east-1";

/// A whole check, for machines.
#[derive(Serialize)]
struct Checked<'a> {
    plan: &'a str,
    at: Timestamp,
    findings: &'a [Finding],
}

/// Looks at the deployment of a plan that is whole, and tells what needs somebody.
pub fn check(plan: &Plan, profile: Option<&str>, json: bool) -> Result<Code, Failure> {
    let seen = wait(async { Ok(look(plan, profile).await) })?;
    let findings = findings(plan, &seen);
    if json {
        let checked = Checked { plan: &plan.name, at: seen.at, findings: &findings };
        say!("{}", serde_json::to_string(&checked).unwrap_or_default());
    } else {
        print(&terminal::checked(&plan.name, seen.at, &findings));
    }
    Ok(code(&findings))
}

/// A warning alone is nothing to object to.
fn code(findings: &[Finding]) -> Code {
    if findings.iter().all(|finding| finding.grade == Grade::Unknown) {
        Code::NotAvailable
    } else if findings.iter().any(Finding::blocks) {
        Code::Refused
    } else {
        Code::Ok
    }
}

async fn look(plan: &Plan, profile: Option<&str>) -> Deployment {
    let (primary, standby) = join(
        operator_config(&plan.regions.primary, profile),
        operator_config(&plan.regions.standby, profile),
    )
    .await;
    let global = operator_config(&Region(ROUTE53.to_owned()), profile).await;
    let zone = Zone::new(&global);
    let table = Table::from_config(&standby, &prefix(plan));
    let readiness_key = keys::readiness();
    let (routes, stores, functions, readiness) = join4(
        join_all(plan.routes.iter().map(|route| look_at_route(&zone, route))),
        join_all(plan.stores.iter().map(|store| look_at_store(store, &primary, &standby))),
        look_at_functions(plan, profile),
        bounded("state table", load::<Readiness>(&table, &readiness_key)),
    )
    .await;
    Deployment { at: Timestamp::now(), routes, stores, functions, readiness }
}

/// What came of one question, in time.
async fn bounded<T>(source: &str, asked: impl Future<Output = Result<T, Fault>>) -> Observed<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(value)) => Observed::known(value, source, Timestamp::now()),
        Ok(Err(fault)) => Observed::unknown(fault.to_string()),
        Err(_) => Observed::unknown(format!("{source}: no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn look_at_route(zone: &Zone, route: &Route) -> LiveRoute {
    let (public, verdict) = join(
        bounded("Route 53", zone.records(&route.zone_id, &route.record)),
        bounded("Route 53", zone.records(&route.zone_id, &route.verdict_record)),
    )
    .await;
    let named: BTreeSet<String> = [&public, &verdict].into_iter().flat_map(health_checks).collect();
    let mut checks = look_at_checks(zone, named).await;
    let below = checks.iter().filter_map(|(_, check)| children(check.value()?.as_ref()?)).flatten().cloned();
    let below = look_at_checks(zone, below.collect()).await;
    checks.extend(below);
    LiveRoute { route: route.name.clone(), public, verdict, checks }
}

async fn look_at_checks(zone: &Zone, ids: BTreeSet<String>) -> Vec<(String, Observed<Option<HealthCheck>>)> {
    join_all(ids.into_iter().map(|id| async {
        let check = bounded("Route 53", zone.health_check(&id)).await;
        (id, check)
    }))
    .await
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

async fn look_at_store(store: &Store, primary: &SdkConfig, standby: &SdkConfig) -> LiveStore {
    let (there, here) = (Rds::from_config(primary), Rds::from_config(standby));
    let secrets = SecretsManager::from_config(standby);
    let (primary, standby, secret) = join3(
        bounded("RDS", there.look(&store.primary.id)),
        bounded("RDS", here.look(&store.standby.id)),
        bounded("Secrets Manager", secrets.look(&store.application.secret)),
    )
    .await;
    LiveStore { store: store.name.clone(), primary, standby, secret }
}

async fn look_at_functions(plan: &Plan, profile: Option<&str>) -> Vec<LiveFunction> {
    let roles = [Role::Standby, Role::Primary, Role::Witness].into_iter();
    let placed = roles.filter_map(|role| Some((role, role.region(&plan.regions)?)));
    let asked = placed.map(|(role, region)| async move {
        let config = operator_config(region, profile).await;
        let looks = functions(plan, role).map(|name| look_at_function(plan, &config, role, name));
        join_all(looks).await
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn look_at_function(
    plan: &Plan,
    config: &SdkConfig,
    role: Role,
    function: &'static str,
) -> LiveFunction {
    let deployed = Function::new(config, format!("{}-{function}", prefix(plan)));
    let found = bounded("Lambda", deployed.look()).await;
    LiveFunction { role, function, state: found.map(|found| found.map(|found| found.state)) }
}
