//! A primary and its replica, as far as Understudy can tell them from real ones: a log with positions and
//! commit times, a lease row that travels in it, a gate that reads that row, and a promotion that takes minutes.
//!
//! What is called primary and standby in here are seats. Once the old primary is built anew as a replica of the
//! standby, each Region sits in the other's.
//!
//! No SQL. What PostgreSQL and RDS really do is held against the real ones by the local cloud, not here.

use super::log::{LeaseRow, Log, Wrote, position};
use super::{Inner, Place, World, span, timestamp};
use crate::queue::Moment;
use crate::seed::Chance;
use crate::trace::{STALLED, What};
use std::collections::BTreeMap;
use understudy_core::plan::{self, OnLeaseLoss, Plan};
use understudy_core::ports::InstanceStatus;
use understudy_core::sql::{Answer, FailureClass, Lineage, Lsn, Replica};
use understudy_core::switch::Side;
use understudy_core::time::Millis;

/// Rows that each table held before the story begins.
const ROWS: u64 = 1_000_000;
/// A backup of the replica takes this long, and so does a resize.
const BUSY: i64 = 240_000;
const OPTIMIZES: i64 = 3 * 3_600_000;
/// A restored primary lacks so many entries of the log that its replica has.
const RESTORED_SHORT: usize = 40;
/// A server that restarts takes no connection for this long.
const RESTART: i64 = 20_000;

/// How a promotion goes on: `available` as if nothing had been asked, `modifying` until the server leaves recovery,
/// `rebooting` until the source is gone. Each in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Course {
    unnoticed: i64,
    modifying: i64,
    rebooting: i64,
}

/// An instant, and what the server's own clock shows then.
pub(super) type Instant = (Moment, Moment);

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

    pub(super) fn past_lease(&self) -> bool {
        self.class == FailureClass::Fenced
    }

    pub(super) fn by_server(class: FailureClass, detail: &'static str) -> Self {
        Self { answered: true, class, detail }
    }

    pub(super) fn answer(&self) -> Answer {
        Answer::Failed { class: self.class, detail: self.detail.to_owned() }
    }
}

/// One store: the primary's log, and how much of it the replica has.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be wrong with it")]
pub(super) struct Store {
    pub(super) name: String,
    pub(super) instance: String,
    source: String,
    tables: Vec<String>,
    primary: Log,
    /// What the replica wrote itself, once it stands alone.
    own: Option<Log>,
    received: usize,
    replayed: usize,
    paused: bool,
    stalled: bool,
    hangs: bool,
    pub(super) ungated: bool,
    /// The primary's server takes no connection.
    pub(super) down: bool,
    stream_delay: i64,
    /// A description of the instance may be this old.
    pub(super) stale: i64,
    course: Course,
    pub(super) promotion: Option<Moment>,
    /// What the service does to the replica besides, and until when; it takes no promotion meanwhile.
    busy: (&'static str, Moment),
    pub(super) attached: bool,
    /// The replica's server takes no connection until then.
    restarts: Moment,
    /// The primary's Region sits in the standby's seat, and the other way round.
    swapped: bool,
    /// The timeline of the primary's seat; a promoted replica writes on the next one.
    timeline: u32,
    /// The primary is another one than the replica follows: restored from a backup, under the same name.
    restored: bool,
}

impl Store {
    /// As the story begins: what arms it was done before, and one tick of the guard lies behind.
    pub(super) fn new(store: &plan::Store, plan: &Plan, now: Moment, chance: &mut Chance) -> Self {
        let mut below = |bound: u64| i64::try_from(chance.below(bound)).unwrap_or(0);
        Self {
            name: store.name.clone(),
            instance: store.standby.id.clone(),
            source: store.primary.id.clone(),
            tables: store.tables.clone(),
            primary: armed(plan, now),
            own: None,
            received: 0,
            replayed: 0,
            paused: false,
            stalled: false,
            hangs: false,
            ungated: false,
            down: false,
            stream_delay: 100 + below(2000),
            stale: below(6000),
            course: Course { unnoticed: 15_000, modifying: 135_000, rebooting: 150_000 },
            promotion: None,
            busy: ("available", 0),
            attached: true,
            restarts: 0,
            swapped: false,
            timeline: 1,
            restored: false,
        }
    }

    /// Where `at` sits.
    fn seat(&self, at: Place) -> Place {
        match at {
            Place::Primary if self.swapped => Place::Standby,
            Place::Standby if self.swapped => Place::Primary,
            other => other,
        }
    }

