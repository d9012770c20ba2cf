//! What clients see: applications, names, the switch, and Route 53's verdict.
//!
//! The switch is a level: names follow the last level that was published, after a delay.

use super::faults::Passed;
use super::{Effect, Inner, Place, World, span, stores::Refused};
use crate::queue::Moment;
use crate::seed::Chance;
use crate::trace::What;
use serde_json::Value;
use understudy_core::fault::Fault;
use understudy_core::plan::Plan;
use understudy_core::ports::{Dns, DnsAnswer, Http, HttpAnswer, Metric, Metrics};
use understudy_core::switch::Side;
use understudy_core::time::Millis;

/// Route 53's checkers call an endpoint dead after three looks, 30 s apart.
const CHECKERS_PATIENCE: i64 = 90_000;
/// The switch metric has standard resolution.
const PERIOD: i64 = 60_000;
/// A flapping application answers for this long, then does not for as long.
const FLAP: i64 = 30_000;

pub(super) struct Web {
    /// The least level that was published in each period, by the period's end.
    levels: Vec<(Moment, f64)>,
    /// Since when nothing follows the metric: whoever answers stays the one.
    cut: Option<Moment>,
    /// From the end of a period to the names' answer.
    switch_delay: i64,
    ttl: i64,
    /// Checkers ask the standby, too: since when they are told that it serves.
    fast: Option<Told>,
    /// Since when Route 53's checkers have found the primary bad.
    bad_since: Option<Moment>,
    verdict_down: bool,
    /// Who answers under which host.
    hosts: Vec<(String, Host)>,
    /// What the resolvers of clients last heard, and until when they keep it.
    cached: [Option<(Side, Moment)>; 2],
}

/// What the checkers are told by the standby's own endpoint, and how long names take to follow.
struct Told {
    since: Option<Moment>,
    delay: i64,
}

/// A client's resolver: one that keeps to the TTL, and one that keeps what it heard for ten of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolver {
    Honest,
    Stubborn,
}

impl Web {
    pub(super) fn new(plan: &Plan, chance: &mut Chance) -> Self {
        Self {
            levels: Vec::new(),
            cut: None,
            switch_delay: 10_000 + i64::try_from(chance.below(50_000)).unwrap_or(0),
            fast: plan.routes.iter().all(|route| route.fast).then(|| Told {
                since: None,
                delay: 1_000 + i64::try_from(chance.below(19_000)).unwrap_or(0),
            }),
            ttl: plan.routes.iter().map(|route| span(route.ttl)).max().unwrap_or(0),
            bad_since: None,
            verdict_down: false,
            hosts: hosts(plan),
            cached: [None, None],
        }
    }

    pub(super) fn check_primary(&mut self, now: Moment, answers: bool) {
        if answers {
            (self.bad_since, self.verdict_down) = (None, false);
            return;
        }
        let since = *self.bad_since.get_or_insert(now);
        self.verdict_down = now - since >= CHECKERS_PATIENCE;
    }

    /// The alarm that the health check follows is deleted, or made anew.
    pub(super) fn cut(&mut self, since: Option<Moment>) {
        self.cut = since;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    pub(super) fn is_fast(&self) -> bool {
        self.fast.is_some()
    }

    /// What the standby's own endpoint tells the checkers.
    pub(super) fn hear(&mut self, now: Moment, standby_serves: bool) {
        if let Some(told) = &mut self.fast {
            told.since = standby_serves.then(|| told.since.unwrap_or(now));
        }
    }

    /// Takes a datapoint. The alarm's statistic is the minimum of a period: a stray 1 cannot beat a 0.
    pub(super) fn publish(&mut self, now: Moment, level: f64) {
        let end = now - now.rem_euclid(PERIOD) + PERIOD;
        match self.levels.last_mut() {
            Some((at, least)) if *at == end => *least = least.min(level),
            _ => self.levels.push((end, level)),
        }
    }

    /// The side that the public name answers at `now`. Missing data leaves it where it was.
    fn serves(&self, now: Moment) -> Side {
        if let Some(Told { since: Some(since), delay }) = self.fast
            && now - since >= delay
        {
            return Side::Standby;
        }
        let seen = now.min(self.cut.unwrap_or(now)) - self.switch_delay;
        let level = self.levels.iter().rev().find(|(at, _)| *at <= seen);
        if level.is_some_and(|(_, level)| *level >= 1.0) { Side::Standby } else { Side::Primary }
    }

    fn resolve(&mut self, now: Moment, resolver: Resolver) -> Side {
        let keeps = if resolver == Resolver::Honest { self.ttl } else { self.ttl * 10 };
        let serves = self.serves(now);
        let Some(cached) = self.cached.get_mut(resolver as usize) else { return serves };
        match cached {
            Some((side, until)) if now < *until => *side,
            _ => {
                *cached = Some((serves, now + keeps));
                serves
            }
        }
    }
}

pub(super) fn place_of(side: Side) -> Place {
    match side {
        Side::Primary => Place::Primary,
        Side::Standby => Place::Standby,
    }
}

impl Inner {
    /// Whether the application in `at` answers somebody in `from`.
    pub(super) fn application_answers(&self, from: Place, at: Place) -> bool {
        self.open(from, at)
            && !self.application_down.contains(at)
            && !(self.flapping && at == Place::Primary && self.now.rem_euclid(2 * FLAP) < FLAP)
            && self.stores.iter().all(|store| store.answers(at, self.now))
    }

