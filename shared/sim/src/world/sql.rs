//! What functions ask of a store: the statements of `sql-agent`, and the managed database service.

use super::faults::{Passed, SQL_PATIENCE};
use super::log::{LeaseRow, Wrote};
use super::stores::{Instant, Refused, Store, side_of};
use super::{Effect, Place, World, timestamp};
use crate::queue::Moment;
use crate::trace::What;
use jiff::Timestamp;
use understudy_core::fault::Fault;
use understudy_core::ports::{Databases, InstanceStatus, Sql};
use understudy_core::sql::{Answer, FailureClass, FenceLook, LeaseInside, Lsn, Statement, Written};

/// `sql-agent` of one Region, as a function in `from` calls it.
pub struct SqlAgent<'a> {
    pub world: &'a World,
    pub from: Place,
    pub place: Place,
}

impl Sql for SqlAgent<'_> {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let passed = self.world.pass_within(self.from, self.place, SQL_PATIENCE).await?;
        if !self.world.invokes(self.place) {
            return self.world.gave_up().await;
        }
        if let Passed::Late(at) = passed {
            let effect = Effect::Sql { place: self.place, statement: Box::new(statement.clone()) };
            self.world.happens_late(at, effect);
            return self.world.gave_up().await;
        }
        let answer = self.world.answer(self.place, statement);
        self.world.reply(passed, answer?).await
    }
}

impl World {
    pub(super) fn answer(&self, place: Place, statement: &Statement) -> Result<Answer, Fault> {
        let mut inner = self.inner();
        inner.catch_up();
        let (now, clock, hangs) = (inner.now, inner.clock(place), inner.disk_hangs);
        let sets = !(inner.sets_nothing && place == Place::Primary);
        let Some(store) = inner.stores.iter_mut().find(|store| store.name == statement.store()) else {
            return Err(Fault::invalid(format!("store `{}`: not in the plan", statement.store())));
        };
        if !store.answers(place, now) {
            return Ok(Refused::unreachable().answer());
        }
        let commits =
            !matches!(statement, Statement::ReplicaStatus { .. } | Statement::ApplicationRead { .. });
        if hangs && place == Place::Primary && commits {
            return Ok(Refused::by_server(FailureClass::Timeout, "it did not end in time").answer());
        }
        let answer = match statement {
            Statement::Heartbeat { .. } => heartbeat(store, place, (now, clock)),
            Statement::SetLease { .. } if !sets => {
                Refused::by_server(FailureClass::Sql, "permission denied for table lease").answer()
            }
            Statement::SetLease { epoch, since, valid_ms, .. } => {
                let since = since.map(Timestamp::as_millisecond);
                let valid =
                    since.zip(*valid_ms).map(|(since, valid)| since + i64::try_from(valid).unwrap_or(0));
                set_lease(store, place, (now, clock), *epoch, (since, valid))
            }
            Statement::Fence { epoch, .. } => fence(store, place, (now, clock), *epoch),
            Statement::ReplicaStatus { .. } => Answer::Replica(store.replica(place, clock)),
            Statement::ApplicationRead { .. } => Answer::ApplicationRead,
            Statement::ApplicationWrite { .. } => match store.gate(place, clock) {
                Ok(()) => {
                    let position = store.commit(place, (now, clock), Wrote::Row);
                    inner.note(What::Acknowledged { side: side_of(place), client: "verify", position });
                    Answer::ApplicationWrote
                }
                Err(refused) => refused.answer(),
            },
        };
        Ok(answer)
    }
}

fn heartbeat(store: &mut Store, place: Place, instant: Instant) -> Answer {
    if store.is_replica(place) {
        return Refused::by_server(FailureClass::ReadOnly, "the server is in recovery").answer();
    }
    Answer::Heartbeat(beat(store, place, instant))
}

fn beat(store: &mut Store, place: Place, instant: Instant) -> Written {
    let position = Lsn(store.commit(place, instant, Wrote::Heartbeat));
    let rows = store.rows(place);
    let clock = timestamp(instant.1);
    let lease = store.lease(place);
    let mut unarmed = Vec::new();
    if store.ungated {
        unarmed.push("`documents` has no gate".to_owned());
    }
    if lease.is_none_or(|row| row.valid_until.is_none()) {
        unarmed.push("the lease has no end".to_owned());
    }
    Written {
        before: clock,
        committed_at: clock,
        position,
        rows,
        gate_armed: unarmed.is_empty(),
        unarmed,
        lease: lease.map(|row| LeaseInside {
            epoch: row.epoch,
            since: row.since.map(timestamp),
            ends: row.valid_until.map(timestamp),
        }),
        sessions: None,
        lineage: Some(store.lineage(place)),
        ungated_writers: Vec::new(),
        job_runs: None,
    }
}

