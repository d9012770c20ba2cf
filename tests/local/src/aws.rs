//! The emulator through the SDK, as the deployer of the local cloud: what a user prepares by hand on AWS.

use crate::config::{Cloud, Place};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet,
    ResourceRecordSetFailover,
};
use aws_sdk_s3::primitives::ByteStream;
use serde_json::Value;
use std::collections::HashMap;
use understudy_aws::dynamodb::Table;
use understudy_core::live::switch_alarm_name;
use understudy_core::plan::Plan;
use understudy_core::ports::Key;

/// The emulator's root account.
pub const ACCOUNT: &str = "000000000000";

/// Why the emulator did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("the emulator refused to {what}: {why}")]
pub struct AwsError {
    what: String,
    why: String,
}

fn refused(what: impl Into<String>) -> impl FnOnce(Box<dyn std::error::Error>) -> AwsError {
    let what = what.into();
    move |error| {
        let mut why = error.to_string();
        let mut inner = error.source();
        while let Some(cause) = inner {
            why = format!("{why}: {cause}");
            inner = cause.source();
        }
        AwsError { what, why }
    }
}

/// What points an operator's command at this cloud: somebody outside of every Region, who reaches what the links allow.
pub fn operator_environment(cloud: &Cloud) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{}", cloud.aws(Place::Outside))),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

/// The deployer's access to one Region, straight to the emulator, over no link.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    region: String,
}

impl Aws {
    pub async fn at(cloud: &Cloud, place: Place) -> Self {
        let region = cloud.region_of(place).unwrap_or("us-east-1").to_owned();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(Credentials::new("test", "test", None, None, "the emulator's root"))
            .endpoint_url(format!("http://{}", cloud.emulator()))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await;
        Self { config, region }
    }

    /// The plan's state table here.
    pub fn table(&self, plan: &str) -> Table {
        Table::from_config(&self.config, &format!("understudy-{plan}"))
    }

