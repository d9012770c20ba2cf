//! Go on from an execution that stopped half-way: what it held becomes this one's, and the way on follows from its
//! journal.
//!
//! Behind its last record an execution writes nothing any more, so that nothing of it acts any more either (L6); and
//! its claim of the lease keeps everybody else out. Whoever goes on needs a journal of its own, and that claim under its
//! own name. Both journals together are the record: this one names the last record of that one.

use super::fence::alive;
use super::promote::{all_alone, under_way};
use super::{Context, Outcome, Reply, Step};
use crate::fault::Fault;
use crate::journal::{Entry, Record, Stopped, Stored, Whole};
use crate::keepers::Keeper;
use crate::lease::{self, Lease};
use crate::ports::{Both, Cells, Clock, Databases};
use crate::run::{Receipt, Run};
use crate::state::{keys, update};
use futures_util::future::join_all;
use jiff::Timestamp;

/// `Continue`: forward if a promotion was asked for, back if none was (L2, L8).
pub async fn take_up<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    databases: &Both<'_, impl Databases>,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let stopped = run.continues.as_ref().ok_or_else(|| Fault::bug("`Continue` ran, and nothing stopped"))?;
    let line = Line::to(ctx, stopped).await?;
    // Which way it goes is judged once: a second delivery finds it on record, whatever it would see by now (L5).
    let from = match taken_up(ctx).await? {
        Some(from) => from,
        None => judged(ctx, keepers, &run, line.told(ctx.clock.now()), databases.at(run.kind.to())).await?,
    };
    ctx.journal()
        .append_once(Entry::Intent { step: Step::Continue, what: format!("take up what `{stopped}` holds") })
        .await?;
    if let Some(epoch) = from.epoch {
        take_claims(ctx, keepers, epoch, &line, from.promotes).await?;
    }
    ctx.journal().append_once_unless(Entry::Continued { from: from.clone() }, other_way).await?;
    Run::change(ctx.cells, ctx.execution, |run| {
        run.epoch = from.epoch;
        run.receipt.clone_from(&from.receipt);
        run.positions.clone_from(&from.positions);
        run.promotion_asked |= from.promotes;
        if let Some(at) = from.decided_at {
            run.since.entry(Step::CloseLease).or_insert(at);
        }
    })
    .await?;
    let (outcome, way) = if from.promotes {
        (Outcome::Forward, "a promotion was asked for: only forward")
    } else {
        (Outcome::Back, "nothing was promoted: all is taken back")
    };
    ctx.outcome(Step::Continue, outcome, format!("goes on from `{stopped}`; {way}")).await
}

/// What an earlier delivery took up.
async fn taken_up<C: Cells, K: Clock>(ctx: &Context<'_, C, K>) -> Result<Option<Stopped>, Fault> {
    let records = ctx.journal().records().await?;
    Ok(records.into_iter().find_map(|record| match record.entry {
        Entry::Continued { from } => Some(from),
        _ => None,
    }))
}

/// Two deliveries that judge at the same time: the second goes the way of the first.
fn other_way(stored: &Stored) -> Result<(), Fault> {
    match stored.record()?.entry {
        Entry::Continued { .. } => Err(Fault::transient("another delivery took it up in this moment")),
        _ => Ok(()),
    }
}

/// What the journals tell, held against what the service and the observers say now.
async fn judged<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    run: &Run,
    from: Stopped,
    databases: &impl Databases,
) -> Result<Stopped, Fault> {
    let to = run.kind.to();
    if !from.promotes {
        if !all_alone(ctx.plan, to, databases).await? {
            // Whatever keeps it busy may be a promotion by a hand, which would write beside a lease that is given back (L4).
            if under_way(ctx.plan, to, databases).await? {
                let what = "is busy: whether a hand promoted it is not known until it is `available` or stands alone";
                return Err(Fault::transient(format!("an instance of the {} {what}", to.name())));
            }
            return Ok(from);
        }
        // A hand promoted it, and may have let it write: it must not come to two writers by giving the lease back.
        if from.receipt.is_some() {
            return Ok(Stopped { promotes: true, ..from });
        }
        return Err(Fault::invalid(format!(
            "the {} stands alone, and no receipt says that the other side is fenced: promoted by a hand, it goes on by a hand \
             (runbook)",
            to.name()
        )));
    }
    // The service never took the promotion, and meanwhile the primary is back: what was accepted holds no longer. Should the
    // promotion come after all, it finds its own fence in the data that it brings along, and nobody lifts it (L2).
    let accepted = matches!(from.receipt, Some(Receipt::Accepted { .. }));
    let back =
        accepted && !under_way(ctx.plan, to, databases).await? && alive(ctx, keepers, run).await.is_some();
    Ok(Stopped { promotes: !back, ..from })
}

