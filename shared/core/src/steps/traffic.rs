//! Move the routes by the switch: one desired-state item, published as a level, at once and on every tick.
//!
//! Data plane only. Nothing here changes a record, and only the tick reads any, behind its datapoint: a step never asks
//! Route 53's control plane (L1).

use super::promote::still_ours;
use super::{Context, Outcome, Reply, Step, not_mine};
use crate::call::{self, Call};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::ports::{Alarms, Cells, Clock, Metric, Metrics, Records};
use crate::run::Run;
use crate::state::{Change, keys, load, look, update, update_note};
use crate::switch::{Desired, Side};
use crate::wiring;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// What the switcher works with.
pub struct Switcher<'a, C, K, M, R, A> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub metrics: &'a M,
    pub wiring: wiring::Eyes<'a, R, A>,
}

/// What one call led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Tick(Ticked),
    Step(Reply),
}

/// What one tick did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ticked {
    #[serde(flatten)]
    pub published: Desired,
    /// Why what the last look at the switch found could not be kept, where it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wiring_missed: Option<String>,
}

pub async fn answer<C: Cells, K: Clock, M: Metrics, R: Records, A: Alarms>(
    switcher: &Switcher<'_, C, K, M, R, A>,
    event: &Value,
) -> Result<Answer, Fault> {
    match call::read(event)? {
        Call::Tick => {
            let Switcher { plan, cells, clock, .. } = *switcher;
            let published = republish(cells, clock, switcher.metrics).await?;
            let looked = wiring::look(plan, cells, clock, &switcher.wiring).await;
            let wiring_missed = looked.err().map(|fault| fault.to_string());
            Ok(Answer::Tick(Ticked { published, wiring_missed }))
        }
        Call::Task(task) if task.step == Step::MoveTraffic => {
            let ctx = Context {
                plan: switcher.plan,
                plan_digest: switcher.plan_digest,
                cells: switcher.cells,
                clock: switcher.clock,
                execution: &task.execution,
                writer: "dns-switcher",
            };
            move_traffic(&ctx, switcher.metrics).await.map(Answer::Step)
        }
        Call::Task(task) => Err(not_mine(task.step, "dns-switcher")),
        Call::Ended { .. } => Err(Fault::invalid("detail: dns-switcher takes no status change")),
    }
}

/// `MoveTraffic`: the promoted side serves from now on.
pub async fn move_traffic<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    metrics: &impl Metrics,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let (epoch, to) = (run.claimed_epoch()?, run.kind.to());
    if run.promoted.is_empty() {
        return Err(Fault::bug("`MoveTraffic` ran before any store was promoted"));
    }
    ctx.intent(Step::MoveTraffic, format!("switch to the {} under epoch {epoch}", to.name())).await?;
    let now = ctx.clock.now();
    // One that does not read names no newer epoch: the lease has to.
    if let Err(Fault::Bug(_)) = look::<Desired>(ctx.cells, &keys::switch()).await {
        still_ours(ctx, epoch).await?;
    }
    let desired = update_note::<Desired, _>(ctx.cells, &keys::switch(), |current| match current {
        Some(current) if current.epoch > epoch => Err(Fault::Fenced(format!(
            "epoch {epoch} is void: the switch was set under epoch {}",
            current.epoch
        ))),
        Some(current) if current.epoch == epoch && current.serves == to => Ok(Change::Keep),
        _ => Ok(Change::Write(Desired { serves: to, epoch, set_at: now, published_at: None })),
    })
    .await?
    .ok_or_else(|| Fault::bug("the switch held nothing after it was set"))?;
    let published = metrics.publish(Metric::Switch, desired.serves.level()).await;
    let says = match published {
        Ok(()) => format!("the switch metric says {}: {}", to.level(), to.name()),
        // The endpoint answers by what stands in the table: clients move, and the next tick publishes again. What no tick
        // will mend is for people.
        Err(Fault::Transient(why))
            if to == Side::Standby && ctx.plan.routes.iter().all(|route| route.fast) =>
        {
            format!("the endpoint says {}; the metric was NOT published: {why}", to.name())
        }
        Err(fault) => return Err(fault),
    };
    ctx.outcome(Step::MoveTraffic, Outcome::Done, says).await
}

/// The tick: publish the level again, so that a lost datapoint costs a minute and not the switch.
pub async fn republish<C: Cells, K: Clock>(
    cells: &C,
    clock: &K,
    metrics: &impl Metrics,
) -> Result<Desired, Fault> {
    let now = clock.now();
    let first = Desired { serves: Side::Primary, epoch: 0, set_at: now, published_at: None };
    let desired = load::<Desired>(cells, &keys::switch()).await?.unwrap_or(first);
    metrics.publish(Metric::Switch, desired.serves.level()).await?;
    let written = update::<Desired, _>(cells, &keys::switch(), |current| {
        let current = current.unwrap_or(&desired);
        Ok(Change::Write(Desired { published_at: Some(now), ..current.clone() }))
    })
    .await?;
    Ok(written.map_or(desired, Arc::unwrap_or_clone))
}
