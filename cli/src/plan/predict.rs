//! `plan predict`: the time and the loss to expect, from the plan and from past runs.

use super::load_for;
use crate::exit::{Code, Failure, print};
use crate::report::read as read_report;
use crate::terminal;
use clap::Args;
use std::path::PathBuf;
use understudy_core::budget::budget;

#[derive(Args)]
pub struct Arguments {
    plan: PathBuf,
    /// Of the plan's rehearsal environment.
    #[arg(long)]
    rehearsal: bool,
    /// Reports of past runs of this plan or its rehearsal: what they measured replaces what is assumed of AWS.
    #[arg(long, value_name = "REPORT", num_args = 1..)]
    runs: Vec<PathBuf>,
    /// For machines.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    let plan = load_for(&arguments.plan, arguments.rehearsal)?;
    let past = arguments.runs.iter().map(|path| read_report(path)).collect::<Result<Vec<_>, Failure>>()?;
    let budget = budget(&plan, &past);
    if arguments.json {
        let line = serde_json::json!({"plan": plan.name, "digest": plan.digest(), "budget": budget});
        say!("{line}");
    } else {
        print(&terminal::predicted(&plan, &budget, past.len()));
    }
    Ok(Code::Ok)
}
