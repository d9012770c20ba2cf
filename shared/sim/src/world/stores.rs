//! A primary and its replica, as far as Understudy can tell them from real ones: a log with positions and
//! commit times, a lease row that travels in it, a gate that reads that row, and a promotion that takes minutes.
//!
//! No SQL. What PostgreSQL and RDS really do is held against the real ones by the local cloud, not here.

use super::{Inner, Place, World};
use crate::seed::Chance;
use crate::trace::What;
use jiff::Timestamp;
use std::collections::BTreeMap;
use understudy_core::fault::Fault;
use understudy_core::plan;
use understudy_core::ports::{Databases, InstanceStatus, Sql};
use understudy_core::sql::{Answer, FailureClass, FenceLook, Lsn, Replica, Statement, Written};
use understudy_core::switch::Side;
use understudy_core::time::{Millis, after, before, elapsed};

/// After a promotion was taken the service says `available` for this long, as if nothing had been asked.
const UNNOTICED: Millis = Millis::from_secs(15);
/// Then `modifying`; at its end the server leaves recovery.
const MODIFYING: Millis = Millis::from_secs(135);
/// Then `rebooting`; at its end the source is gone.
const REBOOTING: Millis = Millis::from_secs(150);
/// Rows that each table held before the story begins.
const ROWS: u64 = 1_000_000;
/// Bytes of log that one entry takes.
const ENTRY_BYTES: u64 = 128;

/// An instant, and what the server's own clock shows then.
type Instant = (Timestamp, Timestamp);

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    position: u64,
    /// The instant, and what the server's own clock made of it.
    now: Timestamp,
    at: Timestamp,
    wrote: Wrote,
}

#[derive(Clone, Debug, PartialEq)]
enum Wrote {
    Row,
    Heartbeat,
    Lease(LeaseRow),
}

#[derive(Clone, Debug, PartialEq)]
struct LeaseRow {
    epoch: u64,
    /// `None`: it has no end.
    valid_until: Option<Timestamp>,
    /// The writer roles may not log in.
    locked: bool,
}

/// Why a write was refused, and whether the server was there to say so.
pub(super) struct Refused {
    pub(super) answered: bool,
    class: FailureClass,
    detail: &'static str,
}

impl Refused {
    pub(super) fn unreachable() -> Self {
        Self { answered: false, class: FailureClass::Unreachable, detail: "connection timed out" }
    }

    fn by_server(class: FailureClass, detail: &'static str) -> Self {
        Self { answered: true, class, detail }
    }

    fn answer(&self) -> Answer {
        Answer::Failed { class: self.class, detail: self.detail.to_owned() }
    }
}

/// One store: the primary's log, and how much of it the replica has.
pub(super) struct Store {
    instance: String,
    source: String,
    tables: Vec<String>,
    primary: Vec<Entry>,
    /// The replica's own log: the received part of the primary's, then its own entries.
    standby: Vec<Entry>,
    replayed: usize,
    paused: bool,
    stream_delay: Millis,
    promotion: Option<Timestamp>,
    in_recovery: bool,
    attached: bool,
}

impl Store {
    pub(super) fn new(store: &plan::Store, chance: &mut Chance) -> Self {
        Self {
            instance: store.standby.id.clone(),
            source: store.primary.id.clone(),
            tables: store.tables.clone(),
            primary: Vec::new(),
            standby: Vec::new(),
            replayed: 0,
            paused: false,
            stream_delay: Millis(100 + chance.below(2000)),
            promotion: None,
            in_recovery: true,
            attached: true,
        }
    }

    pub(super) fn pause_replay(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume_replay(&mut self) {
        self.paused = false;
        self.replay();
    }

    fn replay(&mut self) {
        if !self.paused {
            self.replayed = self.standby.len();
        }
    }

    /// Streams while the link is open and the replica is one; then lets a promotion take its course.
    pub(super) fn catch_up(&mut self, now: Timestamp, streams: bool) -> Option<What> {
        if streams && self.in_recovery {
            let until = before(now, self.stream_delay);
            let have = self.standby.len();
            let fresh = self.primary.iter().skip(have).take_while(|entry| entry.now <= until).cloned();
            self.standby.extend(fresh);
        }
        if self.in_recovery {
            self.replay();
        }
        self.promote_further(now)
    }

    fn promote_further(&mut self, now: Timestamp) -> Option<What> {
        let since = self.promotion?;
        let leaves = after(since, UNNOTICED.saturating_add(MODIFYING));
        if now >= after(leaves, REBOOTING) {
            self.attached = false;
        }
        if !self.in_recovery || now < leaves {
            return None;
        }
        // A promotion ends a pause and replays all that was received.
        self.paused = false;
        self.replayed = self.standby.len();
        self.in_recovery = false;
        let position = self.standby.last().map_or(0, |entry| entry.position);
        Some(What::StandsAlone { store: self.source.clone(), position })
    }

    fn status(&self, now: Timestamp) -> &'static str {
        let Some(since) = self.promotion else { return "available" };
        let age = elapsed(since, now);
        if age < UNNOTICED {
            "available"
        } else if age < UNNOTICED.saturating_add(MODIFYING) {
            "modifying"
        } else if age < UNNOTICED.saturating_add(MODIFYING).saturating_add(REBOOTING) {
            "rebooting"
        } else {
            "available"
        }
    }

