//! An alarm's condition over its metric's data, as a Route 53 health check judges it.
//!
//! Never the alarm's state: Route 53 reads the same data stream as the alarm and decides for itself, so that
//! neither SetAlarmState nor a suppressed alarm moves traffic. Like Route 53, this knows no M out of N, no
//! percentiles and no metric math.

use super::emulator::{Emulator, EmulatorError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What Route 53 reads of an alarm.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alarm {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    statistic: Statistic,
    /// Seconds.
    period: u32,
    evaluation_periods: u32,
    threshold: f64,
    comparison_operator: Comparison,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Statistic {
    SampleCount,
    Sum,
    Average,
    Minimum,
    Maximum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Comparison {
    #[serde(rename = "GreaterThanOrEqualToThreshold")]
    AtLeast,
    #[serde(rename = "GreaterThanThreshold")]
    Above,
    #[serde(rename = "LessThanThreshold")]
    Below,
    #[serde(rename = "LessThanOrEqualToThreshold")]
    AtMost,
}

/// The statistics of some datapoints.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Points {
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

/// Does the alarm's condition hold?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Holds,
    DoesNot,
    NoData,
}

/// A condition and the sentence that explains it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub condition: Condition,
    pub reason: String,
}

/// One complete period, from its start up to its end, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    start_us: i64,
    end_us: i64,
}

/// Judges alarm `name` in `region` by the last complete periods before `now`.
pub(super) async fn judge(
    emulator: &Emulator,
    region: &str,
    name: &str,
    speed: f64,
    now: Timestamp,
) -> Result<Judgement, EmulatorError> {
    let Some(alarm) = describe(emulator, region, name).await? else {
        let reason = format!("no alarm `{name}` in {region}");
        return Ok(Judgement { condition: Condition::NoData, reason });
    };
    let mut values = Vec::new();
    for window in windows(now, &alarm, speed) {
        values.push(statistics(emulator, region, &alarm, window).await?.map(|points| alarm.value(points)));
    }
    Ok(alarm.judge(&values))
}

async fn describe(emulator: &Emulator, region: &str, name: &str) -> Result<Option<Alarm>, EmulatorError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        alarm_names: [&'a str; 1],
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        metric_alarms: Vec<Alarm>,
    }
    let input = Input { alarm_names: [name] };
    let output: Output = emulator.cloudwatch(region, "DescribeAlarms", &input).await?;
    Ok(output.metric_alarms.into_iter().next())
}

async fn statistics(
    emulator: &Emulator,
    region: &str,
    alarm: &Alarm,
    window: Window,
) -> Result<Option<Points>, EmulatorError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        namespace: &'a str,
        metric_name: &'a str,
        dimensions: &'a [Dimension],
        start_time: f64,
        end_time: f64,
        period: u32,
        statistics: [&'static str; 4],
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        datapoints: Vec<Points>,
    }
    let input = Input {
        namespace: &alarm.namespace,
        metric_name: &alarm.metric_name,
        dimensions: &alarm.dimensions,
        start_time: seconds(window.start_us),
        end_time: seconds(window.end_us),
        // The shortest that there is: a scaled period need not be a whole number of seconds, but the emulator
        // cuts datapoints off at exactly the start and the end that it is given.
        period: 1,
        statistics: ["SampleCount", "Sum", "Minimum", "Maximum"],
    };
    let output: Output = emulator.cloudwatch(region, "GetMetricStatistics", &input).await?;
    Ok(output.datapoints.into_iter().reduce(Points::with))
}

impl Points {
    fn with(self, other: Self) -> Self {
        Self {
            sample_count: self.sample_count + other.sample_count,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }
}

impl Alarm {
    fn value(&self, points: Points) -> f64 {
        match self.statistic {
            Statistic::SampleCount => points.sample_count,
            Statistic::Sum => points.sum,
            Statistic::Average => points.sum / points.sample_count,
            Statistic::Minimum => points.minimum,
            Statistic::Maximum => points.maximum,
        }
    }

    fn breaches(&self, value: f64) -> bool {
        match self.comparison_operator {
            Comparison::AtLeast => value >= self.threshold,
            Comparison::Above => value > self.threshold,
            Comparison::Below => value < self.threshold,
            Comparison::AtMost => value <= self.threshold,
        }
    }

