//! The guard, the one thing that runs in the primary. Its tick: heartbeat, renew, set the lease row, watermark; or,
//! where another Region writes, fence this one. Its one order: stop the writers, once the keepers say that the lease
//! was closed for it.
//!
//! A renewal attests the writer, not the guard: no heartbeat, no renewal. Each tick ends whatever happens; the
//! next one starts afresh from what the keepers say. So a fence that was taken back is lifted by the next tick.

use crate::call::{self, Call};
use crate::fault::Fault;
use crate::keepers::{Keeper, STANDBY, keepers};
use crate::lease::{Enforced, Lease, Lost, Unset, renew};
use crate::looks::{Unbroken, unproved_ttl};
use crate::plan::{OnLeaseLoss, Plan, Region};
use crate::ports::{Cells, Clock, FenceOrder, FencedStore, Sql};
use crate::returned::{Returned, fence_again};
use crate::shadow;
use crate::sql::{Answer, LeaseInside, Statement, Written};
use crate::state::{Change, keys, load, update, update_note};
use crate::time::{Millis, after, elapsed};
use crate::watermark::Watermark;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one tick did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "tick", rename_all = "snake_case")]
pub enum Tick {
    /// The writer wrote, and at least one keeper took the renewal.
    Renewed {
        epoch: u64,
        keepers: Vec<String>,
        armed: bool,
        /// Why the standby did not get the watermark, where it did not: it ages there, and is seen to.
        watermark_missed: Option<String>,
    },
    /// The writer did not write: nothing was renewed.
    NoHeartbeat { reason: String },
    /// No keeper took the renewal: the lease row in the database runs out by itself.
    NoKeeper { reason: String },
    /// Another Region holds the newest epoch: this side is fenced, again.
    NotHolder {
        found: Returned,
        /// Why the standby was not told, where it was not.
        note_missed: Option<String>,
    },
}

/// What one event led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    Tick(Tick),
    Fenced(Fenced),
}

/// What the order to fence left of the writers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fenced {
    pub fenced: Vec<FencedStore>,
}

/// What the guard works with.
pub struct Guard<'a, C, K, S> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub standby: &'a C,
    pub witness: Option<&'a C>,
    pub clock: &'a K,
    pub sql: &'a S,
}

pub async fn answer<C: Cells, K: Clock, S: Sql>(
    guard: &Guard<'_, C, K, S>,
    event: &Value,
) -> Result<Answered, Fault> {
    let keepers = keepers(guard.standby, guard.witness);
    match read(event)? {
        Asked::Tick { look } => tick(guard, &keepers, look).await.map(Answered::Tick),
        Asked::Fence(order) => {
            let fenced = fence(guard, &keepers, &order).await?;
            Ok(Answered::Fenced(Fenced { fenced }))
        }
    }
}

/// What the guard is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Time to renew: by the schedule, or between two of its ticks.
    Tick {
        /// When the look was due.
        look: Option<Timestamp>,
    },
    Fence(FenceOrder),
}

/// Reads an event: the schedule, or the order to fence.
pub fn read(event: &Value) -> Result<Asked, Fault> {
    let Some(order) = event.get("fence") else {
        return match call::read(event)? {
            Call::Tick => Ok(Asked::Tick { look: call::look_due(event)? }),
            _ => Err(Fault::invalid("event: primary-guard takes ticks and the order to fence only")),
        };
    };
    call::only(event, &["fence"])?;
    call::only(order, &["execution", "epoch"])?;
    Ok(Asked::Fence(FenceOrder {
        execution: call::execution(order.get("execution"), "fence.execution")?,
        epoch: call::field(event, "fence.epoch", "a whole number")?,
    }))
}

