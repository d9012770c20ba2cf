//! `plan check`: problems of the file, findings of the linter, and with `--live` what is deployed.

use super::{load, today, try_read};
use crate::exit::{Code, Failure, print};
use crate::live;
use clap::Args;
use std::path::{Path, PathBuf};
use understudy_core::lint::{Finding, Level, lint};
use understudy_core::plan::{Places, Plan, Problems};
use understudy_core::words::count;

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Arguments {
    #[arg(required = true)]
    plans: Vec<PathBuf>,
    /// For machines.
    #[arg(long)]
    json: bool,
    /// Object to warnings too, not to errors alone.
    #[arg(long)]
    strict: bool,
    /// Then look at what is deployed: records, databases, secret, functions, readiness. Reads only.
    #[arg(long)]
    live: bool,
    /// Also write one small transaction by the primary's endpoint of each route, as the confirmation of a recovery will, and look
    /// whether the standby has the path.
    #[arg(long, requires = "live")]
    transact: bool,
    /// The profile of the AWS configuration that looks; the environment's credentials without it.
    #[arg(long, requires = "live")]
    profile: Option<String>,
}

/// Every plan is read, also after one that is wrong.
pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    let mut worst = Code::Ok;
    for path in &arguments.plans {
        let code = match (try_read(path)?, arguments.live) {
            (Ok(_), true) => {
                live::check(&load(path)?, arguments.profile.as_deref(), arguments.transact, arguments.json)?
            }
            (Ok((plan, places)), false) => told(arguments, path, &plan, &places),
            (Err(problems), _) => wrong(arguments, path, &problems),
        };
        worst = worst.max(code);
    }
    Ok(worst)
}

fn told(arguments: &Arguments, path: &Path, plan: &Plan, places: &Places) -> Code {
    let findings = lint(plan, today());
    if arguments.json {
        say!("{}", json(path, Some(plan), &findings, places));
    } else {
        let head = format!("{}: plan `{}` is whole, digest {}\n", path.display(), plan.name, plan.digest());
        let shown = findings.iter().map(|finding| format!("{}\n\n", places.show(finding)));
        print(&format!("{head}{}{}\n", shown.collect::<String>(), tally(&findings)));
    }
    let objects = if arguments.strict { Level::Warning } else { Level::Error };
    if findings.iter().any(|finding| finding.level >= objects) { Code::Refused } else { Code::Ok }
}

fn wrong(arguments: &Arguments, path: &Path, problems: &Problems) -> Code {
    if arguments.json {
        let line =
            serde_json::json!({"plan": path.display().to_string(), "digest": null, "problems": problems});
        say!("{line}");
    } else {
        eprintln!("{problems}");
    }
    Code::BadInput
}

fn json(path: &Path, plan: Option<&Plan>, findings: &[Finding], places: &Places) -> serde_json::Value {
    let with_place = |finding: &Finding| {
        let (line, column) = places.at(finding.fields.first().map_or("", String::as_str));
        let mut value = serde_json::to_value(finding).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.insert("line".to_owned(), line.into());
            object.insert("column".to_owned(), column.into());
        }
        value
    };
    serde_json::json!({
        "plan": path.display().to_string(),
        "digest": plan.map(Plan::digest),
        "problems": null,
        "findings": findings.iter().map(with_place).collect::<Vec<_>>(),
    })
}

fn tally(findings: &[Finding]) -> String {
    let of = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let parts = [Level::Error, Level::Warning, Level::Note].map(|level| count(of(level), level.word()));
    parts.join(", ")
}
