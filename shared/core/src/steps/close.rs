//! The end of an execution: close the journal, seal it, render the report, tell people.
//!
//! Only this module closes a journal. Sealing to the bucket may be late, never wrong: where an object is there with other
//! bytes, ours lies beside it under a name that its own bytes give, and people are told. A key that cannot be reached makes
//! the report late in the same way.

use super::{Context, Outcome, Reply, Step, not_mine};
use crate::attest::attest;
use crate::call::{self, Call};
use crate::fault::Fault;
use crate::handler::OpenRuns;
use crate::incident::{Ended, Incident, end_attempt};
use crate::journal::{Entry, Record, Stored, Whole, sha256_hex};
use crate::paging::{self, Turn};
use crate::plan::Plan;
use crate::ports::{Cells, Clock, Evidence, Page, Pager, Severity, Signer, Written};
use crate::report;
use crate::run::{End, Run};
use crate::state::{Change, keys, load, update, update_note};
use crate::time::{Millis, elapsed};
use crate::words::count;
use serde_json::Value;
use std::sync::Arc;

/// `TimeoutSeconds` of the workflow: after that no execution runs.
pub const LONGEST_EXECUTION: Millis = Millis::from_secs(14_400);
/// An accepted execution is started within this, by whichever tick gets to it.
const GRACE: Millis = Millis::from_secs(900);

/// How the cause of an end begins whose journal does not read.
const UNRELIABLE: &str = "nothing that is to be relied on is on record";

/// What the report writer works with.
pub struct Writer<'a, C, K, E, P, S> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub evidence: &'a E,
    pub pager: &'a P,
    /// `None` where the stack has no signing key.
    pub signer: Option<&'a S>,
}

pub async fn answer<C: Cells, K: Clock, E: Evidence, P: Pager, S: Signer>(
    writer: &Writer<'_, C, K, E, P, S>,
    event: &Value,
) -> Result<Reply, Fault> {
    match call::read(event)? {
        Call::Tick => writer.tick().await,
        Call::Task(task) if task.step == Step::Report => {
            let end = task
                .end
                .ok_or_else(|| Fault::invalid("end: `Report` must be told how the execution ended"))?;
            writer.close(&task.execution, end).await
        }
        Call::Task(task) => Err(not_mine(task.step, "report-writer")),
        // Whatever ended outside the workflow ends here, explained (L6).
        Call::Ended { execution, .. } => writer.close(&execution, End::Unfinished).await,
    }
}

/// What an end of the workflow is called. That is the same wherever it runs; its success is not. And one that was to go on
/// and did not get to it took nothing back: what it was to go on from stands where it stood.
fn called(end: End, run: &Run, records: &[Record]) -> End {
    let took_back = |record: &Record| matches!(record.entry, Entry::Intent { step: Step::GrantBack, .. });
    match end {
        End::Recovered => run.kind.success(),
        End::RolledBack if run.continues.is_some() && !records.iter().any(took_back) => End::NeedsOperator,
        end => end,
    }
}

/// How a closed journal says that it ended.
struct Closing {
    end: End,
    cause: String,
}

impl Closing {
    fn of(whole: &Whole) -> Result<Self, Fault> {
        let closing = whole.records().iter().find_map(|record| match &record.entry {
            Entry::Closed { end, cause } => Some(Self { end: *end, cause: cause.clone() }),
            _ => None,
        });
        closing.ok_or_else(|| Fault::bug("a closed journal has no last record"))
    }
}

/// What a closed chain reads as, and how it says that it ended. One that is not whole stops everything.
fn closed(chain: &[Arc<Stored>]) -> Result<(Whole, Closing), Fault> {
    let whole = Whole::of(chain).map_err(Fault::bug)?;
    let closing = Closing::of(&whole)?;
    Ok((whole, closing))
}

