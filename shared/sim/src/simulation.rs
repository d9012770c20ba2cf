//! The event loop: ticks, executions, clients and breaks on one virtual clock, all from one seed.

use crate::asl::{Execution, Failure, Machine, Next};
use crate::checkers::Case;
use crate::functions::{Function, Invoked, invoke};
use crate::seed::Chance;
use crate::trace::{Status, What};
use crate::world::{Break, Delivery, Place, Settings, World};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use understudy_core::approval::Asked;
use understudy_core::plan::Plan;
use understudy_core::report::Report;
use understudy_core::state::keys;
use understudy_core::steps::Step;
use understudy_core::steps::close::report_key;
use understudy_core::time::{Millis, after};

/// Every story begins here.
pub const DAWN: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// Each client writes this often.
const WRITE_EVERY: Millis = Millis::from_secs(1);
const LONG_TRANSACTION_EVERY: Millis = Millis::from_secs(7);
/// A delivery that comes once more comes this late.
const MUCH_LATER: Millis = Millis::from_secs(1800);
/// An event that found its function failing is delivered again after this long, as often as Lambda does it.
const REDELIVER_AFTER: Millis = Millis::from_secs(60);
const DELIVERIES: u32 = 3;

#[derive(Clone, Debug)]
enum Happening {
    Tick(Function),
    Resume { execution: String, turn: u64 },
    LocalWrite,
    OutsideWrite,
    LongTransaction,
    LongCommit,
    Break(Break),
    Deliver { function: Function, event: Value, deliveries: u32 },
}

/// A world with its machine and everything that is still to happen.
pub struct Simulation<'m> {
    pub world: World,
    machine: &'m Machine,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    count: u64,
    executions: BTreeMap<String, Execution>,
    ended: BTreeMap<String, String>,
    deliveries: BTreeMap<Step, Delivery>,
    /// Each tick is delivered twice in this many of a thousand cases.
    pub twice_permille: u64,
    chance: Chance,
}

impl<'m> Simulation<'m> {
    pub fn new(machine: &'m Machine, plan: Plan, settings: Settings) -> Self {
        let tick = plan.tick;
        let mut simulation = Self {
            world: World::new(plan, settings, DAWN),
            machine,
            queue: BTreeMap::new(),
            count: 0,
            executions: BTreeMap::new(),
            ended: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            twice_permille: 0,
            chance: Chance::new(settings.seed ^ 0x5EED),
        };
        for function in Function::TICKING {
            let phase = Millis(simulation.chance.below(tick.0));
            simulation.plan_for(after(DAWN, phase), Happening::Tick(function));
        }
        simulation.plan_for(DAWN, Happening::LocalWrite);
        simulation.plan_for(after(DAWN, Millis(500)), Happening::OutsideWrite);
        simulation.plan_for(DAWN, Happening::LongTransaction);
        simulation
    }

    fn plan_for(&mut self, at: Timestamp, happening: Happening) {
        self.count += 1;
        self.queue.insert((at, self.count), happening);
    }

    fn plan_in(&mut self, span: Millis, happening: Happening) {
        self.plan_for(after(self.world.now(), span), happening);
    }

    /// Breaks something `span` from now.
    pub fn break_in(&mut self, span: Millis, broken: Break) {
        self.plan_in(span, Happening::Break(broken));
    }

    pub fn break_now(&mut self, broken: Break) {
        self.world.apply(broken);
    }

    /// Delivers an event to a function now.
    pub fn deliver(&mut self, function: Function, event: &Value) -> Invoked {
        let invoked = invoke(&self.world, function, event);
        self.take_started();
        self.take_sent();
        invoked
    }

    /// How the first run of `step` is delivered.
    pub fn deliver_step(&mut self, step: Step, delivery: Delivery) {
        self.deliveries.insert(step, delivery);
    }