    /// The two ends of the stream: who receives, who sends.
    fn stream(&self) -> (Place, Place) {
        (self.seat(Place::Standby), self.seat(Place::Primary))
    }

    /// The old primary is built anew as a replica of the store that stands alone, if there is one.
    pub(super) fn rebuild(&mut self) {
        let Some(own) = self.own.take() else { return };
        (self.received, self.replayed) = (own.len(), own.len());
        self.primary = own;
        std::mem::swap(&mut self.instance, &mut self.source);
        self.swapped = !self.swapped;
        self.timeline += 1;
        self.restored = false;
        (self.promotion, self.attached) = (None, true);
        (self.paused, self.stalled, self.hangs) = (false, false, false);
    }

    /// Whether the server in `at` takes no writes of its own.
    pub(super) fn is_replica(&self, at: Place) -> bool {
        self.seat(at) == Place::Standby && self.in_recovery()
    }

    /// Promotions of this world take another course.
    pub(super) fn promotes_within(&mut self, unnoticed: i64, modifying: i64, rebooting: i64) {
        self.course = Course { unnoticed, modifying, rebooting };
    }

    pub(super) fn pause_replay(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume_replay(&mut self) {
        self.paused = false;
        self.replay();
    }

    pub(super) fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    pub(super) fn hang(&mut self) {
        self.hangs = true;
    }

    pub(super) fn drop_gate(&mut self) {
        self.ungated = true;
    }

    pub(super) fn busy_with(&mut self, status: &'static str, now: Moment) {
        self.busy = (status, now + BUSY);
    }

    /// Longer than any promotion may take.
    pub(super) fn optimize(&mut self, now: Moment) {
        self.busy = ("storage-optimization", now + OPTIMIZES);
    }

    pub(super) fn restart(&mut self, now: Moment) {
        self.restarts = now + RESTART;
    }

    pub(super) fn takes_promotion(&self, now: Moment) -> bool {
        self.promotion.is_none() && self.attached && now >= self.busy.1
    }

    /// Some rows short of what the replica has. The lease came back with it, and a restore takes longer than that lasts:
    /// nobody writes before the guard's next tick, unless nothing ever ends it.
    pub(super) fn restore(&mut self, (now, clock): Instant) {
        if !self.in_recovery() || self.restored {
            return;
        }
        self.primary = self.primary.restored(self.received.saturating_sub(RESTORED_SHORT));
        self.restored = true;
        if let Some(row) = self.primary.lease(self.primary.len())
            && row.valid_until.is_some()
        {
            self.primary.commit(now, clock, Wrote::Lease(LeaseRow { valid_until: Some(clock), ..row }));
        }
    }

    /// A restored cluster keeps its identity, as its snapshot does: by that alone nobody could tell.
    pub(super) fn lineage(&self, at: Place) -> Lineage {
        let parted = self.seat(at) == Place::Standby && !self.in_recovery();
        Lineage { system: self.name.clone(), timeline: self.timeline + u32::from(parted) }
    }

    fn in_recovery(&self) -> bool {
        self.own.is_none()
    }

    fn replay(&mut self) {
        if !self.paused {
            self.replayed = self.received;
        }
    }

    /// Streams while the link is open and the replica is one; then lets a promotion take its course.
    pub(super) fn catch_up(&mut self, now: Moment, open: impl Fn(Place, Place) -> bool) -> Option<What> {
        if self.in_recovery() {
            let (receives, sends) = self.stream();
            if !self.stalled && !self.restored && open(receives, sends) {
                self.received = self.primary.length_at(self.received, now - self.stream_delay);
            }
            self.replay();
        }
        self.promote_further(now)
    }

    fn promote_further(&mut self, now: Moment) -> Option<What> {
        let since = self.promotion?;
        if self.hangs {
            return None;
        }
        let leaves = since + self.course.unnoticed + self.course.modifying;
        if now >= leaves + self.course.rebooting {
            self.attached = false;
        }
        if !self.in_recovery() || now < leaves {
            return None;
        }
        // A promotion ends a pause and replays all that was received.
        self.paused = false;
        self.replayed = self.received;
        self.own = Some(Log::behind(&self.primary, self.received));
        let position = position(self.received).map_or(0, |Lsn(position)| position);
        Some(What::StandsAlone { store: self.source.clone(), position })
    }

    fn status(&self, now: Moment) -> &'static str {
        let Some(since) = self.promotion else {
            return if now < self.busy.1 { self.busy.0 } else { "available" };
        };
        let Course { unnoticed, modifying, rebooting } = self.course;
        let age = now - since;
        if age < unnoticed {
            "available"
        } else if age < unnoticed + modifying || self.hangs {
            "modifying"
        } else if age < unnoticed + modifying + rebooting {
            "rebooting"
        } else {
            "available"
        }
    }