    /// A client's write through the application in `at`.
    fn transact(&mut self, from: Place, at: Place, client: &'static str) -> Result<(), Refused> {
        if !self.application_answers(from, at) {
            return Err(Refused::unreachable());
        }
        self.write_as_application(at, client)
    }
}

impl World {
    /// A client in the primary Region writes straight to its database, however the world looks from there.
    pub fn local_write(&self) {
        let mut inner = self.inner();
        if inner.open(Place::Primary, Place::Primary) {
            let past = inner
                .write_as_application(Place::Primary, "local")
                .is_err_and(|refused| refused.past_lease());
            if past && !inner.past_lease {
                inner.note(What::PastLease);
            }
            inner.past_lease = past;
        }
    }

    /// A client outside writes through whatever its resolver holds for the public name.
    pub fn outside_write(&self) {
        let mut inner = self.inner();
        let now = inner.now;
        let side = inner.web.resolve(now, Resolver::Honest);
        if inner.transact(Place::Outside, place_of(side), "outside").is_err() {
            inner.note(What::Failed { client: "outside" });
        }
        let side = inner.web.resolve(now, Resolver::Stubborn);
        drop(inner.transact(Place::Outside, place_of(side), "stubborn"));
    }

    /// A datapoint reaches CloudWatch.
    pub(super) fn take_level(&self, metric: Metric, value: f64) {
        if metric == Metric::Switch {
            let mut inner = self.inner();
            let now = inner.now;
            inner.web.publish(now, value);
            inner.note(What::Published { level: value });
        }
    }
}

/// HTTP, DNS and metrics as somebody in `from` uses them.
pub struct Net<'a> {
    pub world: &'a World,
    pub from: Place,
}

enum Target {
    Application(Place),
    Control,
    Unknown,
}

impl Net<'_> {
    fn target(&self, url: &str) -> Target {
        let asked = host(url);
        let inner = self.world.inner.borrow();
        match inner.web.hosts.iter().find(|(name, _)| name == asked) {
            Some((_, Host::Application(place))) => Target::Application(*place),
            Some((_, Host::Public)) => Target::Application(place_of(inner.web.serves(inner.now))),
            Some((_, Host::Control)) => Target::Control,
            None => Target::Unknown,
        }
    }

    /// Whether it is the primary's own name, and not a public one that may lead there.
    fn names_primary(&self, url: &str) -> bool {
        let asked = host(url);
        let named = |(name, host): &(String, Host)| {
            matches!(host, Host::Application(Place::Primary)) && name == asked
        };
        self.world.inner.borrow().web.hosts.iter().any(named)
    }

    fn ask(&self, url: &str, write: bool) -> HttpAnswer {
        let target = self.target(url);
        let mut inner = self.world.inner();
        match target {
            Target::Control if inner.open(self.from, Place::Outside) => HttpAnswer::Status(200),
            Target::Application(at) if write => match inner.transact(self.from, at, "probe") {
                Ok(()) => HttpAnswer::Status(201),
                Err(refused) if refused.answered => HttpAnswer::Status(503),
                Err(_) => HttpAnswer::Failed("timed out".to_owned()),
            },
            Target::Application(at) if inner.application_answers(self.from, at) => HttpAnswer::Status(200),
            Target::Application(_) | Target::Control => HttpAnswer::Failed("timed out".to_owned()),
            Target::Unknown => HttpAnswer::Failed("no such name".to_owned()),
        }
    }

    fn is_transaction(&self, url: &str) -> bool {
        self.world.plan.routes.iter().any(|route| url.ends_with(&route.transaction_path))
    }
}

