//! The application that is being protected: one web service in front of one database, in each Region.
//!
//! It stands for a user's own application and is written like one: it knows nothing of Understudy, of epochs
//! or of the other Region, and it believes its database about what was committed.

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

mod database;
mod failure;
mod pool;
mod server;

use clap::Parser;
use std::env::VarError;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "The application that the local cloud protects", version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// The database of this Region.
    #[arg(long, value_name = "HOST:PORT", value_parser = pool::Endpoint::parse)]
    database: pool::Endpoint,
    #[arg(long)]
    dbname: String,
    #[arg(long)]
    user: String,
    /// The environment variable that holds the password.
    #[arg(long, value_name = "VARIABLE")]
    password_env: String,
    /// The Region that every answer names.
    #[arg(long)]
    region: String,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("no password: set the environment variable `{name}`")]
    Password { name: String, source: VarError },
    #[error("cannot listen at {at}; is another web service there?")]
    Listen { at: SocketAddr, source: io::Error },
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the web service does not run");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    let name = arguments.password_env;
    let password = std::env::var(&name).map_err(|source| StartError::Password { name, source })?;
    let pool = pool::Pool::new(&arguments.database, &arguments.dbname, &arguments.user, &password);
    server::serve(arguments.listen, server::Service::new(arguments.region, pool)).await
}