    /// `values` are those of the last periods, the newest first, `None` where a period had no data. One that
    /// does not breach settles it; all must breach for the condition to hold.
    fn judge(&self, values: &[Option<f64>]) -> Judgement {
        let calm = values.iter().flatten().any(|value| !self.breaches(*value));
        let complete = !values.is_empty() && values.iter().all(Option::is_some);
        let condition = match (calm, complete) {
            (true, _) => Condition::DoesNot,
            (false, true) => Condition::Holds,
            (false, false) => Condition::NoData,
        };
        let shown: Vec<String> =
            values.iter().map(|value| value.map_or("no data".into(), |value| value.to_string())).collect();
        let reason = format!(
            "{:?} of {} over the last {} periods: {}; condition {:?} {}",
            self.statistic,
            self.metric_name,
            values.len(),
            shown.join(", "),
            self.comparison_operator,
            self.threshold
        );
        Judgement { condition, reason }
    }
}

/// The last complete periods before `now`, the newest first, aligned to the epoch as CloudWatch does.
fn windows(now: Timestamp, alarm: &Alarm, speed: f64) -> impl Iterator<Item = Window> {
    let period = Duration::from_secs(alarm.period.into()).div_f64(speed).as_micros();
    let period = i64::try_from(period).unwrap_or(i64::MAX).max(1);
    let newest_end = now.as_microsecond().div_euclid(period).saturating_mul(period);
    (0..i64::from(alarm.evaluation_periods)).map(move |back| {
        let end_us = newest_end.saturating_sub(back.saturating_mul(period));
        Window { start_us: end_us.saturating_sub(period), end_us }
    })
}

fn seconds(microseconds: i64) -> f64 {
    Timestamp::from_microsecond(microseconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .duration_since(Timestamp::UNIX_EPOCH)
        .as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(periods: u32) -> Alarm {
        serde_json::from_value(serde_json::json!({
            "AlarmName": "switch", "Namespace": "Understudy/Switch", "MetricName": "Standby",
            "Dimensions": [{"Name": "Plan", "Value": "rag"}], "Statistic": "Minimum", "Period": 60,
            "EvaluationPeriods": periods, "Threshold": 1.0, "StateValue": "OK",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold"
        }))
        .unwrap()
    }

    #[test]
    fn a_scaled_period_is_the_last_complete_one() {
        let now = Timestamp::from_microsecond(1_000_000_500_000).unwrap();
        let found: Vec<Window> = windows(now, &alarm(2), 20.0).collect();
        assert_eq!(found[0], Window { start_us: 999_996_000_000, end_us: 999_999_000_000 });
        assert_eq!(found[1], Window { start_us: 999_993_000_000, end_us: 999_996_000_000 });
        let found: Vec<Window> = windows(now, &alarm(1), 25.0).collect();
        assert_eq!(found[0].end_us - found[0].start_us, 2_400_000);
    }

    #[test]
    fn a_rogue_one_does_not_beat_our_zero() {
        let zero = Points { sample_count: 1.0, sum: 0.0, minimum: 0.0, maximum: 0.0 };
        let one = Points { sample_count: 1.0, sum: 1.0, minimum: 1.0, maximum: 1.0 };
        let alarm = alarm(1);
        let of = |points: Points| alarm.judge(&[Some(alarm.value(points))]).condition;
        assert_eq!(of(one), Condition::Holds);
        assert_eq!(of(zero), Condition::DoesNot);
        assert_eq!(of(zero.with(one)), Condition::DoesNot);
    }

    #[test]
    fn no_data_is_neither() {
        let alarm = alarm(2);
        let of = |values: &[Option<f64>]| alarm.judge(values).condition;
        assert_eq!(of(&[None, None]), Condition::NoData);
        assert_eq!(of(&[Some(1.0), None]), Condition::NoData);
        assert_eq!(of(&[Some(1.0), Some(1.0)]), Condition::Holds);
        assert_eq!(of(&[Some(0.0), None]), Condition::DoesNot);
    }
}
