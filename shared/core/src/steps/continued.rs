//! Go on from an execution that stopped half-way: what it held becomes this one's, and the way on follows from its
//! journal.
//!
//! Behind its last record an execution writes nothing any more, so that nothing of it acts any more either (L6); and
//! its claim of the lease keeps everybody else out. Whoever goes on needs a journal of its own, and that claim under its
//! own name. Both journals together are the record: this one names the last record of that one.

use super::fence::{alive, barred, there};
use super::promote::pause;
use super::{Context, Outcome, Reply, Step};
use crate::fault::Fault;
use crate::journal::{Entry, Record, Stopped, Stored, Whole};
use crate::keepers::Keeper;
use crate::lease::{self, Lease};
use crate::plan::Plan;
use crate::ports::{Both, Cells, Clock, Databases};
use crate::run::{Kind, Receipt, Run, Sighted};
use crate::state::{keys, update};
use crate::switch::Side;
use crate::time::{Millis, after, elapsed};
use crate::words::instant;
use futures_util::future::join_all;
use jiff::Timestamp;

/// `Continue`: forward if a promotion was asked for, back if none was (L2, L8).
pub async fn take_up<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    keepers: &[Keeper<'_, C>],
    databases: &Both<'_, impl Databases>,
) -> Result<Reply, Fault> {
    let now = ctx.clock.now();
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::Continue, now).await?;
    let stopped = run.continues.as_ref().ok_or_else(|| Fault::bug("`Continue` ran, and nothing stopped"))?;
    let line = Line::to(ctx, stopped).await?;
    // Which way it goes is judged once: a second delivery finds it on record, whatever it would see by now (L5).
    let from = match taken_up(ctx).await? {
        Some(from) => from,
        None => {
            match judged(
                ctx,
                &Ask { keepers, run: &run, line: &line, entered, since },
                databases.at(run.kind.to()),
            )
            .await?
            {
                Judged::Goes(from) => *from,
                Judged::Waits(why) if elapsed(since, now) > patience(ctx) => {
                    return ctx.outcome(Step::Continue, Outcome::Exhausted, why).await;
                }
                Judged::Waits(why) => return Ok(Reply::again(pause(ctx), why)),
            }
        }
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
        (Outcome::Back, "all is to be taken back")
    };
    ctx.outcome(Step::Continue, outcome, format!("goes on from `{stopped}`; {way}")).await
}

/// A promotion that the service took shows within this.
pub(super) fn patience<C, K>(ctx: &Context<'_, C, K>) -> Millis {
    ctx.plan.stores.iter().map(|store| store.promote_timeout).max().unwrap_or_default()
}

/// What gives way may have its lease back though the other side cannot be asked, once that has lasted so long.
const UNREACHED: Millis = Millis::from_secs(60);

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

enum Judged {
    Goes(Box<Stopped>),
    /// What is needed for it cannot be told yet.
    Waits(String),
}

fn goes(from: Stopped) -> Judged {
    Judged::Goes(Box::new(from))
}

/// What is asked of one way on.
struct Ask<'a, C> {
    keepers: &'a [Keeper<'a, C>],
    run: &'a Run,
    line: &'a Line,
    /// By the workflow's clock.
    entered: Option<Timestamp>,
    /// When it was asked first.
    since: Timestamp,
}