/// Stops the writers of every store. An order counts only while the newest lease is the one that was closed for
/// it: a late order of an execution that was rolled back stops nobody (L5).
async fn fence<C: Cells, K: Clock, S: Sql>(
    guard: &Guard<'_, C, K, S>,
    keepers: &[Keeper<'_, C>],
    order: &FenceOrder,
) -> Result<Vec<FencedStore>, Fault> {
    let key = &keys::lease();
    let reads = join_all(keepers.iter().map(|keeper| load::<Lease>(keeper.cells, key))).await;
    let lease = reads.iter().flatten().flatten().max_by_key(|lease| lease.epoch);
    let lease = lease.ok_or_else(|| Fault::transient("no keeper of the lease could be read"))?;
    if lease.epoch != order.epoch || lease.closed_by.as_deref() != Some(order.execution.as_str()) {
        return Err(Fault::Fenced(format!(
            "the order of `{}` under epoch {} is void: the lease is at epoch {}",
            order.execution, order.epoch, lease.epoch
        )));
    }
    stop_writers(guard.plan, guard.plan_digest, guard.sql, order.epoch, &lease.holder).await
}

/// Stops the writers of every store of one Region under `epoch` of `holder`, and tells what is left of them.
pub async fn stop_writers(
    plan: &Plan,
    plan_digest: &str,
    sql: &impl Sql,
    epoch: u64,
    holder: &Region,
) -> Result<Vec<FencedStore>, Fault> {
    let mut fenced = Vec::new();
    for store in &plan.stores {
        let statement = Statement::Fence { store: store.name.clone(), epoch, holder: holder.0.clone() };
        match sql.ask(&statement).await? {
            Answer::Fence(look) => {
                let plan_digest = Some(plan_digest.to_owned());
                fenced.push(FencedStore { store: store.name.clone(), look, plan_digest });
            }
            Answer::Failed { class, detail } => {
                return Err(Fault::transient(format!("`{}`: {class}: {detail}", store.name)));
            }
            other => return Err(Fault::bug(format!("sql-agent answered a fence with {other:?}"))),
        }
    }
    Ok(fenced)
}

async fn tick<C: Cells, K: Clock, S: Sql>(
    guard: &Guard<'_, C, K, S>,
    keepers: &[Keeper<'_, C>],
    look: Option<Timestamp>,
) -> Result<Tick, Fault> {
    let Guard { plan, clock, sql, .. } = *guard;
    let seen = Seen::by(keepers).await;
    // Before anything is written here: this Region may have come back into a world that went on without it (L2).
    if let Some(lease) = seen.newest.as_ref().filter(|lease| lease.holder != plan.regions.primary) {
        let (found, note_missed) = fence_again(plan, keepers, sql, lease, clock.now()).await;
        return Ok(Tick::NotHolder { found, note_missed });
    }
    let heartbeats = match heartbeats(plan, sql).await {
        Ok(heartbeats) => heartbeats,
        Err(reason) => return Ok(Tick::NoHeartbeat { reason }),
    };
    let looks = match look {
        Some(due) => Some(Unbroken::and(seen.looks(), due, plan.pace())),
        None => seen.looks().cloned(),
    };
    let ttl = ttl(plan, looks.as_ref(), clock.now());
    let unset = unset(plan, &seen, &heartbeats);
    let enforced = Enforced { looks, unset, ..enforced(plan, ttl, guard.plan_digest, &seen, &heartbeats) };
    let armed = plan.lease.on_loss == OnLeaseLoss::Fence
        && enforced.within.is_some()
        && !heartbeats.is_empty()
        && heartbeats.iter().all(|(_, written)| written.gate_armed);
    let at = heartbeats.iter().map(|(_, written)| written.before).min();
    let renewal = Renewal { armed, at, enforced };
    let renewed = match renew_everywhere(plan, keepers, &seen, &renewal).await {
        Ok(renewed) => renewed,
        Err(tick) => return Ok(tick),
    };
    set_lease_rows(plan, ttl, sql, renewed.epoch, &heartbeats).await?;
    let recorded = record(plan, keepers, clock, &heartbeats, &seen).await;
    let watermark_missed = recorded.err().map(|fault| fault.to_string());
    Ok(Tick::Renewed { epoch: renewed.epoch, keepers: renewed.keepers, armed, watermark_missed })
}

/// What the keepers say of the lease as a tick begins.
struct Seen {
    newest: Option<Lease>,
    /// The copies of every keeper that answered.
    copies: Vec<Lease>,
    /// Every keeper answered.
    all: bool,
}

impl Seen {
    async fn by<C: Cells>(keepers: &[Keeper<'_, C>]) -> Self {
        let key = &keys::lease();
        let reads = join_all(keepers.iter().map(|keeper| load::<Lease>(keeper.cells, key))).await;
        let all = reads.iter().all(Result::is_ok);
        let copies: Vec<Lease> = reads.into_iter().flatten().flatten().collect();
        // Of two copies of one epoch the one that was renewed later: a keeper may have been out of reach.
        let newest = copies.iter().max_by_key(|lease| (lease.epoch, lease.renewed_at)).cloned();
        Self { newest, copies, all }
    }

    /// What is enforced beside a renewal that was made, perhaps by another version, since this tick looked: its lease may
    /// still reach the databases.
    fn beside(&self, ours: &Enforced, copy: &Lease, at: Option<Timestamp>) -> Enforced {
        let Some((given_at, at)) = copy.renewed_at.zip(at).filter(|_| !self.knows(copy)) else {
            return ours.clone();
        };
        let Some(theirs) = &copy.enforced else { return Enforced { within: None, ..ours.clone() } };
        let to_come = theirs.within.map(|span| elapsed(at, after(given_at, span)));
        Enforced {
            ttl: ours.ttl.max(theirs.ttl),
            commit_margin: ours.commit_margin.max(theirs.commit_margin),
            drift: ours.drift.max(theirs.drift),
            within: longer(ours.within, to_come),
            looks: Unbroken::longer(ours.looks.clone(), theirs.looks.clone()),
            ..ours.clone()
        }
    }

    /// A copy as it was when this tick began. Two that were renewed at the same instant may differ: the later of two
    /// renewals stands, whichever was written last.
    fn knows(&self, copy: &Lease) -> bool {
        let same = |seen: &&Lease| (seen.renewed_at, &seen.enforced) == (copy.renewed_at, &copy.enforced);
        self.copies.iter().any(|seen| same(&seen))
    }

    /// Whether a renewal counts as armed: a newer one that was made meanwhile may have seen a gate missing.
    fn armed(&self, ours: bool, copy: Option<&Lease>, at: Option<Timestamp>) -> bool {
        ours && copy.is_none_or(|copy| copy.armed || copy.renewed_at <= at || self.knows(copy))
    }

    fn renewed_at(&self) -> Option<Timestamp> {
        self.newest.as_ref().and_then(|lease| lease.renewed_at)
    }

    /// For how long the last renewal is good.
    fn given(&self, plan: &Plan) -> Millis {
        self.newest.as_ref().map_or(plan.lease.ttl, |lease| lease.ttl(&plan.lease))
    }

    /// The looks between two ticks that renewed without a gap so far.
    fn looks(&self) -> Option<&Unbroken> {
        self.newest.as_ref()?.enforced.as_ref()?.looks.as_ref()
    }
}

type Heartbeats = Vec<(String, Written)>;

/// One renewal as every keeper gets it.
struct Renewal {
    armed: bool,
    at: Option<Timestamp>,
    enforced: Enforced,
}

/// What this renewal enforces. The longest that a database may let writers in is not only what is about to be set: a
/// longer end may stand there, and one that another renewal gave, perhaps of another version of the plan, may be on its
/// way (L2). A database takes them in the order of their heartbeats, so that once a newer one stands there an older one
/// counts no more. All of it counts from the first heartbeat, which is the instant of the renewal.
fn enforced(plan: &Plan, ttl: Millis, digest: &str, seen: &Seen, heartbeats: &Heartbeats) -> Enforced {
    let lease = &plan.lease;
    let first = heartbeats.iter().map(|(_, written)| written.before).min();
    let mut within = (lease.on_loss == OnLeaseLoss::Fence).then_some(ttl);
    for (_, written) in heartbeats {
        let first = first.unwrap_or(written.before);
        within = within.map(|within| within.max(elapsed(first, after(written.before, ttl))));
        let Some(inside) = &written.lease else {
            within = None;
            continue;
        };
        let found = inside.ends.map(|ends| elapsed(first, ends));
        within = longer(within, found);
        for copy in seen.copies.iter().filter(|copy| copy.holder == plan.regions.primary) {
            let Some(given_at) = copy.renewed_at else { continue };
            if inside.epoch >= copy.epoch && inside.since.is_some_and(|since| since >= given_at) {
                continue;
            }
            let to_come = copy.enforced.as_ref().and_then(|enforced| enforced.within);
            within = longer(within, to_come.map(|span| elapsed(first, after(given_at, span))));
        }
    }
    Enforced {
        plan: digest.to_owned(),
        ttl,
        looks: None,
        commit_margin: lease.commit_margin,
        drift: lease.drift,
        within,
        unset: Vec::new(),
    }
}

/// The databases that are behind the last renewal: what was to be set there behind it never came. Of two ticks that overlap the
/// later may find that for a moment. Without an end writers are stopped by an older epoch alone. What was not seen of a
/// database changes nothing of what is known of it.
fn unset(plan: &Plan, seen: &Seen, heartbeats: &Heartbeats) -> Vec<Unset> {
    let Some((last, renewed_at)) = seen.newest.as_ref().and_then(|last| Some((last, last.renewed_at?)))
    else {
        return Vec::new();
    };
    let ends = plan.lease.on_loss == OnLeaseLoss::Fence;
    let behind = |inside: &LeaseInside| {
        let late = inside.epoch == last.epoch && inside.since.is_none_or(|since| since < renewed_at);
        inside.epoch < last.epoch || (ends && late)
    };
    let known = last.enforced.iter().flat_map(|enforced| &enforced.unset);
    let one = |(store, written): &(String, Written)| {
        let before = known.clone().find(|known| known.store == *store);
        match &written.lease {
            None => before.cloned(),
            Some(inside) => behind(inside).then(|| Unset {
                store: store.clone(),
                since: before.map_or(written.before, |before| before.since),
                ends: inside.ends,
            }),
        }
    };
    heartbeats.iter().filter_map(one).collect()
}

/// For how long this renewal is good. A lease that counts on looks between the ticks must not run out under a healthy
/// writer because some or all do not come: until they are proved to, it lasts four ticks, as one of a plan without looks
/// does.
fn ttl(plan: &Plan, looks: Option<&Unbroken>, now: Timestamp) -> Millis {
    let proved = looks.is_some_and(|looks| looks.proved(plan, now));
    if proved { plan.lease.ttl } else { unproved_ttl(plan) }
}

/// The longer of two spans, of which `None` has no end.
fn longer(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// One heartbeat in every required store; a single one missing is none.
async fn heartbeats(plan: &Plan, sql: &impl Sql) -> Result<Heartbeats, String> {
    let mut all = Vec::new();
    for store in plan.stores.iter().filter(|store| store.required) {
        match sql.ask(&Statement::Heartbeat { store: store.name.clone() }).await {
            Ok(Answer::Heartbeat(written)) => all.push((store.name.clone(), written)),
            Ok(Answer::Failed { class, detail }) => {
                return Err(format!("`{}`: {class}: {detail}", store.name));
            }
            Ok(other) => return Err(format!("`{}`: sql-agent answered {other:?}", store.name)),
            Err(fault) => return Err(format!("`{}`: {fault}", store.name)),
        }
    }
    Ok(all)
}

struct Renewed {
    epoch: u64,
    keepers: Vec<String>,
}

/// Renews at every keeper that can be reached; one acknowledgement keeps the lease.
async fn renew_everywhere<C: Cells>(
    plan: &Plan,
    keepers: &[Keeper<'_, C>],
    seen: &Seen,
    renewal: &Renewal,
) -> Result<Renewed, Tick> {
    let me = &plan.regions.primary;
    let key = &keys::lease();
    let epoch = match &seen.newest {
        Some(lease) => lease.epoch,
        // The first lease ever; but only when every keeper says so, for one unread may hold a newer one.
        None if seen.all => 1,
        None => return Err(Tick::NoKeeper { reason: "no keeper could be read".to_owned() }),
    };
    let renewals = keepers.iter().map(|keeper| async move {
        let Renewal { armed, at, enforced } = renewal;
        let armed = |lease: Option<&Lease>| seen.armed(*armed, lease, *at);
        let renewed =
            update::<Lease, _>(keeper.cells, key, |lease| match renew(lease, epoch, me, armed(lease)) {
                Ok(lease) => {
                    // Two ticks may overlap: the later of the two stands, for both were made.
                    let renewed_at = lease.renewed_at.max(*at);
                    let enforced = Some(seen.beside(enforced, &lease, *at));
                    Ok(Change::Write(Lease { renewed_at, enforced, ..lease }))
                }
                Err(Lost { epoch, holder }) => {
                    Err(Fault::Fenced(format!("epoch {epoch} belongs to `{}`", holder.0)))
                }
            });
        (keeper.name, renewed.await)
    });
    let (taken, refused): (Vec<_>, Vec<_>) =
        join_all(renewals).await.into_iter().partition(|(_, r)| r.is_ok());
    if taken.is_empty() {
        let reasons = refused.iter().filter_map(|(name, r)| r.as_ref().err().map(|e| format!("{name}: {e}")));
        return Err(Tick::NoKeeper { reason: reasons.collect::<Vec<_>>().join("; ") });
    }
    Ok(Renewed { epoch, keepers: taken.iter().map(|(name, _)| (*name).to_owned()).collect() })
}

/// The lease row counts from the database's clock before the heartbeat, which is before the renewal was sent.
/// With `stay` the row has no end: nothing in the database fences by itself.
async fn set_lease_rows(
    plan: &Plan,
    ttl: Millis,
    sql: &impl Sql,
    epoch: u64,
    heartbeats: &Heartbeats,
) -> Result<(), Fault> {
    let valid_ms = match plan.lease.on_loss {
        OnLeaseLoss::Fence => Some(ttl.0),
        OnLeaseLoss::Stay => None,
    };
    let mut failed = None;
    for (store, written) in heartbeats {
        let statement = Statement::SetLease {
            store: store.clone(),
            epoch,
            holder: plan.regions.primary.0.clone(),
            since: Some(written.before),
            valid_ms,
        };
        let asked = sql.ask(&statement).await;
        // One store whose lease cannot be set must not let those of the others run out.
        failed = failed.or(match asked {
            Ok(Answer::Failed { class, detail }) => {
                Some(Fault::transient(format!("lease row of `{store}` ({class}): {detail}")))
            }
            Ok(_) => None,
            Err(fault) => Some(fault),
        });
    }
    failed.map_or(Ok(()), Err)
}

/// Leaves in the standby what the primary wrote, and counts a gap between two renewals.
async fn record<C: Cells>(
    plan: &Plan,
    keepers: &[Keeper<'_, C>],
    clock: &impl Clock,
    heartbeats: &Heartbeats,
    seen: &Seen,
) -> Result<(), Fault> {
    let Some(standby) = keepers.iter().find(|keeper| keeper.name == STANDBY) else {
        return Err(Fault::bug("the plan has no keeper in the standby"));
    };
    for (store, written) in heartbeats {
        let watermark =
            Watermark { store: store.clone(), written: written.clone(), recorded_at: clock.now() };
        update_note::<Watermark, _>(standby.cells, &keys::watermark(store), |_| {
            Ok(Change::Write(watermark.clone()))
        })
        .await?;
    }
    match heartbeats.iter().map(|(_, written)| written.before).min() {
        Some(at) => shadow::count(keepers, seen.renewed_at(), at, seen.given(plan))
            .await
            .map_err(|fault| Fault::transient(format!("a gap was not counted: {fault}"))),
        None => Ok(()),
    }
}
