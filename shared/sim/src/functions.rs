//! The functions as they are deployed: which code runs where, with which ports. Wiring only.

use crate::poll;
use crate::world::{Bucket, Desk, Net, Notary, Place, Rds, SqlAgent, Starter, Table, World};
use serde::Serialize;
use serde_json::{Value, json};
use understudy_core::fault::Fault;
use understudy_core::ports::{FenceOrder, FencedStore, PrimaryGuard, Role};
use understudy_core::steps::{Step, assess, close, promoter, runner, traffic};
use understudy_core::{approval, drill, guard, handler, prober};

/// One deployed function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    AlarmHandler,
    DrillRunner,
    RouteProber,
    WitnessProber,
    PreflightVerifier,
    StorePromoter,
    StepRunner,
    DnsSwitcher,
    ReportWriter,
    PrimaryGuard,
    Approver,
}

impl Function {
    /// Those that have a schedule.
    pub const TICKING: [Self; 7] = [
        Self::PrimaryGuard,
        Self::RouteProber,
        Self::WitnessProber,
        Self::DnsSwitcher,
        Self::PreflightVerifier,
        Self::AlarmHandler,
        Self::ReportWriter,
    ];

    /// The function that a task of the workflow names.
    pub fn named(owner: &str) -> Option<Self> {
        Some(match owner {
            "route-prober" => Self::RouteProber,
            "preflight-verifier" => Self::PreflightVerifier,
            "store-promoter" => Self::StorePromoter,
            "step-runner" => Self::StepRunner,
            "dns-switcher" => Self::DnsSwitcher,
            "report-writer" => Self::ReportWriter,
            "approver" => Self::Approver,
            _ => return None,
        })
    }

    pub fn place(self) -> Place {
        match self {
            Self::PrimaryGuard => Place::Primary,
            Self::WitnessProber => Place::Witness,
            _ => Place::Standby,
        }
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Invoked {
    Answered(Value),
    Failed(Fault),
    /// It was killed: nobody answers.
    Killed,
}

/// Runs `function` on `event`, in its place, on the code that is deployed.
pub fn invoke(world: &World, function: Function, event: &Value) -> Invoked {
    let step = event.get("step").and_then(|step| serde_json::from_value::<Step>(step.clone()).ok());
    world.begin(step);
    let invoked = run(world, function, event);
    world.end();
    invoked
}

fn run(world: &World, function: Function, event: &Value) -> Invoked {
    match function {
        Function::AlarmHandler => decider(world, event, "alarm-handler"),
        Function::DrillRunner => decider(world, event, DRILL_RUNNER),
        Function::RouteProber => prober(world, Role::Standby, event),
        Function::WitnessProber => prober(world, Role::Witness, event),
        Function::PreflightVerifier => preflight_verifier(world, event),
        Function::StorePromoter => store_promoter(world, event),
        Function::StepRunner => step_runner(world, event),
        Function::DnsSwitcher => dns_switcher(world, event),
        Function::ReportWriter => report_writer(world, event),
        Function::PrimaryGuard => primary_guard(world, event),
        Function::Approver => approver(world, event),
    }
}

fn finish<T: Serialize>(answer: Option<Result<T, Fault>>) -> Invoked {
    match answer {
        None => Invoked::Killed,
        Some(Err(fault)) => Invoked::Failed(fault),
        Some(Ok(answer)) => match serde_json::to_value(answer) {
            Ok(value) => Invoked::Answered(value),
            Err(error) => Invoked::Failed(Fault::bug(error)),
        },
    }
}

fn table(world: &World, from: Place, at: Place) -> Table<'_> {
    Table { world, from, at }
}

fn witness(world: &World, from: Place) -> Option<Table<'_>> {
    world.plan.regions.witness.is_some().then(|| table(world, from, Place::Witness))
}

const DRILL_RUNNER: &str = "drill-runner";

/// The two functions that start executions: they differ in what they are asked.
fn decider(world: &World, event: &Value, writer: &'static str) -> Invoked {
    let from = Place::Standby;
    let witness = witness(world, from);
    let handler = handler::Handler {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        witness: witness.as_ref(),
        clock: &world.clock(from),
        executions: &Starter(world),
        pager: &Desk(world),
        writer,
    };
    if writer == DRILL_RUNNER {
        finish(poll::once(drill::answer(&handler, event)))
    } else {
        finish(poll::once(handler::answer(&handler, event)))
    }
}

fn prober(world: &World, role: Role, event: &Value) -> Invoked {
    let from = if role == Role::Witness { Place::Witness } else { Place::Standby };
    let net = Net { world, from };
    let prober = prober::Prober {
        plan: &world.plan,
        plan_digest: &world.digest,
        role,
        cells: &table(world, from, from),
        clock: &world.clock(from),
        http: &net,
        dns: &net,
        metrics: &net,
    };
    finish(poll::once(prober::answer(&prober, event)))
}

fn preflight_verifier(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let witness = witness(world, from);
    let verifier = assess::Verifier {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        ports: assess::Ports {
            witness: witness.as_ref(),
            sql: &SqlAgent { world, place: from },
            databases: &Rds(world),
            http: &Net { world, from },
            secrets: &Desk(world),
        },
    };
    finish(poll::once(assess::answer(&verifier, event)))
}

fn store_promoter(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let witness = witness(world, from);
    let promoter = promoter::Promoter {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        ports: promoter::Ports {
            witness: witness.as_ref(),
            sql: &SqlAgent { world, place: from },
            databases: &Rds(world),
            secrets: &Desk(world),
            guard: &Guard(world),
        },
    };
    finish(poll::once(promoter::answer(&promoter, event)))
}

fn step_runner(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let runner = runner::Runner {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        http: &Net { world, from },
    };
    finish(poll::once(runner::answer(&runner, event)))
}

fn dns_switcher(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let switcher = traffic::Switcher {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        metrics: &Net { world, from },
    };
    finish(poll::once(traffic::answer(&switcher, event)))
}

fn report_writer(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let writer = close::Writer {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        evidence: &Bucket(world),
        pager: &Desk(world),
        signer: Some(&Notary(world)),
    };
    finish(poll::once(close::answer(&writer, event)))
}

fn primary_guard(world: &World, event: &Value) -> Invoked {
    let from = Place::Primary;
    let witness = witness(world, from);
    let guard = guard::Guard {
        plan: &world.plan,
        standby: &table(world, from, Place::Standby),
        witness: witness.as_ref(),
        clock: &world.clock(from),
        sql: &SqlAgent { world, place: from },
    };
    finish(poll::once(guard::answer(&guard, event)))
}

/// The guard of the primary, called from the standby.
struct Guard<'a>(&'a World);

impl PrimaryGuard for Guard<'_> {
    async fn fence(&self, order: &FenceOrder) -> Result<Vec<FencedStore>, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Primary).await?;
        let fenced = match primary_guard(self.0, &json!({ "fence": order })) {
            Invoked::Answered(answer) => {
                serde_json::from_value::<guard::Fenced>(answer).map(|told| told.fenced).map_err(Fault::bug)
            }
            Invoked::Failed(void @ Fault::Fenced(_)) => Err(void),
            Invoked::Failed(fault) => Err(Fault::transient(format!("primary-guard failed: {fault}"))),
            // Nobody answers any more: neither does this call.
            Invoked::Killed => std::future::pending().await,
        };
        passed.reply(fenced?).await
    }
}

fn approver(world: &World, event: &Value) -> Invoked {
    let from = Place::Standby;
    let approver = approval::Approver {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        tokens: &Starter(world),
        pager: &Desk(world),
    };
    finish(poll::once(approval::answer(&approver, event)))
}
