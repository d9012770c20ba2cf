//! Close the lease, fence a lost primary, capture what the standby received; and give the lease back.
//!
//! Close first, wait after: the wait counts from renewals that can no longer be followed by another. Without a
//! receipt nothing after this module runs (L2). A primary that lives is asked in `handover`, not here.

use super::assess::votes;
use super::continued::{self, Seen};
use super::handover::{self, OurWriters};
use super::promote::let_write;
use super::{Context, Outcome, Reply, Step};
use crate::approval::{Asked, Matter};
use crate::fault::Fault;
use crate::journal::{Entry, Stored};
use crate::keepers::{Keeper, STANDBY, peek};
use crate::lease::{self, AHEAD, Claim, KeeperView, Lease, Sighting, close, last_renewals, made_ahead};
use crate::observed::Observed;
use crate::plan::OnLeaseLoss;
use crate::ports::{Both, Cells, Clock, Databases, GivesWay, Sql};
use crate::returned::Returned;
use crate::run::{Closed, Kind, Position, Receipt, Run};
use crate::sql::{Answer, Statement};
use crate::state::{Change, keys, load, update};
use crate::switch::Side;
use crate::time::{Millis, elapsed};
use crate::votes::Vote;
use crate::words::{count, instant};
use futures_util::future::join_all;
use jiff::Timestamp;

/// A keeper that could not be closed is asked again this often, well within the workflow's retries.
const CLOSE_LOOKS: u32 = 3;

/// `CloseLease`: claim the epoch at every keeper.
pub async fn close_lease<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    if let Some(closed) = &run.closed {
        note_closed(ctx, closed).await?;
        return Ok(Reply::new(Outcome::Done, closed_text(closed)));
    }
    let epoch = run.claimed_epoch()?;
    // Before any keeper is closed: a guard that sees it stops its writers at once.
    let (_, looks, _) = Run::look(ctx.cells, ctx.execution, Step::CloseLease, ctx.clock.now()).await?;
    ctx.intent(Step::CloseLease, format!("claim epoch {epoch} at {}", count(keepers.len(), "keeper")))
        .await?;
    let to = run.kind.to();
    let claim = Claim {
        epoch,
        claimant: ctx.plan.regions.of(to),
        execution: ctx.execution,
        guarded: to == Side::Standby,
    };
    let answers = join_all(keepers.iter().map(|keeper| close_one(ctx, keeper, claim))).await;
    // Another execution's claim is final; everything else leaves a keeper open, which the fence will see.
    if let Some(Err(fenced @ Fault::Fenced(_))) = answers.iter().find(|c| matches!(c, Err(Fault::Fenced(_))))
    {
        return Err(fenced.clone());
    }
    let seen: Vec<Sighting> = answers.iter().filter_map(|answer| answer.as_ref().ok()).cloned().collect();
    if seen.len() < keepers.len() {
        // One throttled call must not cost the receipt: the workflow asks again before a keeper is left open.
        if seen.is_empty() || looks <= CLOSE_LOOKS {
            return Err(Fault::transient("not every keeper of the lease could be closed"));
        }
    }
    let (at, plan) = (ctx.clock.now(), &ctx.plan.lease);
    let last = last_renewals(&seen, plan, ctx.plan_digest);
    let ahead = seen.iter().find_map(|keeper| made_ahead(keeper, at, plan));
    let unarmed = last.unarmed.or(ahead);
    let closed = Closed {
        at,
        keepers: keepers.iter().zip(answers).map(|(keeper, answer)| view(keeper.name, answer, at)).collect(),
        all: seen.len() == keepers.len(),
        last_renewal_seen_at: last.seen_at,
        armed: unarmed.is_none(),
        unarmed,
        lapses_at: last.lapses_at,
    };
    let run = Run::change(ctx.cells, ctx.execution, |run| {
        run.closed.get_or_insert_with(|| closed.clone());
    })
    .await?;
    let closed = run.closed.as_ref().unwrap_or(&closed);
    note_closed(ctx, closed).await?;
    ctx.outcome(Step::CloseLease, Outcome::Done, closed_text(closed)).await
}

/// What a keeper that was to be closed came to.
fn view(keeper: &str, answer: Result<Sighting, Fault>, at: Timestamp) -> KeeperView {
    let sighting = match answer {
        Ok(seen) => Observed::known(seen, keeper, at),
        Err(fault) => Observed::unknown(fault.to_string()),
    };
    KeeperView { keeper: keeper.to_owned(), sighting }
}