    /// Whether the server in `at` takes connections.
    pub(super) fn answers(&self, at: Place, now: Timestamp) -> bool {
        match at {
            Place::Primary => true,
            Place::Standby => self.status(now) != "rebooting",
            Place::Witness | Place::Outside => false,
        }
    }

    /// The entries that a session at `at` sees.
    fn visible(&self, at: Place) -> &[Entry] {
        match at {
            Place::Primary => &self.primary,
            _ => self.standby.get(..self.replayed).unwrap_or(&self.standby),
        }
    }

    fn lease(&self, at: Place) -> Option<&LeaseRow> {
        self.visible(at).iter().rev().find_map(|entry| match &entry.wrote {
            Wrote::Lease(row) => Some(row),
            Wrote::Row | Wrote::Heartbeat => None,
        })
    }

    /// The statement gate, asked as a statement starts: past the lease nothing writes.
    fn gate(&self, at: Place, clock: Timestamp) -> Result<(), Refused> {
        if at == Place::Standby && self.in_recovery {
            return Err(Refused::by_server(FailureClass::ReadOnly, "the server is in recovery"));
        }
        let row = self.lease(at);
        if row.is_some_and(|row| row.locked) {
            return Err(Refused::by_server(FailureClass::Login, "the role may not log in"));
        }
        match row.and_then(|row| row.valid_until) {
            Some(until) if until <= clock => {
                Err(Refused::by_server(FailureClass::Fenced, "the lease of this database has run out"))
            }
            _ => Ok(()),
        }
    }

    fn commit(&mut self, at: Place, (now, clock): Instant, wrote: Wrote) -> u64 {
        let log = if at == Place::Primary { &mut self.primary } else { &mut self.standby };
        let position = log.last().map_or(ENTRY_BYTES, |entry| entry.position + ENTRY_BYTES);
        log.push(Entry { position, now, at: clock, wrote });
        if at != Place::Primary {
            self.replayed = self.standby.len();
        }
        position
    }

    fn rows(&self, at: Place) -> BTreeMap<String, u64> {
        let written = self.visible(at).iter().filter(|entry| entry.wrote == Wrote::Row).count();
        let written = u64::try_from(written).unwrap_or(u64::MAX);
        self.tables.iter().map(|table| (table.clone(), ROWS.saturating_add(written))).collect()
    }

    fn replica(&self, clock: Timestamp) -> Replica {
        let replayed = self.visible(Place::Standby).last();
        Replica {
            in_recovery: self.in_recovery,
            received: self.standby.last().map(|entry| Lsn(entry.position)),
            replayed: replayed.map(|entry| Lsn(entry.position)),
            replayed_commit_at: replayed.map(|entry| entry.at),
            replay_paused: self.paused,
            rows: self.rows(Place::Standby),
            now: clock,
        }
    }
}

fn side_of(at: Place) -> Side {
    if at == Place::Primary { Side::Primary } else { Side::Standby }
}

impl Inner {
    /// One row in every store, as the application in `at` writes it; acknowledged only if all took it.
    pub(super) fn write_as_application(&mut self, at: Place, client: &'static str) -> Result<(), Refused> {
        let (now, clock) = (self.now, self.clock(at));
        let mut position = 0;
        for store in self.stores.values_mut() {
            if !store.answers(at, now) {
                return Err(Refused::unreachable());
            }
            store.gate(at, clock)?;
            position = store.commit(at, (now, clock), Wrote::Row);
        }
        self.note(What::Acknowledged { side: side_of(at), client, position });
        Ok(())
    }
}

impl World {
    /// A transaction in the primary starts its last statement: whether the gate lets it.
    pub fn long_transaction_begins(&self) -> bool {
        let inner = self.inner.borrow();
        let clock = inner.clock(Place::Primary);
        inner.open(Place::Primary, Place::Primary)
            && inner.stores.values().all(|store| store.gate(Place::Primary, clock).is_ok())
    }

    /// And commits: the gate is not asked again, which is what the plan's margin is for. A fence by order has ended
    /// the session.
    pub fn long_transaction_commits(&self) {
        let mut inner = self.inner();
        let ended = |store: &Store| store.lease(Place::Primary).is_some_and(|row| row.locked);
        if !inner.open(Place::Primary, Place::Primary) || inner.stores.values().any(ended) {
            return;
        }
        let instant = (inner.now, inner.clock(Place::Primary));
        let stores = inner.stores.values_mut();
        let positions: Vec<u64> =
            stores.map(|store| store.commit(Place::Primary, instant, Wrote::Row)).collect();
        let position = positions.last().copied().unwrap_or(0);
        inner.note(What::Acknowledged { side: Side::Primary, client: "long", position });
    }
}

/// `sql-agent` of one Region.
pub struct SqlAgent<'a> {
    pub world: &'a World,
    pub place: Place,
}

