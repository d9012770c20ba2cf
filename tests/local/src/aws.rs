//! The emulator through the SDK, as the deployer of the local cloud: what a user prepares by hand on AWS.

use crate::config::{Cloud, Place};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use understudy_aws::dynamodb::Table;

/// The emulator's root account.
const ACCOUNT: &str = "000000000000";

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

/// What points an operator's command at this cloud.
pub fn operator_environment(cloud: &Cloud) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{}", cloud.emulator())),
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

    /// Publishes one datapoint of the product's namespace, as anybody with plain permission could.
    pub async fn publish(&self, metric: &str, plan: &str, value: f64) -> Result<(), AwsError> {
        use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
        let dimension = Dimension::builder().name("Plan").value(plan).build();
        let datum = MetricDatum::builder().metric_name(metric).dimensions(dimension).value(value).build();
        let client = aws_sdk_cloudwatch::Client::new(&self.config);
        let call = client.put_metric_data().namespace("Understudy").metric_data(datum);
        call.send().await.map(drop).map_err(|e| refused(format!("publish `{metric}`"))(e.into()))
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
