//! `understudy`: plans, packages, journals, and the local cloud, from the command line.
//!
//! Only words and exit codes live here; what is decided is decided in the core.

mod exit;
mod journal;
mod local;
mod package;
mod plan;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "understudy",
    version,
    about = "Moves an application to its standby Region, and proves that it can"
)]
#[command(after_help = exit::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read, check and use a plan.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Put every function's binary and the plan into the zip files that the template names.
    Package(package::Arguments),
    /// Check the journal of an execution.
    #[command(subcommand)]
    Journal(journal::Command),
    /// Three Regions and the world outside, on this machine: `understudy local --help`.
    #[command(disable_help_flag = true)]
    Local(local::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Plan(command) => plan::run(&command),
        Command::Package(arguments) => package::run(&arguments),
        Command::Journal(command) => journal::run(&command),
        Command::Local(arguments) => local::run(&arguments),
    };
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("{failure}");
            failure.code().into()
        }
    }
}