/// What the journals tell, held against what the service and the observers say now.
async fn judged<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    ask: &Ask<'_, C>,
    databases: &impl Databases,
) -> Result<Judged, Fault> {
    let now = ctx.clock.now();
    let from = ask.line.told(now);
    // The lease may be with the other side again, which then writes by right: nothing goes forward from there (L2).
    if ask.line.any(|entry| is_intent(entry, Step::GrantBack)) {
        return Ok(back(from));
    }
    if from.promotes {
        all_fenced(ctx, &from)?;
        if !at_a_risk(&from) {
            return Ok(goes(from));
        }
    }
    let seen = Seen::by(ctx.plan, ask.run.kind.to(), databases).await;
    let sighted = sighted(ctx, &seen, now).await?;
    if from.promotes {
        return forward_at_a_risk(ctx, ask, from, seen).await;
    }
    let side = ask.run.kind.to().name();
    match seen {
        Seen { alone: true, unread: None, .. } if from.receipt.is_some() => {
            // Where both may write, clients stay where they are until somebody stops the other side (L2, L8).
            if at_a_risk(&from)
                && let Some(why) = alive(ctx, ask.keepers, ask.run, ask.entered).await
            {
                return Ok(Judged::Waits(format!(
                    "{why}, and a hand promoted the {side}: both may write. Stop the other side, then `understudy continue`"
                )));
            }
            // A hand promoted it, and may have let it write: it must not come to two writers by giving the lease back.
            Ok(goes(Stopped { promotes: true, by_hand: true, ..from }))
        }
        Seen { alone: true, unread: None, .. } => Err(Fault::invalid(format!(
            "the {side} stands alone, and no receipt says that the other side is fenced: promoted by a hand, it goes on by a hand \
             (runbook)"
        ))),
        // Whatever keeps it busy may be a promotion by a hand, which would write beside a lease that is given back (L4). Once it
        // has kept it busy for as long as a promotion may take, it was something else.
        seen if seen.some
            || (seen.busy
                && elapsed(ask.since, now) <= patience(ctx)
                && !waited_for(ctx, ask, &from).await) =>
        {
            Ok(Judged::Waits(format!(
                "an instance of the {side} is busy, or stands alone beside others that do not: whether a hand promoted it is not \
             known until all are `available` or all stand alone"
            )))
        }
        // Nothing was promoted by us, and what gave way has all that was written: one Region that is lost does not keep the
        // other shut, however it answers (L1).
        Seen { unread: Some(fault), .. }
            if ask.run.kind.to() == Side::Primary && !sighted.perhaps_promoted =>
        {
            let long = sighted.unreached_since.is_some_and(|since| elapsed(since, now) > UNREACHED);
            Ok(if long { back(from) } else { Judged::Waits(fault.to_string()) })
        }
        // Nor does a service that is away keep a primary shut that is there.
        Seen { unread: Some(_), .. }
            if elapsed(ask.since, now) > UNREACHED && waited_for(ctx, ask, &from).await =>
        {
            Ok(back(from))
        }
        Seen { unread: Some(fault), .. } => Err(fault),
        Seen { .. } => Ok(goes(from)),
    }
}

/// A primary that is there, whose writers we keep out: one that gave way, or one that was lost and is back.
async fn waited_for<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, ask: &Ask<'_, C>, from: &Stopped) -> bool {
    if ask.run.kind == Kind::Failback {
        return false;
    }
    let run = Run { epoch: from.epoch, ..ask.run.clone() };
    there(ctx, ask.keepers, &run, ask.entered).await.is_some()
}

fn at_a_risk(from: &Stopped) -> bool {
    matches!(from.receipt, Some(Receipt::Accepted { .. }))
}

fn back(from: Stopped) -> Judged {
    goes(Stopped { promotes: false, ..from })
}

/// A risk that somebody took is not taken once more beside a primary that lives: then it goes back, unless the service took
/// the promotion after all, whose own word for it may come late.
async fn forward_at_a_risk<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    ask: &Ask<'_, C>,
    from: Stopped,
    seen: Seen,
) -> Result<Judged, Fault> {
    if let Some(fault) = seen.unread {
        return Err(fault);
    }
    let unfenced = ask.line.any(|entry| is_intent(entry, Step::Unfence));
    let now = ctx.clock.now();
    let surely = after(ask.line.asked_at().unwrap_or(now), patience(ctx));
    // What is busy for longer than a promotion may take is busy with something else.
    let through = seen.some || unfenced || (seen.busy && now <= surely);
    let known = Run { epoch: from.epoch, ..ask.run.clone() };
    let barred = barred(ctx, ask.keepers, &known, ask.entered).await;
    let Some(why) = barred.filter(|_| !through) else { return Ok(goes(from)) };
    Ok(if now > surely {
        back(from)
    } else {
        Judged::Waits(format!("{why}; whether a promotion comes is sure from {} on", instant(surely)))
    })
}

