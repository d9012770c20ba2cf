//! What a plan check with `--live` reads of AWS: records, instances, secret, functions, readiness. Looks only, but for one
//! write by each route with `--transact`.
//!
//! Everything is asked at the same time, each bounded, by the credentials of whoever asks. What does not come is
//! Unknown with its reason; what any of it means is the core's business.

use crate::exit::{Code, Failure, print};
use crate::operate::{prefix, signed_in, unavailable, wait};
use crate::terminal;
use aws_config::SdkConfig;
use futures_util::future::{join, join_all, join3, join5};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;
use understudy_aws::cloudwatch::CloudWatch;
use understudy_aws::dns::Resolver;
use understudy_aws::dynamodb::Table;
use understudy_aws::function::{Function, concurrency_left};
use understudy_aws::http::Web;
use understudy_aws::rds::Rds;
use understudy_aws::route53::{Zones, home};
use understudy_aws::scaffold::{WallClock, operator_config};
use understudy_aws::secrets::SecretsManager;
use understudy_core::checks::{Finding, Grade};
use understudy_core::fault::Fault;
use understudy_core::live::{
    Deployment, HealthCheck, LiveFunction, LiveStore, LiveTransaction, RecordSet, findings, functions,
    look_at_route, switch_alarm_name, transact,
};
use understudy_core::observed::Observed;
use understudy_core::plan::{Plan, Store};
use understudy_core::ports::{Alarms, Records, Role};
use understudy_core::state::{keys, load};
use understudy_core::steps::assess::Readiness;

/// A Region that accepts and never answers costs this much, once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A whole check, for machines.
#[derive(Serialize)]
struct Checked<'a> {
    plan: &'a str,
    at: Timestamp,
    findings: &'a [Finding],
}

/// Looks at the deployment of a plan that is whole, and tells what needs somebody.
pub fn check(plan: &Plan, profile: Option<&str>, transacts: bool, json: bool) -> Result<Code, Failure> {
    let seen = wait(async {
        signed_in(&plan.regions.standby, profile).await?;
        let mut seen = look(plan, profile).await;
        if transacts {
            seen.transactions = try_transactions(plan).await?;
        }
        Ok(seen)
    })?;
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

/// One write by each of the primary's endpoints, from this machine.
async fn try_transactions(plan: &Plan) -> Result<Vec<LiveTransaction>, Failure> {
    let web = Resolver::new().and_then(Web::new).map_err(|fault| unavailable(&fault))?;
    let now = Timestamp::now();
    Ok(join_all(plan.routes.iter().map(|route| transact(plan, route, &web, now))).await)
}

async fn look(plan: &Plan, profile: Option<&str>) -> Deployment {
    let (primary, standby) = join(
        operator_config(&plan.regions.primary, profile),
        operator_config(&plan.regions.standby, profile),
    )
    .await;
    let zones = &Patient(Zones::from_config(&operator_config(&home(), profile).await));
    let cloudwatch = CloudWatch::from_config(&standby, &plan.name);
    let alarm = switch_alarm_name(plan);
    let table = Table::from_config(&standby, &prefix(plan));
    let readiness_key = keys::readiness();
    let ((routes, switch_alarm), stores, functions, concurrency, readiness) = join5(
        join(
            join_all(plan.routes.iter().map(|route| look_at_route(route, zones, &WallClock))),
            bounded("CloudWatch", cloudwatch.alarm(&alarm)),
        ),
        join_all(plan.stores.iter().map(|store| look_at_store(store, &primary, &standby))),
        look_at_functions(plan, profile),
        bounded("Lambda", concurrency_left(&standby)),
        bounded("state table", load::<Readiness>(&table, &readiness_key)),
    )
    .await;
    Deployment {
        at: Timestamp::now(),
        routes,
        switch_alarm,
        stores,
        functions,
        concurrency,
        transactions: Vec::new(),
        readiness,
    }
}

/// Route 53 as an operator's check asks it, each question in time.
struct Patient(Zones);

impl Records for Patient {
    async fn records(&self, zone_id: &str, name: &str) -> Result<Vec<RecordSet>, Fault> {
        in_time("Route 53", self.0.records(zone_id, name)).await
    }

    async fn health_check(&self, id: &str) -> Result<Option<HealthCheck>, Fault> {
        in_time("Route 53", self.0.health_check(id)).await
    }
}

async fn in_time<T>(source: &str, asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::transient(format!("{source}: no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
}

/// What came of one question, in time.
async fn bounded<T>(source: &str, asked: impl Future<Output = Result<T, Fault>>) -> Observed<T> {
    match in_time(source, asked).await {
        Ok(value) => Observed::known(value, source, Timestamp::now()),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
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
