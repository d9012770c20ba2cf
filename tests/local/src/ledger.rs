//! The client outside: started, stopped, and asked for its own account of what it saw.
//!
//! The account is the client's; nothing here corrects it. Comparing it with the product's is the demo's work.

use crate::config::{Cloud, Place};
use crate::processes::{ProcessError, Processes};
use crate::python::{PythonError, run};
use jiff::Timestamp;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use understudy_core::plan::Plan;

/// Transactions a second.
pub const RATE: u32 = 10;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the client cannot judge its ledger")]
    Judge(#[from] PythonError),
    #[error("the client's account does not read")]
    Account(#[from] serde_json::Error),
}

/// What the client says of its own ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub outside: Counts,
    pub inside: Option<Counts>,
    pub outage: Option<Outage>,
    pub missing: Missing,
    pub regions: Regions,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Counts {
    pub attempts: u64,
    pub acknowledged: u64,
    pub failures: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Outage {
    pub first_failure: Attempt,
    pub last_failure: Attempt,
    /// `None` when success did not last.
    pub first_lasting_success: Option<Attempt>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// One transaction of the client, by the client's own clock.
#[derive(Clone, Debug, Deserialize)]
pub struct Attempt {
    pub sent_at: Timestamp,
    pub done_at: Timestamp,
    pub error: Option<String>,
}

/// Acknowledged writes that the survivor does not hold.
#[derive(Clone, Debug, Deserialize)]
pub struct Missing {
    pub count: u64,
    pub first_done_at: Option<Timestamp>,
    pub last_done_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Regions {
    pub new: Option<String>,
    /// Writes that the old Region acknowledged after the new one's first; `None` without a new one.
    pub overlap: Option<u64>,
}

/// Two writers: one outside that follows the public name, one inside the side that serves, which never leaves it.
pub struct Clients<'a> {
    pub cloud: &'a Cloud,
    pub binaries: &'a Path,
}

impl Clients<'_> {
    fn binary(&self) -> PathBuf {
        self.binaries.join("understudy-local-client")
    }

    pub fn ledger(&self, name: &str) -> PathBuf {
        self.cloud.state_dir.join(format!("ledger-{name}.jsonl"))
    }

    pub fn start(&self, plan: &Plan, inside: Place) -> Result<(), LedgerError> {
        let Some(route) = plan.routes.first() else { return Ok(()) };
        let mut outside = self.command(&route.record, "outside");
        outside.args(["--resolver", &self.cloud.dns(Place::Outside).to_string()]);
        self.processes().start("client-outside", &mut outside)?;
        let mut within = self.command(&route.record, "inside");
        within.args(["--address", &self.cloud.link(inside, inside).to_string()]);
        self.processes().start("client-inside", &mut within)?;
        Ok(())
    }

    fn command(&self, name: &str, ledger: &str) -> Command {
        let mut command = Command::new(self.binary());
        command
            .args(["--name", name, "--port", &self.cloud.web_port.to_string(), "--rate", &RATE.to_string()])
            .arg("--ledger")
            .arg(self.ledger(ledger));
        command
    }

    fn processes(&self) -> Processes {
        Processes::of(&self.cloud.state_dir)
    }

    pub fn stop(&self) -> Result<(), LedgerError> {
        self.processes().end("client-outside")?;
        Ok(self.processes().end("client-inside")?)
    }

    /// The client's own judgement, with what the survivor holds.
    pub async fn judge(&self, survivor: Place) -> Result<Account, LedgerError> {
        let survivor =
            format!("http://{}:{}", self.cloud.link(Place::Outside, survivor), self.cloud.web_port);
        let mut judge = Command::new(self.binary());
        judge
            .arg("judge")
            .arg("--ledger")
            .arg(self.ledger("outside"))
            .arg("--inside")
            .arg(self.ledger("inside"))
            .args(["--survivors", &survivor]);
        Ok(serde_json::from_slice(&run(&mut judge).await?.stdout)?)
    }
}
