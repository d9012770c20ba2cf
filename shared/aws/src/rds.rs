//! The managed databases of one Region.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::operation::describe_db_instances::DescribeDBInstancesError;
use aws_sdk_rds::types::DbInstance;
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::live::Instance;
use understudy_core::plan::Region;
use understudy_core::ports::{Databases, InstanceStatus};

/// A Regional event makes the service slow, and an answer that comes late is worth more than none: what cannot be
/// described is not promoted. One attempt, since whoever asks has a retry of its own; a promotion is never repeated by an
/// SDK (decision 0008).
const PATIENCE: Duration = Duration::from_secs(9);

#[derive(Clone, Debug)]
pub struct Rds {
    client: Client,
}

impl Rds {
    pub async fn new(region: &Region) -> Self {
        Self::from_config(&crate::scaffold::patient_sdk_config(region, PATIENCE).await)
    }

    pub fn from_config(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// All that an operator's check asks of one instance.
    pub async fn look(&self, instance: &str) -> Result<Option<Instance>, Fault> {
        let found = self.find(instance).await?;
        Ok(found.map(|found| Instance {
            replication: replication(&found),
            status: found.db_instance_status.unwrap_or_else(|| "unknown".to_owned()),
            source: found.read_replica_source_db_instance_identifier.filter(|source| !source.is_empty()),
            backup_retention_days: found.backup_retention_period,
            iam_authentication: found.iam_database_authentication_enabled,
            engine_version: found.engine_version,
            endpoint: found.endpoint.and_then(|endpoint| {
                let port = u16::try_from(endpoint.port?).ok()?;
                Some((endpoint.address?, port))
            }),
        }))
    }

    async fn find(&self, instance: &str) -> Result<Option<DbInstance>, Fault> {
        match self.client.describe_db_instances().db_instance_identifier(instance).send().await {
            Ok(answer) => Ok(answer.db_instances.unwrap_or_default().into_iter().next()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeDBInstancesError::is_db_instance_not_found_fault) =>
            {
                Ok(None)
            }
            Err(error) => Err(fault(&format!("describe `{instance}`"), &error)),
        }
    }
}

/// The service's word for a replica's stream.
fn replication(instance: &DbInstance) -> Option<String> {
    let infos = instance.status_infos.iter().flatten();
    let mut streams = infos.filter(|info| info.status_type.as_deref() == Some("read replication"));
    streams.next()?.status.clone()
}

impl Databases for Rds {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault> {
        let Some(found) = self.find(instance).await? else { return Ok(None) };
        Ok(Some(InstanceStatus {
            id: instance.to_owned(),
            status: found.db_instance_status.unwrap_or_else(|| "unknown".to_owned()),
            source: found.read_replica_source_db_instance_identifier.filter(|source| !source.is_empty()),
            backup_retention_days: found.backup_retention_period,
        }))
    }

    async fn promote(&self, instance: &str, backup_retention_days: Option<i32>) -> Result<(), Fault> {
        let call = self.client.promote_read_replica().db_instance_identifier(instance);
        // Left out, the service may fall back to a day.
        let call = call.set_backup_retention_period(backup_retention_days.filter(|days| *days > 0));
        match call.send().await {
            Ok(_) => Ok(()),
            // Busy, or already under way: the caller looks again.
            Err(error)
                if error.as_service_error().is_some_and(aws_sdk_rds::operation::promote_read_replica::PromoteReadReplicaError::is_invalid_db_instance_state_fault) =>
            {
                Err(Fault::transient(format!("promote `{instance}`: it is in no state to be promoted now")))
            }
            Err(error) => Err(fault(&format!("promote `{instance}`"), &error)),
        }
    }
}