    pub fn run_for(&mut self, span: Millis) {
        let until = after(self.world.now(), span);
        while let Some(next) = self.queue.first_entry()
            && next.key().0 <= until
        {
            let ((at, _), happening) = next.remove_entry();
            self.world.advance(at);
            self.happen(happening);
            self.take_started();
            self.take_sent();
        }
        self.world.advance(until);
    }

    /// Runs until `done` says so, looking after each `step`; false when `limit` is over before.
    pub fn run_until(&mut self, limit: Millis, mut done: impl FnMut(&Self) -> bool) -> bool {
        let step = Millis::from_secs(5);
        let end = after(self.world.now(), limit);
        while self.world.now() < end {
            if done(self) {
                return true;
            }
            self.run_for(step);
        }
        done(self)
    }

    /// The end state of every execution that ended.
    pub fn ends(&self) -> &BTreeMap<String, String> {
        &self.ended
    }

    /// Everything that this run left behind, for the checkers.
    pub fn case(&self) -> Case {
        let journals: Vec<_> = self
            .world
            .executions()
            .into_iter()
            .map(|name| (name.clone(), self.world.journal(&name)))
            .collect();
        let reports = journals.iter().filter_map(|(name, _)| self.report(name)).collect();
        Case { trace: self.world.trace().to_vec(), journals, reports }
    }

    /// The sealed report of an execution.
    pub fn report(&self, execution: &str) -> Option<Report> {
        let sealed = self.world.object(&report_key(&self.world.plan.name, execution))?;
        serde_json::from_slice(&sealed).ok()
    }

    /// Whether any execution is under way.
    pub fn busy(&self) -> bool {
        !self.executions.is_empty()
    }

    fn take_started(&mut self) {
        for name in self.world.take_started() {
            let execution = Execution::start(self.machine, &name, self.world.now());
            let turn = execution.turn();
            self.executions.insert(name.clone(), execution);
            self.plan_in(Millis::ZERO, Happening::Resume { execution: name, turn });
        }
    }

    /// Tokens that were sent wake the executions that wait for them.
    fn take_sent(&mut self) {
        for (token, output) in self.world.take_sent() {
            let name =
                self.executions.iter().find(|(_, one)| one.waits_for(&token)).map(|(name, _)| name.clone());
            let Some(mut execution) = name.and_then(|name| self.executions.remove(&name)) else { continue };
            let next = execution.answered(self.machine, output);
            self.go_on(execution, next);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(function) => self.tick(function),
            Happening::Resume { execution, turn } => self.resume(&execution, turn),
            Happening::Break(broken) => self.world.apply(broken),
            Happening::LocalWrite => {
                self.world.local_write();
                self.plan_in(WRITE_EVERY, Happening::LocalWrite);
            }
            Happening::OutsideWrite => {
                self.world.outside_write();
                self.plan_in(WRITE_EVERY, Happening::OutsideWrite);
            }
            Happening::LongTransaction => {
                if self.world.long_transaction_begins() {
                    self.plan_in(self.world.plan.lease.commit_margin, Happening::LongCommit);
                }
                self.plan_in(LONG_TRANSACTION_EVERY, Happening::LongTransaction);
            }
            Happening::LongCommit => self.world.long_transaction_commits(),
            Happening::Deliver { function, event, deliveries } => self.redeliver(function, event, deliveries),
        }
    }

    fn tick(&mut self, function: Function) {
        self.plan_in(self.world.plan.tick, Happening::Tick(function));
        if !self.world.alive(function.place()) {
            return;
        }
        invoke(&self.world, function, &json!({"tick": true}));
        if self.chance.happens(self.twice_permille) {
            invoke(&self.world, function, &json!({"tick": true}));
        }
    }

    fn redeliver(&mut self, function: Function, event: Value, deliveries: u32) {
        let answered = matches!(invoke(&self.world, function, &event), Invoked::Answered(_));
        if !answered && deliveries > 1 {
            let deliveries = deliveries - 1;
            self.plan_in(REDELIVER_AFTER, Happening::Deliver { function, event, deliveries });
        }
    }