impl Sql for SqlAgent<'_> {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let passed = self.world.pass(self.place, self.place).await?;
        let answer = self.world.answer(self.place, statement);
        passed.reply(answer?).await
    }
}

impl World {
    fn answer(&self, place: Place, statement: &Statement) -> Result<Answer, Fault> {
        let mut inner = self.inner();
        inner.catch_up();
        let (now, clock) = (inner.now, inner.clock(place));
        let Some(store) = inner.stores.get_mut(statement.store()) else {
            return Err(Fault::invalid(format!("store `{}`: not in the plan", statement.store())));
        };
        if !store.answers(place, now) {
            return Ok(Refused::unreachable().answer());
        }
        Ok(match statement {
            Statement::Heartbeat { .. } => heartbeat(store, place, (now, clock)),
            Statement::SetLease { epoch, since, valid_ms, .. } => {
                set_lease(store, place, (now, clock), *epoch, since.zip(*valid_ms))
            }
            Statement::Fence { epoch, .. } => fence(store, place, (now, clock), *epoch),
            Statement::ReplicaStatus { .. } => Answer::Replica(store.replica(clock)),
            Statement::ApplicationRead { .. } => Answer::ApplicationRead,
            Statement::ApplicationWrite { .. } => match store.gate(place, clock) {
                Ok(()) => {
                    store.commit(place, (now, clock), Wrote::Row);
                    Answer::ApplicationWrote
                }
                Err(refused) => refused.answer(),
            },
        })
    }
}

fn heartbeat(store: &mut Store, place: Place, instant: Instant) -> Answer {
    if place != Place::Primary && store.in_recovery {
        return Refused::by_server(FailureClass::ReadOnly, "the server is in recovery").answer();
    }
    Answer::Heartbeat(beat(store, place, instant))
}

fn beat(store: &mut Store, place: Place, instant: Instant) -> Written {
    let position = Lsn(store.commit(place, instant, Wrote::Heartbeat));
    let rows = store.rows(place);
    let (_, clock) = instant;
    let ungated_writers = Vec::new();
    Written { before: clock, committed_at: clock, position, rows, gate_armed: true, ungated_writers }
}

/// Transactions of this world are over at once, so that no session of a writer is ever seen.
fn fence(store: &mut Store, place: Place, instant: Instant, epoch: u64) -> Answer {
    if place != Place::Primary && store.in_recovery {
        return Refused::by_server(FailureClass::ReadOnly, "the server is in recovery").answer();
    }
    if store.lease(place).is_some_and(|row| row.epoch > epoch) {
        return Refused::by_server(FailureClass::Fenced, "the lease row holds a newer epoch").answer();
    }
    let (_, clock) = instant;
    let row = LeaseRow { epoch, valid_until: Some(clock), locked: true };
    store.commit(place, instant, Wrote::Lease(row));
    Answer::Fence(FenceLook { sessions: 0, prepared: 0, written: beat(store, place, instant) })
}

fn set_lease(
    store: &mut Store,
    place: Place,
    instant: Instant,
    epoch: u64,
    ends: Option<(Timestamp, u64)>,
) -> Answer {
    if place != Place::Primary && store.in_recovery {
        return Refused::by_server(FailureClass::ReadOnly, "the server is in recovery").answer();
    }
    if store.lease(place).is_some_and(|row| row.epoch > epoch) {
        return Refused::by_server(FailureClass::Fenced, "the lease row holds a newer epoch").answer();
    }
    let valid_until = ends.map(|(since, valid)| after(since, Millis(valid)));
    store.commit(place, instant, Wrote::Lease(LeaseRow { epoch, valid_until, locked: false }));
    Answer::LeaseSet
}

/// The managed databases of the standby Region.
pub struct Rds<'a>(pub &'a World);

impl Databases for Rds<'_> {
    async fn describe(&self, instance: &str) -> Result<Option<InstanceStatus>, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        let status = {
            let inner = self.0.inner.borrow();
            inner.stores.values().find(|store| store.instance == instance).map(|store| InstanceStatus {
                id: instance.to_owned(),
                status: store.status(inner.now).to_owned(),
                source: store.attached.then(|| store.source.clone()),
                backup_retention_days: Some(7),
            })
        };
        passed.reply(status).await
    }

    async fn promote(&self, instance: &str) -> Result<(), Fault> {
        let passed = self.0.pass(Place::Standby, Place::Standby).await?;
        self.0.take_promotion(instance)?;
        passed.reply(()).await
    }
}

impl World {
    fn take_promotion(&self, instance: &str) -> Result<(), Fault> {
        let mut inner = self.inner();
        let now = inner.now;
        let Some(store) = inner.stores.values_mut().find(|store| store.instance == instance) else {
            return Err(Fault::invalid(format!("no instance `{instance}`")));
        };
        if store.promotion.is_some() || !store.attached {
            return Err(Fault::transient(format!("`{instance}` is in no state to be promoted now")));
        }
        store.promotion = Some(now);
        inner.note(What::PromoteTaken { instance: instance.to_owned() });
        Ok(())
    }
}
