//! The functions as they are deployed: which code runs where, with which ports. Wiring only.

use super::region::{Desk, Managed, Region, SqlAgent, Wall};
use crate::config::Place;
use serde::Serialize;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::live::{HealthCheck, MetricAlarm, RecordSet};
use understudy_core::ports::{Alarms, Both, Records, Role};
use understudy_core::steps::{assess, close, promoter, runner, traffic};
use understudy_core::watched::Watch;
use understudy_core::{approval, guard, handler, prober, wiring};

/// Those that have a schedule; the witness's prober has a name of its own here.
const TICKING: [&str; 7] = [
    "primary-guard",
    "route-prober",
    "witness-prober",
    "dns-switcher",
    "preflight-verifier",
    "alarm-handler",
    "report-writer",
];

/// Lets every schedule run until the returned set is dropped. A tick never waits for the one before it.
pub fn schedules(region: &Rc<Region>) -> tokio::task::JoinSet<()> {
    let mut all = tokio::task::JoinSet::new();
    let tick = region.plan.pace().as_std();
    for function in TICKING {
        let region = Rc::clone(region);
        // Schedules of AWS are not in step with each other.
        let phase = tick.mul_f64(fastrand::f64());
        all.spawn_local(async move {
            tokio::time::sleep(phase).await;
            let mut running = tokio::task::JoinSet::new();
            loop {
                let region = Rc::clone(&region);
                running.spawn_local(async move {
                    let due = jiff::Timestamp::now();
                    if let Err(fault) = invoke(&region, function, json!({"look": due})).await {
                        tracing::info!(function, %fault, "a tick failed");
                    }
                });
                tokio::time::sleep(tick).await;
                while running.try_join_next().is_some() {}
            }
        });
    }
    all
}

/// Lambda ends an invocation after this.
const LASTS: Duration = Duration::from_secs(30);

/// One invocation of `function`.
pub async fn invoke(region: &Region, function: &str, event: Value) -> Result<Value, Fault> {
    let work = async {
        match function {
            "alarm-handler" => alarm_handler(region, &event).await,
            "route-prober" => prober(region, Role::Standby, &event).await,
            "witness-prober" => prober(region, Role::Witness, &event).await,
            "preflight-verifier" => preflight_verifier(region, &event).await,
            "store-promoter" => store_promoter(region, &event).await,
            "step-runner" => step_runner(region, &event).await,
            "dns-switcher" => dns_switcher(region, &event).await,
            "report-writer" => report_writer(region, &event).await,
            "primary-guard" => primary_guard(region, &event).await,
            "approver" => approver(region, &event).await,
            other => Err(Fault::bug(format!("no function `{other}` is deployed"))),
        }
    };
    match tokio::time::timeout(LASTS, work).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::transient(format!("{function} did not end in time"))),
    }
}

fn written<T: Serialize>(answer: Result<T, Fault>) -> Result<Value, Fault> {
    answer.and_then(|answer| serde_json::to_value(answer).map_err(Fault::bug))
}

async fn alarm_handler(region: &Region, event: &Value) -> Result<Value, Fault> {
    let handler = handler::Handler {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        witness: Some(&region.table(Place::Standby, Place::Witness)),
        clock: &Wall,
        executions: &Desk(region),
        pager: &Desk(region),
        writer: "alarm-handler",
    };
    written(handler::answer(&handler, event).await)
}

async fn prober(region: &Region, role: Role, event: &Value) -> Result<Value, Fault> {
    let from = if role == Role::Witness { Place::Witness } else { Place::Standby };
    let prober = prober::Prober {
        watch: None::<Watch<'_, _, Desk<'_>>>,
        plan: &region.plan,
        plan_digest: &region.digest,
        role,
        cells: &region.table(from, from),
        clock: &Wall,
        http: &region.net(from),
        dns: &region.net(from),
        metrics: &region.net(from),
    };
    written(prober::answer(&prober, event).await)
}

async fn preflight_verifier(region: &Region, event: &Value) -> Result<Value, Fault> {
    let verifier = assess::Verifier {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        ports: assess::Ports {
            witness: Some(&region.table(Place::Standby, Place::Witness)),
            // Nobody goes back here: what would be asked of the primary is never asked.
            sql: Both {
                standby: &SqlAgent { region, place: Place::Standby },
                primary: &SqlAgent { region, place: Place::Primary },
            },
            databases: Both { standby: &Managed(region), primary: &Managed(region) },
            http: &region.net(Place::Standby),
            secrets: &Desk(region),
        },
    };
    written(assess::answer(&verifier, event).await)
}

async fn store_promoter(region: &Region, event: &Value) -> Result<Value, Fault> {
    let promoter = promoter::Promoter {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        ports: promoter::Ports {
            witness: Some(&region.table(Place::Standby, Place::Witness)),
            // Nobody goes back here: what would be asked of the primary is never asked.
            sql: Both {
                standby: &SqlAgent { region, place: Place::Standby },
                primary: &SqlAgent { region, place: Place::Primary },
            },
            databases: Both { standby: &Managed(region), primary: &Managed(region) },
            secrets: &Desk(region),
            guard: &Desk(region),
        },
    };
    written(promoter::answer(&promoter, event).await)
}

async fn step_runner(region: &Region, event: &Value) -> Result<Value, Fault> {
    let runner = runner::Runner {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        http: &region.net(Place::Standby),
    };
    written(runner::answer(&runner, event).await)
}

async fn dns_switcher(region: &Region, event: &Value) -> Result<Value, Fault> {
    let switcher = traffic::Switcher {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        metrics: &region.net(Place::Standby),
        wiring: wiring::Eyes { records: &NoWires, alarms: &NoWires },
    };
    written(traffic::answer(&switcher, event).await)
}

/// These rounds have no Route 53 and no alarms: whether the switch moves anything is not known here, and told as such.
struct NoWires;

impl Records for NoWires {
    async fn records(&self, _zone_id: &str, _name: &str) -> Result<Vec<RecordSet>, Fault> {
        Err(Fault::transient("no Route 53 here"))
    }

    async fn health_check(&self, _id: &str) -> Result<Option<HealthCheck>, Fault> {
        Err(Fault::transient("no Route 53 here"))
    }
}

impl Alarms for NoWires {
    async fn alarm(&self, _name: &str) -> Result<Option<MetricAlarm>, Fault> {
        Err(Fault::transient("no alarms here"))
    }
}

async fn report_writer(region: &Region, event: &Value) -> Result<Value, Fault> {
    let writer = close::Writer {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        evidence: &Desk(region),
        pager: &Desk(region),
        signer: None::<&Desk<'_>>,
    };
    written(close::answer(&writer, event).await)
}

async fn primary_guard(region: &Region, event: &Value) -> Result<Value, Fault> {
    let guard = guard::Guard {
        plan: &region.plan,
        plan_digest: &region.digest,
        standby: &region.table(Place::Primary, Place::Standby),
        witness: Some(&region.table(Place::Primary, Place::Witness)),
        clock: &Wall,
        sql: &SqlAgent { region, place: Place::Primary },
    };
    written(guard::answer(&guard, event).await)
}

async fn approver(region: &Region, event: &Value) -> Result<Value, Fault> {
    let approver = approval::Approver {
        plan: &region.plan,
        plan_digest: &region.digest,
        cells: &region.table(Place::Standby, Place::Standby),
        clock: &Wall,
        tokens: &Desk(region),
        pager: &Desk(region),
    };
    written(approval::answer(&approver, event).await)
}