/// Transactions of this world are over at once, so that no session of a writer is ever seen.
fn fence(store: &mut Store, place: Place, instant: Instant, epoch: u64) -> Answer {
    let row = LeaseRow { epoch, since: Some(instant.1), valid_until: Some(instant.1), locked: true };
    if let Some(refused) = set_row(store, place, instant, row) {
        return refused;
    }
    Answer::Fence(FenceLook {
        sessions: 0,
        prepared: 0,
        others: Some(0),
        written: beat(store, place, instant),
    })
}

fn set_lease(
    store: &mut Store,
    place: Place,
    instant: Instant,
    epoch: u64,
    (since, valid_until): (Option<Moment>, Option<Moment>),
) -> Answer {
    let there = store.lease(place).filter(|row| row.epoch == epoch);
    let late = match since {
        // As the database orders them: a renewal that comes late, behind a newer one of its epoch, changes nothing.
        Some(since) => there.and_then(|row| row.since).is_some_and(|there| there > since),
        // What has no end yet takes a fence's row, which ends when it begins, and no renewal's.
        None => there.is_some_and(|row| {
            let ends = |ends: Moment| ends > row.since.map_or(instant.1, |since| since.max(instant.1));
            row.valid_until.is_none_or(ends)
        }),
    };
    if late {
        return Answer::LeaseSet;
    }
    let since = since.unwrap_or(instant.1);
    let row = LeaseRow { epoch, since: Some(since), valid_until, locked: false };
    set_row(store, place, instant, row).unwrap_or(Answer::LeaseSet)
}

fn set_row(store: &mut Store, place: Place, instant: Instant, row: LeaseRow) -> Option<Answer> {
    if store.is_replica(place) {
        return Some(Refused::by_server(FailureClass::ReadOnly, "the server is in recovery").answer());
    }
    if store.lease(place).is_some_and(|there| there.epoch > row.epoch) {
        return Some(Refused::by_server(FailureClass::Fenced, "the lease row holds a newer epoch").answer());
    }
    store.commit(place, instant, Wrote::Lease(row));
    None
}

/// The managed databases of one Region.
pub struct Rds<'a> {
    pub world: &'a World,
    pub at: Place,
}

impl Databases for Rds<'_> {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault> {
        let passed = match self.world.pass(Place::Standby, self.at).await {
            // A Region that is lost may still answer, with a refusal.
            Err(Fault::Transient(_)) if !self.world.alive(self.at) && self.world.draw().is_multiple_of(4) => {
                return Err(Fault::bug(
                    "InvalidClientTokenId: the security token included in the request is invalid",
                ));
            }
            passed => passed?,
        };
        let drawn = self.world.draw() % 8;
        let status = {
            let mut inner = self.world.inner();
            inner.catch_up();
            let store = inner.stores.iter().find(|store| store.knows(instance));
            // What is read may be old, but a promotion that was taken shows at once as what it is: nothing.
            store.map(|store| store.described(instance, inner.now, if drawn == 0 { store.stale } else { 0 }))
        };
        self.world.reply(passed, status).await
    }

    async fn promote(&self, instance: &str, _: Option<i32>) -> Result<(), Fault> {
        let passed = self.world.pass(Place::Standby, self.at).await?;
        if let Passed::Late(at) = passed {
            self.world.happens_late(at, Effect::Promote { instance: instance.to_owned() });
            return self.world.gave_up().await;
        }
        self.world.take_promotion(instance)?;
        self.world.reply(passed, ()).await
    }
}

impl World {
    pub(super) fn take_promotion(&self, instance: &str) -> Result<(), Fault> {
        let mut inner = self.inner();
        let now = inner.now;
        let Some(store) = inner.stores.iter_mut().find(|store| store.instance == instance) else {
            return Err(Fault::invalid(format!("no instance `{instance}`")));
        };
        if !store.takes_promotion(now) {
            return Err(Fault::transient(format!("`{instance}` is in no state to be promoted now")));
        }
        store.promotion = Some(now);
        inner.note(What::PromoteTaken { instance: instance.to_owned() });
        Ok(())
    }
}