/// What stands behind a host's name.
#[derive(Clone, Copy)]
enum Host {
    Application(Place),
    /// Whoever the name answers just now.
    Public,
    Control,
}

/// In the order in which they are looked for.
fn hosts(plan: &Plan) -> Vec<(String, Host)> {
    let routes = plan.routes.iter().flat_map(|route| {
        [
            (host(&route.primary).to_owned(), Host::Application(Place::Primary)),
            (host(&route.standby).to_owned(), Host::Application(Place::Standby)),
            (route.record.clone(), Host::Public),
        ]
    });
    let controls = plan.detection.controls.iter().map(|control| (host(control).to_owned(), Host::Control));
    routes.chain(controls).collect()
}

fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    let end = rest.bytes().position(|byte| byte == b'/' || byte == b':');
    end.and_then(|end| rest.get(..end)).unwrap_or(rest)
}

impl Net<'_> {
    /// Asks within `timeout`, and what came of it.
    async fn call(&self, url: &str, write: bool, timeout: Millis) -> HttpAnswer {
        // The Region in which somebody answers decides how slow it is.
        let to = match self.target(url) {
            Target::Application(at) if self.world.inner.borrow().slow.contains(at) => at,
            _ => self.from,
        };
        if self.names_primary(url) && self.from != Place::Primary {
            self.world.reaches_for_primary();
        }
        let passed = self.world.pass_to_answer(self.from, to, span(timeout)).await;
        let heard = match passed {
            Ok(passed) => {
                let answer = self.ask(url, write);
                self.world.reply(passed, answer).await
            }
            Err(fault) => Err(fault),
        };
        heard.unwrap_or_else(|fault| HttpAnswer::Failed(fault.to_string()))
    }
}

impl Http for Net<'_> {
    async fn get(&self, url: &str, timeout: Millis) -> HttpAnswer {
        self.call(url, false, timeout).await
    }

    async fn post(&self, url: &str, _body: &Value, timeout: Millis) -> HttpAnswer {
        self.call(url, self.is_transaction(url), timeout).await
    }
}

impl Dns for Net<'_> {
    async fn txt(&self, name: &str, timeout: Millis) -> DnsAnswer {
        let known = self.world.plan.routes.iter().any(|route| route.verdict_record == name);
        let say = |inner: &Inner| if inner.web.verdict_down { "down" } else { "up" }.to_owned();
        self.resolve(known, timeout, say).await
    }

    async fn addresses(&self, name: &str, timeout: Millis) -> DnsAnswer {
        let routes = &self.world.plan.routes;
        let own = |side: Side| routes.iter().any(|route| host(route.endpoint(side)) == name);
        let fixed = [Side::Primary, Side::Standby].into_iter().find(|side| own(*side));
        let known = fixed.is_some() || routes.iter().any(|route| route.record == name);
        let say = |inner: &Inner| fixed.unwrap_or_else(|| inner.web.serves(inner.now)).name().to_owned();
        self.resolve(known, timeout, say).await
    }
}

impl Net<'_> {
    async fn resolve(&self, known: bool, timeout: Millis, value: impl Fn(&Inner) -> String) -> DnsAnswer {
        let passed = match self.world.pass_within(self.from, Place::Outside, span(timeout)).await {
            Ok(passed) => passed,
            Err(fault) => return DnsAnswer::Failed(fault.to_string()),
        };
        if !known {
            return DnsAnswer::Failed("no such name".to_owned());
        }
        let value = value(&self.world.inner.borrow());
        match self.world.reply(passed, value).await {
            Ok(value) => DnsAnswer::Values(vec![value]),
            Err(fault) => DnsAnswer::Failed(fault.to_string()),
        }
    }
}

impl Metrics for Net<'_> {
    async fn publish(&self, metric: Metric, value: f64) -> Result<(), Fault> {
        let passed = self.world.pass(self.from, self.from).await?;
        if let Passed::Late(at) = passed {
            self.world.happens_late(at, Effect::Publish { metric, value });
            return self.world.gave_up().await;
        }
        self.world.take_level(metric, value);
        self.world.reply(passed, ()).await
    }
}