/// At our own keeper the claim must be one of theirs, or this one's already: anything newer means that somebody else took
/// over. A keeper that is away, or was left open, keeps what it has: a renewal under a newer epoch takes either.
async fn take_claims<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    epoch: u64,
    line: &Line,
    forward: bool,
) -> Result<(), Fault> {
    let theirs = |claimant: &str| line.0.iter().any(|ended| ended.execution == claimant);
    let taken = keepers.iter().map(|keeper| async move {
        update::<Lease, _>(keeper.cells, &keys::lease(), |lease| {
            Ok(lease::take_up(lease, epoch, theirs, ctx.execution))
        })
        .await
    });
    // The first is the one that every later step reads.
    let own = join_all(taken).await.into_iter().next();
    let lease = own.ok_or_else(|| Fault::bug("a lease without a keeper"))??;
    let ours = |lease: &Lease| lease.epoch == epoch && lease.closed_by.as_deref() == Some(ctx.execution);
    match lease {
        Some(lease) if forward && !ours(&lease) => Err(Fault::Fenced(format!(
            "epoch {epoch} was claimed, and the lease is at epoch {}: somebody else took over since",
            lease.epoch
        ))),
        _ => Ok(()),
    }
}

/// An execution that ended, by its journal.
struct Ended {
    execution: String,
    whole: Whole,
}

/// The ended executions that went on from each other, the newest first.
struct Line(Vec<Ended>);

impl Line {
    async fn to<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, stopped: &str) -> Result<Self, Fault> {
        let mut line: Vec<Ended> = Vec::new();
        let mut next = Some(stopped.to_owned());
        while let Some(execution) = next.filter(|next| line.iter().all(|known| known.execution != *next)) {
            let whole = ended(ctx, &execution).await?;
            next = whole.records().first().and_then(|first| match &first.entry {
                Entry::Accepted { continues, .. } => continues.clone(),
                _ => None,
            });
            line.push(Ended { execution, whole });
        }
        Ok(Self(line))
    }

    /// What their journals, from the first one on, say of what the last one held.
    fn told(&self, now: Timestamp) -> Stopped {
        let newest = self.0.first();
        let records = || self.0.iter().rev().flat_map(|ended| ended.whole.records());
        let none = Stopped {
            execution: newest.map(|ended| ended.execution.clone()).unwrap_or_default(),
            head_sha256: newest.map(|ended| ended.whole.head_sha256().to_owned()).unwrap_or_default(),
            accepted_at: records().next().map_or(now, |first| first.at),
            served_at: None,
            decided_at: None,
            fenced_at: None,
            epoch: None,
            receipt: None,
            positions: Vec::new(),
            promotes: false,
            moved_at: None,
            last_bad: None,
        };
        records().fold(none, and)
    }
}

/// The journal of an execution that ended: whole, and closed. Whoever still writes there still acts.
async fn ended<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, execution: &str) -> Result<Whole, Fault> {
    let chain = Context { execution, ..*ctx }.journal().all_stored().await?;
    let whole = Whole::of(&chain).map_err(|broken| {
        Fault::bug(format!(
            "the journal of `{execution}` is not whole, and nothing goes on from it: {broken}"
        ))
    })?;
    let closed = whole.records().last().is_some_and(|last| matches!(last.entry, Entry::Closed { .. }));
    if closed {
        Ok(whole)
    } else {
        Err(Fault::invalid(format!("`{execution}` has not ended: nothing goes on from it yet")))
    }
}

/// What one record more says of it.
fn and(mut from: Stopped, record: &Record) -> Stopped {
    match &record.entry {
        Entry::Accepted { accepted_at, continues: None, .. } => from.accepted_at = *accepted_at,
        Entry::Assessed { epoch, served_at, .. } => {
            from.epoch = from.epoch.or(*epoch);
            if from.decided_at.is_none() {
                from.served_at = (*served_at).max(from.served_at);
            }
        }
        Entry::Intent { step: Step::CloseLease, .. } => {
            from.decided_at = from.decided_at.or(Some(record.at));
        }
        Entry::Fenced { receipt } => {
            from.receipt = from.receipt.or_else(|| Some(receipt.clone()));
            from.fenced_at = from.fenced_at.or(Some(record.at));
        }
        Entry::Captured { positions } => from.positions.clone_from(positions),
        Entry::Intent { step: Step::Promote, .. } => from.promotes = true,
        Entry::Intent { step: Step::MoveTraffic, .. } => from.moved_at = from.moved_at.or(Some(record.at)),
        Entry::Probed { good: false, .. } => from.last_bad = Some(record.at),
        // Only a look that failed ends it so.
        Entry::Outcome { step: Step::Confirm, outcome, .. } if outcome == "exhausted" => {
            from.last_bad = Some(record.at);
        }
        _ => {}
    }
    from
}
