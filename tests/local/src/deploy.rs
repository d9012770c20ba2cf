//! Package the built binaries with the plan, and deploy the template once for each role.

use crate::aws::{Aws, AwsError};
use crate::config::{Cloud, Place};
use crate::python::{Python, PythonError, run};
use crate::tls;
use crate::up::Options;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use understudy_core::parameters::parameters;
use understudy_core::plan::Plan;
use understudy_core::ports::Role;

/// Where `sam deploy` leaves what it uploads: a bucket in the stack's own Region.
fn uploads(place: Place) -> String {
    format!("understudy-local-uploads-{}", place.name())
}

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("cannot write `{}`", path.display())]
    Package { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Sam(#[from] PythonError),
}

/// Packages the built binaries as for AWS, only compressed quickly.
pub async fn package(options: &Options, cloud: &Cloud, plan: &Plan) -> Result<(), DeployError> {
    let path = options.state_dir().join("plan.yaml");
    fs::write(&path, plan.to_yaml()).map_err(|source| DeployError::Package { path: path.clone(), source })?;
    let mut package = Command::new(options.binaries.join("understudy"));
    package.current_dir(&options.root).args(["package", "--quick", "--plan"]).arg(&path);
    package.arg("--binaries").arg(&options.binaries).arg("--rds-ca").arg(tls::roots(cloud));
    run(&mut package).await?;
    Ok(())
}

/// Standby and witness first: the guard in the primary renews at their keepers.
pub async fn deploy(
    options: &Options,
    cloud: &Cloud,
    python: &Python,
    plan: &Plan,
) -> Result<(), DeployError> {
    let standby = deploy_role(options, cloud, python, plan, Role::Standby, Place::Standby);
    let witness = async {
        match plan.regions.witness {
            Some(_) => deploy_role(options, cloud, python, plan, Role::Witness, Place::Witness).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(standby, witness)?;
    deploy_role(options, cloud, python, plan, Role::Primary, Place::Primary).await
}

/// Without this file `sam` asks the package index whether it is the newest, and waits for the answer.
/// A folder for each place, since two deployments run at the same time.
fn keep_sam_quiet(options: &Options, place: Place) -> Result<PathBuf, DeployError> {
    let folder = options.state_dir().join("sam").join(place.name());
    let failed = |source| DeployError::Package { path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    let now = jiff::Timestamp::now().as_second();
    // A whole number counts as never.
    let text = format!(r#"{{"telemetryEnabled": false, "lastVersionCheck": {now}.0}}"#);
    fs::write(folder.join("metadata.json"), text).map_err(failed)?;
    Ok(folder)
}

async fn deploy_role(
    options: &Options,
    cloud: &Cloud,
    python: &Python,
    plan: &Plan,
    role: Role,
    place: Place,
) -> Result<(), DeployError> {
    Aws::at(cloud, place).await.create_bucket(&uploads(place)).await?;
    let sam_folder = keep_sam_quiet(options, place)?;
    let mut given = parameters(plan, role);
    // A key of the firm's own is not in this cloud.
    given.entry("SigningKey").and_modify(|key| "create".clone_into(key));
    let stack = format!("understudy-{}-{}", plan.name, place.name());
    let mut sam = Command::new(python.program("sam"));
    sam.current_dir(&options.root)
        .args(["deploy", "--template-file", "template.yaml", "--stack-name", &stack])
        .args(["--region", cloud.region_of(place).unwrap_or_default(), "--s3-bucket", &uploads(place)])
        .args(["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        // In quotes, for `sam` ends a value at a blank.
        .args(given.iter().map(|(name, value)| {
            let quote = if value.contains(' ') { "\"" } else { "" };
            format!("{name}={quote}{value}{quote}")
        }))
        .env("AWS_ENDPOINT_URL", format!("http://{}", cloud.emulator()))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("__SAM_CLI_APP_DIR", sam_folder)
        .env("SAM_CLI_TELEMETRY", "0")
        .env("SAM_CLI_POLL_DELAY", "0.2");
    run(&mut sam).await?;
    Ok(())
}
