//! Journals: copied from the evidence bucket, and checked byte by byte.

mod export;

use crate::exit::{Code, Failure};
use clap::Subcommand;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::journal::{Stored, sha256_hex, verify_chain};
use understudy_core::report::line;

#[derive(Subcommand)]
pub enum Command {
    /// Copy the sealed records of an execution to a folder, and check them.
    Export(export::Arguments),
    /// Check that a journal is whole and print what it tells.
    Check {
        /// A folder of sealed records, `<seq>.json`, as they lie in the evidence bucket.
        folder: PathBuf,
    },
}

pub fn run(command: &Command) -> Result<Code, Failure> {
    match command {
        Command::Export(arguments) => export::run(arguments),
        Command::Check { folder } => check(&sealed(folder)?),
    }
}

/// Prints what a whole chain tells; a broken one is told as what it is.
fn check(chain: &[Stored]) -> Result<Code, Failure> {
    match verify_chain(chain) {
        Ok(records) => {
            for record in &records {
                let line = line(record);
                println!("{:>4} {} {:<19} {}", line.seq, line.at, line.writer, line.text);
            }
            let head = chain.last().map_or("", |stored| stored.sha256.as_str());
            println!("{} records, the chain is whole, head {head}", records.len());
            Ok(Code::Ok)
        }
        Err(error) => Err(Failure::new(Code::Disagreement, format!("error: {error}"))),
    }
}

/// The records of a folder in the order of their names, each hashed as it lies there.
fn sealed(folder: &Path) -> Result<Vec<Stored>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(Code::NotAvailable, format!("error: {}: no records", folder.display())));
    }
    let read = |path: PathBuf| {
        let bytes = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Stored { sha256: sha256_hex(bytes.as_bytes()), bytes })
    };
    paths.into_iter().map(read).collect()
}
