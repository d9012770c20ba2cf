//! Promote the stores, lift the fence on them, and believe only a write that was read back.

use super::continued::patience;
use super::fence::barred;
use super::{Context, Outcome, Reply, Step};
use crate::checks;
use crate::decide::may_promote_alone;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::keepers::Keeper;
use crate::lease::Lease;
use crate::plan::{Plan, Store};
use crate::ports::{Both, Cells, Clock, Databases, InstanceStatus, Secrets, Sql};
use crate::run::{Kind, Receipt, Run};
use crate::sql::{Answer, Statement};
use crate::state::{keys, load, raised};
use crate::switch::Side;
use crate::time::{Millis, elapsed};
use crate::words::{instant, span};
use jiff::Timestamp;

/// Looks of one waiting step are this share of a tick apart.
const LOOKS_PER_TICK: u64 = 12;
/// How long a promoted store may refuse the application before a person is called.
const VERIFY_LIMIT: Millis = Millis::from_secs(300);

/// `Promote`: the one-way door.
pub async fn promote<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    entered: Option<Timestamp>,
    keepers: &[Keeper<'_, C>],
    databases: &Both<'_, impl Databases>,
) -> Result<Reply, Fault> {
    let now = ctx.clock.now();
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::Promote, now).await?;
    let to = run.kind.to();
    // Before the door nobody is kept shut for a service that does not answer: writers that gave way serve nobody.
    let long = if run.kind.is_planned() { ctx.plan.lease.ttl } else { patience(ctx) };
    if !run.promotion_asked && elapsed(since, now) > long {
        let why = format!("no promotion could be asked for within {}", span(long));
        return ctx.outcome(Step::Promote, Outcome::Stopped, why).await;
    }
    // L2: nothing is promoted without a receipt, and only under the epoch that it was given for.
    let receipt = run.receipt.as_ref().ok_or_else(|| Fault::bug("`Promote` ran without a fence receipt"))?;
    if let Some(why) = stopped(ctx, &run, now).await? {
        if !run.promotion_asked {
            return ctx.outcome(Step::Promote, Outcome::Stopped, why).await;
        }
        // An earlier delivery took the way through the door, and may have died before it asked for anything. There is
        // no way back; but a hold keeps this one from asking, unless it is for what goes with a store that is on its way (L8).
        let under_way = under_way(ctx.plan, to, databases.at(to)).await?;
        if under_way == 0 || under_way == ctx.plan.stores.len() {
            return Ok(Reply::new(Outcome::Done, format!("not asked for once more: {why}")));
        }
    }
    // An acceptance may be old by now: it counts while nothing says that the primary lives, up to the door (L8, L11).
    if let Receipt::Accepted { .. } = receipt
        && !through(ctx.plan, &run, databases.at(to)).await?
        && let Some(why) = barred(ctx, keepers, &run, entered).await
    {
        let end = if run.promotion_asked { Outcome::Exhausted } else { Outcome::Stopped };
        return ctx.outcome(Step::Promote, end, format!("the fence was accepted, and {why}")).await;
    }
    for store in &ctx.plan.stores {
        still_ours(ctx, receipt.epoch()).await?;
        // Behind the door there is no way back: a person takes over.
        let end = if run.promotion_asked { Outcome::Exhausted } else { Outcome::Stopped };
        match promote_one(ctx, &run, store, databases.at(to)).await? {
            Asked::For => {}
            Asked::Never(why) => return ctx.outcome(Step::Promote, end, why).await,
            Asked::NotYet(why) if elapsed(since, now) > store.promote_timeout => {
                return ctx.outcome(Step::Promote, end, why).await;
            }
            Asked::NotYet(why) => return Ok(Reply::again(pause(ctx), why)),
        }
    }
    ctx.outcome(Step::Promote, Outcome::Done, "promotion was asked for").await
}

/// Read immediately before the one-way step: a hold, an abort of this very execution, and who holds the door by now. The
/// session may have opened since the standby was assessed (L8).
async fn stopped<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    now: Timestamp,
) -> Result<Option<String>, Fault> {
    if let Some(flag) = raised(ctx.cells, &keys::hold(), now).await? {
        return Ok(Some(match flag.category {
            None => flag.told(),
            Some(category) => format!("{}. {}", flag.told(), category.road()),
        }));
    }
    let abort = raised(ctx.cells, &keys::abort(ctx.execution), now).await?;
    if let Some(flag) = abort {
        return Ok(Some(format!("aborted by `{}`: {}", flag.by, flag.why)));
    }
    // Whoever goes on from one that was through the door was asked for by a person.
    let unasked = run.approvals_asked == 0 && run.continues.is_none() && !may_promote_alone(ctx.plan, now);
    Ok(unasked.then(|| {
        let road = match run.kind {
            Kind::Failover => "`understudy failover` asks for another attempt, and that one asks people",
            _ => "ask for it once more, and people will be asked",
        };
        format!("the plan asks people at {}, and when this began it did not: {road}", instant(now))
    }))
}

