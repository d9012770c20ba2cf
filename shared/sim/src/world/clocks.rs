//! Clocks: each Region's wanders around true time, each host's is off its Region's, none further than the plan's
//! drift allows for two of them over one lease. Beyond that a host may be simply wrong, which no plan allows for.

use super::{Inner, Place, Settings, World, span, timestamp};
use crate::functions::Function;
use crate::queue::Moment;
use crate::seed::Chance;
use jiff::Timestamp;
use std::collections::BTreeMap;
use understudy_core::plan::Plan;
use understudy_core::ports::Clock;

pub(super) struct Clocks {
    primary_ahead: i64,
    /// By place: how far at most, over which period, beginning where.
    wander: [(i64, i64, i64); 4],
    /// How far a host of a function may be off.
    host: i64,
    /// So many of a thousand hosts are wrong, by no bound of the plan's.
    pub(super) wrong: u64,
    /// The host on which a function ran last, and stays for a while: one that is wrong is wrong for several steps.
    warm: BTreeMap<Function, i64>,
}

/// So many of a thousand invocations find their function's host warm.
const WARM: u64 = 700;

/// A wrong clock is off by this at least, and by `MOST_WRONG` at most.
const LEAST_WRONG: u64 = 5_000;
const MOST_WRONG: u64 = 400_000;

impl Clocks {
    pub(super) fn new(plan: &Plan, settings: Settings, chance: &mut Chance) -> Self {
        let drift = if settings.drift { span(plan.lease.drift) } else { 0 };
        // A primary's database measures one lease with at most half the drift of error, the standby's hosts judge it
        // with at most the other half: twice an eighth of wander, twice an eighth between two hosts.
        let mut one = |most: i64| {
            let period = 60_000 + i64::try_from(chance.below(900_000)).unwrap_or(0);
            (most, period, i64::try_from(chance.below(900_000)).unwrap_or(0))
        };
        Self {
            primary_ahead: span(settings.primary_ahead),
            wander: [one(drift / 4), one(drift / 8), one(drift / 8), one(0)],
            host: drift / 8,
            wrong: 0,
            warm: BTreeMap::new(),
        }
    }

    /// A triangle: at its ends the clock turns round.
    fn off(&self, place: Place, now: Moment) -> i64 {
        let (most, period, begin) = self.wander.get(place as usize).copied().unwrap_or((0, 1, 0));
        let ahead = if place == Place::Primary { self.primary_ahead } else { 0 };
        if most == 0 {
            return ahead;
        }
        let at = (now.wrapping_add(begin)).rem_euclid(period) * 4 * most / period;
        let wave = if at < most {
            at
        } else if at < 3 * most {
            2 * most - at
        } else {
            at - 4 * most
        };
        ahead + wave
    }
}

impl Inner {
    /// What a server's clock in `place` shows.
    pub(super) fn clock(&self, place: Place) -> Moment {
        self.now + self.clocks.off(place, self.now)
    }

    /// How far the next host of `function` is off its Region's clock.
    fn host(&mut self, function: Function) -> i64 {
        if self.clocks.wrong == 0 {
            return self.new_host();
        }
        let warm = self.clocks.warm.get(&function).copied();
        let off = warm.filter(|_| self.chance.happens(WARM)).unwrap_or_else(|| self.new_host());
        self.clocks.warm.insert(function, off);
        off
    }

    fn new_host(&mut self) -> i64 {
        if self.clocks.wrong > 0 && self.chance.happens(self.clocks.wrong) {
            let off = LEAST_WRONG + self.chance.below(MOST_WRONG - LEAST_WRONG);
            let off = i64::try_from(off).unwrap_or(0);
            return if self.chance.happens(500) { off } else { -off };
        }
        let most = self.clocks.host;
        if most == 0 {
            return 0;
        }
        i64::try_from(self.chance.below(most.unsigned_abs() * 2 + 1)).unwrap_or(0) - most
    }
}

impl World {
    pub(crate) fn draw_host(&self, function: Function) -> i64 {
        self.inner().host(function)
    }

    /// The clock of the host on which the present invocation runs, in `place`.
    pub fn clock(&self, place: Place) -> HostClock<'_> {
        let host = self.inner.borrow().current.as_ref().map_or(0, |invocation| invocation.host);
        HostClock { world: self, place, host }
    }
}

/// The clock of one host in one place.
pub struct HostClock<'a> {
    world: &'a World,
    place: Place,
    host: i64,
}

impl Clock for HostClock<'_> {
    fn now(&self) -> Timestamp {
        timestamp(self.world.inner.borrow().clock(self.place) + self.host)
    }
}