    /// Whether `instance` is one of the two.
    pub(super) fn knows(&self, instance: &str) -> bool {
        self.instance == instance || self.source == instance
    }

    /// What the service says of either instance, which may be a few seconds old.
    pub(super) fn described(&self, instance: &str, now: Moment, age: i64) -> InstanceStatus {
        if instance == self.source {
            let (id, status) = (instance.to_owned(), "available".to_owned());
            return InstanceStatus { id, status, source: None, backup_retention_days: Some(7) };
        }
        let then = now - age;
        let Course { unnoticed, modifying, rebooting } = self.course;
        let alone = self.promotion.is_some_and(|since| then >= since + unnoticed + modifying + rebooting);
        InstanceStatus {
            id: self.instance.clone(),
            status: self.status(then).to_owned(),
            source: (self.attached || !alone)
                .then(|| if self.restored { format!("{}-before", self.source) } else { self.source.clone() }),
            backup_retention_days: Some(7),
        }
    }

    /// Whether the server in `at` takes connections.
    pub(super) fn answers(&self, at: Place, now: Moment) -> bool {
        match self.seat(at) {
            Place::Primary => !self.down,
            Place::Standby => self.status(now) != "rebooting" && now >= self.restarts,
            Place::Witness | Place::Outside => false,
        }
    }

    /// How much of its log a session at `at` sees.
    fn visible(&self, at: Place) -> usize {
        match (self.seat(at), &self.own) {
            (Place::Primary, _) => self.primary.len(),
            (_, Some(own)) => own.len(),
            (_, None) => self.replayed,
        }
    }

    pub(super) fn lease(&self, at: Place) -> Option<LeaseRow> {
        if self.seat(at) == Place::Primary {
            return self.primary.lease(self.primary.len());
        }
        let own = self.own.as_ref().and_then(|own| own.lease(own.len()));
        own.or_else(|| self.primary.lease(self.replayed))
    }

    /// By the primary's clock, when its lease ends; nothing where it has no end.
    pub(super) fn valid_until(&self) -> Option<Moment> {
        self.lease(Place::Primary).filter(|row| !row.locked)?.valid_until
    }

