//! The prober's tick: what a client sees of the primary, and what Route 53's checkers say of it.
//!
//! A prober first proves itself on control targets; if those fail too, it is the prober that is cut off, and
//! its vote is Unknown (L4).

use crate::call::{self, Call};
use crate::fault::Fault;
use crate::plan::{Plan, Route};
use crate::ports::{Cells, Clock, Dns, DnsAnswer, Http, HttpAnswer, Metric, Metrics, Pager, Role};
use crate::served;
use crate::state::{Change, keys, update_note};
use crate::steps::{Context, Reply, Step, confirm, not_mine};
use crate::time::Millis;
use crate::votes::{History, Observer, Probe, Seen};
use crate::watched::Watch;
use crate::words::list;
use futures_util::future::{join, join_all};
use serde::Serialize;
use serde_json::Value;

/// What one tick saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tick {
    pub probe: Probe,
    /// Read in the standby only: one reading of Route 53 is enough.
    pub route53: Option<Probe>,
}

/// What the prober works with.
pub struct Prober<'a, C, K, H, D, M, P> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub role: Role,
    pub cells: &'a C,
    pub clock: &'a K,
    pub http: &'a H,
    pub dns: &'a D,
    pub metrics: &'a M,
    /// In the witness: it watches whether the standby looks.
    pub watch: Option<Watch<'a, C, P>>,
}

/// What one call led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    Tick(Tick),
    Step(Reply),
}

pub async fn answer<C: Cells, K: Clock, H: Http, D: Dns, M: Metrics, P: Pager>(
    prober: &Prober<'_, C, K, H, D, M, P>,
    event: &Value,
) -> Result<Answer, Fault> {
    match call::read(event)? {
        Call::Tick => prober.tick().await.map(Answer::Tick),
        Call::Task(task) if task.step == Step::Confirm => {
            let ctx = Context {
                plan: prober.plan,
                plan_digest: prober.plan_digest,
                cells: prober.cells,
                clock: prober.clock,
                execution: &task.execution,
                writer: "route-prober",
            };
            confirm::confirm(&ctx, prober.http, prober.dns).await.map(Answer::Step)
        }
        Call::Task(task) => Err(not_mine(task.step, "route-prober")),
        Call::Ended { .. } => Err(Fault::invalid("detail: route-prober takes no status change")),
    }
}

impl<C: Cells, K: Clock, H: Http, D: Dns, M: Metrics, P: Pager> Prober<'_, C, K, H, D, M, P> {
    /// One look, recorded as a vote.
    pub async fn tick(&self) -> Result<Tick, Fault> {
        let observer = match self.role {
            Role::Standby => Observer::Standby,
            Role::Witness => Observer::Witness,
            Role::Primary => return Err(Fault::invalid("role: no prober votes from the primary itself")),
        };
        let look = look(self.plan, self.clock, self.http);
        if observer == Observer::Witness {
            let probe = look.await;
            record(self.cells, observer, &probe).await?;
            if let Some(watch) = &self.watch {
                watch.look(self.plan, self.cells, self.clock.now()).await?;
            }
            return Ok(Tick { probe, route53: None });
        }
        let (probe, route53) = join(look, read_route53(self.plan, self.clock, self.dns)).await;
        record(self.cells, observer, &probe).await?;
        record(self.cells, Observer::Route53, &route53).await?;
        publish(self.metrics, &probe).await?;
        // Behind the votes; and who is cut off himself sees nothing of others.
        if !matches!(probe.seen, Seen::Unknown { .. }) {
            served::look(self.plan, self.cells, self.clock, self.http, self.dns).await?;
        }
        Ok(Tick { probe, route53: Some(route53) })
    }
}

async fn record(cells: &impl Cells, observer: Observer, probe: &Probe) -> Result<(), Fault> {
    // A history that does not read begins anew: an outage is seen a window later.
    update_note::<History, _>(cells, &keys::votes(observer.name()), |history| {
        let none = History::default();
        Ok(Change::Write(history.unwrap_or(&none).with(probe.clone())))
    })
    .await
    .map(|_| ())
}

/// Publishes 1 or 0; an Unknown publishes nothing, since no number means "do not know".
async fn publish(metrics: &impl Metrics, probe: &Probe) -> Result<(), Fault> {
    match probe.seen {
        Seen::Up => metrics.publish(Metric::PrimaryHealthy, 1.0).await,
        Seen::Down { .. } => metrics.publish(Metric::PrimaryHealthy, 0.0).await,
        Seen::Unknown { .. } => Ok(()),
    }
}

/// Asks every route of the primary and every control target at the same time. The primary counts as down when
/// no route of it answers; a part that fails is for people to judge.
async fn look(plan: &Plan, clock: &impl Clock, http: &impl Http) -> Probe {
    let started = clock.now();
    let timeout = plan.detection.probe_timeout;
    let routes = join_all(plan.routes.iter().map(|route| ask_twice(http, health(route), timeout)));
    let controls = join_all(plan.detection.controls.iter().map(|url| get(http, url.clone(), timeout)));
    let (routes, controls) = join(routes, controls).await;
    if routes.iter().any(HttpAnswer::is_good) {
        return Probe { at: started, seen: Seen::Up };
    }
    if !controls.iter().any(|answer| matches!(answer, HttpAnswer::Status(_))) {
        let reason = "this prober reaches none of its control targets either".to_owned();
        return Probe { at: started, seen: Seen::Unknown { reason } };
    }
    let told = plan.routes.iter().zip(&routes).map(|(route, answer)| format!("{}: {answer}", route.name));
    let reason = told.collect::<Vec<_>>().join(", ");
    Probe { at: clock.now(), seen: Seen::Down { reason } }
}

/// One lost packet or one slow start is no outage: a failure counts when it repeats. Both asks share `timeout`.
async fn ask_twice(http: &impl Http, url: String, timeout: Millis) -> HttpAnswer {
    let half = Millis(timeout.0 / 2);
    let first = http.get(&url, half).await;
    if first.is_good() { first } else { http.get(&url, half).await }
}

async fn get(http: &impl Http, url: String, timeout: Millis) -> HttpAnswer {
    http.get(&url, timeout).await
}

fn health(route: &Route) -> String {
    format!("{}{}", route.primary, route.health_path)
}

/// Route 53's verdict, over DNS: no API, no us-east-1.
async fn read_route53(plan: &Plan, clock: &impl Clock, dns: &impl Dns) -> Probe {
    let started = clock.now();
    let mut down = Vec::new();
    for route in &plan.routes {
        match dns.txt(&route.verdict_record, plan.detection.probe_timeout).await {
            DnsAnswer::Values(values) if values.iter().any(|v| v == "up") => {
                return Probe { at: started, seen: Seen::Up };
            }
            DnsAnswer::Values(values) if values.iter().any(|v| v == "down") => down.push(route.name.as_str()),
            DnsAnswer::Values(values) => {
                let reason =
                    format!("`{}` says {}, neither `up` nor `down`", route.verdict_record, list(&values));
                return Probe { at: started, seen: Seen::Unknown { reason } };
            }
            DnsAnswer::Failed(why) => {
                let reason = format!("`{}`: {why}", route.verdict_record);
                return Probe { at: started, seen: Seen::Unknown { reason } };
            }
        }
    }
    let reason = format!("Route 53 says down: {}", down.join(", "));
    Probe { at: clock.now(), seen: Seen::Down { reason } }
}
