//! One round from its beginning to its evidence.

use super::draw::{Fencing, Harm, Round};
use super::judge::{Evidence, Told, Written, end_of};
use super::load::Load;
use super::pair::Pair;
use super::region::Region;
use super::wires::Wires;
use super::{TortureError, functions, workflow};
use crate::config::Cloud;
use crate::links::Links;
use crate::postgres::Stop;
use crate::rds::Rds;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use understudy_core::handler::OpenRuns;
use understudy_core::journal::{Stored, sha256_hex};
use understudy_core::lease::Lease;
use understudy_core::plan::Plan;
use understudy_core::run::End;
use understudy_core::state::keys;
use understudy_core::steps::close::report_key;
use understudy_core::votes::{History, Observer, Seen};
use understudy_sim::asl::Machine;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const READY_WITHIN: Duration = Duration::from_secs(30);
/// From the first write to the harm: what is open by then began within it.
const WARM_UP: Duration = Duration::from_secs(3);
/// After the last end, for writes that should not be.
const AFTERWARDS: Duration = Duration::from_millis(1_200);
/// Ticks after which an attempt that may be repeated would have been.
const QUIET_TICKS: u32 = 5;
/// A round in which nothing ended by then has no end.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// What all rounds of one lane share.
pub struct Lane {
    pub cloud: Cloud,
    pub links: Links,
    pub pair: Rc<Pair>,
    pub plan: Plan,
    pub machine: Rc<Machine>,
}

/// Plays `round` and returns what is left of it, with the plan that it ran under.
pub async fn play(lane: &Lane, round: &Round) -> Result<(Plan, Evidence), TortureError> {
    let wires = Rc::new(Wires::new(&lane.links));
    lane.pair.begin(round.prepares).await?;
    let plan = plan_of(&lane.plan, round.fencing);
    let digest = sha256_hex(plan.to_yaml().as_bytes());
    let rds = Rds::new(Arc::new(lane.cloud.clone()))?;
    let (region, started) =
        Region::new((plan.clone(), digest), lane.cloud.clone(), lane.links.clone(), rds, round.fencing)?;
    let executions = workflow::executions(&region, &lane.machine, started);
    let schedules = functions::schedules(&region);
    ready(&region, round).await?;
    let load =
        Load { plan: Rc::new(plan.clone()), cloud: Rc::new(lane.cloud.clone()), ledger: Rc::default() };
    let writers = load.steady(&round.writers);
    let mut besides = JoinSet::new();
    let harm_at = tokio::time::Instant::now() + WARM_UP;
    for (number, opened) in round.opened.iter().copied().enumerate() {
        let transaction = load.open(number, opened);
        besides.spawn_local(async move {
            tokio::time::sleep_until(shifted(harm_at, opened.at)).await;
            transaction.await;
        });
    }
    for cut in round.cuts.iter().copied() {
        let wires = Rc::clone(&wires);
        besides.spawn_local(async move {
            tokio::time::sleep_until(shifted(harm_at, cut.at)).await;
            wires.cut(cut);
            tokio::time::sleep(cut.lasts).await;
            wires.mend(cut);
        });
    }
    if let Some((at, lasts)) = round.stall {
        let pair = Rc::clone(&lane.pair);
        besides.spawn_local(async move {
            tokio::time::sleep_until(shifted(harm_at, at)).await;
            if let Err(error) = pair.stall(lasts).await {
                tracing::warn!(%error, "the disk was not kept waiting");
            }
        });
    }
    tokio::time::sleep_until(harm_at).await;
    wires.harm(round.harm);
    if round.harm == Harm::Kill {
        lane.pair.primary.stop(Stop::Immediate).await?;
    }
    let settled = async {
        if let Some(after) = round.back_after {
            tokio::time::sleep(after).await;
            wires.heal();
            if round.harm == Harm::Kill {
                lane.pair.primary.start().await?;
            }
        }
        settle(&region, round, &mut besides).await;
        Ok::<_, TortureError>(())
    };
    settled.await?;
    tokio::time::sleep(AFTERWARDS).await;
    drop((writers, besides, schedules, executions));
    let told = load.ledger.borrow().clone();
    let evidence = evidence(lane, round, &region, told).await?;
    lane.pair.end().await?;
    Ok((plan, evidence))
}

