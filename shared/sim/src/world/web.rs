//! What clients see: applications, names, the switch, and Route 53's verdict.
//!
//! The switch is a level: names follow the last level that was published, after a delay.

use super::{Inner, Place, World, stores::Refused};
use crate::seed::Chance;
use crate::trace::What;
use jiff::Timestamp;
use serde_json::Value;
use understudy_core::fault::Fault;
use understudy_core::ports::{Dns, DnsAnswer, Http, HttpAnswer, Metric, Metrics};
use understudy_core::switch::Side;
use understudy_core::time::{Millis, after, before, elapsed};

/// Route 53's checkers call an endpoint dead after three looks, 30 s apart.
const CHECKERS_PATIENCE: Millis = Millis::from_secs(90);

pub(super) struct Web {
    levels: Vec<(Timestamp, f64)>,
    /// From a published level to the names' answer.
    switch_delay: Millis,
    /// Since when Route 53's checkers have found the primary bad.
    bad_since: Option<Timestamp>,
    verdict_down: bool,
    /// What the outside client's resolver last heard, and until when it keeps it.
    cached: Option<(Side, Timestamp)>,
}

impl Web {
    pub(super) fn new(chance: &mut Chance) -> Self {
        Self {
            levels: Vec::new(),
            switch_delay: Millis(60_000 + chance.below(60_000)),
            bad_since: None,
            verdict_down: false,
            cached: None,
        }
    }

    pub(super) fn check_primary(&mut self, now: Timestamp, answers: bool) {
        if answers {
            (self.bad_since, self.verdict_down) = (None, false);
            return;
        }
        let since = *self.bad_since.get_or_insert(now);
        self.verdict_down = elapsed(since, now) >= CHECKERS_PATIENCE;
    }

    /// The side that the public name answers at `now`.
    fn serves(&self, now: Timestamp) -> Side {
        let seen = before(now, self.switch_delay);
        let level = self.levels.iter().rev().find(|(at, _)| *at <= seen);
        if level.is_some_and(|(_, level)| *level >= 1.0) { Side::Standby } else { Side::Primary }
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
            && !self.application_down.contains(&at)
            && self.stores.values().all(|store| store.answers(at, self.now))
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
            let _ = inner.write_as_application(Place::Primary, "local");
        }
    }

    /// A client outside writes through whatever its resolver holds for the public name.
    pub fn outside_write(&self) {
        let ttl = self.plan.routes.iter().map(|route| route.ttl).max().unwrap_or(Millis::ZERO);
        let mut inner = self.inner();
        let now = inner.now;
        let side = match inner.web.cached {
            Some((side, until)) if now < until => side,
            _ => {
                let side = inner.web.serves(now);
                inner.web.cached = Some((side, after(now, ttl)));
                side
            }
        };
        if inner.transact(Place::Outside, place_of(side), "outside").is_err() {
            inner.note(What::Failed { client: "outside" });
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
        let plan = &self.world.plan;
        let asked = host(url);
        for route in &plan.routes {
            if asked == host(&route.primary) {
                return Target::Application(Place::Primary);
            }
            if asked == host(&route.standby) {
                return Target::Application(Place::Standby);
            }
            if asked == route.record {
                let inner = self.world.inner.borrow();
                return Target::Application(place_of(inner.web.serves(inner.now)));
            }
        }
        if plan.detection.controls.iter().any(|control| host(control) == asked) {
            return Target::Control;
        }
        Target::Unknown
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

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

impl Http for Net<'_> {
    async fn get(&self, url: &str, _timeout: Millis) -> HttpAnswer {
        match self.world.pass(self.from, self.from).await {
            Ok(passed) => heard(passed.reply(self.ask(url, false)).await),
            Err(fault) => HttpAnswer::Failed(fault.to_string()),
        }
    }

    async fn post(&self, url: &str, _body: &Value, _timeout: Millis) -> HttpAnswer {
        match self.world.pass(self.from, self.from).await {
            Ok(passed) => heard(passed.reply(self.ask(url, self.is_transaction(url))).await),
            Err(fault) => HttpAnswer::Failed(fault.to_string()),
        }
    }
}

fn heard(reply: Result<HttpAnswer, Fault>) -> HttpAnswer {
    reply.unwrap_or_else(|fault| HttpAnswer::Failed(fault.to_string()))
}

impl Dns for Net<'_> {
    async fn txt(&self, name: &str, _timeout: Millis) -> DnsAnswer {
        let known = self.world.plan.routes.iter().any(|route| route.verdict_record == name);
        self.resolve(known, |inner| if inner.web.verdict_down { "down" } else { "up" }.to_owned()).await
    }

    async fn addresses(&self, name: &str, _timeout: Millis) -> DnsAnswer {
        let known = self.world.plan.routes.iter().any(|route| route.record == name);
        self.resolve(known, |inner| format!("{:?}", inner.web.serves(inner.now)).to_lowercase()).await
    }
}

impl Net<'_> {
    async fn resolve(&self, known: bool, value: impl Fn(&Inner) -> String) -> DnsAnswer {
        let passed = match self.world.pass(self.from, Place::Outside).await {
            Ok(passed) => passed,
            Err(fault) => return DnsAnswer::Failed(fault.to_string()),
        };
        if !known {
            return DnsAnswer::Failed("no such name".to_owned());
        }
        let value = value(&self.world.inner.borrow());
        match passed.reply(value).await {
            Ok(value) => DnsAnswer::Values(vec![value]),
            Err(fault) => DnsAnswer::Failed(fault.to_string()),
        }
    }
}

impl Metrics for Net<'_> {
    async fn publish(&self, metric: Metric, value: f64) -> Result<(), Fault> {
        let passed = self.world.pass(self.from, self.from).await?;
        if metric == Metric::Switch {
            let mut inner = self.world.inner();
            let now = inner.now;
            inner.web.levels.push((now, value));
            inner.note(What::Published { level: value });
        }
        passed.reply(()).await
    }
}
