//! Journals: copied from the evidence bucket, checked byte by byte, held against report and signature, and asked law by
//! law.

mod export;
mod laws;
mod signature;

use crate::exit::{Code, Failure};
use clap::Subcommand;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::journal::{Record, Stored, verify_chain};
use understudy_core::report::line;

#[derive(Subcommand)]
pub enum Command {
    /// Copy the sealed records of an execution to a folder with its report and signature, and check them.
    Export(export::Arguments),
    /// Check that a journal is whole, as its report says, and signed, and that its records keep the laws; print what
    /// it tells.
    Check {
        /// A folder of sealed records, `<seq>.json`, as they lie in the evidence bucket or were exported.
        folder: PathBuf,
        /// The public key of whoever signed, in PEM; else the one in the folder.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// The plan that the execution ran under, for the rules that need its numbers.
        #[arg(long)]
        plan: Option<PathBuf>,
    },
}

pub fn run(command: &Command) -> Result<Code, Failure> {
    match command {
        Command::Export(arguments) => export::run(arguments),
        Command::Check { folder, public_key, plan } => {
            let (checked, records) = check_folder(folder, public_key.as_deref())?;
            Ok(checked.max(laws::ask(&records, plan.as_deref())?))
        }
    }
}

/// Checks records, report and signature of a folder; the records, where their chain is whole.
fn check_folder(folder: &Path, public_key: Option<&Path>) -> Result<(Code, Vec<Record>), Failure> {
    let chain = sealed(folder)?;
    let records = tell(&chain)?;
    let checked = signature::check(folder, &chain, &records, public_key)?;
    Ok((checked, records))
}

/// Prints what a whole chain tells; a broken one is told as what it is.
fn tell(chain: &[Stored]) -> Result<Vec<Record>, Failure> {
    let records =
        verify_chain(chain).map_err(|error| Failure::new(Code::Disagreement, format!("error: {error}")))?;
    for record in &records {
        let line = line(record);
        say!("{:>4} {} {:<19} {}", line.seq, line.at, line.writer, line.text);
    }
    let head = chain.last().map_or("", Stored::sha256);
    say!("{} records, the chain is whole, head {head}", records.len());
    Ok(records)
}

/// Whether a file's name is that of a record: six digits.
fn is_record(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
    name.is_some_and(|name| name.len() == 6 && name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The records of a folder in the order of their names, each hashed as it lies there.
fn sealed(folder: &Path) -> Result<Vec<Stored>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_record(path)).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(Code::NotAvailable, format!("error: {}: no records", folder.display())));
    }
    let read = |path: PathBuf| {
        let bytes = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Stored::of(bytes))
    };
    paths.into_iter().map(read).collect()
}
