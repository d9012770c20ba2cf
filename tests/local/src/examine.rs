//! What an examiner does with an execution that is over: has its journal exported, and checks it. By the commands that
//! a person would give, and nothing else of ours.

use crate::aws::operator_environment;
use crate::compare::{self, Line};
use crate::progress::paint;
use crate::python::{PythonError, run};
use crate::up::{Options, Up};
use std::process::Command;
use understudy_core::report::{Attestation, Report};

/// The journal from the bucket must be whole, as the report says, signed by the stack's key, and lawful.
pub async fn sealed_journal(options: &Options, up: &Up, report: &Report) -> Result<Line, PythonError> {
    let what = "the sealed journal is whole, keeps the laws, is the report's, and the stack's key signed it";
    let folder = options.state_dir().join("journal");
    let plan = options.state_dir().join("plan.yaml");
    let mut export = Command::new(options.binaries.join("understudy"));
    export.args(["journal", "export"]).arg(&plan).args([&report.execution, "--out"]).arg(&folder);
    let mut check = Command::new(options.binaries.join("understudy"));
    check.args(["journal", "check"]).arg(&folder).arg("--plan").arg(&plan);
    println!(
        "\n  {}",
        paint("33", &format!("$ understudy journal export plan.yaml {} --out …", report.execution))
    );
    println!(
        "  {}",
        paint("33", &format!("$ understudy journal check {} --plan plan.yaml", folder.display()))
    );
    let exported = run(export.envs(operator_environment(&up.cloud))).await;
    let checked = if exported.is_ok() { run(&mut check).await } else { exported };
    let told = match checked {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(PythonError::Failed { output, .. }) => return Ok(compare::line(false, what, output)),
        Err(error) => return Err(error),
    };
    // The timeline stands above already.
    for line in told.lines().skip_while(|line| !line.contains("the chain is whole")) {
        println!("  {}", paint("2", line));
    }
    let whole = told.contains(&format!("the chain is whole, head {}", report.journal.head_sha256));
    let signed = match &report.attestation {
        Attestation::Signed { key, .. } => {
            told.contains(&format!("the signature of the last record is good: {key}"))
        }
        Attestation::SelfAttested => false,
    };
    let lawful = told.contains("every law that records can show is kept");
    let (records, head) = (report.journal.records, &report.journal.head_sha256);
    Ok(compare::line(whole && signed && lawful, what, format!("{records} records, {head}")))
}
