//! The end of an execution: close the journal, seal it, render the report, tell people.
//!
//! Only this module closes a journal. Sealing to the bucket may be late, never wrong: an object that is there
//! with other bytes is a conflict that stops it.

use super::{Context, Outcome, Reply, Step, not_mine};
use crate::call::{self, Call};
use crate::fault::Fault;
use crate::handler::OpenRuns;
use crate::incident::{Ended, Incident, end_attempt};
use crate::journal::{Entry, Stored};
use crate::plan::Plan;
use crate::ports::{Cells, Clock, Evidence, Page, Pager, Severity, Written};
use crate::report::{self, Report};
use crate::run::{End, Run};
use crate::state::{Change, keys, load, update};
use crate::time::{Millis, elapsed};
use crate::words::count;
use serde_json::Value;

/// `TimeoutSeconds` of the workflow: after that no execution runs.
pub const LONGEST_EXECUTION: Millis = Millis::from_secs(14_400);
/// An accepted execution is started within this, by whichever tick gets to it.
const GRACE: Millis = Millis::from_secs(900);

/// What the report writer works with.
pub struct Writer<'a, C, K, E, P> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub evidence: &'a E,
    pub pager: &'a P,
}

pub async fn answer<C: Cells, K: Clock, E: Evidence, P: Pager>(
    writer: &Writer<'_, C, K, E, P>,
    event: &Value,
) -> Result<Reply, Fault> {
    match call::read(event)? {
        Call::Tick => writer.tick().await,
        Call::Task(task) if task.step == Step::Report => {
            let end = task
                .end
                .ok_or_else(|| Fault::invalid("end: `Report` must be told how the execution ended"))?;
            close(&writer.context(&task.execution), end, writer.evidence, writer.pager).await
        }
        Call::Task(task) => Err(not_mine(task.step, "report-writer")),
        // Whatever ended outside the workflow ends here, explained (L6).
        Call::Ended { execution, .. } => {
            close(&writer.context(&execution), End::Unfinished, writer.evidence, writer.pager).await
        }
    }
}

impl<C: Cells, K: Clock, E: Evidence, P: Pager> Writer<'_, C, K, E, P> {
    fn context<'b>(&'b self, execution: &'b str) -> Context<'b, C, K> {
        Context {
            plan: self.plan,
            plan_digest: self.plan_digest,
            cells: self.cells,
            clock: self.clock,
            execution,
            writer: "report-writer",
        }
    }

    /// Seals what has been recorded of every open run.
    async fn tick(&self) -> Result<Reply, Fault> {
        let open = open_runs(self.cells).await?;
        let mut failed = None;
        // One run that cannot be sealed must not keep the others from it.
        for execution in &open {
            let sealed = tick(&self.context(execution), self.evidence, self.pager).await;
            failed = failed.or(sealed.err());
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(Reply::new(Outcome::Done, count(open.len(), "open run")))
    }
}

/// Closes `ctx.execution` with `end`, unless it was closed before; then says so to everybody.
pub async fn close<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    end: End,
    evidence: &impl Evidence,
    pager: &impl Pager,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let chain = ctx.journal().all_stored().await?;
    if !chain.iter().any(Stored::is_closing) {
        let records = chain.iter().map(Stored::record).collect::<Result<Vec<_>, Fault>>()?;
        // The workflow is the same wherever it runs; what its success is called is not.
        let end = if end == End::Recovered { run.kind.success() } else { end };
        let cause = report::cause(&records, end);
        ctx.journal().append(Entry::Closed { end, cause }).await?;
    }
    let (end, sealed) = finish(ctx, &run, evidence, pager).await?;
    let detail = match sealed {
        Ok(()) => format!("{end}; sealed"),
        Err(fault) => format!("{end}; sealing is late: {fault}"),
    };
    Ok(Reply::new(Outcome::Done, detail))
}

/// What follows a closed journal, in an order that may be broken off anywhere and begun again: end the attempt,
/// seal, tell people, take the run off the list. Evidence out of reach is late, not lost: the run stays on the
/// list, and the tick comes back to it.
async fn finish<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    evidence: &impl Evidence,
    pager: &impl Pager,
) -> Result<(End, Result<(), Fault>), Fault> {
    let chain = ctx.journal().all_stored().await?;
    let report = report::build(ctx.plan, &chain)?;
    end_attempt_of(ctx, run, report.end).await?;
    let sealed = seal(ctx, &chain, &report, evidence).await;
    // The run's end is noted once people were told: who was killed in between tells them again (L5, L6).
    if run.end.is_none() {
        pager.page(&summary(ctx, run, &report)).await?;
        Run::change(ctx.cells, ctx.execution, |run| run.end = Some(report.end)).await?;
    }
    if sealed.is_ok() {
        forget_open_run(ctx.cells, ctx.execution).await?;
    }
    Ok((report.end, sealed))
}

