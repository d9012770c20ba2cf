//! Records and health checks, read from Route 53's API: a control plane, which a check or a tick asks, and no step (L1).

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_route53::Client;
use aws_sdk_route53::operation::get_health_check::GetHealthCheckError;
use aws_sdk_route53::types::{
    HealthCheckConfig, HealthCheckType, ResourceRecordSet, ResourceRecordSetFailover,
};
use understudy_core::fault::Fault;
use understudy_core::live::{Follows, Half, HealthCheck, RecordSet};
use understudy_core::plan::Region;
use understudy_core::ports::Records;

/// Sets of one name: a pair and whatever should not be there beside it.
const MAX_SETS: i32 = 100;

/// Where Route 53's own API lives, whatever the plan's Regions are.
pub fn home() -> Region {
    Region("us-east-1".to_owned())
}

/// The hosted zones and health checks of the account.
pub struct Zones {
    client: Client,
}

impl Zones {
    pub async fn new() -> Self {
        Self::from_config(&crate::scaffold::sdk_config(&home()).await)
    }

    pub fn from_config(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

impl Records for Zones {
    async fn records(&self, zone_id: &str, name: &str) -> Result<Vec<RecordSet>, Fault> {
        // The list is in the order of names and begins at the one that is asked for.
        let call = self.client.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(name);
        let page = call.max_items(MAX_SETS).send().await;
        let page = page.map_err(|error| fault(&format!("list `{name}` of zone `{zone_id}`"), &error))?;
        let own = page.resource_record_sets.into_iter().filter(|set| same(&set.name, name));
        Ok(own.map(record_set).collect())
    }

    async fn health_check(&self, id: &str) -> Result<Option<HealthCheck>, Fault> {
        match self.client.get_health_check().health_check_id(id).send().await {
            Ok(found) => Ok(found.health_check.and_then(|check| check.health_check_config).map(health_check)),
            Err(error)
                if error.as_service_error().is_some_and(GetHealthCheckError::is_no_such_health_check) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault(&format!("read health check `{id}`"), &error)),
        }
    }
}

/// Names are compared as DNS does: without case and the last dot.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

fn record_set(set: ResourceRecordSet) -> RecordSet {
    let half = match set.failover {
        Some(ResourceRecordSetFailover::Primary) => Some(Half::Primary),
        Some(ResourceRecordSetFailover::Secondary) => Some(Half::Secondary),
        _ => None,
    };
    let values = set.resource_records.unwrap_or_default().into_iter().map(|record| record.value);
    let evaluates_target = set.alias_target.as_ref().map(|alias| alias.evaluate_target_health);
    let alias = set.alias_target.map(|alias| alias.dns_name);
    RecordSet {
        kind: set.r#type.as_str().to_owned(),
        half,
        ttl_seconds: set.ttl.and_then(|ttl| u64::try_from(ttl).ok()),
        health_check: set.health_check_id,
        values: values.chain(alias).collect(),
        evaluates_target,
    }
}

fn health_check(config: HealthCheckConfig) -> HealthCheck {
    let follows = match config.r#type {
        HealthCheckType::CloudwatchMetric => {
            let (name, region) = config.alarm_identifier.map_or_else(
                || ("none".to_owned(), "no Region".to_owned()),
                |alarm| (alarm.name, alarm.region.as_str().to_owned()),
            );
            // The service's default.
            let without = config.insufficient_data_health_status;
            let without_data = without.map_or("LastKnownStatus".to_owned(), |told| told.as_str().to_owned());
            Follows::Alarm { name, region, without_data }
        }
        HealthCheckType::Http | HealthCheckType::Https => Follows::Endpoint {
            host: config.fully_qualified_domain_name.or(config.ip_address).unwrap_or_default(),
        },
        HealthCheckType::Calculated => Follows::Calculated {
            children: config.child_health_checks.unwrap_or_default(),
            threshold: config.health_threshold.unwrap_or_default(),
        },
        other => Follows::Other(other.as_str().to_owned()),
    };
    HealthCheck {
        follows,
        inverted: config.inverted.unwrap_or_default(),
        disabled: config.disabled.unwrap_or_default(),
    }
}