impl<C: Cells, K: Clock, E: Evidence, P: Pager, S: Signer> Writer<'_, C, K, E, P, S> {
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

    /// The run that ends. One that does not read is written anew from its journal: no step of it can do anything more, and
    /// without it not even its end could be told (L6).
    async fn run_of(&self, execution: &str) -> Result<Arc<Run>, Fault> {
        let unread = match Run::read(self.cells, execution).await {
            Err(unread @ Fault::Bug(_)) => unread,
            read => return read,
        };
        let (key, told) = (keys::run(execution), self.told_by_the_journal(execution).await?);
        let run = update_note::<Run, _>(self.cells, &key, |run| {
            Ok(run.map_or_else(|| Change::Write(told.clone()), |_| Change::Keep))
        });
        run.await?.ok_or(unread)
    }

    /// What the journal of `execution` says of it, as far as its end needs that.
    async fn told_by_the_journal(&self, execution: &str) -> Result<Run, Fault> {
        let records = self.context(execution).journal().records().await?;
        let asked = |record: &Record| matches!(record.entry, Entry::Intent { step: Step::Promote, .. });
        let epoch = records.iter().find_map(|record| match &record.entry {
            Entry::Assessed { epoch, .. } => *epoch,
            Entry::Continued { from } => from.epoch,
            _ => None,
        });
        let first = records.first().map(|first| &first.entry);
        let Some(Entry::Accepted { incident, attempt, kind, continues, accepted_at, .. }) = first else {
            return Err(Fault::bug(format!("neither the run `{execution}` nor its journal reads")));
        };
        Ok(Run {
            attempt: *attempt,
            plan_digest: self.plan_digest.to_owned(),
            continues: continues.clone(),
            started: true,
            epoch,
            promotion_asked: records.iter().any(asked),
            ..Run::first(execution, incident, *kind, *accepted_at)
        })
    }

    /// Closes `execution` with `end`, unless it was closed before; then says so to everybody.
    async fn close(&self, execution: &str, end: End) -> Result<Reply, Fault> {
        let ctx = self.context(execution);
        let run = self.run_of(execution).await?;
        // The workflow asks for the end, and EventBridge tells of it once more.
        if let Some(end) = run.end
            && !open_runs(self.cells).await?.iter().any(|open| open == execution)
        {
            return Ok(Reply::new(Outcome::Done, format!("{end}; sealed")));
        }
        let mut chain = match ctx.journal().all_stored().await {
            Err(Fault::Bug(why)) => return self.close_unread(&ctx, &run, end, &why).await,
            read => read?,
        };
        let mut whole = match Whole::of(&chain) {
            Err(broken) => return self.close_unread(&ctx, &run, end, &broken.to_string()).await,
            Ok(whole) => whole,
        };
        if !chain.iter().any(|stored| stored.is_closing()) {
            let read = chain.len();
            let end = called(end, &run, whole.records());
            let cause = report::cause(whole.records(), end);
            ctx.journal().append(Entry::Closed { end, cause }).await?;
            let last = u64::try_from(read).unwrap_or(u64::MAX);
            chain.extend(ctx.journal().stored_behind(last).await?);
            whole.extend(chain.get(read..).unwrap_or_default()).map_err(Fault::bug)?;
        }
        let closing = Closing::of(&whole)?;
        let sealed = self.finish(&ctx, &run, &chain, &whole, &closing).await?;
        let detail = match sealed {
            Ok(()) => format!("{}; sealed", closing.end),
            Err(fault) => format!("{}; sealing is late: {fault}", closing.end),
        };
        Ok(Reply::new(Outcome::Done, detail))
    }

    /// The end of one whose journal does not read, or is not whole: closed and told all the same, and not sealed before it
    /// is mended.
    async fn close_unread(
        &self,
        ctx: &Context<'_, C, K>,
        run: &Run,
        end: End,
        why: &str,
    ) -> Result<Reply, Fault> {
        let closing = Closing { end: called(end, run, &[]), cause: format!("{UNRELIABLE}: {why}") };
        let entry = Entry::Closed { end: closing.end, cause: closing.cause.clone() };
        match ctx.journal().append(entry).await {
            // Closed before.
            Ok(_) | Err(Fault::Fenced(_)) => {}
            Err(fault) => return Err(fault),
        }
        end_attempt_of(ctx, run, None, closing.end).await?;
        self.tell(ctx, run, &closing).await?;
        Ok(Reply::new(Outcome::Done, format!("{}; not sealed: {}", closing.end, closing.cause)))
    }

    /// Seals what has been recorded of every open run.
    async fn tick(&self) -> Result<Reply, Fault> {
        let open = open_runs(self.cells).await?;
        let mut failed = None;
        // One run that cannot be sealed must not keep the others from it.
        for execution in &open {
            failed = failed.or(self.tick_one(execution).await.err());
        }
        if let Some(fault) = failed {
            return Err(fault);
        }
        Ok(Reply::new(Outcome::Done, count(open.len(), "open run")))
    }

    /// The tick for one open run: seal what has been recorded; finish what was closed but not finished.
    async fn tick_one(&self, execution: &str) -> Result<(), Fault> {
        let ctx = self.context(execution);
        let run = match Run::read(self.cells, execution).await {
            // It can do nothing more, and its workflow ends it: until then it is left as it is.
            Err(Fault::Bug(_)) => Arc::new(self.told_by_the_journal(execution).await?),
            read => read?,
        };
        // The event that tells of an end may be lost; that nothing can run any more is known without it (L6).
        let over = elapsed(run.accepted_at, self.clock.now()) > LONGEST_EXECUTION.saturating_add(GRACE);
        let fresh = match ctx.journal().stored_behind(run.sealed).await {
            Err(Fault::Bug(_)) if over && run.end.is_none() => {
                return self.close(execution, End::Unfinished).await.map(|_| ());
            }
            read => read?,
        };
        if !fresh.iter().any(|stored| stored.is_closing()) {
            if over {
                return self.close(execution, End::Unfinished).await.map(|_| ());
            }
            return self.seal_fresh(&ctx, run.sealed, &fresh).await;
        }
        let run = self.run_of(execution).await?;
        let chain = ctx.journal().all_stored().await?;
        let (whole, closing) = closed(&chain)?;
        self.finish(&ctx, &run, &chain, &whole, &closing).await?
    }

    /// What follows a closed journal, in an order that may be broken off anywhere and begun again: end the attempt,
    /// seal, tell people, take the run off the list. Evidence or a key out of reach is late, not lost: the run stays on
    /// the list, and the tick comes back to it; as it does while nobody is known to have told people.
    async fn finish(
        &self,
        ctx: &Context<'_, C, K>,
        run: &Run,
        chain: &[Arc<Stored>],
        whole: &Whole,
        closing: &Closing,
    ) -> Result<Result<(), Fault>, Fault> {
        end_attempt_of(ctx, run, Some(whole), closing.end).await?;
        let sealed = self.seal(ctx, run.sealed, chain, whole).await;
        let told = self.tell(ctx, run, closing).await?;
        if told && sealed.is_ok() {
            forget_open_run(self.cells, ctx.execution).await?;
        }
        Ok(sealed)
    }

    /// Tells people how it ended; true once they were told. A closing and a tick that meet tell them once, for the
    /// page is claimed first. Who was killed behind its claim is made up for a tick later, and who was killed behind
    /// the page tells it again: an end is told at least once, and repetitions have one `dedup` (L5, L6).
    async fn tell(&self, ctx: &Context<'_, C, K>, run: &Run, closing: &Closing) -> Result<bool, Fault> {
        if run.end.is_some() {
            return Ok(true);
        }
        let page = summary(ctx, run, closing);
        let now = self.clock.now();
        match paging::claim(self.cells, &page.dedup, now, self.plan.tick, None).await? {
            Turn::Others => return Ok(false),
            Turn::Mine => {
                self.pager.page(&page).await?;
                paging::told(self.cells, &page.dedup, now).await?;
            }
            Turn::Told => {}
        }
        Run::change(self.cells, ctx.execution, |run| run.end = Some(closing.end)).await?;
        Ok(true)
    }

    /// Seals the records behind number `last`, and the report over all of them.
    async fn seal(
        &self,
        ctx: &Context<'_, C, K>,
        last: u64,
        chain: &[Arc<Stored>],
        whole: &Whole,
    ) -> Result<(), Fault> {
        let sealed = usize::try_from(last).unwrap_or(usize::MAX);
        self.seal_records(ctx, last, chain.get(sealed..).unwrap_or_default()).await?;
        let last = chain.last().ok_or_else(|| Fault::bug("an empty journal was closed"))?;
        if self.signer.is_none() && self.plan.retention.signing_key.is_some() {
            // Never `self_attested` instead.
            let why = "the plan says who signs, and this stack was deployed without: give it the `SigningKey` of `understudy plan parameters`";
            return Err(Fault::bug(why));
        }
        let attestation = attest(self.cells, self.clock, ctx.execution, last, self.signer).await?;
        let report = report::build(ctx.plan, whole, attestation)?;
        let bytes = serde_json::to_vec_pretty(&report).map_err(Fault::bug)?;
        self.put(&report_key(&ctx.plan.name, ctx.execution), &bytes, JSON).await?;
        let page = report::html::page(&report);
        self.put(&page_key(&ctx.plan.name, ctx.execution), page.as_bytes(), HTML).await
    }

    /// Seals what came since the last tick, so that a long execution is not sealed anew every minute.
    async fn seal_fresh(
        &self,
        ctx: &Context<'_, C, K>,
        sealed: u64,
        fresh: &[Arc<Stored>],
    ) -> Result<(), Fault> {
        if fresh.is_empty() {
            return Ok(());
        }
        self.seal_records(ctx, sealed, fresh).await?;
        let until = sealed.saturating_add(u64::try_from(fresh.len()).unwrap_or(0));
        Run::change(self.cells, ctx.execution, |run| run.sealed = run.sealed.max(until)).await.map(|_| ())
    }

    /// Seals records, the first of which is the one behind number `last`.
    async fn seal_records(
        &self,
        ctx: &Context<'_, C, K>,
        last: u64,
        chain: &[Arc<Stored>],
    ) -> Result<(), Fault> {
        for (seq, stored) in (last.saturating_add(1)..).zip(chain) {
            let key = record_key(&ctx.plan.name, ctx.execution, seq);
            self.put(&key, stored.bytes().as_bytes(), JSON).await?;
        }
        Ok(())
    }

    async fn put(&self, key: &str, bytes: &[u8], content_type: &str) -> Result<(), Fault> {
        if self.evidence.put_once(key, bytes, content_type).await? == Written::Done {
            return Ok(());
        }
        let beside = key_beside(key, bytes);
        match self.evidence.put_once(&beside, bytes, content_type).await? {
            Written::Done => self.tell_other_bytes(key, &beside).await,
            Written::Conflict => {
                Err(Fault::bug(format!("`{key}` and `{beside}` are already there with other bytes")))
            }
        }
    }

    /// Somebody planted an object, or another version of this stack rendered a report otherwise.
    async fn tell_other_bytes(&self, key: &str, beside: &str) -> Result<(), Fault> {
        let now = self.clock.now();
        let dedup = format!("other-bytes-{key}");
        match paging::claim(self.cells, &dedup, now, self.plan.tick, None).await? {
            Turn::Mine => {}
            Turn::Told => return Ok(()),
            // Whoever is about to may have been killed: sealing is late until it was told.
            Turn::Others => return Err(Fault::transient("another delivery is about to tell of other bytes")),
        }
        let text = format!(
            "{}: EVIDENCE: `{key}` held other bytes before it was sealed; ours lie beside it as `{beside}`. A report may come \
             from another version of this stack; a record was planted: see who may put to this bucket, and keep both. \
             `understudy journal export` takes ours",
            self.plan.title
        );
        // A report may have been rendered by another version; a record cannot.
        let severity = if key.starts_with("reports/") { Severity::Warning } else { Severity::Critical };
        let page =
            Page { severity, plan: self.plan.name.clone(), incident: None, text, dedup: dedup.clone() };
        self.pager.page(&page).await?;
        paging::told(self.cells, &dedup, now).await
    }
}

