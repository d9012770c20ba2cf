//! Follows the journals of a run as they grow, and kills the workers of functions by them.

use super::When;
use crate::compare::clock;
use crate::processes::Processes;
use crate::torture::{TortureError, judge};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};
use understudy_aws::dynamodb::Table;
use understudy_core::handler::OpenRuns;
use understudy_core::incident::Incident;
use understudy_core::journal::{Entry, Stored};
use understudy_core::plan::Plan;
use understudy_core::ports::Cells;
use understudy_core::run::End;
use understudy_core::state::{keys, load};
use understudy_core::steps::Step;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ticks within which an execution must have ended.
const END_TICKS: u32 = 150;
/// Ticks after which an attempt that may be repeated would have been.
const QUIET_TICKS: u32 = 6;
pub(super) const EMULATOR: &str = "emulator";

/// Follows the journals as they grow, and kills by them.
pub(super) struct Watch<'a> {
    table: &'a Table,
    pub(super) killed: Vec<(&'static str, String)>,
    left: Vec<(When, &'static str)>,
    pub(super) chains: BTreeMap<String, Vec<Stored>>,
}

impl<'a> Watch<'a> {
    pub(super) fn of(table: &'a Table, kills: &[(When, &'static str)]) -> Self {
        Self { table, killed: Vec::new(), left: kills.to_vec(), chains: BTreeMap::new() }
    }

    /// Until every execution is closed, sealed and told, or the time is up.
    pub(super) async fn until_sealed(
        &mut self,
        processes: &Processes,
        plan: &Plan,
        began: Instant,
    ) -> Result<(), TortureError> {
        let limit = plan.tick.as_std() * END_TICKS;
        let mut since = Instant::now();
        while began.elapsed() < limit {
            tokio::time::sleep(LOOK_EVERY).await;
            let ticks = began.elapsed().as_secs_f64() / plan.tick.as_std().as_secs_f64();
            self.kill_due(processes, |when| matches!(when, When::After(at) if f64::from(u32::try_from(at).unwrap_or(u32::MAX)) / 1000.0 <= ticks)).await;
            // The emulator loses a call now and then when its workers die.
            let fresh = self.grow().await.unwrap_or_default();
            for step in fresh {
                self.kill_due(processes, |when| matches!(when, When::Within(at, _) if at == step)).await;
            }
            let open = load::<OpenRuns>(self.table, &keys::open_runs()).await;
            let sealed = open.is_ok_and(|open| open.is_some_and(|open| open.executions.is_empty()));
            let closed = self.chains.values().all(|chain| chain.last().is_some_and(Stored::is_closing));
            if !sealed || !closed || self.chains.is_empty() {
                since = Instant::now();
                continue;
            }
            // What was refused may be tried again by itself; nothing else is.
            let refused = self.chains.values().any(|chain| end_of(chain) == Some(End::Refused));
            if !refused || since.elapsed() > plan.tick.as_std() * QUIET_TICKS {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads what is new, and returns what is intended in it.
    async fn grow(&mut self) -> Result<Vec<Step>, TortureError> {
        let incident = load::<Incident>(self.table, &keys::incident()).await?;
        let mut intended = Vec::new();
        for attempt in incident.map(|incident| incident.attempts).unwrap_or_default() {
            let chain = self.chains.entry(attempt.execution.clone()).or_default();
            let journal = keys::journal(&attempt.execution);
            for stored in self.table.follow::<Stored>(&journal, chain.len() as u64).await? {
                if let Entry::Intent { step, .. } = stored.record()?.entry {
                    intended.push(step);
                }
                chain.push(Arc::unwrap_or_clone(stored));
            }
        }
        Ok(intended)
    }

    async fn kill_due(&mut self, processes: &Processes, due: impl Fn(When) -> bool) {
        let (now, later) = self.left.iter().partition(|(when, _)| due(*when));
        self.left = later;
        let now: Vec<(When, &'static str)> = now;
        for (when, function) in now {
            if let When::Within(_, wait) = when {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let mut hit = false;
            for (pid, name) in workers(processes) {
                if name.contains(function) {
                    end(pid);
                    hit = true;
                }
            }
            if hit {
                self.killed.push((function, format!("{function} {when:?} at {}", clock(Timestamp::now()))));
            }
        }
    }
}

fn end_of(chain: &[Stored]) -> Option<End> {
    let last = chain.last()?.record().ok()?;
    judge::end_of(slice::from_ref(&last))
}

/// The workers of this emulator: each process with the name of its function.
pub(super) fn workers(processes: &Processes) -> Vec<(i32, String)> {
    let Ok(all) = processes.all() else { return Vec::new() };
    let Some(emulator) = all.iter().find(|process| process.name == EMULATOR) else { return Vec::new() };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(emulator.pid()))
        .filter_map(|pid| Some((pid, function(pid)?)))
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn function(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let named = environment
        .split(|byte| *byte == 0)
        .find_map(|one| one.strip_prefix(b"AWS_LAMBDA_FUNCTION_NAME="))?;
    String::from_utf8(named.to_vec()).ok()
}

pub(super) fn end(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone in this very moment is as good as killed.
        let _ = kill_process(pid, Signal::KILL);
    }
}
