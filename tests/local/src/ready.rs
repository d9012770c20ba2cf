//! Waiting for what was started: looked for often, for a bounded time, and told plainly when it does not come.

use crate::aws::Aws;
use crate::config::{Cloud, Place};
use jiff::Timestamp;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use understudy_core::checks::Verdict;
use understudy_core::lease::Lease;
use understudy_core::plan::{OnLeaseLoss, Plan};
use understudy_core::state::{keys, load};
use understudy_core::steps::assess::Readiness;
use understudy_core::votes::{History, Observer, Seen};

const LISTEN_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ticks of the plan that arming may take.
const READY_TICKS: u32 = 20;
const READY_AT_LEAST: Duration = Duration::from_secs(40);

/// What did not come.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{what} does not answer at {at} within {} s; its log says why", LISTEN_LIMIT.as_secs())]
    Silent { what: &'static str, at: SocketAddr },
    #[error("the plan is not armed within {} s:\n{missing}", waited.as_secs())]
    NotArmed { waited: Duration, missing: String },
}

/// Waits until something listens at `at`.
pub async fn listening(what: &'static str, at: SocketAddr) -> Result<(), NotReady> {
    let deadline = Instant::now() + LISTEN_LIMIT;
    while Instant::now() < deadline {
        if TcpStream::connect(at).await.is_ok() {
            return Ok(());
        }
        // A socket that nobody has bound yet cannot be awaited.
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(NotReady::Silent { what, at })
}

/// What [`wait`] waits for, for people.
pub fn awaited(cloud: &Cloud, plan: &Plan) -> &'static str {
    if waits_for_looks(cloud, plan) {
        "ready: lease renewed, votes up, standby fit, and 15 ticks of looks without a gap"
    } else {
        "ready: lease renewed, votes up, standby fit"
    }
}

fn waits_for_looks(cloud: &Cloud, plan: &Plan) -> bool {
    cloud.speed <= 1.0 && plan.look.is_some()
}

/// Waits until the lease is renewed with an armed dead-man, every vote is up, and the standby is fit. At the plan's own
/// speed also until looks are counted on, for what is predicted counts on them; in fast motion nothing is.
pub async fn wait(cloud: &Cloud, plan: &Plan) -> Result<(), NotReady> {
    let limit = (plan.tick.as_std() * READY_TICKS).max(READY_AT_LEAST);
    let began = Instant::now();
    let standby = Aws::at(cloud, Place::Standby).await.table(&plan.name);
    let witness = Aws::at(cloud, Place::Witness).await.table(&plan.name);
    loop {
        let missing = missing(plan, waits_for_looks(cloud, plan), &standby, &witness).await;
        if missing.is_empty() {
            return Ok(());
        }
        if began.elapsed() > limit {
            return Err(NotReady::NotArmed { waited: limit, missing });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

type Table = understudy_aws::dynamodb::Table;

/// Looks are counted on, and what was given before they were is over in the databases.
fn looks_proved(lease: &Lease, plan: &Plan) -> bool {
    lease.enforced.as_ref().is_some_and(|enforced| {
        let proved = enforced.looks.as_ref().is_some_and(|looks| looks.proved(plan, Timestamp::now()));
        proved && enforced.within.is_none_or(|within| within <= plan.lease.ttl)
    })
}

async fn missing(plan: &Plan, counts_on_looks: bool, standby: &Table, witness: &Table) -> String {
    let mut missing = String::new();
    // Writing to a String cannot fail.
    for (name, table) in [("standby", standby), ("witness", witness)] {
        match load::<Lease>(table, &keys::lease()).await {
            Ok(Some(lease)) if counts_on_looks && !looks_proved(&lease, plan) => {
                let looks = lease.enforced.as_ref().and_then(|enforced| enforced.looks.as_ref());
                let _ = writeln!(
                    missing,
                    "  keeper {name}: looks between ticks are not counted on yet: {looks:?}"
                );
            }
            Ok(Some(lease)) if lease.armed || plan.lease.on_loss == OnLeaseLoss::Stay => {}
            other => {
                let _ = writeln!(missing, "  keeper {name}: {other:?}");
            }
        }
    }
    for observer in Observer::ALL {
        let table = if observer == Observer::Witness { witness } else { standby };
        match load::<History>(table, &keys::votes(observer.name())).await {
            Ok(Some(history)) if history.probes.last().is_some_and(|probe| probe.seen == Seen::Up) => {}
            Ok(history) => {
                let last = history.and_then(|history| history.probes.last().cloned());
                let _ = writeln!(missing, "  vote {}: {last:?}", observer.name());
            }
            Err(fault) => {
                let _ = writeln!(missing, "  vote {}: {fault}", observer.name());
            }
        }
    }
    match load::<Readiness>(standby, &keys::readiness()).await {
        Ok(Some(readiness)) if readiness.verdict == Verdict::Ready => {}
        Ok(Some(readiness)) => {
            for finding in readiness.findings.iter().filter(|finding| finding.blocks()) {
                let _ = writeln!(missing, "  {} {}: {}", finding.id, finding.subject, finding.evidence);
            }
        }
        other => {
            let _ = writeln!(missing, "  readiness: {other:?}");
        }
    }
    missing
}