    /// Empties the plan's state table, but for the cell `kept`.
    pub async fn clear_table(&self, plan: &str, kept: &Key) -> Result<(), AwsError> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        let name = format!("understudy-{plan}");
        let what = || refused(format!("empty the table `{name}`"));
        let scan = client.scan().table_name(&name).consistent_read(true).projection_expression("kind, id");
        let found = scan.send().await.map_err(|e| what()(e.into()))?;
        let is = |key: &HashMap<String, AttributeValue>, name: &str, text: &str| {
            key.get(name).and_then(|value| value.as_s().ok()).is_some_and(|found| found == text)
        };
        for key in found.items.unwrap_or_default() {
            if is(&key, "kind", kept.kind) && is(&key, "id", &kept.id) {
                continue;
            }
            let delete = client.delete_item().table_name(&name).set_key(Some(key));
            delete.send().await.map_err(|e| what()(e.into()))?;
        }
        Ok(())
    }

    /// Creates the hosted zone of `name` and returns its id.
    pub async fn create_zone(&self, name: &str) -> Result<String, AwsError> {
        let client = aws_sdk_route53::Client::new(&self.config);
        let call = client.create_hosted_zone().name(name).caller_reference(name);
        let made = call.send().await.map_err(|e| refused("create the hosted zone")(e.into()))?;
        let id = made.hosted_zone.map(|zone| zone.id).unwrap_or_default();
        Ok(id.trim_start_matches("/hostedzone/").to_owned())
    }

    /// Stores the application's login.
    pub async fn create_login(&self, id: &str, username: &str, password: &str) -> Result<(), AwsError> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        let text = serde_json::json!({"username": username, "password": password}).to_string();
        client
            .create_secret()
            .name(id)
            .secret_string(text)
            .send()
            .await
            .map(drop)
            .map_err(|e| refused("store the application's login")(e.into()))
    }

    /// Removes the application's login at once, without a way back.
    pub async fn remove_login(&self, id: &str) -> Result<(), AwsError> {
        let client = aws_sdk_secretsmanager::Client::new(&self.config);
        let call = client.delete_secret().secret_id(id).force_delete_without_recovery(true);
        call.send().await.map(drop).map_err(|e| refused("remove the application's login")(e.into()))
    }

    /// The PRIMARY half of `name` becomes an alias of what it led to, and follows that one's health.
    pub async fn alias_primary(&self, zone_id: &str, name: &str) -> Result<(), AwsError> {
        self.change_primary(zone_id, name, |set| {
            let records = set.resource_records.take().unwrap_or_default();
            let target = records.into_iter().next().map(|record| record.value).unwrap_or_default();
            let alias = AliasTarget::builder().hosted_zone_id(zone_id).dns_name(target);
            set.alias_target = Some(alias.evaluate_target_health(true).build()?);
            set.ttl = None;
            Ok(())
        })
        .await
    }

    /// The PRIMARY half of `name` becomes a plain record again.
    pub async fn unalias_primary(&self, zone_id: &str, name: &str, ttl: i64) -> Result<(), AwsError> {
        self.change_primary(zone_id, name, |set| {
            let target = set.alias_target.take().map(|alias| alias.dns_name).unwrap_or_default();
            let record = ResourceRecord::builder().value(target.trim_end_matches('.')).build()?;
            set.resource_records = Some(vec![record]);
            set.ttl = Some(ttl);
            Ok(())
        })
        .await
    }

    async fn change_primary(
        &self,
        zone_id: &str,
        name: &str,
        change: impl FnOnce(&mut ResourceRecordSet) -> Result<(), BuildError>,
    ) -> Result<(), AwsError> {
        let what = || refused(format!("change the record `{name}`"));
        let client = aws_sdk_route53::Client::new(&self.config);
        let listed = client.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(name);
        let sets = listed.send().await.map_err(|e| what()(e.into()))?.resource_record_sets;
        let own = |set: &ResourceRecordSet| {
            set.name.trim_end_matches('.') == name && set.failover == Some(ResourceRecordSetFailover::Primary)
        };
        let found = sets.into_iter().find(own);
        let mut set = found.ok_or_else(|| what()("there is no PRIMARY half".into()))?;
        change(&mut set).map_err(|e| what()(e.into()))?;
        let upsert = Change::builder().action(ChangeAction::Upsert).resource_record_set(set).build();
        let upsert = upsert.map_err(|e| what()(e.into()))?;
        let batch = ChangeBatch::builder().changes(upsert).build().map_err(|e| what()(e.into()))?;
        let call = client.change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch);
        call.send().await.map(drop).map_err(|e| what()(e.into()))
    }

    /// Publishes one datapoint of the product's namespace, as anybody with plain permission could.
    pub async fn publish(&self, metric: &str, plan: &str, value: f64) -> Result<(), AwsError> {
        use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
        let dimension = Dimension::builder().name("Plan").value(plan).build();
        let datum = MetricDatum::builder().metric_name(metric).dimensions(dimension).value(value).build();
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let call = client.put_metric_data().namespace("Understudy").metric_data(datum);
        call.send().await.map(drop).map_err(|e| refused(format!("publish `{metric}`"))(e.into()))
    }

    /// Deletes the alarm whose data the switch health check follows.
    pub async fn delete_switch_alarm(&self, plan: &Plan) -> Result<(), AwsError> {
        let name = switch_alarm_name(plan);
        let call = aws_sdk_cloudwatch::Client::new(&self.config).delete_alarms().alarm_names(&name);
        call.send().await.map(drop).map_err(|e| refused(format!("delete alarm `{name}`"))(e.into()))
    }

    /// Makes that alarm, as the template does.
    pub async fn make_switch_alarm(&self, plan: &Plan) -> Result<(), AwsError> {
        use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, Statistic};
        let name = switch_alarm_name(plan);
        let call = aws_sdk_cloudwatch::Client::new(&self.config)
            .put_metric_alarm()
            .alarm_name(&name)
            .namespace("Understudy")
            .metric_name("Switch")
            .dimensions(Dimension::builder().name("Plan").value(&plan.name).build())
            .statistic(Statistic::Minimum)
            .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
            .threshold(1.0)
            .evaluation_periods(1)
            .period(60)
            .treat_missing_data("ignore");
        call.send().await.map(drop).map_err(|e| refused(format!("make alarm `{name}`"))(e.into()))
    }

    /// Runs a function and waits for its answer, or for the error that it ended with. Asked once: a repetition
    /// by the SDK would be a second delivery that nobody counted.
    pub async fn invoke(&self, function: &str, event: &str) -> Result<Result<Value, String>, AwsError> {
        let once = aws_sdk_lambda::config::Builder::from(&self.config)
            .retry_config(aws_sdk_lambda::config::retry::RetryConfig::disabled())
            .build();
        let call = aws_sdk_lambda::Client::from_conf(once).invoke().function_name(function);
        let what = format!("invoke `{function}`");
        let payload = aws_sdk_lambda::primitives::Blob::new(event);
        let given = call.payload(payload).send().await.map_err(|e| refused(what.clone())(e.into()))?;
        let bytes = given.payload.map(aws_sdk_lambda::primitives::Blob::into_inner).unwrap_or_default();
        if given.function_error.is_some() {
            return Ok(Err(String::from_utf8_lossy(&bytes).into_owned()));
        }
        serde_json::from_slice(&bytes).map(Ok).map_err(|e| refused(what)(e.into()))
    }

    /// Publishes to a topic of this Region and returns the message's id.
    pub async fn notify(&self, topic: &str, subject: &str, message: &str) -> Result<String, AwsError> {
        let arn = format!("arn:aws:sns:{}:{ACCOUNT}:{topic}", self.region);
        let call =
            aws_sdk_sns::Client::new(&self.config).publish().topic_arn(arn).subject(subject).message(message);
        let sent = call.send().await.map_err(|e| refused(format!("publish to `{topic}`"))(e.into()))?;
        Ok(sent.message_id.unwrap_or_default())
    }

    /// The names of all executions of a state machine, newest first.
    pub async fn executions(&self, machine: &str) -> Result<Vec<String>, AwsError> {
        let arn = format!("arn:aws:states:{}:{ACCOUNT}:stateMachine:{machine}", self.region);
        let call = aws_sdk_sfn::Client::new(&self.config).list_executions().state_machine_arn(arn);
        let found = call
            .send()
            .await
            .map_err(|e| refused(format!("list the executions of `{machine}`"))(e.into()))?;
        Ok(found.executions.into_iter().map(|execution| execution.name).collect())
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The evidence bucket's name, by the template's convention.
    pub fn evidence_bucket(&self, plan: &str) -> String {
        format!("understudy-{plan}-{ACCOUNT}-{}", self.region)
    }

    pub async fn create_bucket(&self, name: &str) -> Result<(), AwsError> {
        let region = aws_sdk_s3::types::BucketLocationConstraint::from(self.region.as_str());
        let place =
            aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build();
        // us-east-1 is the one Region that must not be named.
        let place = (self.region != "us-east-1").then_some(place);
        let call = self.s3().create_bucket().bucket(name).set_create_bucket_configuration(place);
        call.send().await.map(drop).map_err(|e| refused(format!("create the bucket `{name}`"))(e.into()))
    }

    pub async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, AwsError> {
        let what = format!("read `{key}` of `{bucket}`");
        let found = self.s3().get_object().bucket(bucket).key(key).send().await;
        let body: ByteStream = found.map_err(|e| refused(what.clone())(e.into()))?.body;
        let bytes = body.collect().await.map_err(|e| refused(what)(e.into()))?;
        Ok(bytes.to_vec())
    }
}