async fn end_attempt_of<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    whole: Option<&Whole>,
    end: End,
) -> Result<(), Fault> {
    let claims = |record: &Record| matches!(record.entry, Entry::Intent { step: Step::CloseLease, .. });
    let took_nothing = whole.is_some_and(|whole| !whole.records().iter().any(claims));
    let ended = Ended { at: ctx.clock.now(), end, blocking: run.blocking.clone(), took_nothing };
    update::<Incident, _>(ctx.cells, &keys::incident(), |incident| {
        end_attempt(incident, ctx.execution, &ended)
    })
    .await
    .map(|_| ())
}

fn summary<C, K>(ctx: &Context<'_, C, K>, run: &Run, closing: &Closing) -> Page {
    let Closing { end, cause } = closing;
    let severity = match end {
        _ if cause.starts_with(UNRELIABLE) => Severity::Critical,
        End::Recovered | End::Rehearsed if cause.ends_with(report::LEFT_FROZEN) => Severity::Warning,
        End::Recovered | End::Rehearsed => Severity::Info,
        End::Refused | End::RolledBack => Severity::Warning,
        End::NeedsOperator | End::Unfinished => Severity::Critical,
    };
    Page {
        severity,
        plan: ctx.plan.name.clone(),
        incident: Some(run.incident.clone()),
        text: format!("{}: {} {end}. {cause}", ctx.plan.title, ctx.execution),
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

/// Where an object lies whose own key holds other bytes: nobody can take that name before the bytes are known.
pub fn key_beside(key: &str, bytes: &[u8]) -> String {
    let digest = sha256_hex(bytes);
    let short = digest.get(..BESIDE_DIGITS).unwrap_or(&digest);
    match key.rsplit_once('.') {
        Some((name, kind)) => format!("{name}.{short}.{kind}"),
        None => format!("{key}.{short}"),
    }
}

/// So many digits of an object's sha256 stand in the name of one that lies beside.
pub const BESIDE_DIGITS: usize = 16;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

async fn open_runs(cells: &impl Cells) -> Result<Vec<String>, Fault> {
    Ok(load::<OpenRuns>(cells, &keys::open_runs()).await?.unwrap_or_default().executions)
}

async fn forget_open_run(cells: &impl Cells, execution: &str) -> Result<(), Fault> {
    update_note::<OpenRuns, _>(cells, &keys::open_runs(), |open| {
        let Some(open) = open.filter(|open| open.executions.iter().any(|known| known == execution)) else {
            return Ok(Change::Keep);
        };
        let executions = open.executions.iter().filter(|known| *known != execution).cloned().collect();
        Ok(Change::Write(OpenRuns { executions }))
    })
    .await
    .map(|_| ())
}