/// What every receipt of a lost primary is judged by. The first close stands, whoever delivers the step again.
async fn note_closed<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, closed: &Closed) -> Result<(), Fault> {
    let entry = Entry::LeaseClosed { closed_at: closed.at, keepers: closed.keepers.clone() };
    ctx.journal().append_once(entry).await
}

fn closed_text(closed: &Closed) -> String {
    let which = if closed.all { "all keepers are closed" } else { "NOT all keepers are closed" };
    match closed.last_renewal_seen_at {
        Some(at) => format!("{which}; the last renewal was first seen at {}", instant(at)),
        None => which.to_owned(),
    }
}

/// Closes one keeper and says when its last renewal was first seen here.
async fn close_one<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keeper: &Keeper<'_, C>,
    claim: Claim<'_>,
) -> Result<Sighting, Fault> {
    let sighting = load::<Sighting>(ctx.cells, &keys::sighting(keeper.name)).await?;
    let closed = update::<Lease, _>(keeper.cells, &keys::lease(), |lease| close(lease, claim))
        .await?
        .ok_or_else(|| Fault::bug("a keeper held nothing after it was closed"))?;
    let now = ctx.clock.now();
    // A renewal that was never sighted happened before the close, so before now: later is safer.
    let first_seen_at = match sighting {
        Some(seen) if seen.lease.epoch < claim.epoch && seen.lease.counter == closed.counter => {
            seen.first_seen_at
        }
        _ => now,
    };
    Ok(Sighting { lease: Lease::clone(&closed), first_seen_at })
}

/// `Fence`: a lost primary is waited out, a living side gives way.
pub async fn fence<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    guard: &impl GivesWay,
    sql: &Both<'_, impl Sql>,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    match run.kind {
        Kind::Failover => wait_out(ctx, entered, &run).await,
        Kind::Switchover | Kind::Drill => handover::fence(ctx, guard).await,
        Kind::Failback => handover::fence(ctx, &OurWriters { ctx, sql: sql.standby }).await,
    }
}

/// The receipt that the lost primary cannot write, or how long until there is one, or why never.
async fn wait_out<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    run: &Run,
) -> Result<Reply, Fault> {
    let epoch = run.claimed_epoch()?;
    let closed = run.closed.as_ref().ok_or_else(|| Fault::bug("`Fence` ran before `CloseLease`"))?;
    // A host whose clock runs ahead must not end a lease early: the workflow's clock has to agree.
    let now = ctx.clock.now();
    let expiry = match entered {
        Some(entered) => expired(ctx, closed, epoch, now.min(entered)),
        None => Expiry::Never("the workflow does not say what its own clock shows".to_owned()),
    };
    match expiry {
        Expiry::Lapsed(receipt) => {
            receive(ctx, &receipt).await?;
            let text = "expired: the lease ran out, and the dead-man was armed with its last renewal";
            ctx.outcome(Step::Fence, Outcome::Fenced, text).await
        }
        Expiry::LapsesAt(at) => {
            let left = elapsed(now, at).saturating_add(Millis(1));
            Ok(Reply::again(left, format!("the old writer's lease lapses at {}", instant(at))))
        }
        Expiry::Never(why) => {
            let shown =
                format!("the old primary is NOT proved to be fenced: {why}. If it lives, both sides write");
            Run::change(ctx.cells, ctx.execution, |run| run.shown.clone_from(&shown)).await?;
            let reply = ctx.outcome(Step::Fence, Outcome::Unproven, why).await?;
            Ok(Reply { wait_seconds: ctx.plan.policy.approval_timeout.secs_ceil().max(1), ..reply })
        }
    }
}

/// Takes a receipt. The first one stands: what comes after it was measured against that one, so a delivery that is
/// late finds it, and puts it on record if an earlier one died before it could (L5). Once the lease was given back the
/// primary may write again, and no receipt is taken any more: both are written to one cell (L2).
pub(super) async fn receive<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    receipt: &Receipt,
) -> Result<(), Fault> {
    let run = Run::change(ctx.cells, ctx.execution, |run| {
        if !run.given_back {
            run.receipt.get_or_insert_with(|| receipt.clone());
        }
    })
    .await?;
    match &run.receipt {
        Some(receipt) if !run.given_back => {
            let entry = Entry::Fenced { receipt: receipt.clone() };
            ctx.journal().append_once_unless(entry, given_back).await
        }
        _ => Err(lease_given_back()),
    }
}

/// The journal has an order of its own: a receipt that was taken in time and comes late to it must not stand behind
/// the lease that was given back, as if it held from there on.
fn given_back(stored: &Stored) -> Result<(), Fault> {
    match stored.record()?.entry {
        Entry::Intent { step: Step::GrantBack, .. } => Err(lease_given_back()),
        _ => Ok(()),
    }
}

