//! What is asked of an execution that is over: that an examiner can check its journal, by the commands that a person
//! would give, and that its evidence stands whoever seals it again.

use crate::aws::{Aws, AwsError, operator_environment};
use crate::compare::{self, Line};
use crate::config::Place;
use crate::logs;
use crate::progress::paint;
use crate::python::{PythonError, run};
use crate::up::{Options, Up};
use jiff::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};
use understudy_core::fault::Fault;
use understudy_core::handler::OpenRuns;
use understudy_core::report::{Attestation, Report};
use understudy_core::state::{Change, keys, update};
use understudy_core::steps::Step;

/// What lies in the bucket beside the records that ticks have sealed: last record, report and page.
const SEALED_LAST: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    #[error("the operator's command was not taken")]
    Command(#[from] PythonError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the open runs cannot be written: {0}")]
    State(#[from] Fault),
}

/// The journal from the bucket must be whole, as the report says, lawful, and signed by the stack's key where the plan says so.
pub async fn sealed_journal(options: &Options, up: &Up, report: &Report) -> Result<Line, ExamineError> {
    let signs = up.plan.retention.signing_key.is_some();
    let what = if signs {
        "the sealed journal is whole, keeps the laws, is the report's, and the stack's key signed it"
    } else {
        "the sealed journal is whole, keeps the laws and is the report's; by its plan nobody signs"
    };
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
        Err(error) => return Err(error.into()),
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
        Attestation::SelfAttested => !signs,
    };
    let lawful = told.contains("every law that records can show is kept");
    let (records, head) = (report.journal.records, &report.journal.head_sha256);
    Ok(compare::line(whole && signed && lawful, what, format!("{records} records, {head}")))
}

/// What may be done to an exported journal, and what the check then says.
const TAMPERED: [(&str, Tamper, &str); 3] = [
    ("one byte changed", change_a_byte, "record 6 does not continue the one before it"),
    ("one record removed", remove_a_record, "expected number 5, found 6"),
    ("two swapped", swap_two_records, "expected number 5, found 6"),
];

type Tamper = fn(&Path) -> io::Result<()>;

fn record(folder: &Path, seq: u32) -> PathBuf {
    folder.join(format!("{seq:06}.json"))
}

/// The millennium in which it was written, so that the record reads as well as before.
fn change_a_byte(folder: &Path) -> io::Result<()> {
    let text = fs::read_to_string(record(folder, 5))?;
    fs::write(record(folder, 5), text.replacen(r#""at":"2"#, r#""at":"3"#, 1))
}

fn remove_a_record(folder: &Path) -> io::Result<()> {
    fs::remove_file(record(folder, 5))
}

fn swap_two_records(folder: &Path) -> io::Result<()> {
    let aside = folder.join("aside");
    fs::rename(record(folder, 5), &aside)?;
    fs::rename(record(folder, 6), record(folder, 5))?;
    fs::rename(aside, record(folder, 6))
}

/// The same journal, tampered with: the check must refuse it, and say where.
pub async fn tampered_journal(options: &Options) -> Result<Line, ExamineError> {
    let mut holds = true;
    let mut told = Vec::new();
    for (how, tamper, says) in TAMPERED {
        let (whole, folder) = (options.state_dir().join("journal"), options.state_dir().join("tampered"));
        let file = |source| ExamineError::File { path: folder.clone(), source };
        copied(&whole, &folder).and_then(|()| tamper(&folder)).map_err(file)?;
        let mut check = Command::new(options.binaries.join("understudy"));
        check.args(["journal", "check"]).arg(&folder);
        let output = match run(&mut check).await {
            Err(PythonError::Failed { output, .. }) => output,
            Ok(_) => "it is called whole".to_owned(),
            Err(error) => return Err(error.into()),
        };
        holds &= output.contains(says);
        let last = output.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        told.push(format!("{how}: {}", last.trim_start_matches("error: ")));
    }
    let what = "the same journal, tampered with, is refused, and it says where";
    Ok(compare::line(holds, what, told.join("; ")))
}

fn copied(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A report writer that is killed on its last step leaves the run on its list, and whoever comes next seals everything
/// once more: what lies there already must be found the same, and nobody is told twice (L5).
pub async fn sealed_again(up: &Up, report: &Report) -> Result<Line, ExamineError> {
    let what = "sealed once more, everything was found the same, and nobody was told again";
    let aws = Aws::at(&up.cloud, Place::Standby).await;
    let function = format!("understudy-{}-report-writer", up.plan.name);
    let since = Timestamp::now();
    update::<OpenRuns, _>(&aws.table(&up.plan.name), &keys::open_runs(), |open| {
        let mut next = open.cloned().unwrap_or_default();
        next.executions.push(report.execution.clone());
        Ok(Change::Write(next))
    })
    .await?;
    let task = json!({"execution": report.execution, "step": Step::Report, "end": report.end});
    let answer = match aws.invoke(&function, &task.to_string()).await? {
        Ok(answer) => answer.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default().to_owned(),
        Err(error) => error,
    };
    let read = logs::permissions_used(&up.cloud, &function, "s3:GetObject", since);
    let pages = logs::permissions_used(&up.cloud, &function, "sns:Publish", since);
    let holds = answer == format!("{}; sealed", report.end) && read >= SEALED_LAST && pages == 0;
    Ok(compare::line(holds, what, format!("{answer}; {read} objects compared, {pages} pages")))
}
