//! `understudy`: plans, packages, journals, reports, and the local cloud, from the command line.
//!
//! Only words and exit codes live here; what is decided is decided in the core.

#![deny(clippy::print_stdout, reason = "`say!` minds nobody who stops listening")]

#[macro_use]
mod exit;
mod journal;
mod live;
mod local;
mod operate;
mod overrides;
mod package;
mod plan;
mod report;
mod terminal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use understudy_core::run::Kind;

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
    /// What an operator sees first: votes, lease, readiness, executions, what to do next.
    Status(operate::Target),
    /// Ask for a failover: as the votes would, without waiting for better evidence. A living primary is never failed
    /// over.
    Failover(operate::Move),
    /// Move a living primary to its standby: it gives way, and nothing is lost.
    Switchover(operate::Move),
    /// Go back: the standby that serves gives way to the primary, once that follows it. Nothing is lost.
    Failback(operate::Move),
    /// Go on from an execution that stopped half-way (`NeedsOperator`, `Unfinished`): forward behind the one-way door,
    /// back before it.
    Continue(operate::Move),
    /// Close the incident of an execution that stopped half-way, once its move was brought to its end by hand (runbook).
    Close(operate::Move),
    /// Rehearse: the same move, in the plan's rehearsal environment. Production is not touched.
    Drill(operate::Move),
    /// Say yes to an execution that asks whether the standby may take over.
    Approve(operate::Answer),
    /// Say no to whatever an execution asks.
    Refuse(operate::Answer),
    /// Take the stated risk of a fence that is not proved.
    Accept(operate::Answer),
    /// Take one blocking check upon your name, with a reason, for a while. Nothing else is spared: the fence least.
    #[command(after_help = overrides::help())]
    Override(overrides::Arguments),
    /// Stop all automation of a plan before its next one-way step.
    Hold(operate::Hold),
    /// Lift a hold.
    Resume(operate::Raise),
    /// Stop one execution before its one-way step.
    Abort(operate::Abort),
    /// Check the journal of an execution.
    #[command(subcommand)]
    Journal(journal::Command),
    /// Show the report of an execution.
    #[command(subcommand)]
    Report(report::Command),
    /// Three Regions and the world outside, on this machine: `understudy local --help`.
    #[command(disable_help_flag = true)]
    Local(local::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Plan(command) => plan::run(&command),
        Command::Package(arguments) => package::run(&arguments),
        Command::Status(target) => operate::status(&target),
        Command::Failover(asked) => operate::start(&asked, Kind::Failover),
        Command::Switchover(asked) => operate::start(&asked, Kind::Switchover),
        Command::Failback(asked) => operate::start(&asked, Kind::Failback),
        Command::Continue(asked) => operate::go_on(&asked),
        Command::Close(asked) => operate::close(&asked),
        Command::Drill(asked) => operate::drill(&asked),
        Command::Approve(answer) => operate::answer(&answer, operate::Said::Approve),
        Command::Refuse(answer) => operate::answer(&answer, operate::Said::Refuse),
        Command::Accept(answer) => operate::answer(&answer, operate::Said::Accept),
        Command::Override(arguments) => overrides::run(&arguments),
        Command::Hold(hold) => operate::hold(&hold),
        Command::Resume(raise) => operate::resume(&raise),
        Command::Abort(abort) => operate::abort(&abort),
        Command::Journal(command) => journal::run(&command),
        Command::Report(command) => report::run(&command),
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