async fn end_attempt_of<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    end: End,
) -> Result<(), Fault> {
    let ended = Ended { at: ctx.clock.now(), end, blocking: run.blocking.clone() };
    update::<Incident, _>(ctx.cells, &keys::incident(), |incident| {
        end_attempt(incident, ctx.execution, &ended)
    })
    .await
    .map(|_| ())
}

fn summary<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, run: &Run, report: &Report) -> Page {
    let severity = match report.end {
        End::Recovered | End::Rehearsed => Severity::Info,
        End::Refused | End::RolledBack => Severity::Warning,
        End::NeedsOperator | End::Unfinished => Severity::Critical,
    };
    Page {
        severity,
        plan: ctx.plan.name.clone(),
        incident: Some(run.incident.clone()),
        text: format!("{}: {} {}. {}", ctx.plan.title, ctx.execution, report.end, report.cause),
        dedup: format!("{}-end", ctx.execution),
    }
}

/// Where a record and a report lie in the evidence bucket.
pub fn record_key(plan: &str, execution: &str, seq: u64) -> String {
    format!("journal/{plan}/{execution}/{seq:06}.json")
}

pub fn report_key(plan: &str, execution: &str) -> String {
    format!("reports/{plan}/{execution}.json")
}

/// The report as a page, beside the report.
pub fn page_key(plan: &str, execution: &str) -> String {
    format!("reports/{plan}/{execution}.html")
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

async fn seal<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    chain: &[Stored],
    report: &Report,
    evidence: &impl Evidence,
) -> Result<(), Fault> {
    seal_records(ctx, 0, chain, evidence).await?;
    let bytes = serde_json::to_vec_pretty(report).map_err(Fault::bug)?;
    put(evidence, &report_key(&ctx.plan.name, ctx.execution), &bytes, JSON).await?;
    let page = report::html::page(report);
    put(evidence, &page_key(&ctx.plan.name, ctx.execution), page.as_bytes(), HTML).await
}

/// Seals what came since the last tick, so that a long execution is not sealed anew every minute.
async fn seal_fresh<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    sealed: u64,
    fresh: &[Stored],
    evidence: &impl Evidence,
) -> Result<(), Fault> {
    if fresh.is_empty() {
        return Ok(());
    }
    seal_records(ctx, sealed, fresh, evidence).await?;
    let until = sealed.saturating_add(u64::try_from(fresh.len()).unwrap_or(0));
    Run::change(ctx.cells, ctx.execution, |run| run.sealed = run.sealed.max(until)).await.map(|_| ())
}

/// Seals records, the first of which is the one behind number `last`.
async fn seal_records<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    last: u64,
    chain: &[Stored],
    evidence: &impl Evidence,
) -> Result<(), Fault> {
    for (seq, stored) in (last.saturating_add(1)..).zip(chain) {
        let key = record_key(&ctx.plan.name, ctx.execution, seq);
        put(evidence, &key, stored.bytes.as_bytes(), JSON).await?;
    }
    Ok(())
}

async fn put(evidence: &impl Evidence, key: &str, bytes: &[u8], content_type: &str) -> Result<(), Fault> {
    match evidence.put_once(key, bytes, content_type).await? {
        Written::Done => Ok(()),
        Written::Conflict => Err(Fault::bug(format!("`{key}` is already there with other bytes"))),
    }
}

/// The tick for one open run: seal what has been recorded; finish what was closed but not finished.
async fn tick<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    evidence: &impl Evidence,
    pager: &impl Pager,
) -> Result<(), Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let fresh = ctx.journal().stored_behind(run.sealed).await?;
    if !fresh.iter().any(Stored::is_closing) {
        // The event that tells of an end may be lost; that nothing can run any more is known without it (L6).
        if elapsed(run.accepted_at, ctx.clock.now()) > LONGEST_EXECUTION.saturating_add(GRACE) {
            return close(ctx, End::Unfinished, evidence, pager).await.map(|_| ());
        }
        return seal_fresh(ctx, run.sealed, &fresh, evidence).await;
    }
    finish(ctx, &run, evidence, pager).await?.1
}

async fn open_runs(cells: &impl Cells) -> Result<Vec<String>, Fault> {
    Ok(load::<OpenRuns>(cells, &keys::open_runs()).await?.unwrap_or_default().executions)
}

async fn forget_open_run(cells: &impl Cells, execution: &str) -> Result<(), Fault> {
    update::<OpenRuns, _>(cells, &keys::open_runs(), |open| {
        let Some(open) = open.filter(|open| open.executions.iter().any(|known| known == execution)) else {
            return Ok(Change::Keep);
        };
        let executions = open.executions.iter().filter(|known| *known != execution).cloned().collect();
        Ok(Change::Write(OpenRuns { executions }))
    })
    .await
    .map(|_| ())
}
