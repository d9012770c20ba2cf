//! Confirm: what a client sees by the public name, until success has lasted.
//!
//! One look a call; the workflow waits in between. Success counts from the first of an unbroken run.

use super::{Context, Outcome, Reply, Step};
use crate::fault::Fault;
use crate::journal::Entry;
use crate::plan::Route;
use crate::ports::{Cells, Clock, Dns, DnsAnswer, Http};
use crate::run::{Confirmation, Run};
use crate::time::{Millis, after, elapsed};
use crate::words::{count, instant, list};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;

/// Looks are this share of a tick apart.
const LOOKS_PER_TICK: u64 = 12;

/// One look at every route by its public name, and whether success has lasted.
pub async fn confirm<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    http: &impl Http,
    dns: &impl Dns,
) -> Result<Reply, Fault> {
    let (before, looks, since) = Run::look(ctx.cells, ctx.execution, Step::Confirm, ctx.clock.now()).await?;
    if before.confirmation.probes == 0 {
        ctx.intent(Step::Confirm, "write a small transaction by every public name, at each look").await?;
    }
    let begun = ctx.clock.now();
    let seen = join_all(ctx.plan.routes.iter().map(|route| transact(ctx, route, looks, http, dns))).await;
    for (route, (good, detail)) in ctx.plan.routes.iter().zip(&seen) {
        note_change(ctx, route, *good, detail, &before.confirmation).await?;
    }
    let all_good = seen.iter().all(|(good, _)| *good);
    let details: Vec<String> = seen.into_iter().map(|(_, detail)| detail).collect();
    let now = ctx.clock.now();
    // A look that failed shows that nobody was served as it began: by the time that it gave up, somebody may have been.
    let at = if all_good { now } else { begun };
    let run = Run::change(ctx.cells, ctx.execution, |run| {
        if run.confirmation.probes < looks {
            run.confirmation = counted(&before.confirmation, all_good, at, looks);
        }
    })
    .await?;
    judge(ctx, &run.confirmation, since, now, details.join("; ")).await
}

/// The confirmation after one more look.
fn counted(before: &Confirmation, good: bool, now: Timestamp, probes: u32) -> Confirmation {
    if good {
        Confirmation { first_good: before.first_good.or(Some(now)), last_bad: before.last_bad, probes }
    } else {
        Confirmation { first_good: None, last_bad: Some(now), probes }
    }
}

async fn judge<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    seen: &Confirmation,
    since: Timestamp,
    now: Timestamp,
    detail: String,
) -> Result<Reply, Fault> {
    let hold = ctx.plan.routes.iter().map(|route| route.hold.max(route.ttl)).max().unwrap_or(Millis::ZERO);
    let limit = ctx.plan.routes.iter().map(|route| route.confirm_timeout).max().unwrap_or(Millis::ZERO);
    match seen.first_good {
        Some(first_good) if elapsed(first_good, now) >= hold => {
            // Who resolved just before the switch may ask the old address for one more TTL.
            let ttl = ctx.plan.routes.iter().map(|route| route.ttl).max().unwrap_or(Millis::ZERO);
            let settled_at = after(first_good, ttl);
            let (last_bad, probes) = (seen.last_bad, seen.probes);
            let entry = Entry::Confirmed { last_bad, first_good, settled_at, probes };
            ctx.journal().append_once(entry).await?;
            ctx.outcome(
                Step::Confirm,
                Outcome::Done,
                format!("good since {}, {}", instant(first_good), count(probes as usize, "look")),
            )
            .await
        }
        None if elapsed(since, now) > limit => ctx.outcome(Step::Confirm, Outcome::Exhausted, detail).await,
        _ => Ok(Reply::again(Millis(ctx.plan.tick.0 / LOOKS_PER_TICK), detail)),
    }
}

/// Resolves the public name, reads, and writes through it.
async fn transact<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    route: &Route,
    look: u32,
    http: &impl Http,
    dns: &impl Dns,
) -> (bool, String) {
    let timeout = ctx.plan.detection.probe_timeout;
    let addresses = match dns.addresses(&route.record, timeout).await {
        DnsAnswer::Values(values) => values,
        DnsAnswer::Failed(why) => return (false, format!("`{}` does not resolve: {why}", route.record)),
    };
    let base = route.public();
    let health = http.get(&format!("{base}{}", route.health_path), timeout).await;
    if !health.is_good() {
        return (false, format!("`{}` at {}: health {health}", route.record, list(&addresses)));
    }
    let body =
        json!({"id": format!("understudy-{}-{look}", ctx.execution), "body": "confirmation from outside"});
    let written = http.post(&format!("{base}{}", route.transaction_path), &body, timeout).await;
    (written.is_good(), format!("`{}` at {}: transaction {written}", route.record, list(&addresses)))
}

/// Journals the first look and every change from good to bad and back; equal looks only count.
async fn note_change<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    route: &Route,
    good: bool,
    detail: &str,
    before: &Confirmation,
) -> Result<(), Fault> {
    let was_good = before.first_good.is_some();
    if before.probes > 0 && was_good == good {
        return Ok(());
    }
    let entry = Entry::Probed { route: route.name.clone(), good, detail: detail.to_owned() };
    ctx.journal().append(entry).await.map(|_| ())
}
