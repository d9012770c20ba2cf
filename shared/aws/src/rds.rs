//! The managed databases of the standby Region.

use crate::fault::fault;
use aws_sdk_rds::Client;
use aws_sdk_rds::operation::describe_db_instances::DescribeDBInstancesError;
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Databases, InstanceStatus};

#[derive(Clone, Debug)]
pub struct Rds {
    client: Client,
}

impl Rds {
    pub async fn new(region: &Region) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await) }
    }
}

impl Databases for Rds {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault> {
        let answer = match self.client.describe_db_instances().db_instance_identifier(instance).send().await {
            Ok(answer) => answer,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeDBInstancesError::is_db_instance_not_found_fault) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(fault(&format!("describe `{instance}`"), &error)),
        };
        let Some(found) = answer.db_instances.unwrap_or_default().into_iter().next() else { return Ok(None) };
        Ok(Some(InstanceStatus {
            id: instance.to_owned(),
            status: found.db_instance_status.unwrap_or_else(|| "unknown".to_owned()),
            source: found.read_replica_source_db_instance_identifier.filter(|source| !source.is_empty()),
            backup_retention_days: found.backup_retention_period,
        }))
    }

    async fn promote(&self, instance: &str) -> Result<(), Fault> {
        let call = self.client.promote_read_replica().db_instance_identifier(instance);
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