fn lease_given_back() -> Fault {
    Fault::Fenced("the lease was given back: whoever was fenced may write again".to_owned())
}

enum Expiry {
    Lapsed(Receipt),
    LapsesAt(Timestamp),
    Never(String),
}

/// The *expired* receipt needs all of: every keeper closed, the dead-man armed, its time run out.
fn expired<C, K>(ctx: &Context<'_, C, K>, closed: &Closed, epoch: u64, now: Timestamp) -> Expiry {
    if ctx.plan.lease.on_loss == OnLeaseLoss::Stay {
        return Expiry::Never("the plan says `on_loss: stay`: no dead-man stops the old primary".to_owned());
    }
    if !closed.all {
        return Expiry::Never(
            "a keeper could not be closed: the old primary may still renew there".to_owned(),
        );
    }
    if let Some(why) = &closed.unarmed {
        return Expiry::Never(why.clone());
    }
    // A keeper that was closed by an older version of this code has noted no end: it is no proof.
    let (true, Some(last_renewal_seen_at), Some(lapsed_at)) =
        (closed.armed, closed.last_renewal_seen_at, closed.lapses_at)
    else {
        return Expiry::Never("no renewal that proves an armed dead-man is on record".to_owned());
    };
    if now > lapsed_at {
        Expiry::Lapsed(Receipt::Expired { epoch, last_renewal_seen_at, lapsed_at })
    } else {
        Expiry::LapsesAt(lapsed_at)
    }
}

/// `Accept`: a named person took the stated risk. It counts only while nothing says that the primary lives: no
/// keeper saw a renewal within its time to live, and no outside vote is up (L8, L11).
pub async fn accept<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    keepers: &[Keeper<'_, C>],
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let epoch = run.claimed_epoch()?;
    let asked = load::<Asked>(ctx.cells, &keys::approval(ctx.execution)).await?;
    let answer = asked
        .as_ref()
        .filter(|asked| asked.question.matter == Matter::Acceptance && asked.question.epoch == epoch);
    let Some(by) = answer.and_then(Asked::approved_by) else {
        return Err(Fault::bug("`Accept` ran without an acceptance on record"));
    };
    // One clock may be wrong, and then no observer's word counts by it (L4).
    if entered.is_none() {
        let why = "the workflow does not say what its own clock shows";
        return ctx.outcome(Step::Accept, Outcome::Unproven, why).await;
    }
    if let Some(why) = barred(ctx, keepers, &run, entered).await {
        return ctx.outcome(Step::Accept, Outcome::Unproven, why).await;
    }
    let at = ctx.clock.now();
    let receipt = Receipt::Accepted { epoch, by: by.clone(), at, risk: run.shown.clone() };
    receive(ctx, &receipt).await?;
    ctx.outcome(Step::Accept, Outcome::Fenced, format!("accepted by {by}")).await
}

/// What bars an acceptance: the primary lives, or its own guard was there of late by either clock. Nobody sees a primary whose
/// health path asks the database, for we keep its writers out.
pub(super) async fn barred<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    run: &Run,
    entered: Option<Timestamp>,
) -> Option<String> {
    if let Some(why) = alive(ctx, keepers, run, entered).await {
        return Some(why);
    }
    let returned = returned_under(ctx, run).await?;
    let clocks = [ctx.clock.now()].into_iter().chain(entered);
    let lately = clocks.into_iter().any(|now| returned.is_there(now, ctx.plan.tick));
    lately.then(|| format!("the primary's guard was there at {}", instant(returned.at)))
}

/// What its guard found in the primary for the epoch of this execution. A note: one that does not read says nothing.
async fn returned_under<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, run: &Run) -> Option<Returned> {
    let returned = load::<Returned>(ctx.cells, &keys::returned()).await.ok().flatten()?;
    (Some(returned.epoch) == run.epoch).then_some(returned)
}

/// What says that the primary lives, by this host's clock or by the workflow's, `entered`: an outside vote that is up, or
/// a renewal within its time to live. By a wrong clock every vote is too old, or dated ahead.
pub(super) async fn alive<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    run: &Run,
    entered: Option<Timestamp>,
) -> Option<String> {
    let noted = votes(keepers, ctx.clock).await;
    let views = peek(keepers, ctx.cells, ctx.clock).await;
    [ctx.clock.now()].into_iter().chain(entered).find_map(|now| {
        let votes = noted.judged(&ctx.plan.detection, now);
        if let Some((observer, _)) = votes.into_iter().find(|(_, vote)| matches!(vote, Vote::Up { .. })) {
            return Some(format!("observer `{}` says that the primary is up", observer.name()));
        }
        let at = renewed_within_ttl(ctx, &views, run, now)?;
        Some(format!("a renewal was seen at {}, within its time to live", instant(at)))
    })
}