/// RDS takes no token, so the epoch is checked immediately before the call.
pub(super) async fn still_ours<C: Cells, K: Clock>(ctx: &Context<'_, C, K>, epoch: u64) -> Result<(), Fault> {
    match load::<Lease>(ctx.cells, &keys::lease()).await? {
        Some(lease) if lease.epoch == epoch && lease.closed_by.as_deref() == Some(ctx.execution) => Ok(()),
        Some(lease) => {
            Err(Fault::Fenced(format!("epoch {epoch} is void: the lease is at epoch {}", lease.epoch)))
        }
        None => Err(Fault::bug("the lease vanished from its keeper")),
    }
}

/// The service may have taken a promotion of it. While a replica is anything but `available`, that and a resize, a reboot
/// or a backup look alike.
fn may_be_on_its_way(instance: &InstanceStatus) -> bool {
    instance.source.is_none() || instance.status != "available"
}

/// Nothing is left to be promoted, or a promotion that was asked for has come in part: the rest goes with it.
async fn through(plan: &Plan, run: &Run, databases: &impl Databases) -> Result<bool, Fault> {
    let (mut some, mut all) = (false, true);
    for store in plan.stores.iter().filter(|store| store.required) {
        let instance = databases.describe(&store.instance(run.kind.to()).id).await?;
        let alone = instance.is_some_and(|instance| instance.source.is_none());
        (some, all) = (some || alone, all && alone);
    }
    Ok(all || (some && run.promotion_asked))
}

/// How many stores may be on their way.
async fn under_way(plan: &Plan, to: Side, databases: &impl Databases) -> Result<usize, Fault> {
    let mut count = 0_usize;
    for store in &plan.stores {
        let described = databases.describe(&store.instance(to).id).await?;
        count = count.saturating_add(usize::from(described.as_ref().is_some_and(may_be_on_its_way)));
    }
    Ok(count)
}

/// Whether the promotion of one store was asked for, or why not.
enum Asked {
    For,
    NotYet(String),
    Never(String),
}

/// Observes first: a promotion that an earlier delivery asked for is not asked for again (L5), and what follows another
/// than it did when it was assessed is not asked for at all.
async fn promote_one<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    store: &Store,
    databases: &impl Databases,
) -> Result<Asked, Fault> {
    let to = run.kind.to();
    let id = &store.instance(to).id;
    let Some(instance) = databases.describe(id).await? else {
        let (name, side) = (&store.name, to.name());
        return Err(Fault::invalid(format!("stores.{name}.{side}.id: no instance `{id}` in the {side}")));
    };
    let what = match &instance.source {
        None if run.promotion_asked => return Ok(Asked::For),
        // Somebody promoted it by hand: what follows is behind the door all the same.
        None => format!("take `{id}` as it is: it stands alone"),
        Some(source) if !is_of_the_other(ctx.plan, store, to, source) => {
            return Ok(Asked::Never(format!(
                "`{id}` follows `{source}`, and `{}` is what it is to stand in for",
                store.instance(to.other()).id
            )));
        }
        Some(_) if instance.status == "available" => format!("promote `{id}`"),
        // Whatever it is busy with, it takes no promotion until that is over; and if it is a promotion that an earlier
        // delivery asked for, it stands alone by then.
        Some(source) => {
            return Ok(Asked::NotYet(format!(
                "`{id}` is `{}`, and a replica of `{source}`",
                instance.status
            )));
        }
    };
    // Before the intent, so that no record intends what the way back has overtaken.
    Run::ask_promotion(ctx.cells, ctx.execution).await?;
    ctx.intent(Step::Promote, &what).await?;
    if instance.source.is_some() {
        databases.promote(id, instance.backup_retention_days).await?;
    }
    Ok(Asked::For)
}

/// Whether the service's word for a source means the instance of the side that gives way.
fn is_of_the_other(plan: &Plan, store: &Store, to: Side, source: &str) -> bool {
    checks::names(source, &store.instance(to.other()).id, &plan.regions.of(to.other()).0)
}

/// `AwaitPromotion`: until every required store stands alone and takes writes by its own word.
pub async fn await_promotion<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    databases: &Both<'_, impl Databases>,
    sql: &Both<'_, impl Sql>,
) -> Result<Reply, Fault> {
    let now = ctx.clock.now();
    // `Promote` came to nothing before it took its way through the door: there is nothing to wait for. It is asked again, and
    // knows for how long. Whoever stands alone by now was promoted by a hand, and is taken there, on record.
    if !Run::read(ctx.cells, ctx.execution).await?.promotion_asked {
        return Ok(Reply {
            outcome: Outcome::Unasked,
            ..Reply::again(pause(ctx), "no promotion was asked for")
        });
    }
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::AwaitPromotion, now).await?;
    let to = run.kind.to();
    for store in ctx.plan.stores.iter().filter(|store| store.required) {
        if let Some(not_yet) =
            unpromoted(&store.name, &store.instance(to).id, databases.at(to), sql.at(to)).await?
        {
            if elapsed(since, now) > store.promote_timeout {
                return ctx.outcome(Step::AwaitPromotion, Outcome::Exhausted, not_yet).await;
            }
            return Ok(Reply::again(pause(ctx), not_yet));
        }
        Run::change(ctx.cells, ctx.execution, |run| {
            run.promoted.entry(store.name.clone()).or_insert(now);
        })
        .await?;
    }
    ctx.outcome(Step::AwaitPromotion, Outcome::Done, "every required store stands alone").await
}

