//! A new user's first look: `plan check --live` on a healthy cloud, then on one with planted faults, each of which it
//! must find by the finding that is meant for it.

use crate::aws::{Aws, AwsError, operator_environment};
use crate::breaks::{BreakError, heal_links, heal_replica, set_link, stop_replica};
use crate::config::Place;
use crate::progress::step;
use crate::up::{APPLICATION_PASSWORD, Options, Up};
use serde_json::Value;
use std::io;
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// A fault that shows in the verifier's findings needs its tick and, for lag, the plan's threshold to pass.
const FOUND_WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("cannot run `understudy`")]
    Run(#[source] io::Error),
    #[error("`understudy plan check --live` told no findings: {0}")]
    NoFindings(String),
    #[error("expected {wanted} and exit code {code} within {} s; the last look said: {seen}", FOUND_WITHIN.as_secs())]
    NotFound { wanted: String, code: i32, seen: String },
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Break(#[from] BreakError),
}

/// What is planted, and taken away again.
#[derive(Clone, Copy, Debug)]
enum Planted {
    /// PRIMARY becomes an alias that follows its target's health.
    FollowsTarget,
    /// The replica receives and no longer replays.
    ReplayStopped,
    /// Nobody copied the application's login to the standby.
    NoSecret,
    /// Somebody deleted the alarm whose data the switch follows.
    NoSwitchAlarm,
    /// Whoever looks cannot reach the primary's Region, nor the global services there.
    PrimaryDark,
}

impl Planted {
    const ALL: [Self; 5] =
        [Self::FollowsTarget, Self::NoSecret, Self::NoSwitchAlarm, Self::PrimaryDark, Self::ReplayStopped];

    fn what(self) -> &'static str {
        match self {
            Self::FollowsTarget => "PRIMARY follows its target's health",
            Self::ReplayStopped => "the replica stopped to replay",
            Self::NoSecret => "no login in the standby",
            Self::NoSwitchAlarm => "the switch's alarm is deleted",
            Self::PrimaryDark => "the primary's Region does not answer",
        }
    }

    /// Findings that must be among those told.
    fn found_by(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::FollowsTarget => &[("LV-04", "block")],
            Self::ReplayStopped => &[("PF-04", "block")],
            Self::NoSecret => &[("LV-21", "block")],
            // By who looks now, and by the switcher's own tick.
            Self::NoSwitchAlarm => &[("LV-08", "block"), ("PF-17", "block")],
            Self::PrimaryDark => &[("LV-01", "unknown"), ("LV-11", "unknown"), ("LV-31", "unknown")],
        }
    }

    async fn plant(self, up: &Up) -> Result<(), AdoptError> {
        let aws = Aws::at(&up.cloud, Place::Standby).await;
        match self {
            Self::FollowsTarget => {
                for route in &up.plan.routes {
                    aws.alias_primary(&route.zone_id, &route.record).await?;
                }
            }
            Self::ReplayStopped => stop_replica(&up.cloud, &up.plan).await?,
            Self::NoSecret => {
                for store in &up.plan.stores {
                    aws.remove_login(&store.application.secret).await?;
                }
            }
            Self::NoSwitchAlarm => aws.delete_switch_alarm(&up.plan).await?,
            Self::PrimaryDark => set_link(&up.cloud, Place::Outside, Place::Primary, "refuse").await?,
        }
        Ok(())
    }

    async fn lift(self, up: &Up) -> Result<(), AdoptError> {
        let aws = Aws::at(&up.cloud, Place::Standby).await;
        match self {
            Self::FollowsTarget => {
                for route in &up.plan.routes {
                    let ttl = i64::try_from(route.ttl.secs_ceil()).unwrap_or(i64::MAX);
                    aws.unalias_primary(&route.zone_id, &route.record, ttl).await?;
                }
            }
            Self::ReplayStopped => heal_replica(&up.cloud, &up.plan).await?,
            Self::NoSecret => {
                for store in &up.plan.stores {
                    let application = &store.application;
                    aws.create_login(&application.secret, &application.role, APPLICATION_PASSWORD).await?;
                }
            }
            Self::NoSwitchAlarm => aws.make_switch_alarm(&up.plan).await?,
            Self::PrimaryDark => heal_links(&up.cloud).await?,
        }
        Ok(())
    }
}

/// Green, each fault found, green again.
pub async fn run(options: &Options, up: &Up) -> Result<(), AdoptError> {
    step("healthy: nothing blocks", until(options, up, 0, &[])).await?;
    for planted in Planted::ALL {
        planted.plant(up).await?;
        step(planted.what(), until(options, up, 1, planted.found_by())).await?;
        planted.lift(up).await?;
        step("mended: nothing blocks", until(options, up, 0, &[])).await?;
    }
    Ok(())
}

/// Looks until the command ends with `code` and tells `wanted`.
async fn until(options: &Options, up: &Up, code: i32, wanted: &[(&str, &str)]) -> Result<(), AdoptError> {
    let began = Instant::now();
    loop {
        let output = look(options, up).await?;
        let told = findings(&output)?;
        let all = wanted.iter().all(|(id, grade)| told.iter().any(|one| one.0 == *id && one.1 == *grade));
        if all && output.status.code() == Some(code) {
            return Ok(());
        }
        if began.elapsed() > FOUND_WITHIN {
            let needing = told
                .iter()
                .filter(|one| one.1 != "pass")
                .map(|one| format!("{} {}: {}", one.0, one.1, one.2));
            let seen = needing.collect::<Vec<_>>().join("; ");
            return Err(AdoptError::NotFound { wanted: format!("{wanted:?}"), code, seen });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(options: &Options, up: &Up) -> Result<Output, AdoptError> {
    let mut command = Command::new(options.binaries.join("understudy"));
    command.args(["plan", "check", "--live", "--json"]).arg(options.state_dir().join("plan.yaml"));
    command.envs(operator_environment(&up.cloud)).output().await.map_err(AdoptError::Run)
}

/// Id, grade and evidence of every finding.
fn findings(output: &Output) -> Result<Vec<(String, String, String)>, AdoptError> {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(findings) = told.get("findings").and_then(Value::as_array) else {
        return Err(AdoptError::NoFindings(String::from_utf8_lossy(&output.stderr).into_owned()));
    };
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(findings.iter().map(|one| (text(one, "id"), text(one, "grade"), text(one, "evidence"))).collect())
}
