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
    let target = arguments.out.join(format!("{name}.zip"));
    let mut files = vec![("bootstrap", bytes, 0o755), ("plan.yaml", plan.to_vec(), 0o644)];
    if let Some(path) = arguments.rds_ca.as_ref().filter(|_| name == "sql-agent") {
        files.push(("rds-ca.pem", fs::read(path).map_err(|error| Failure::file(path, &error))?, 0o644));
    }
    let level = if arguments.quick { 1 } else { 9 };
    write_zip(&target, &files, level).map_err(|error| Failure::file(target, &error))
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
