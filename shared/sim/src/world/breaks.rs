//! Everything that an operator would call broken: Regions, links, functions, applications, replicas.

use super::{Deployed, Inner, Place, World};
use crate::trace::What;
use stores::Store;
use understudy_core::plan::Plan;
use understudy_core::time::Millis;

use super::stores;

/// Something that goes wrong, or right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Everything in the Region stops.
    Kill(Place),
    /// The Region runs on, but nothing gets in or out.
    Isolate(Place),
    /// A Region that was dead or isolated is back; links that are cut stay cut.
    Returns(Place),
    /// Nothing passes between the two, either way.
    Cut(Place, Place),
    /// Nothing passes from the first to the second; the other way is open.
    OneWay(Place, Place),
    /// Functions in the Region are not invoked; its databases and applications run on.
    Still(Place),
    /// One call in five to the Region takes seconds.
    Slow(Place),
    /// This many of a thousand requests are throttled.
    Throttle(u64),
    /// So many other applications of the account fail over at this moment, and share its quotas.
    Rush(u64),
    /// The application in the Region stops answering; its database does not.
    ApplicationDown(Place),
    /// The primary's application answers every other half minute.
    Flapping,
    /// The replica receives and does not replay.
    PauseReplay,
    ResumeReplay,
    /// The replica receives nothing more.
    StallStream,
    /// The service takes a promotion and does nothing.
    PromotionHangs,
    /// The service refuses promotions, as it does while it backs up.
    BackingUp,
    /// The primary's database alone is gone: its functions run.
    DatabaseDown,
    /// The replica's storage was changed: for hours the service refuses promotions.
    Optimizes,
    /// The replica is resized: `modifying` for minutes, in which it answers and takes no promotion.
    Resized,
    /// The replica's server restarts by itself, promoted or not: for a while it takes no connection, and the service calls
    /// it available.
    Restarts,
    /// The primary's stack is deployed, or rolled back, with a lease of so many seconds: another plan than the standby's.
    GuardOf(u64),
    /// The primary's stack has the standby's plan again.
    GuardOurs,
    /// The primary's databases take heartbeats and no lease: the one that stands there stays, and runs out.
    SetsNothing,
    /// So many of a thousand hosts of functions have a clock that is wrong by seconds or minutes, either way.
    ClocksWrong(u64),
    /// The primary is restored from a backup under its old name. The replica goes on following the renamed one.
    Restored,
    /// The primary's disk hangs: no commit is acknowledged until it does not, however long that takes.
    DiskHangs,
    /// Somebody drops the triggers of the primary: no statement is stopped any more, and the next heartbeat shows it.
    GateDropped,
    /// The Region's queues take and deliver nothing.
    QueuesAway(Place),
    /// The evidence bucket is away.
    BucketAway,
    /// Somebody else publishes that the standby serves.
    RogueSwitch,
    /// Somebody deletes the alarm whose data the switch health check follows: what is published moves no name.
    AlarmDeleted,
    /// All of the above is over, but for a promotion.
    Heal,
    /// People built the old primary anew, as a replica of what serves.
    Rebuild,
}

impl Break {
    /// Its column in the table of what met what.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill(Place::Primary) => "primary dies",
            Self::Kill(_) => "another Region dies",
            Self::Isolate(Place::Primary) => "primary isolated",
            Self::Isolate(_) => "another isolated",
            Self::Returns(_) => "a Region returns",
            Self::Cut(..) => "link cut",
            Self::OneWay(..) => "one way cut",
            Self::Still(_) => "functions stand still",
            Self::Slow(_) => "Region slow",
            Self::Throttle(_) => "throttling",
            Self::Rush(_) => "others rush",
            Self::ApplicationDown(_) => "application down",
            Self::Flapping => "flapping",
            Self::PauseReplay => "replay paused",
            Self::ResumeReplay => "replay resumed",
            Self::StallStream => "stream stalls",
            Self::PromotionHangs => "promotion hangs",
            Self::BackingUp => "backing up",
            Self::DatabaseDown => "database down",
            Self::Optimizes => "storage optimized",
            Self::Resized => "replica resized",
            Self::Restarts => "replica restarts",
            Self::GateDropped => "gate dropped",
            Self::GuardOf(_) => "guard of another plan",
            Self::GuardOurs => "guard of our plan",
            Self::SetsNothing => "no lease is set",
            Self::ClocksWrong(_) => "clocks wrong",
            Self::Restored => "primary restored",
            Self::DiskHangs => "disk hangs",
            Self::QueuesAway(_) => "queues away",
            Self::BucketAway => "bucket away",
            Self::RogueSwitch => "rogue datapoint",
            Self::AlarmDeleted => "alarm deleted",
            Self::Heal => "heals",
            Self::Rebuild => "primary rebuilt",
        }
    }
}

