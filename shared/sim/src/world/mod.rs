//! The world that the functions run in: places, links, virtual time, and the ports of the core on top.
//!
//! The world knows nothing of incidents, steps or workflows, and never checks a law: it only behaves, breaks,
//! and writes down what happened.

mod ahead;
mod breaks;
mod clocks;
mod desk;
mod faults;
mod late;
mod log;
mod places;
mod quotas;
mod settled;
mod sql;
mod stores;
mod tables;
mod web;
mod wiring;

pub use ahead::Ahead;
pub use breaks::Break;
pub use clocks::HostClock;
pub use desk::{Bucket, Desk, Notary, Starter, WitnessDesk};
pub use faults::{Aim, Delivery, Trouble};
pub(crate) use faults::{MUCH_LATER, span};
pub(crate) use late::Effect;
pub use sql::{Rds, SqlAgent};
pub use tables::Table;
pub use web::Net;
pub use wiring::Wires;

use crate::functions::Function;
use crate::queue::{Due, Moment, Queue};
use crate::seed::Chance;
use crate::tasks::{Heard, Invocation, TaskId};
use crate::trace::{Event, What};
use jiff::Timestamp;
use places::{Places, Roads};
use serde_json::Value;
use std::cell::{self, Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use stores::Store;
use tables::Tables;
use understudy_core::plan::Plan;
use understudy_core::steps::Step;
use understudy_core::time::Millis;

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

/// What never changes while the world runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub seed: u64,
    /// How many of a thousand calls fail, before or after their effect.
    pub trouble_permille: u64,
    /// How many of a thousand calls take seconds.
    pub slow_permille: u64,
    /// How many of a thousand invocations Lambda spoils by itself.
    pub lambda_permille: u64,
    /// How far the primary's clocks run ahead of all others.
    pub primary_ahead: Millis,
    /// Clocks wander, as far as the plan's drift allows.
    pub drift: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            trouble_permille: 0,
            slow_permille: 0,
            lambda_permille: 0,
            primary_ahead: Millis::ZERO,
            drift: false,
        }
    }
}

/// A plan with its digest, made once for many worlds.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub plan: Rc<Plan>,
    pub digest: Rc<str>,
}

impl From<Plan> for Deployed {
    fn from(plan: Plan) -> Self {
        Self { digest: plan.digest().into(), plan: Rc::new(plan) }
    }
}

/// What nobody looks at goes on in steps of so many milliseconds.
const UNWATCHED: i64 = 250;

/// A fault and the states of the workflow that it met, with how often.
pub type Coverage = BTreeMap<&'static str, BTreeMap<Rc<str>, u64>>;