    fn resume(&mut self, name: &str, turn: u64) {
        let Some(mut execution) = self.executions.remove(name) else { return };
        if execution.turn() != turn {
            self.executions.insert(name.to_owned(), execution);
            return;
        }
        if let Some(token) = execution.token() {
            self.world.forget_token(token);
        }
        let now = self.world.now();
        self.world.note(What::Entered { execution: name.to_owned(), state: execution.state().to_owned() });
        let next = execution.step(self.machine, now, |owner, input| self.task(owner, input));
        self.go_on(execution, next);
    }

    fn go_on(&mut self, execution: Execution, next: Next) {
        let name = execution.name.clone();
        let wait = match next {
            Next::Ended { status, state } => return self.end(name, status, state),
            Next::Resume(wait) => wait,
            Next::Parked(timeout) => {
                if let Some(token) = execution.token() {
                    self.world.await_token(token.to_owned());
                }
                timeout
            }
        };
        let at = after(self.world.now(), wait).min(execution.times_out_at(self.machine));
        let turn = execution.turn();
        self.executions.insert(name.clone(), execution);
        self.plan_for(at, Happening::Resume { execution: name, turn });
    }

    /// An execution that failed or timed out is told of by EventBridge.
    fn end(&mut self, name: String, status: Status, state: String) {
        if status != Status::Succeeded {
            let event = json!({
                "source": "aws.states",
                "detail-type": "Step Functions Execution Status Change",
                "detail": {"name": name, "status": status.word()},
            });
            let function = Function::ReportWriter;
            let deliveries = DELIVERIES;
            self.plan_in(Millis::from_secs(1), Happening::Deliver { function, event, deliveries });
        }
        self.ended.insert(name.clone(), state.clone());
        self.world.note(What::Ended { execution: name, status, state });
    }

    /// A person answers the open question of an execution, as the command line does.
    pub fn answer(&mut self, execution: &str, yes: bool, by: &str) -> Option<Invoked> {
        let asked = self.world.peek(Place::Standby, &keys::approval(execution))?;
        let asked: Asked = serde_json::from_value(asked).ok()?;
        if asked.settled().is_some() {
            return None;
        }
        let digest = asked.question.digest();
        let event = json!({"answer": {"execution": execution, "yes": yes, "by": by, "digest": digest}});
        Some(self.deliver(Function::Approver, &event))
    }

    fn task(&mut self, owner: &str, input: &Value) -> Result<Value, Failure> {
        let Some(function) = Function::named(owner) else {
            let cause = format!("there is no function `{owner}`");
            return Err(Failure { error: "Lambda.ResourceNotFoundException".to_owned(), cause, hung: false });
        };
        let first = invoke(&self.world, function, input);
        match self.delivery(input) {
            Delivery::Once => failure(first),
            Delivery::Twice => failure(invoke(&self.world, function, input)),
            Delivery::AgainLater => {
                let event = input.clone();
                self.plan_in(MUCH_LATER, Happening::Deliver { function, event, deliveries: 1 });
                failure(first)
            }
        }
    }

    /// How this run of a step is delivered; what was asked for counts once.
    fn delivery(&mut self, input: &Value) -> Delivery {
        let step = input.get("step").and_then(|step| serde_json::from_value::<Step>(step.clone()).ok());
        step.and_then(|step| self.deliveries.remove(&step)).unwrap_or(Delivery::Once)
    }
}

fn failure(invoked: Invoked) -> Result<Value, Failure> {
    match invoked {
        Invoked::Answered(value) => Ok(value),
        Invoked::Failed(fault) => {
            Err(Failure { error: fault.error_type().to_owned(), cause: fault.to_string(), hung: false })
        }
        Invoked::Killed => Err(Failure {
            error: "States.Timeout".to_owned(),
            cause: "the function never answered".to_owned(),
            hung: true,
        }),
    }
}