impl World {
    pub fn apply(&self, broken: Break) {
        match broken {
            Break::GuardOf(seconds) => self.deploy_guard(Some(Millis::from_secs(seconds))),
            Break::GuardOurs | Break::Heal => self.deploy_guard(None),
            _ => {}
        }
        let mut inner = self.inner();
        inner.catch_up();
        inner.note(What::Broke(broken));
        inner.cover(broken.name());
        inner.apply(broken);
    }

    fn deploy_guard(&self, ttl: Option<Millis>) {
        let guard = ttl.map(|ttl| {
            let mut plan = Plan::clone(&self.plan);
            plan.lease.ttl = ttl;
            Deployed::from(plan)
        });
        self.inner().guard = guard;
    }

    /// Whether anything runs in `place` at all.
    pub fn alive(&self, place: Place) -> bool {
        !self.inner.borrow().dead.contains(place)
    }

    /// Whether functions in `place` are invoked.
    pub(crate) fn invokes(&self, place: Place) -> bool {
        let inner = self.inner.borrow();
        !inner.dead.contains(place) && !inner.still.contains(place)
    }
}

impl Inner {
    fn apply(&mut self, broken: Break) {
        match broken {
            Break::Kill(place) => self.dead.insert(place),
            Break::Isolate(place) => self.isolated.insert(place),
            Break::Returns(place) => {
                self.dead.remove(place);
                self.isolated.remove(place);
            }
            Break::Cut(a, b) => {
                self.cut.insert(a, b);
                self.cut.insert(b, a);
            }
            Break::OneWay(a, b) => self.cut.insert(a, b),
            Break::Still(place) => self.still.insert(place),
            Break::Slow(place) => self.slow.insert(place),
            // The SDK asks twice before it gives up.
            Break::Throttle(permille) => self.throttled = permille * permille / 1000,
            Break::Rush(applications) => self.rush(applications),
            Break::ApplicationDown(place) => self.application_down.insert(place),
            Break::Flapping => self.flapping = true,
            Break::PauseReplay => self.stores.iter_mut().for_each(Store::pause_replay),
            Break::ResumeReplay => self.stores.iter_mut().for_each(Store::resume_replay),
            Break::StallStream => self.stores.iter_mut().for_each(|store| store.stall(true)),
            Break::PromotionHangs => self.stores.iter_mut().for_each(Store::hang),
            Break::BackingUp => {
                let now = self.now;
                self.stores.iter_mut().for_each(|store| store.busy_with("backing-up", now));
            }
            Break::DatabaseDown => self.stores.iter_mut().for_each(|store| store.down = true),
            Break::Optimizes => {
                let now = self.now;
                self.stores.iter_mut().for_each(|store| store.optimize(now));
            }
            Break::Resized => {
                let now = self.now;
                self.stores.iter_mut().for_each(|store| store.busy_with("modifying", now));
            }
            Break::Restarts => {
                let now = self.now;
                self.stores.iter_mut().for_each(|store| store.restart(now));
            }
            Break::GateDropped => self.stores.iter_mut().for_each(Store::drop_gate),
            Break::GuardOf(_) | Break::GuardOurs => {}
            Break::SetsNothing => self.sets_nothing = true,
            Break::ClocksWrong(permille) => self.clocks.wrong = permille,
            Break::Restored => {
                let instant = (self.now, self.clock(Place::Primary));
                self.stores.iter_mut().for_each(|store| store.restore(instant));
            }
            Break::DiskHangs => self.disk_hangs = true,
            Break::QueuesAway(place) => self.queues_away.insert(place),
            Break::BucketAway => self.bucket_away = true,
            Break::RogueSwitch => {
                let now = self.now;
                self.web.publish(now, 1.0);
            }
            Break::AlarmDeleted => {
                let now = self.now;
                self.web.cut(Some(now));
            }
            Break::Heal => self.heal(),
            Break::Rebuild => self.stores.iter_mut().for_each(Store::rebuild),
        }
    }

    fn heal(&mut self) {
        self.dead.clear();
        self.isolated.clear();
        self.cut.clear();
        self.still.clear();
        self.slow.clear();
        self.throttled = 0;
        self.application_down.clear();
        self.flapping = false;
        self.bucket_away = false;
        self.queues_away.clear();
        self.disk_hangs = false;
        self.sets_nothing = false;
        self.clocks.wrong = 0;
        self.web.cut(None);
        for store in &mut self.stores {
            store.resume_replay();
            store.stall(false);
            store.down = false;
        }
    }
}
