//! Reports: shown on a terminal, and written as a page.

use crate::exit::{Code, Failure, print};
use crate::terminal;
use clap::Subcommand;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::report::{Report, SCHEMA, html};

#[derive(Subcommand)]
pub enum Command {
    /// Print a report, and write it as a page.
    Show {
        /// A report as it lies in the evidence bucket, `reports/<plan>/<execution>.json`.
        file: PathBuf,
        /// Where to write the page.
        #[arg(long, value_name = "OUT")]
        html: Option<PathBuf>,
    },
}

pub fn run(command: &Command) -> Result<Code, Failure> {
    let Command::Show { file, html: page } = command;
    let report = read(file)?;
    // Takes the colours out again where nobody would see them.
    print(&terminal::text(&report));
    if let Some(path) = page {
        fs::write(path, html::page(&report)).map_err(|error| Failure::file(path, &error))?;
        say!("\npage: {}", path.display());
    }
    Ok(Code::Ok)
}

/// A report of the schema that this understudy reads.
pub fn read(path: &Path) -> Result<Report, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let wrong = |why: String| Failure::new(Code::BadInput, format!("error: {}: {why}", path.display()));
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_str) {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|error| wrong(error.to_string())),
        Some(other) => Err(wrong(format!("schema `{other}`: this understudy reads `{SCHEMA}`"))),
        None => Err(wrong("no report: it names no schema".to_owned())),
    }
}
