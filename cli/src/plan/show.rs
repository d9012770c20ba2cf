//! `plan show`: the plan as a person would explain it.

use super::{load_for, today};
use crate::exit::{Code, Failure, print};
use crate::terminal;
use clap::Args;
use std::fs;
use std::path::PathBuf;
use understudy_core::budget::budget;
use understudy_core::explain::{explain, page, svg};
use understudy_core::lint::lint;

#[derive(Args)]
pub struct Arguments {
    plan: PathBuf,
    /// Of the plan's rehearsal environment.
    #[arg(long)]
    rehearsal: bool,
    /// Write it as a page, with the picture and what the linter says.
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Write the picture alone.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    let plan = load_for(&arguments.plan, arguments.rehearsal)?;
    let budget = budget(&plan, &[]);
    print(&terminal::explained(&plan, &explain(&plan), &budget));
    if let Some(path) = &arguments.html {
        fs::write(path, page(&plan, &budget, &lint(&plan, today())))
            .map_err(|error| Failure::file(path, &error))?;
        say!("\npage: {}", path.display());
    }
    if let Some(path) = &arguments.svg {
        fs::write(path, svg(&plan, &budget)).map_err(|error| Failure::file(path, &error))?;
        say!("\npicture: {}", path.display());
    }
    Ok(Code::Ok)
}