/// Why a store does not count as promoted yet. The service's `available` alone proves nothing: it stands
/// before, during and after.
async fn unpromoted(
    store: &str,
    id: &str,
    databases: &impl Databases,
    sql: &impl Sql,
) -> Result<Option<String>, Fault> {
    let Some(instance) = databases.describe(id).await? else {
        return Ok(Some(format!("`{id}` is not listed")));
    };
    if let Some(source) = instance.source {
        return Ok(Some(format!("`{id}` is `{}`, still a replica of `{source}`", instance.status)));
    }
    match sql.ask(&Statement::ReplicaStatus { store: store.to_owned() }).await? {
        Answer::Replica(replica) if !replica.in_recovery => Ok(None),
        Answer::Replica(_) => Ok(Some(format!("`{id}` is still in recovery"))),
        Answer::Failed { class, detail } => Ok(Some(format!("`{id}` does not answer ({class}): {detail}"))),
        other => Err(Fault::bug(format!("sql-agent answered a replica question with {other:?}"))),
    }
}

pub(super) fn pause<C, K>(ctx: &Context<'_, C, K>) -> Millis {
    Millis(ctx.plan.tick.0 / LOOKS_PER_TICK)
}

/// `Unfence`: role and lease rows are data; they replicated, and the promoted store refuses its application
/// until the lease row names the new epoch.
pub async fn unfence<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    sql: &Both<'_, impl Sql>,
) -> Result<Reply, Fault> {
    let run = Run::read(ctx.cells, ctx.execution).await?;
    let (epoch, to) = (run.claimed_epoch()?, run.kind.to());
    still_ours(ctx, epoch).await?;
    ctx.intent(Step::Unfence, format!("let epoch {epoch} write in the {}", to.name())).await?;
    let promoted = ctx.plan.stores.iter().filter(|store| run.promoted.contains_key(&store.name));
    let_write(ctx.plan, promoted, sql.at(to), epoch, to).await?;
    ctx.outcome(Step::Unfence, Outcome::Done, format!("epoch {epoch} may write")).await
}

/// Lets `epoch` of `side` write in these stores, without end: a guard that renews sets one later.
pub(super) async fn let_write<'s>(
    plan: &Plan,
    stores: impl Iterator<Item = &'s Store>,
    sql: &impl Sql,
    epoch: u64,
    side: Side,
) -> Result<(), Fault> {
    for store in stores {
        let holder = plan.regions.of(side).0.clone();
        let statement =
            Statement::SetLease { store: store.name.clone(), epoch, holder, since: None, valid_ms: None };
        match sql.ask(&statement).await? {
            Answer::LeaseSet => {}
            Answer::Failed { class, detail } => {
                return Err(Fault::transient(format!(
                    "`{}` keeps its fence ({class}): {detail}",
                    store.name
                )));
            }
            other => return Err(Fault::bug(format!("sql-agent answered a lease with {other:?}"))),
        }
    }
    Ok(())
}

/// `VerifyWrite`: as the application, one row written, committed, and read back on a second connection.
pub async fn verify_write<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    sql: &Both<'_, impl Sql>,
    secrets: &impl Secrets,
) -> Result<Reply, Fault> {
    let now = ctx.clock.now();
    // Before the first look is counted, so that a kill between the two leaves it to be said once more, not never.
    if !Run::read(ctx.cells, ctx.execution).await?.looks.contains_key(&Step::VerifyWrite) {
        ctx.intent(Step::VerifyWrite, "write a row as the application, and read it back").await?;
    }
    let (run, _, since) = Run::look(ctx.cells, ctx.execution, Step::VerifyWrite, now).await?;
    for store in ctx.plan.stores.iter().filter(|store| store.required) {
        let login = secrets.login(&store.application.secret).await?;
        let token = ctx.execution.to_owned();
        let statement = Statement::ApplicationWrite { store: store.name.clone(), login, token };
        match sql.at(run.kind.to()).ask(&statement).await? {
            Answer::ApplicationWrote => {
                let entry = Entry::Verified { store: store.name.clone(), position: None };
                ctx.journal().append_once(entry).await?;
            }
            Answer::Failed { class, detail } if elapsed(since, now) > VERIFY_LIMIT => {
                let text = format!("`{}` refuses the application ({class}): {detail}", store.name);
                return ctx.outcome(Step::VerifyWrite, Outcome::Exhausted, text).await;
            }
            Answer::Failed { class, detail } => {
                let text = format!("`{}` refuses the application ({class}): {detail}", store.name);
                return Ok(Reply::again(Millis::from_secs(1), text));
            }
            other => return Err(Fault::bug(format!("sql-agent answered a write with {other:?}"))),
        }
    }
    ctx.outcome(Step::VerifyWrite, Outcome::Done, "written and read back as the application").await
}