/// When a renewal was last seen, if that is within its time to live: before the close, or since then at a keeper
/// that could not be closed.
fn renewed_within_ttl<C, K>(
    ctx: &Context<'_, C, K>,
    views: &[KeeperView],
    run: &Run,
    now: Timestamp,
) -> Option<Timestamp> {
    // Whoever holds it by now: a close keeps the counter, and says nothing of when the renewal before it was seen.
    let since = views.iter().filter_map(|view| view.sighting.value());
    let closed = run.closed.iter().flat_map(|closed| &closed.keepers);
    let before = closed.filter_map(|view| view.sighting.value());
    let within = |seen: &Sighting| {
        let at = seen.seen_by(now);
        (elapsed(at, now) <= seen.lease.ttl(&ctx.plan.lease)).then_some(at)
    };
    // A close by an older version of this code notes no keepers.
    let noted = run.closed.as_ref().filter(|closed| closed.keepers.is_empty());
    let noted = noted.and_then(|closed| closed.last_renewal_seen_at);
    let noted = noted.filter(|at| elapsed(*at, now) <= ctx.plan.lease.ttl);
    since.chain(before).filter_map(within).chain(noted).max()
}

/// `Capture`: the last position that every store received, once nobody writes any more.
///
/// A replica whose primary died in the middle of a record has received more than it will ever replay, so it is
/// waited for only as long as it moves.
pub async fn capture<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    sql: &Both<'_, impl Sql>,
) -> Result<Reply, Fault> {
    let (before, _, since) = Run::look(ctx.cells, ctx.execution, Step::Capture, ctx.clock.now()).await?;
    let Some(receipt) = &before.receipt else {
        return Err(Fault::bug("`Capture` ran without a fence receipt"));
    };
    let mut positions = Vec::new();
    for store in &ctx.plan.stores {
        positions.push(position(&store.name, store.required, sql.at(before.kind.to())).await?);
    }
    Run::change(ctx.cells, ctx.execution, |run| run.positions.clone_from(&positions)).await?;
    if let Some(last) = receipt.last_written().and_then(|last| handover::behind(last, &positions)) {
        return handover::capture(ctx, last, since).await;
    }
    let behind = positions.iter().find(|p| p.required && p.replayed < p.received);
    // A promotion replays what was received, whether anybody waits for that here or not.
    let waited = elapsed(since, ctx.clock.now()) > ctx.plan.lease.ttl;
    if let Some(behind) = behind.filter(|_| positions != before.positions && !waited) {
        let text = format!("`{}` still replays what it received", behind.store);
        return Ok(Reply::again(Millis::from_secs(1), text));
    }
    ctx.journal().append_once(Entry::Captured { positions: positions.clone() }).await?;
    ctx.outcome(Step::Capture, Outcome::Done, count(positions.len(), "store")).await
}

async fn position(store: &str, required: bool, sql: &impl Sql) -> Result<Position, Fault> {
    match sql.ask(&Statement::ReplicaStatus { store: store.to_owned() }).await? {
        Answer::Replica(replica) => Ok(Position {
            store: store.to_owned(),
            required,
            received: replica.received,
            replayed: replica.replayed,
            commit_at: replica.replayed_commit_at,
        }),
        Answer::Failed { class, detail } if required => {
            Err(Fault::transient(format!("`{store}` does not tell its position ({class}): {detail}")))
        }
        _ => Ok(Position {
            store: store.to_owned(),
            required,
            received: None,
            replayed: None,
            commit_at: None,
        }),
    }
}

