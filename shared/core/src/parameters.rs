//! What the template must be told of a plan: its parameters, role by role.
//!
//! The one place where the names of the template's parameters stand outside it; a test holds both together.

use crate::plan::{DrillKind, Environment, Plan, Scheme};
use crate::ports::Role;
use std::collections::BTreeMap;

/// The template's parameters for `role`, from the plan alone. What depends on the account (subnets, modes of
/// retention) is the deployer's to add.
pub fn parameters(plan: &Plan, role: Role) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::from([
        ("Role", role_name(role).to_owned()),
        ("Plan", plan.name.clone()),
        ("StandbyRegion", plan.regions.standby.0.clone()),
        ("WitnessRegion", plan.regions.witness.as_ref().map(|region| region.0.clone()).unwrap_or_default()),
    ]);
    if let Some(look) = plan.look {
        all.insert("Look", look.secs_ceil().to_string());
    }
    if role == Role::Standby {
        all.extend(standby(plan));
    }
    if let Some(store) = plan.stores.first().filter(|_| role != Role::Witness) {
        all.insert("OperatorRole", store.operator_role.clone());
    }
    all
}

/// Never a day short of the years that were asked for.
const DAYS_A_YEAR: u64 = 366;

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Standby => "standby",
        Role::Primary => "primary",
        Role::Witness => "witness",
    }
}

/// Records and application login of the first route and store: the template manages one of each.
fn standby(plan: &Plan) -> BTreeMap<&'static str, String> {
    let days = u64::from(plan.retention.evidence_years).saturating_mul(DAYS_A_YEAR);
    let mut all = BTreeMap::from([("RetentionDays", days.to_string())]);
    if let Some(key) = &plan.retention.signing_key {
        all.insert("SigningKey", key.clone());
    }
    if plan.environment == Environment::Rehearsal {
        all.extend(drill(plan));
    }
    if let Some(store) = plan.stores.first() {
        all.insert("ApplicationSecret", secret_name(&store.application.secret));
        all.insert("PrimaryDatabase", store.primary.id.clone());
        all.insert("StandbyDatabase", store.standby.id.clone());
        all.insert("PrimaryRegion", plan.regions.primary.0.clone());
    }
    if let Some(route) = plan.routes.first() {
        let scheme = match route.scheme() {
            Scheme::Http => "HTTP",
            Scheme::Https => "HTTPS",
        };
        all.extend([
            ("ZoneId", route.zone_id.clone()),
            ("RecordName", route.record.clone()),
            ("RecordTtl", route.ttl.secs_ceil().to_string()),
            ("FastSwitch", route.fast.to_string()),
            ("VerdictName", route.verdict_record.clone()),
            ("PrimaryName", host(&route.primary)),
            ("StandbyName", host(&route.standby)),
            ("HealthPort", route.port().to_string()),
            ("HealthPath", route.health_path.clone()),
            ("HealthType", scheme.to_owned()),
        ]);
    }
    all
}

/// A secret's name, also where the plan names its ARN: that ends in a hyphen and six characters that nobody chose.
fn secret_name(id: &str) -> String {
    let Some((_, tail)) = id.strip_prefix("arn:").and_then(|arn| arn.split_once(":secret:")) else {
        return id.to_owned();
    };
    match tail.rsplit_once('-') {
        Some((name, drawn)) if drawn.len() == 6 => name.to_owned(),
        _ => tail.to_owned(),
    }
}

/// The schedule of the first region failover that has one: `drill-runner` knows one schedule.
fn drill(plan: &Plan) -> BTreeMap<&'static str, String> {
    let mut whole = plan.drills.iter().filter(|drill| drill.kind == DrillKind::RegionFailover);
    let first = whole.find_map(|drill| Some((drill, drill.schedule.as_ref()?)));
    first.map_or_else(BTreeMap::new, |(drill, schedule)| {
        let zone = drill.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        BTreeMap::from([("DrillSchedule", schedule.text().to_owned()), ("DrillTimeZone", zone)])
    })
}

/// The host of an address that the plan reader has checked: no scheme, no port, no path.
pub(crate) fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::secret_name;

    /// A right on a secret is written by its name; a plan may name it by its ARN.
    #[test]
    fn a_secret_has_a_name_however_the_plan_names_it() {
        for (id, name) in [
            ("my-app/application", "my-app/application"),
            (
                "arn:aws:secretsmanager:us-west-2:111122223333:secret:my-app/application-a1B2c3",
                "my-app/application",
            ),
            ("arn:aws:secretsmanager:us-west-2:111122223333:secret:plain", "plain"),
        ] {
            assert_eq!(secret_name(id), name);
        }
    }
}
