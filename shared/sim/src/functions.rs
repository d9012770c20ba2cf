//! The functions as they are deployed: which code runs where, with which ports. Wiring only.

use crate::tasks::Running;
use crate::world::{
    Ahead, Bucket, Desk, Net, Notary, Place, Rds, SqlAgent, Starter, Table, Wires, WitnessDesk, World,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::rc::Rc;
use understudy_core::fault::Fault;
use understudy_core::looks::Eyes;
use understudy_core::ports::{Both, FenceOrder, FencedStore, GivesWay, Role};
use understudy_core::steps::{assess, close, promoter, runner, traffic};
use understudy_core::watched::Watch;
use understudy_core::{approval, drill, guard, handler, prober, wiring};

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

    /// After this long, in milliseconds, Lambda ends an invocation: `Timeout` of the template.
    pub(crate) fn lasts(self) -> i64 {
        match self {
            Self::RouteProber | Self::WitnessProber | Self::PreflightVerifier | Self::StorePromoter => 60_000,
            Self::StepRunner => 90_000,
            Self::ReportWriter => 120_000,
            _ => 30_000,
        }
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

/// `function` on `event`, in its place, on the code that is deployed: a future to be polled. Only where the answer is
/// `wanted` it is written out.
pub(crate) fn invoke(world: &Rc<World>, function: Function, event: Rc<Value>, wanted: bool) -> Running {
    let world = Rc::clone(world);
    match function {
        Function::AlarmHandler => Box::pin(decider(world, event, wanted, "alarm-handler")),
        Function::DrillRunner => Box::pin(decider(world, event, wanted, DRILL_RUNNER)),
        Function::RouteProber => Box::pin(prober(world, Role::Standby, event, wanted)),
        Function::WitnessProber => Box::pin(prober(world, Role::Witness, event, wanted)),
        Function::PreflightVerifier => Box::pin(preflight_verifier(world, event, wanted)),
        Function::StorePromoter => Box::pin(store_promoter(world, event)),
        Function::StepRunner => Box::pin(step_runner(world, event)),
        Function::DnsSwitcher => Box::pin(dns_switcher(world, event, wanted)),
        Function::ReportWriter => Box::pin(report_writer(world, event, wanted)),
        Function::PrimaryGuard => Box::pin(primary_guard(world, event, wanted)),
        Function::Approver => Box::pin(approver(world, event)),
    }
}

fn finish<T: Serialize>(answer: Result<T, Fault>, wanted: bool) -> Invoked {
    match answer {
        Err(fault) => Invoked::Failed(fault),
        Ok(_) if !wanted => Invoked::Answered(Value::Null),
        Ok(answer) => match serde_json::to_value(answer) {
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
async fn decider(world: Rc<World>, event: Rc<Value>, wanted: bool, writer: &'static str) -> Invoked {
    let world = world.as_ref();
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
        return finish(drill::answer(&handler, &event).await, wanted);
    }
    let eyes = Eyes {
        plan: &world.plan,
        cells: handler.cells,
        clock: handler.clock,
        queue: Some(&Ahead { world, function: Function::AlarmHandler }),
        function: "alarm-handler",
    };
    let answer = eyes.answer(&event, async |event| handler::answer(&handler, event).await).await;
    finish(answer, wanted)
}

async fn prober(world: Rc<World>, role: Role, event: Rc<Value>, wanted: bool) -> Invoked {
    let world = world.as_ref();
    let from = if role == Role::Witness { Place::Witness } else { Place::Standby };
    let net = Net { world, from };
    let (standby, desk) = (table(world, from, Place::Standby), WitnessDesk(world));
    let prober = prober::Prober {
        plan: &world.plan,
        plan_digest: &world.digest,
        role,
        cells: &table(world, from, from),
        clock: &world.clock(from),
        http: &net,
        dns: &net,
        metrics: &net,
        watch: (role == Role::Witness).then_some(Watch { standby: &standby, pager: &desk }),
    };
    let function = if role == Role::Witness { Function::WitnessProber } else { Function::RouteProber };
    let eyes = Eyes {
        plan: &world.plan,
        cells: prober.cells,
        clock: prober.clock,
        queue: Some(&Ahead { world, function }),
        function: "route-prober",
    };
    let answer = eyes.answer(&event, async |event| prober::answer(&prober, event).await).await;
    finish(answer, wanted)
}

async fn preflight_verifier(world: Rc<World>, event: Rc<Value>, wanted: bool) -> Invoked {
    let world = world.as_ref();
    let from = Place::Standby;
    let witness = witness(world, from);
    let verifier = assess::Verifier {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        ports: assess::Ports {
            witness: witness.as_ref(),
            sql: Both {
                standby: &SqlAgent { world, from, place: from },
                primary: &SqlAgent { world, from, place: Place::Primary },
            },
            databases: Both {
                standby: &Rds { world, at: from },
                primary: &Rds { world, at: Place::Primary },
            },
            http: &Net { world, from },
            secrets: &Desk(world),
        },
    };
    finish(assess::answer(&verifier, &event).await, wanted)
}

async fn store_promoter(world: Rc<World>, event: Rc<Value>) -> Invoked {
    let world = world.as_ref();
    let from = Place::Standby;
    let witness = witness(world, from);
    let promoter = promoter::Promoter {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        ports: promoter::Ports {
            witness: witness.as_ref(),
            sql: Both {
                standby: &SqlAgent { world, from, place: from },
                primary: &SqlAgent { world, from, place: Place::Primary },
            },
            databases: Both {
                standby: &Rds { world, at: from },
                primary: &Rds { world, at: Place::Primary },
            },
            secrets: &Desk(world),
            guard: &Guard(world),
        },
    };
    finish(promoter::answer(&promoter, &event).await, true)
}

async fn step_runner(world: Rc<World>, event: Rc<Value>) -> Invoked {
    let world = world.as_ref();
    let from = Place::Standby;
    let runner = runner::Runner {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        http: &Net { world, from },
    };
    finish(runner::answer(&runner, &event).await, true)
}

async fn dns_switcher(world: Rc<World>, event: Rc<Value>, wanted: bool) -> Invoked {
    let world = world.as_ref();
    let from = Place::Standby;
    let switcher = traffic::Switcher {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        metrics: &Net { world, from },
        wiring: wiring::Eyes { records: &Wires(world), alarms: &Wires(world) },
    };
    finish(traffic::answer(&switcher, &event).await, wanted)
}

async fn report_writer(world: Rc<World>, event: Rc<Value>, wanted: bool) -> Invoked {
    let world = world.as_ref();
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
    finish(close::answer(&writer, &event).await, wanted)
}

async fn primary_guard(world: Rc<World>, event: Rc<Value>, wanted: bool) -> Invoked {
    let world = world.as_ref();
    let from = Place::Primary;
    let witness = witness(world, from);
    let deployed = world.guards_plan();
    let guard = guard::Guard {
        plan: &deployed.plan,
        plan_digest: &deployed.digest,
        standby: &table(world, from, Place::Standby),
        witness: witness.as_ref(),
        clock: &world.clock(from),
        sql: &SqlAgent { world, from, place: from },
    };
    let eyes = Eyes {
        plan: guard.plan,
        cells: guard.standby,
        clock: guard.clock,
        queue: Some(&Ahead { world, function: Function::PrimaryGuard }),
        function: "primary-guard",
    };
    let answer = eyes.answer(&event, async |event| guard::answer(&guard, event).await).await;
    finish(answer, wanted)
}

/// The guard of the primary, called from the standby: an invocation of its own, which may outlive the call.
struct Guard<'a>(&'a World);

/// The adapter waits for the guard this long, in milliseconds.
const GUARD_PATIENCE: i64 = 12_000;

impl GivesWay for Guard<'_> {
    async fn fence(&self, order: &FenceOrder) -> Result<Vec<FencedStore>, Fault> {
        let passed = self.0.pass(Place::Standby, Place::Primary).await?;
        if !self.0.invokes(Place::Primary) {
            return self.0.gave_up().await;
        }
        let heard = self.0.ask_for(Function::PrimaryGuard, json!({ "fence": order }));
        let fenced = match self.0.hear(&heard, GUARD_PATIENCE).await {
            Some(Invoked::Answered(answer)) => {
                serde_json::from_value::<guard::Fenced>(answer).map(|told| told.fenced).map_err(Fault::bug)
            }
            Some(Invoked::Failed(void @ Fault::Fenced(_))) => Err(void),
            Some(Invoked::Failed(fault)) => Err(Fault::transient(format!("primary-guard failed: {fault}"))),
            Some(Invoked::Killed) | None => Err(Fault::transient("primary-guard does not answer")),
        };
        self.0.reply(passed, fenced?).await
    }
}

async fn approver(world: Rc<World>, event: Rc<Value>) -> Invoked {
    let world = world.as_ref();
    let from = Place::Standby;
    let approver = approval::Approver {
        plan: &world.plan,
        plan_digest: &world.digest,
        cells: &table(world, from, Place::Standby),
        clock: &world.clock(from),
        tokens: &Starter(world),
        pager: &Desk(world),
    };
    finish(approval::answer(&approver, &event).await, true)
}
