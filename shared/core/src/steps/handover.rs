//! The side that serves gives way: its writers are stopped by order, and shown to be gone. Then nothing is lost.
//!
//! Planned moves only. Away from the primary this asks the primary's Region; it is bounded, and when the proof cannot
//! be had in time the writers get their right back.

use super::fence::receive;
use super::promote::still_ours;
use super::{Context, Outcome, Reply, Step};
use crate::fault::Fault;
use crate::guard::stop_writers;
use crate::journal::Entry;
use crate::ports::{Cells, Clock, FenceOrder, FencedStore, GivesWay, Sql};
use crate::run::{LastWritten, Position, Receipt, Run};
use crate::time::{Millis, elapsed};
use jiff::Timestamp;

/// Two looks that find nobody are this share of a tick apart: 5 s of a minute.
const LOOKS_PER_TICK: u64 = 12;

/// `Fence` of a planned move: the order again and again, until two looks in a row found no writer.
pub async fn fence<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    giving: &impl GivesWay,
) -> Result<Reply, Fault> {
    let asked_at = ctx.clock.now();
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::Fence, asked_at).await?;
    let epoch = run.claimed_epoch()?;
    if let Some(receipt) = &run.receipt {
        receive(ctx, receipt).await?;
        return Ok(Reply::new(Outcome::Fenced, format!("fenced under epoch {}", receipt.epoch())));
    }
    let from = run.kind.to().other().name();
    let what = format!("stop the writers of the {from} under epoch {epoch}");
    ctx.journal().append_once(Entry::Intent { step: Step::Fence, what }).await?;
    // Writers that stand still serve nobody: a hand-over that takes longer than a lease is given up.
    let out_of_time = elapsed(since, asked_at) > ctx.plan.lease.ttl;
    let order = FenceOrder { execution: ctx.execution.to_owned(), epoch };
    let unquiet = match giving.fence(&order).await {
        Err(void @ Fault::Fenced(_)) => return Err(void),
        Err(fault) => Some(format!("the {from} does not answer: {fault}")),
        Ok(stores) => match unquiet(ctx, &stores) {
            None => return quiet(ctx, &run, epoch, &stores).await,
            some => some,
        },
    };
    let why = unquiet.unwrap_or_default();
    Run::change(ctx.cells, ctx.execution, |run| run.quiet_since = None).await?;
    if out_of_time {
        return ctx.outcome(Step::Fence, Outcome::Exhausted, why).await;
    }
    Ok(Reply::again(pause(ctx), why))
}

/// The standby's own writers, which give way in a failback: no other Region is asked.
pub struct OurWriters<'a, C, K, S> {
    pub ctx: &'a Context<'a, C, K>,
    pub sql: &'a S,
}

impl<C: Cells, K: Clock, S: Sql> GivesWay for OurWriters<'_, C, K, S> {
    async fn fence(&self, order: &FenceOrder) -> Result<Vec<FencedStore>, Fault> {
        let plan = self.ctx.plan;
        // A late order of an execution that was rolled back stops nobody (L5).
        still_ours(self.ctx, order.epoch).await?;
        stop_writers(plan, self.ctx.plan_digest, self.sql, order.epoch, &plan.regions.primary).await
    }
}

/// Why the writers do not count as stopped. A store that was not looked at may be written (L4).
fn unquiet<C, K>(ctx: &Context<'_, C, K>, stores: &[FencedStore]) -> Option<String> {
    ctx.plan.stores.iter().find_map(|store| match stores.iter().find(|seen| seen.store == store.name) {
        None => Some(format!("`{}` was not looked at", store.name)),
        // Another version of the plan may list other tables and other writers.
        Some(seen) if seen.plan_digest.as_deref() != Some(ctx.plan_digest) => {
            Some(format!("`{}` was stopped by another version of the plan", store.name))
        }
        Some(seen) => seen.look.unquiet().map(|why| format!("`{}`: {why}", store.name)),
    })
}

/// One look found nobody; the second one, a while later, is the proof: a login that was under way while its
/// role was locked shows up in between.
async fn quiet<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    epoch: u64,
    stores: &[FencedStore],
) -> Result<Reply, Fault> {
    // The look is older than its answer: later is safer.
    let now = ctx.clock.now();
    let Some(quiet_since) = run.quiet_since.filter(|since| elapsed(*since, now) >= pause(ctx)) else {
        Run::change(ctx.cells, ctx.execution, |run| {
            run.quiet_since.get_or_insert(now);
        })
        .await?;
        return Ok(Reply::again(pause(ctx), "no writer is left; looking once more"));
    };
    let receipt = Receipt::Proved { epoch, quiet_since, proved_at: now, last_written: last_written(stores) };
    receive(ctx, &receipt).await?;
    ctx.outcome(Step::Fence, Outcome::Fenced, "proved: two looks in a row found no writer").await
}

fn last_written(stores: &[FencedStore]) -> Vec<LastWritten> {
    let one = |seen: &FencedStore| LastWritten {
        store: seen.store.clone(),
        position: seen.look.written.position,
        committed_at: seen.look.written.committed_at,
    };
    stores.iter().map(one).collect()
}

/// Which store has not replayed all that was written on the other side before that was stopped.
pub fn behind<'a>(last_written: &'a [LastWritten], positions: &[Position]) -> Option<&'a LastWritten> {
    last_written.iter().find(|last| {
        let here = positions.iter().find(|position| position.store == last.store);
        here.and_then(|position| position.replayed).is_none_or(|replayed| replayed < last.position)
    })
}

/// `Capture` of a planned move waits for every position; `since` is when it first looked.
pub async fn capture<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    last: &LastWritten,
    since: Timestamp,
) -> Result<Reply, Fault> {
    let text = format!("`{}` has not replayed up to {} yet", last.store, last.position);
    if elapsed(since, ctx.clock.now()) > ctx.plan.lease.ttl {
        return ctx.outcome(Step::Capture, Outcome::Exhausted, text).await;
    }
    Ok(Reply::again(Millis::from_secs(1), text))
}

fn pause<C, K>(ctx: &Context<'_, C, K>) -> Millis {
    Millis(ctx.plan.tick.0 / LOOKS_PER_TICK)
}
