//! The world that the functions run in: places, links, virtual time, and the ports of the core on top.
//!
//! The world knows nothing of incidents, steps or workflows, and never checks a law: it only behaves, breaks,
//! and writes down what happened.

mod desk;
mod faults;
mod stores;
mod tables;
mod web;

pub use desk::{Bucket, Desk, Notary, Starter};
pub use faults::{Aim, Delivery, Trouble};
pub use stores::{Rds, SqlAgent};
pub use tables::Table;
pub use web::Net;

use crate::seed::Chance;
use crate::trace::{Event, What};
use faults::Invocation;
use jiff::Timestamp;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use stores::Store;
use understudy_core::plan::Plan;
use understudy_core::ports::{Cell, Clock, Key};
use understudy_core::time::{Millis, after};

/// Where something runs or listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Primary,
    Standby,
    Witness,
    /// Clients, Route 53's checkers, control targets.
    Outside,
}

impl Place {
    pub const ALL: [Self; 4] = [Self::Primary, Self::Standby, Self::Witness, Self::Outside];
}

/// Something that goes wrong, or right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Everything in the Region stops.
    Kill(Place),
    /// The Region runs on, but nothing gets in or out.
    Isolate(Place),
    /// Nothing passes between the two, either way.
    Cut(Place, Place),
    /// The application in the Region stops answering; its database does not.
    ApplicationDown(Place),
    /// The replica receives and does not replay.
    PauseReplay,
    ResumeReplay,
    /// All of the above is over.
    Heal,
}

/// What never changes while the world runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    /// How many of a thousand calls fail, before or after their effect.
    pub trouble_permille: u64,
    /// How far the primary's clocks run ahead of all others.
    pub primary_ahead: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, trouble_permille: 0, primary_ahead: Millis::ZERO }
    }
}

/// The whole world. Ports are short-lived handles on it.
pub struct World {
    pub plan: Plan,
    pub digest: String,
    pub settings: Settings,
    inner: RefCell<Inner>,
}

struct Inner {
    now: Timestamp,
    primary_ahead: Millis,
    chance: Chance,
    trace: Vec<Event>,
    dead: BTreeSet<Place>,
    isolated: BTreeSet<Place>,
    cut: BTreeSet<(Place, Place)>,
    application_down: BTreeSet<Place>,
    tables: BTreeMap<(Place, Key), Cell>,
    stores: BTreeMap<String, Store>,
    objects: BTreeMap<String, Vec<u8>>,
    signatures: u64,
    started: BTreeMap<String, String>,
    to_start: Vec<String>,
    awaited: BTreeSet<String>,
    sent: Vec<(String, serde_json::Value)>,
    web: web::Web,
    aims: Vec<Aim>,
    invocation: Option<Invocation>,
    /// How many calls the first delivery of each step made.
    calls: BTreeMap<understudy_core::steps::Step, u32>,
}

impl World {
    pub fn new(plan: Plan, settings: Settings, now: Timestamp) -> Self {
        let mut chance = Chance::new(settings.seed);
        let stores = plan.stores.iter().map(|store| (store.name.clone(), Store::new(store, &mut chance)));
        let stores = stores.collect();
        let web = web::Web::new(&mut chance);
        Self {
            digest: plan.digest(),
            plan,
            settings,
            inner: RefCell::new(Inner {
                now,
                primary_ahead: settings.primary_ahead,
                chance,
                trace: Vec::new(),
                dead: BTreeSet::new(),
                isolated: BTreeSet::new(),
                cut: BTreeSet::new(),
                application_down: BTreeSet::new(),
                tables: BTreeMap::new(),
                stores,
                objects: BTreeMap::new(),
                signatures: 0,
                started: BTreeMap::new(),
                to_start: Vec::new(),
                awaited: BTreeSet::new(),
                sent: Vec::new(),
                web,
                aims: Vec::new(),
                invocation: None,
                calls: BTreeMap::new(),
            }),
        }
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }

    pub fn now(&self) -> Timestamp {
        self.inner.borrow().now
    }

    pub fn trace(&self) -> Ref<'_, [Event]> {
        Ref::map(self.inner.borrow(), |inner| inner.trace.as_slice())
    }

    pub fn note(&self, what: What) {
        self.inner().note(what);
    }

    /// Moves time on; what runs by itself (streaming, promotions, health checks) catches up.
    pub fn advance(&self, to: Timestamp) {
        let mut inner = self.inner();
        inner.now = inner.now.max(to);
        inner.catch_up();
    }

    pub fn apply(&self, broken: Break) {
        let mut inner = self.inner();
        inner.catch_up();
        inner.note(What::Broke(format!("{broken:?}")));
        match broken {
            Break::Kill(place) => {
                inner.dead.insert(place);
            }
            Break::Isolate(place) => {
                inner.isolated.insert(place);
            }
            Break::Cut(a, b) => {
                inner.cut.extend([(a, b), (b, a)]);
            }
            Break::ApplicationDown(place) => {
                inner.application_down.insert(place);
            }
            Break::PauseReplay => inner.stores.values_mut().for_each(Store::pause_replay),
            Break::ResumeReplay => inner.stores.values_mut().for_each(Store::resume_replay),
            Break::Heal => inner.heal(),
        }
    }

    /// Whether anything runs in `place` at all.
    pub fn alive(&self, place: Place) -> bool {
        !self.inner.borrow().dead.contains(&place)
    }

    pub fn clock(&self, place: Place) -> HostClock<'_> {
        HostClock { world: self, place }
    }
}

impl Inner {
    /// What a clock in `place` shows.
    fn clock(&self, place: Place) -> Timestamp {
        match place {
            Place::Primary => after(self.now, self.primary_ahead),
            _ => self.now,
        }
    }

    fn note(&mut self, what: What) {
        let at = self.now;
        self.trace.push(Event { at, what });
    }

    fn heal(&mut self) {
        self.dead.clear();
        self.isolated.clear();
        self.cut.clear();
        self.application_down.clear();
        self.stores.values_mut().for_each(Store::resume_replay);
    }

    /// Whether a packet from `from` reaches `to`.
    fn open(&self, from: Place, to: Place) -> bool {
        if self.dead.contains(&from) || self.dead.contains(&to) {
            return false;
        }
        let isolated = self.isolated.contains(&from) || self.isolated.contains(&to);
        from == to || !(isolated || self.cut.contains(&(from, to)))
    }

    fn catch_up(&mut self) {
        let streams = self.open(Place::Standby, Place::Primary);
        let now = self.now;
        let mut alone = Vec::new();
        for store in self.stores.values_mut() {
            alone.extend(store.catch_up(now, streams));
        }
        for what in alone {
            self.note(what);
        }
        let reachable = self.application_answers(Place::Outside, Place::Primary);
        self.web.check_primary(now, reachable);
    }
}

/// The clock of the hosts in one place.
pub struct HostClock<'a> {
    world: &'a World,
    place: Place,
}

impl Clock for HostClock<'_> {
    fn now(&self) -> Timestamp {
        self.world.inner.borrow().clock(self.place)
    }
}