/// The whole world. Ports are short-lived handles on it.
pub struct World {
    pub plan: Rc<Plan>,
    pub digest: Rc<str>,
    pub settings: Settings,
    now: cell::Cell<Moment>,
    queue: RefCell<Queue>,
    inner: RefCell<Inner>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that may be wrong with the world")]
struct Inner {
    now: Moment,
    caught_up: Moment,
    clocks: clocks::Clocks,
    /// How long things take.
    chance: Chance,
    /// What goes wrong with calls, and with invocations: apart, so that one can be left out alone.
    trouble: Chance,
    lambda: Chance,
    trace: Vec<Event>,
    dead: Places,
    isolated: Places,
    cut: Roads,
    /// Functions there are not invoked any more; all else runs.
    still: Places,
    /// One call in five to there takes seconds.
    slow: Places,
    /// How many of a thousand calls are throttled just now, on top of the settings.
    throttled: u64,
    quotas: quotas::Quotas,
    application_down: Places,
    flapping: bool,
    bucket_away: bool,
    /// Queues there take and deliver nothing.
    queues_away: Places,
    /// Looks that functions sent ahead to themselves.
    ahead: Vec<(Function, Timestamp, Millis)>,
    /// The last write beside the primary was refused because its lease was over.
    past_lease: bool,
    /// The primary's disk acknowledges nothing.
    disk_hangs: bool,
    /// Nor is any lease set in the primary's databases.
    sets_nothing: bool,
    /// What the primary's stack was deployed with, where that is not the standby's plan.
    guard: Option<Deployed>,
    tables: Tables,
    stores: Vec<Store>,
    objects: BTreeMap<String, Vec<u8>>,
    signatures: u64,
    started: BTreeMap<String, String>,
    to_start: Vec<String>,
    /// Invocations that other invocations asked for.
    asked: Vec<(Function, Value, TaskId, Heard)>,
    awaited: BTreeSet<String>,
    sent: Vec<(String, Value)>,
    web: web::Web,
    aims: Vec<Aim>,
    current: Option<Invocation>,
    /// How many calls the first delivery of each step made.
    calls: BTreeMap<Step, u32>,
    /// All calls so far.
    count: u64,
    calm: bool,
    troubles: Vec<(u64, Trouble)>,
    /// These troubles and no others; otherwise they are drawn.
    only: Option<Vec<(u64, Trouble)>>,
    /// The state that an execution entered last; `-` while none runs.
    state: Rc<str>,
    coverage: Coverage,
}

impl World {
    pub fn new(deployed: impl Into<Deployed>, settings: Settings, now: Timestamp) -> Self {
        let Deployed { plan, digest } = deployed.into();
        let now = now.as_millisecond();
        let mut chance = Chance::new(settings.seed);
        let stores = plan.stores.iter().map(|store| Store::new(store, &plan, now, &mut chance)).collect();
        let web = web::Web::new(&plan, &mut chance);
        let clocks = clocks::Clocks::new(&plan, settings, &mut chance);
        let inner = Inner {
            now,
            caught_up: now,
            clocks,
            trouble: Chance::new(settings.seed ^ 0x0BAD_CA11),
            lambda: Chance::new(settings.seed ^ 0x1A3B_DA00),
            chance,
            trace: Vec::with_capacity(1024),
            dead: Places::default(),
            isolated: Places::default(),
            cut: Roads::default(),
            still: Places::default(),
            slow: Places::default(),
            throttled: 0,
            quotas: quotas::Quotas::full(now),
            application_down: Places::default(),
            flapping: false,
            bucket_away: false,
            queues_away: Places::default(),
            past_lease: false,
            ahead: Vec::new(),
            disk_hangs: false,
            sets_nothing: false,
            guard: None,
            tables: Tables::default(),
            stores,
            objects: BTreeMap::new(),
            signatures: 0,
            started: BTreeMap::new(),
            to_start: Vec::new(),
            asked: Vec::new(),
            awaited: BTreeSet::new(),
            sent: Vec::new(),
            web,
            aims: Vec::new(),
            current: None,
            calls: BTreeMap::new(),
            count: 0,
            calm: false,
            troubles: Vec::new(),
            only: None,
            state: "-".into(),
            coverage: Coverage::new(),
        };
        let (now, queue) = (cell::Cell::new(now), RefCell::new(Queue::new(now)));
        Self { plan, digest, settings, now, queue, inner: RefCell::new(inner) }
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }

    pub fn now(&self) -> Timestamp {
        timestamp(self.moment())
    }

    /// What the primary's stack is deployed with.
    pub(crate) fn guards_plan(&self) -> Deployed {
        let ours = || Deployed { plan: Rc::clone(&self.plan), digest: Rc::clone(&self.digest) };
        self.inner.borrow().guard.clone().unwrap_or_else(ours)
    }

    pub(crate) fn moment(&self) -> Moment {
        self.now.get()
    }

    pub(crate) fn plan_for(&self, at: Moment, due: Due) {
        self.queue.borrow_mut().plan(at, due);
    }

    pub(crate) fn next(&self, until: Moment) -> Option<(Moment, Due)> {
        self.queue.borrow_mut().next(until)
    }

    pub fn trace(&self) -> Ref<'_, [Event]> {
        Ref::map(self.inner.borrow(), |inner| inner.trace.as_slice())
    }

    pub fn note(&self, what: What) {
        self.inner().note(what);
    }

    /// Moves time on; what runs by itself (streaming, promotions, health checks) catches up.
    pub(crate) fn advance(&self, to: Moment) {
        if to > self.now.get() {
            self.now.set(to);
            let mut inner = self.inner();
            inner.now = to;
            // What runs by itself is looked at when somebody looks, and at the latest after a while.
            if to >= inner.caught_up + UNWATCHED {
                inner.catch_up();
            }
        }
    }

    /// Draws from the chance that decides how long things take.
    pub(crate) fn draw(&self) -> u64 {
        self.inner().chance.draw()
    }

