//! The product's own metrics, each with the plan as its one dimension, at standard resolution; and the alarm on one of
//! them.

use crate::fault::fault;
use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{AlarmType, Dimension, MetricAlarm as Found, MetricDatum};
use understudy_core::fault::Fault;
use understudy_core::live::MetricAlarm;
use understudy_core::plan::Region;
use understudy_core::ports::{Alarms, Metric, Metrics};

pub const NAMESPACE: &str = "Understudy";

#[derive(Clone, Debug)]
pub struct CloudWatch {
    client: Client,
    plan: String,
}

impl CloudWatch {
    pub async fn new(region: &Region, plan: &str) -> Self {
        Self::from_config(&crate::scaffold::sdk_config(region).await, plan)
    }

    pub fn from_config(config: &SdkConfig, plan: &str) -> Self {
        Self { client: Client::new(config), plan: plan.to_owned() }
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

impl Alarms for CloudWatch {
    async fn alarm(&self, name: &str) -> Result<Option<MetricAlarm>, Fault> {
        let call = self.client.describe_alarms().alarm_names(name).alarm_types(AlarmType::MetricAlarm);
        let page = call.send().await.map_err(|error| fault(&format!("describe alarm `{name}`"), &error))?;
        Ok(page.metric_alarms.unwrap_or_default().into_iter().next().map(metric_alarm))
    }
}

fn metric_alarm(found: Found) -> MetricAlarm {
    let dimensions = found.dimensions.unwrap_or_default().into_iter();
    MetricAlarm {
        metric: format!("{}/{}", found.namespace.unwrap_or_default(), found.metric_name.unwrap_or_default()),
        dimensions: dimensions
            .map(|one| (one.name.unwrap_or_default(), one.value.unwrap_or_default()))
            .collect(),
        statistic: found.statistic.map(|statistic| statistic.as_str().to_owned()).unwrap_or_default(),
        comparison: found
            .comparison_operator
            .map(|operator| operator.as_str().to_owned())
            .unwrap_or_default(),
        threshold: found.threshold.unwrap_or_default(),
        evaluation_periods: found.evaluation_periods.unwrap_or_default(),
        period_seconds: found.period.unwrap_or_default(),
    }
}
