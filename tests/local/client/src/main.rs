//! The client outside: writes through the public name on a steady schedule, keeps a ledger of what it saw,
//! and judges that ledger afterwards.
//!
//! It is the witness against everybody else, so it shares no code and no clock with them: it knows a name, a
//! port and a resolver, as any client does, and believes only answers that it got itself.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test ends at the first surprise"
    )
)]

mod clock;
mod judge;
mod ledger;
mod resolver;
mod survivor;
mod web;
mod writer;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "The client outside the local cloud", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    write: Option<writer::Settings>,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a ledger: the outage, what is missing, and whether two Regions wrote at once.
    Judge(JudgeArguments),
}

#[derive(Args)]
struct JudgeArguments {
    /// The ledger of the client outside.
    #[arg(long)]
    ledger: PathBuf,
    /// The ledger of a writer inside the primary.
    #[arg(long)]
    inside: Option<PathBuf>,
    /// The web service whose database survived, as `http://IP:PORT`.
    #[arg(long, value_parser = survivor::Survivor::parse)]
    survivors: survivor::Survivor,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error("nothing to do: give `--ledger` and its companions, or `judge` (see `--help`)")]
    NothingToDo,
    #[error(transparent)]
    Write(#[from] writer::WriteError),
    #[error(transparent)]
    Read(#[from] ledger::ReadError),
    #[error(transparent)]
    Judge(#[from] judge::JudgeError),
    #[error(transparent)]
    Survivor(#[from] survivor::SurvivorError),
    #[error("the judgement cannot be printed")]
    Print(#[source] serde_json::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), ClientError> {
    match (arguments.command, arguments.write) {
        (Some(Command::Judge(judge)), _) => run_judge(judge).await,
        (None, Some(settings)) => Ok(writer::run(settings).await?),
        (None, None) => Err(ClientError::NothingToDo),
    }
}

async fn run_judge(arguments: JudgeArguments) -> Result<(), ClientError> {
    let outside = ledger::read(&arguments.ledger)?;
    let inside = arguments.inside.as_deref().map(ledger::read).transpose()?;
    let survivors = arguments.survivors.transactions().await?;
    let judgement = judge::judge(&outside, inside.as_deref(), &survivors)?;
    println!("{}", serde_json::to_string_pretty(&judgement).map_err(ClientError::Print)?);
    Ok(())
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