fn plan_of(plan: &Plan, fencing: Fencing) -> Plan {
    let mut plan = plan.clone();
    if fencing != Fencing::Armed {
        plan.lease.on_loss = understudy_core::plan::OnLeaseLoss::Stay;
        plan.lease.arming = None;
    }
    plan
}

fn shifted(at: tokio::time::Instant, by: i64) -> tokio::time::Instant {
    let span = Duration::from_millis(by.unsigned_abs());
    if by < 0 { at.checked_sub(span).unwrap_or(at) } else { at + span }
}

/// Until the lease is renewed and every observer sees the primary.
async fn ready(region: &Region, round: &Round) -> Result<(), TortureError> {
    let deadline = Instant::now() + READY_WITHIN;
    let seen = |observer: Observer| {
        let key = keys::votes(observer.name());
        let history: Option<History> =
            if observer == Observer::Witness { region.look_at_witness(&key) } else { region.look(&key) };
        history.and_then(|history| history.probes.last().cloned()).is_some_and(|last| last.seen == Seen::Up)
    };
    // Whether the last renewal came with a proof is what the rounds are about where transactions are prepared.
    let renewed = |lease: Option<Lease>| {
        lease.is_some_and(|lease| lease.armed || round.fencing != Fencing::Armed || round.prepares)
    };
    while Instant::now() < deadline {
        let leases = [region.look(&keys::lease()), region.look_at_witness(&keys::lease())];
        if leases.into_iter().all(renewed) && Observer::ALL.into_iter().all(seen) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(TortureError::NotReady)
}

/// Until nothing more is to come: every cut and every open transaction is over, and so is every execution.
async fn settle(region: &Region, round: &Round, besides: &mut JoinSet<()>) {
    let deadline = Instant::now() + ENDS_WITHIN;
    let quiet = region.plan.tick.as_std() * QUIET_TICKS;
    let over = async { while besides.join_next().await.is_some() {} };
    // What hangs behind a broken link may never come back.
    let _ = tokio::time::timeout(Duration::from_secs(20), over).await;
    let mut since = Instant::now();
    while Instant::now() < deadline {
        let ends: Vec<Option<End>> =
            region.executions().iter().map(|name| end_in(&region.journal(name))).collect();
        // Closed is not yet sealed and told.
        let open = region.look::<OpenRuns>(&keys::open_runs()).unwrap_or_default();
        let running = ends.iter().any(Option::is_none) || !open.executions.is_empty();
        let wanted = ends.is_empty() && must_end(round);
        if running || wanted {
            since = Instant::now();
        }
        // What ended otherwise is not tried again by itself.
        let last = ends.last().copied().flatten();
        let for_good = last.is_some_and(|end| end != End::Refused);
        if !running && !wanted && (for_good || since.elapsed() > quiet) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn end_in(chain: &[Stored]) -> Option<End> {
    let last = chain.last()?.record().ok()?;
    end_of(slice::from_ref(&last))
}

/// Nobody brought the primary back, so somebody must have taken over, or said why not.
fn must_end(round: &Round) -> bool {
    round.harm.is_loss() && round.back_after.is_none()
}

async fn evidence(
    lane: &Lane,
    round: &Round,
    region: &Region,
    told: Vec<super::load::Acknowledged>,
) -> Result<Evidence, TortureError> {
    let executions: Vec<Written> = region
        .executions()
        .into_iter()
        .map(|name| {
            let sealed = region.object(&report_key(&region.plan.name, &name));
            let report = sealed.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            Written { chain: region.journal(&name), report, name }
        })
        .collect();
    Ok(Evidence {
        told,
        promoted: lane.pair.is_promoted().await?,
        new: lane.pair.rows(&lane.pair.standby).await?,
        old: lane.pair.rows(&lane.pair.primary).await?,
        promotions: region.promotions(),
        report: Told::of(&executions),
        executions,
        must_end: must_end(round),
    })
}
