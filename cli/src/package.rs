//! The packages that the template names: one zip a function, with its binary as `bootstrap` and the plan beside.

use crate::exit::{Code, Failure};
use crate::plan;
use clap::Args;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use understudy_core::plan::Plan;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

#[derive(Args)]
pub struct Arguments {
    /// The plan that every function carries.
    #[arg(long)]
    plan: PathBuf,
    /// Package the plan of its rehearsal environment.
    #[arg(long)]
    rehearsal: bool,
    /// The folder of the built binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// The folder that the template's `CodeUri`s name.
    #[arg(long, default_value = "target/package")]
    out: PathBuf,
    /// Amazon's certificate bundle for RDS, for `sql-agent`.
    #[arg(long)]
    rds_ca: Option<PathBuf>,
    /// The folder whose sub-folders name the functions.
    #[arg(long, default_value = "functions")]
    functions: PathBuf,
    /// Compress little and quickly.
    #[arg(long)]
    quick: bool,
}

/// A failover without a store that the application needs would be no recovery.
fn refuse_what_nobody_does(plan: &Plan) -> Result<(), Failure> {
    let needed = plan.declared_stores.iter().find(|store| store.required);
    needed.map_or(Ok(()), |store| {
        let text = format!(
            "error: store `{}` is required, and declared only: Understudy neither watches nor promotes it; see LN-51 of \
             `understudy plan check`",
            store.name
        );
        Err(Failure::new(Code::Refused, text))
    })
}

pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    // Read whole before anything is written: a wrong plan is never packaged.
    let given = plan::load_for(&arguments.plan, arguments.rehearsal)?;
    refuse_what_nobody_does(&given)?;
    let text = if arguments.rehearsal {
        given.to_yaml()
    } else {
        fs::read_to_string(&arguments.plan).map_err(|error| Failure::file(&arguments.plan, &error))?
    };
    let names = functions(&arguments.functions)?;
    fs::create_dir_all(&arguments.out).map_err(|error| Failure::file(&arguments.out, &error))?;
    let failures: Vec<Failure> = thread::scope(|scope| {
        let packing: Vec<_> =
            names.iter().map(|name| scope.spawn(|| pack(arguments, name, text.as_bytes()))).collect();
        packing
            .into_iter()
            .filter_map(|packed| {
                packed
                    .join()
                    .unwrap_or_else(|_| Err(Failure::new(Code::NotAvailable, "packing stopped")))
                    .err()
            })
            .collect()
    });
    if let Some(first) = failures.into_iter().next() {
        return Err(first);
    }
    say!("{} packages of plan `{}` in {}", names.len(), given.name, arguments.out.display());
    Ok(Code::Ok)
}

fn functions(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn pack(arguments: &Arguments, name: &str, plan: &[u8]) -> Result<(), Failure> {
    let binary = arguments.binaries.join(name);
    let bytes = fs::read(&binary).map_err(|error| Failure::file(&binary, &error))?;
    if !arguments.quick {
        runs_there(&binary, &bytes)?;
    }
    let target = arguments.out.join(format!("{name}.zip"));
    let mut files = vec![("bootstrap", bytes, 0o755), ("plan.yaml", plan.to_vec(), 0o644)];
    if let Some(path) = arguments.rds_ca.as_ref().filter(|_| name == "sql-agent") {
        files.push(("rds-ca.pem", fs::read(path).map_err(|error| Failure::file(path, &error))?, 0o644));
    }
    let level = if arguments.quick { 1 } else { 9 };
    write_zip(&target, &files, level).map_err(|error| Failure::file(target, &error))
}

/// The C library of the runtime `provided.al2023`: 2.34.
const GLIBC_MINOR: u32 = 34;

/// Whether the runtime's C library has every symbol that a binary wants: each version stands in it by name, `GLIBC_2.36`.
/// A binary that does not start is seen by nobody until it is called.
fn runs_there(path: &Path, binary: &[u8]) -> Result<(), Failure> {
    let newest = newest_glibc(binary).unwrap_or(0);
    if newest <= GLIBC_MINOR {
        return Ok(());
    }
    let text = format!(
        "error: {}: wants glibc 2.{newest}, and Lambda's runtime has 2.{GLIBC_MINOR}: it would not start there. Build on \
         Debian 12, Amazon Linux 2023, or for `x86_64-unknown-linux-musl`",
        path.display()
    );
    Err(Failure::new(Code::Refused, text))
}

fn newest_glibc(binary: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"GLIBC_2.";
    let marks = binary.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minor = |at: usize| {
        let digits = binary.get(at + MARK.len()..)?.iter().take_while(|byte| byte.is_ascii_digit());
        digits.map(|byte| char::from(*byte)).collect::<String>().parse::<u32>().ok()
    };
    marks.filter_map(|(at, _)| minor(at)).max()
}

/// Equal files give equal bytes: no date of today goes in, so that an unchanged function is not deployed again.
fn write_zip(target: &Path, files: &[(&str, Vec<u8>, u32)], level: i64) -> io::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(File::create(target)?));
    for (name, bytes, mode) in files {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(level))
            .unix_permissions(*mode);
        zip.start_file(*name, options)?;
        zip.write_all(bytes)?;
    }
    zip.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_a_binary_wants_is_found() {
        assert_eq!(newest_glibc(b"\x7fELF GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(newest_glibc(b"GLIBC_2.9\0GLIBC_2.38\0"), Some(38));
        assert_eq!(newest_glibc(b"statically linked, GLIBC_2."), None);
        let refused = runs_there(Path::new("target/release/sql-agent"), b"GLIBC_2.38\0");
        assert_eq!(refused.err().map(|failure| failure.code()), Some(Code::Refused));
        assert!(runs_there(Path::new("x"), b"GLIBC_2.34\0").is_ok());
    }
}