    /// The statement gate, asked as a statement starts: past the lease nothing writes.
    pub(super) fn gate(&self, at: Place, clock: Moment) -> Result<(), Refused> {
        if self.is_replica(at) {
            return Err(Refused::by_server(FailureClass::ReadOnly, "the server is in recovery"));
        }
        let row = self.lease(at);
        if row.is_some_and(|row| row.locked) {
            return Err(Refused::by_server(FailureClass::Login, "the role may not log in"));
        }
        match row.and_then(|row| row.valid_until) {
            Some(until) if until <= clock && !(self.ungated && at == Place::Primary) => {
                Err(Refused::by_server(FailureClass::Fenced, "the lease of this database has run out"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn commit(&mut self, at: Place, (now, clock): Instant, wrote: Wrote) -> u64 {
        let seat = self.seat(at);
        match (&mut self.own, seat) {
            (Some(own), Place::Standby) => own.commit(now, clock, wrote),
            _ => self.primary.commit(now, clock, wrote),
        }
    }

    pub(super) fn rows(&self, at: Place) -> BTreeMap<String, u64> {
        let log = if self.seat(at) == Place::Primary {
            &self.primary
        } else {
            self.own.as_ref().unwrap_or(&self.primary)
        };
        let rows = ROWS.saturating_add(log.rows(self.visible(at)));
        self.tables.iter().map(|table| (table.clone(), rows)).collect()
    }

    /// The server in `at`, as it sees itself. One that is no replica does not say what it received.
    pub(super) fn replica(&self, at: Place, clock: Moment) -> Replica {
        let now = timestamp(clock);
        if self.seat(at) == Place::Primary {
            let (received, replayed, replayed_commit_at) = (None, None, None);
            let rows = self.rows(at);
            return Replica {
                in_recovery: false,
                received,
                replayed,
                replayed_commit_at,
                replay_paused: false,
                rows,
                now,
                lineage: Some(self.lineage(at)),
            };
        }
        let visible = self.visible(at);
        let own = self.own.as_ref();
        let committed_at = own.and_then(|own| own.committed_at(visible));
        let committed_at = committed_at.or_else(|| self.primary.committed_at(visible));
        Replica {
            in_recovery: self.in_recovery(),
            received: position(own.map_or(self.received, Log::len)),
            replayed: position(visible),
            replayed_commit_at: committed_at.map(timestamp),
            replay_paused: self.paused,
            rows: self.rows(at),
            now,
            lineage: Some(self.lineage(at)),
        }
    }
}

/// As a guard leaves it that does not count on looks yet.
fn armed(plan: &Plan, now: Moment) -> Log {
    let mut log = Log::default();
    if plan.lease.on_loss == OnLeaseLoss::Fence {
        log.commit(now, now, Wrote::Lease(lease_row(now, plan.lease.ttl.max(plan.tick.times(4)))));
    }
    log
}

/// The first lease, given at `now` for `ttl`.
fn lease_row(now: Moment, ttl: Millis) -> LeaseRow {
    LeaseRow { epoch: 1, since: Some(now), valid_until: Some(now + span(ttl)), locked: false }
}

pub(super) fn side_of(at: Place) -> Side {
    if at == Place::Primary { Side::Primary } else { Side::Standby }
}

impl Inner {
    /// A renewal of the first lease, as a guard made it just now.
    pub(super) fn renew_in_databases(&mut self, ttl: Millis) {
        let now = self.now;
        for store in &mut self.stores {
            store.primary.commit(now, now, Wrote::Lease(lease_row(now, ttl)));
        }
    }

    /// One row in every store, as the application in `at` writes it; acknowledged only if all took it.
    pub(super) fn write_as_application(&mut self, at: Place, client: &'static str) -> Result<(), Refused> {
        self.catch_up();
        if at == Place::Primary && self.disk_hangs {
            return Err(Refused::unreachable());
        }
        let (now, clock) = (self.now, self.clock(at));
        let mut position = 0;
        for store in &mut self.stores {
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
    /// Somebody promotes every replica by the service's console.
    pub fn promote_by_hand(&self) {
        let mut inner = self.inner();
        let now = inner.now;
        for store in &mut inner.stores {
            store.promotion.get_or_insert(now);
        }
    }

    /// Promotions of this world go on `unnoticed`, then are `modifying`, then `rebooting`; each in milliseconds.
    pub fn promotes_within(&self, unnoticed: i64, modifying: i64, rebooting: i64) {
        for store in &mut self.inner().stores {
            store.promotes_within(unnoticed, modifying, rebooting);
        }
    }

    /// How long, in true time, until the lease of the primary's database runs out; nothing if that is over.
    pub(crate) fn lapses_in(&self) -> Option<i64> {
        let inner = self.inner.borrow();
        let until = inner.stores.iter().filter_map(Store::valid_until).min()?;
        Some(until - inner.clock(Place::Primary)).filter(|left| *left > 0)
    }

    /// A transaction in the primary starts its last statement: whether the gate lets it.
    pub fn long_transaction_begins(&self) -> bool {
        let inner = self.inner.borrow();
        let clock = inner.clock(Place::Primary);
        inner.open(Place::Primary, Place::Primary)
            && inner.stores.iter().all(|store| store.gate(Place::Primary, clock).is_ok())
    }

    /// How long its commit is on its way to the disk once it passed the gate: within the plan's margin, half of the time
    /// all of it; beyond any bound where the disk hangs, and then it is told as `STALLED`.
    pub fn long_transaction_takes(&self) -> (i64, &'static str) {
        let mut inner = self.inner();
        let margin = self.plan.lease.commit_margin.0;
        let (span, client) = match (inner.disk_hangs, inner.chance.below(2)) {
            (true, _) => (margin + inner.chance.below(60_000), STALLED),
            (false, 0) => (margin, "long"),
            (false, _) => (inner.chance.below(margin.max(1)), "long"),
        };
        (i64::try_from(span).unwrap_or(0), client)
    }

    /// And commits: the gate is not asked again, which is what the plan's margin is for. A fence by order has ended
    /// the session.
    pub fn long_transaction_commits(&self, client: &'static str) {
        let mut inner = self.inner();
        let ended = |store: &Store| store.lease(Place::Primary).is_some_and(|row| row.locked);
        if !inner.open(Place::Primary, Place::Primary) || inner.stores.iter().any(ended) {
            return;
        }
        let instant = (inner.now, inner.clock(Place::Primary));
        let stores = inner.stores.iter_mut();
        let position = stores.map(|store| store.commit(Place::Primary, instant, Wrote::Row)).last();
        let position = position.unwrap_or(0);
        inner.note(What::Acknowledged { side: Side::Primary, client, position });
    }
}