    /// Whether Lambda spoils the next invocation, and how.
    pub(crate) fn spoils(&self) -> Option<u64> {
        let mut inner = self.inner();
        let permille = self.settings.lambda_permille;
        (!inner.calm && inner.lambda.happens(permille)).then(|| inner.lambda.below(4))
    }

    /// Lets an invocation run on.
    pub(crate) fn enter(&self, invocation: Option<Invocation>) {
        self.inner().current = invocation;
    }

    pub(crate) fn leave(&self) -> Option<Invocation> {
        self.inner().current.take()
    }

    /// Whether `step` was never delivered before.
    pub(crate) fn is_first(&self, step: Step) -> bool {
        let mut inner = self.inner();
        let first = !inner.calls.contains_key(&step);
        if first {
            inner.calls.insert(step, 0);
        }
        first
    }

    /// Asks for another function on behalf of the invocation that runs just now.
    pub(crate) fn ask_for(&self, function: Function, event: Value) -> Heard {
        let heard = Heard::default();
        let mut inner = self.inner();
        if let Some(parent) = inner.current.as_ref().map(|invocation| invocation.id) {
            inner.asked.push((function, event, parent, Rc::clone(&heard)));
        }
        heard
    }

    pub(crate) fn take_asked(&self) -> Vec<(Function, Value, TaskId, Heard)> {
        std::mem::take(&mut self.inner().asked)
    }

    /// Whether an execution, a token or an invocation waits to be taken up.
    pub(crate) fn asks(&self) -> bool {
        let inner = self.inner.borrow();
        !(inner.to_start.is_empty()
            && inner.sent.is_empty()
            && inner.asked.is_empty()
            && inner.ahead.is_empty())
    }

    /// The state that the execution is in, for the table of what met what.
    pub(crate) fn in_state(&self, state: Rc<str>) {
        self.inner().state = state;
    }

    pub fn coverage(&self) -> Coverage {
        self.inner.borrow().coverage.clone()
    }

    pub(crate) fn cover(&self, fault: &'static str) {
        self.inner().cover(fault);
    }

    /// From now on nothing breaks, no call goes wrong or takes seconds, and Lambda spoils nothing.
    pub(crate) fn calm(&self) {
        let mut inner = self.inner();
        inner.only = Some(Vec::new());
        inner.calm = true;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.inner.borrow().calm
    }

    /// How many calls were made so far.
    pub fn count(&self) -> u64 {
        self.inner.borrow().count
    }

    /// Every trouble that was drawn, by the number of its call.
    pub fn troubles(&self) -> Vec<(u64, Trouble)> {
        self.inner.borrow().troubles.clone()
    }

    /// From now on these troubles happen, and no others.
    pub fn only(&self, troubles: Vec<(u64, Trouble)>) {
        self.inner().only = Some(troubles);
    }
}

/// An instant as everybody but the clockwork writes it.
pub(crate) fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_millisecond(moment).unwrap_or(Timestamp::MAX)
}

impl Inner {
    fn note(&mut self, what: What) {
        let at = timestamp(self.now);
        self.trace.push(Event { at, what });
    }

    /// Whether a packet from `from` reaches `to`.
    fn open(&self, from: Place, to: Place) -> bool {
        if self.dead.contains(from) || self.dead.contains(to) {
            return false;
        }
        let isolated = self.isolated.contains(from) || self.isolated.contains(to);
        from == to || !(isolated || self.cut.contains(from, to))
    }

    fn catch_up(&mut self) {
        self.caught_up = self.now;
        let away = self.open(Place::Standby, Place::Primary);
        let back = self.open(Place::Primary, Place::Standby);
        let now = self.now;
        let mut alone = None;
        for store in &mut self.stores {
            let open = |from, _| if from == Place::Standby { away } else { back };
            if let Some(what) = store.catch_up(now, open) {
                alone.get_or_insert_with(Vec::new).push(what);
            }
        }
        for what in alone.into_iter().flatten() {
            self.note(what);
        }
        let reachable = self.application_answers(Place::Outside, Place::Primary);
        self.web.check_primary(now, reachable);
        if self.web.is_fast() {
            let answers = self.open(Place::Outside, Place::Standby) && !self.still.contains(Place::Standby);
            let told = answers && self.tables.standby_serves();
            self.web.hear(now, told);
        }
    }
}