/// `GrantBack`: undo the close under a newer epoch; a delayed step that holds the old one stays void.
pub async fn grant_back<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    keepers: &[Keeper<'_, C>],
    sql: &Both<'_, impl Sql>,
    databases: &Both<'_, impl Databases>,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    if run.epoch.is_some() && !run.given_back && run.kind.to() == Side::Standby {
        not_beside_a_hand(ctx, keepers, entered, databases.at(Side::Standby)).await?;
    }
    Run::give_back(ctx.cells, ctx.execution).await?;
    let Some(epoch) = run.epoch else {
        ctx.intent(Step::GrantBack, "give nothing back: no epoch was claimed").await?;
        return ctx.outcome(Step::GrantBack, Outcome::Done, "no epoch was claimed").await;
    };
    let back = epoch.saturating_add(1);
    let from = run.kind.to().other();
    let what = format!("give the lease back to the {} under epoch {back}", from.name());
    ctx.intent(Step::GrantBack, what).await?;
    let holder = ctx.plan.regions.of(from);
    let planned = run.kind.is_planned();
    let stopped_since = planned.then(|| run.since.get(&Step::CloseLease).copied()).flatten();
    let key = &keys::lease();
    let grants = keepers.iter().map(|keeper| async move {
        let granted = update::<Lease, _>(keeper.cells, key, |lease| {
            Ok(match lease {
                Some(lease) if lease.epoch == epoch && lease.closed_by.as_deref() == Some(ctx.execution) => {
                    Change::Write(lease::give_back(lease, back, holder, stopped_since))
                }
                _ => Change::Keep,
            })
        });
        (keeper.name, granted.await)
    });
    let granted = join_all(grants).await;
    // The primary's guard lifts its own fence. The standby has no guard; and it writes by what its own keeper holds, whether
    // or not the other one can be reached: one cut link stops nobody.
    let ours = granted.iter().any(|(keeper, granted)| *keeper == STANDBY && granted.is_ok());
    if from == Side::Standby && ours {
        let_write(ctx.plan, ctx.plan.stores.iter(), sql.standby, back, from).await?;
    }
    if let Some(fault) = granted.into_iter().find_map(|(_, granted)| granted.err()) {
        return Err(fault);
    }
    ctx.outcome(Step::GrantBack, Outcome::Done, format!("epoch {back}")).await
}

/// What tells whether a hand promoted is asked so long, within the workflow's retries.
const HAND_LOOKS: Millis = Millis::from_secs(45);

/// A hand may have promoted the standby meanwhile, and let it write: then the lease stays closed, so that the primary's
/// writers are stopped when it returns (L2). What is not known of that, or a replica that is only busy, keeps a primary that is
/// there from nothing.
async fn not_beside_a_hand<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    entered: Option<Timestamp>,
    databases: &impl Databases,
) -> Result<(), Fault> {
    let now = ctx.clock.now();
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::GrantBack, now).await?;
    let seen = Seen::by(ctx.plan, Side::Standby, databases).await;
    let late = elapsed(since, now) > HAND_LOOKS;
    if seen.some {
        let why = "a store of the standby stands alone, and this execution did not ask for that: the lease is not given back beside \
                   a promotion by a hand (runbook)";
        return Err(kept(ctx, why).await?);
    }
    let Some(why) = seen.not_known(run.since.get(&Step::Continue).copied(), now, continued::patience(ctx))
    else {
        return Ok(());
    };
    let told = format!("whether a hand promoted the standby is not known: {why}");
    // Waiting costs nobody while the primary is away.
    if there(ctx, keepers, &run, entered).await.is_some() {
        return Ok(());
    }
    Err(if late { kept(ctx, &told).await? } else { Fault::transient(told) })
}

/// The lease is not given back, on record: the report and people are told why.
async fn kept<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, why: &str) -> Result<Fault, Fault> {
    let entry =
        Entry::Outcome { step: Step::GrantBack, outcome: "exhausted".to_owned(), detail: why.to_owned() };
    ctx.journal().append_once(entry).await?;
    Ok(Fault::invalid(why.to_owned()))
}

/// As [`alive`]; or its own guard was there of late, and stopped its writers for the epoch of this execution: a health path that
/// asks the database sees such a primary as down. By both clocks, for this is no bar: it lets the lease go back.
pub(super) async fn there<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    run: &Run,
    entered: Option<Timestamp>,
) -> Option<String> {
    let clocks = [Some(ctx.clock.now()), entered];
    let mut why = None;
    for clock in clocks {
        why = Some(there_by(ctx, keepers, run, clock?).await?);
    }
    why
}

async fn there_by<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    keepers: &[Keeper<'_, C>],
    run: &Run,
    now: Timestamp,
) -> Option<String> {
    let votes = votes(keepers, ctx.clock).await.judged(&ctx.plan.detection, now);
    if let Some((observer, _)) = votes.into_iter().find(|(_, vote)| matches!(vote, Vote::Up { .. })) {
        return Some(format!("observer `{}` says that the primary is up", observer.name()));
    }
    let returned = returned_under(ctx, run).await?;
    // The workflow's clock stands still over the retries of a state.
    let ahead = elapsed(ctx.clock.now(), returned.at) > AHEAD;
    let lately = returned.is_there(now, ctx.plan.tick) && !ahead;
    lately.then(|| format!("the primary's guard was there at {}", instant(returned.at)))
}
