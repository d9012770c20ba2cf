//! The local cloud is a program of its own, `understudy-local`, built beside this one.

use crate::exit::{Code, Failure};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[derive(Args)]
pub struct Arguments {
    /// What `understudy-local` takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Becomes `understudy-local`: its output, its exit code.
pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::file("understudy", &error))?;
    let program = own.with_file_name("understudy-local");
    let error = Command::new(&program).args(&arguments.rest).exec();
    Err(Failure::new(
        Code::NotAvailable,
        format!("error: {}: {error}; `cargo build --workspace` builds it", program.display()),
    ))
}
