//! The product's own metrics, each with the plan as its one dimension, at standard resolution.

use crate::fault::fault;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use understudy_core::fault::Fault;
use understudy_core::plan::Region;
use understudy_core::ports::{Metric, Metrics};

pub const NAMESPACE: &str = "Understudy";

#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    plan: String,
}

impl CloudWatch {
    pub async fn new(region: &Region, plan: &str) -> Self {
        Self { client: Client::new(&crate::scaffold::sdk_config(region).await), plan: plan.to_owned() }
    }
}

/// The metric's name, as the template's alarms spell it.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Switch => "Switch",
        Metric::PrimaryHealthy => "PrimaryHealthy",
    }
}

impl Metrics for CloudWatch {
    async fn publish(&self, metric: Metric, value: f64) -> Result<(), Fault> {
        let datum = MetricDatum::builder()
            .metric_name(name(metric))
            .dimensions(Dimension::builder().name("Plan").value(&self.plan).build())
            .value(value)
            .build();
        self.client
            .put_metric_data()
            .namespace(NAMESPACE)
            .metric_data(datum)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| fault(&format!("publish `{}`", name(metric)), &error))
    }
}