/// The instances of the side that takes over, as the service tells of them.
pub(super) struct Seen {
    /// Every required store stands alone.
    alone: bool,
    /// Some store does.
    pub(super) some: bool,
    /// A replica is anything but `available`.
    busy: bool,
    /// Why one could not be asked for. What others tell stands.
    unread: Option<Fault>,
}

impl Seen {
    /// Why it is not known whether a hand promoted one that still follows; `None`: none did. What has been busy since `since` for as
    /// long as a promotion may take was busy with something else.
    pub(super) fn not_known(&self, since: Option<Timestamp>, now: Timestamp, long: Millis) -> Option<String> {
        let other = since.is_some_and(|since| elapsed(since, now) > long);
        match &self.unread {
            Some(fault) => Some(fault.to_string()),
            None => (self.busy && !other).then(|| "an instance is busy".to_owned()),
        }
    }

    /// One is busy, or stands alone: so looks a promotion.
    fn perhaps_promoted(&self) -> bool {
        self.busy || self.some
    }

    pub(super) async fn by(plan: &Plan, to: Side, databases: &impl Databases) -> Self {
        let mut seen = Self { alone: true, some: false, busy: false, unread: None };
        for store in &plan.stores {
            match databases.describe(&store.instance(to).id).await {
                Ok(Some(instance)) => {
                    let alone = instance.source.is_none();
                    seen.alone &= alone || !store.required;
                    seen.some |= alone && store.required;
                    seen.busy |= !alone && instance.status != "available";
                }
                Ok(None) => seen.alone &= !store.required,
                Err(fault) => seen.unread = Some(fault),
            }
        }
        seen
    }
}

/// Notes whether the service could be asked, since when it could not, and whether anything looked like a promotion.
async fn sighted<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    seen: &Seen,
    now: Timestamp,
) -> Result<Sighted, Fault> {
    let run = Run::change(ctx.cells, ctx.execution, |run| {
        let before = run.sighted;
        run.sighted = Sighted {
            unreached_since: seen.unread.as_ref().and(before.unreached_since.or(Some(now))),
            perhaps_promoted: before.perhaps_promoted || seen.perhaps_promoted(),
        };
    });
    Ok(run.await?.sighted)
}

/// A store that came into the plan since was never fenced.
fn all_fenced<C, K>(ctx: &Context<'_, C, K>, from: &Stopped) -> Result<(), Fault> {
    let known = |name: &str| from.positions.iter().any(|position| position.store == name);
    match ctx.plan.stores.iter().find(|store| !known(&store.name)) {
        Some(store) if !from.positions.is_empty() => Err(Fault::invalid(format!(
            "store `{}` was in no plan when `{}` fenced: deploy the plan of that time, then `continue`",
            store.name, from.execution
        ))),
        _ => Ok(()),
    }
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

    /// From the first one on.
    fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().rev().flat_map(|ended| ended.whole.records())
    }

    fn any(&self, is: impl Fn(&Entry) -> bool) -> bool {
        self.records().any(|record| is(&record.entry))
    }

    /// When a promotion was asked for last.
    fn asked_at(&self) -> Option<Timestamp> {
        self.records().filter(|record| is_intent(&record.entry, Step::Promote)).last().map(|record| record.at)
    }

    /// What their journals say of what the last one held.
    fn told(&self, now: Timestamp) -> Stopped {
        let newest = self.0.first();
        let records = || self.records();
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
            by_hand: false,
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

fn is_intent(entry: &Entry, step: Step) -> bool {
    matches!(entry, Entry::Intent { step: intended, .. } if *intended == step)
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
        // Whoever was fenced may write again.
        Entry::Intent { step: Step::GrantBack, .. } => (from.receipt, from.fenced_at) = (None, None),
        Entry::Captured { positions } => from.positions.clone_from(positions),
        Entry::Intent { step: Step::Promote, .. } => from.promotes = true,
        Entry::Continued { from: earlier } => {
            from.promotes |= earlier.promotes;
            from.by_hand |= earlier.by_hand;
        }
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
