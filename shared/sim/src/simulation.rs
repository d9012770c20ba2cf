//! The event loop: ticks, executions, clients, people and breaks on one virtual clock, all from one seed.
//!
//! Functions run between the events: each call of theirs takes time, so that whatever runs at once is interleaved
//! between any two effects.

use crate::asl::{Execution, Machine, Next};
use crate::checkers::{Case, Left, Sealed, Violation, judge};
use crate::functions::{Function, Invoked};
use crate::queue::{Due, Moment};
use crate::seed::Chance;
use crate::tasks::{Heard, Purpose, Tasks};
use crate::trace::{Status, What};
use crate::world::{Break, Delivery, Deployed, Effect, Place, Settings, World, span};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use understudy_core::journal::Stored;
use understudy_core::ports::Key;
use understudy_core::report::Report;
use understudy_core::state::Category;
use understudy_core::steps::Step;
use understudy_core::steps::close::{record_key, report_key};
use understudy_core::time::Millis;

/// Every story begins here.
pub const DAWN: Timestamp = Timestamp::constant(1_795_000_000, 0);

/// An event that found its function failing is delivered so often.
const DELIVERIES: u32 = 3;
/// An answer that nobody waits for after this long is given up by who delivers by hand.
const BY_HAND: Millis = Millis::from_secs(200);

/// What each execution wrote, by its name.
type Journals = Vec<(String, Vec<Arc<Stored>>)>;

/// What happens over and over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recurring {
    Tick(Function),
    LocalWrite,
    OutsideWrite,
    LongTransaction,
    LongCommit(&'static str),
}

#[derive(Debug)]
pub(crate) enum Happening {
    Resume {
        execution: Rc<str>,
        turn: u64,
    },
    /// The task of that turn fails, whoever still works on it.
    TimesOut {
        execution: Rc<str>,
        turn: u64,
    },
    /// Lambda answers for a function that it did not run, or not to the end.
    Spoilt {
        execution: Rc<str>,
        turn: u64,
        error: &'static str,
    },
    Break(Break),
    Deliver(Deliver),
    /// A queue delivers a look that its function sent ahead.
    Look {
        function: Function,
        due: Timestamp,
    },
    Late(Effect),
    /// A person looks at the open question.
    Person {
        execution: Rc<str>,
        says: Says,
    },
    /// Somebody raises or lifts the hold, or declares what never promotes.
    Hold(bool, Option<Category>),
    /// Somebody aborts whatever runs.
    Abort,
    /// Somebody overrides a check for so long.
    Override(String, Millis),
}

#[derive(Debug)]
pub(crate) struct Deliver {
    pub(crate) function: Function,
    pub(crate) event: Rc<Value>,
    pub(crate) deliveries: u32,
}

/// How people answer questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum People {
    /// Not by themselves.
    #[default]
    Absent,
    /// Each question, after this long.
    Answer { after: Millis, yes: bool },
    /// Two of them, each after this long, and not of one mind.
    Disagree { first: Millis, second: Millis },
    /// Two of them say yes, each after this long.
    Both { first: Millis, second: Millis },
    /// One says yes, and so long after it the same again.
    Twice { after: Millis, again: Millis },
    /// Each question, with a yes to what another one showed.
    Mistaken { after: Millis },
    /// Who asked for the move says yes to it.
    Own { after: Millis },
}

/// What one person says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Says {
    pub(crate) yes: bool,
    pub(crate) by: &'static str,
    /// The answer names the digest of another question.
    pub(crate) mistaken: bool,
}

/// A world with its machine and everything that is still to happen.
pub struct Simulation<'m> {
    pub world: Rc<World>,
    machine: &'m Machine,
    pub(crate) tasks: Tasks,
    pub(crate) executions: BTreeMap<Rc<str>, Execution>,
    ended: BTreeMap<String, String>,
    pub(crate) deliveries: BTreeMap<Step, Delivery>,
    /// What happens so long after a state is entered first.
    at_states: Vec<(String, i64, Happening)>,
    /// Each tick is delivered twice in this many of a thousand cases.
    pub twice_permille: u64,
    /// And is lost in this many, as a look is.
    pub lost_permille: u64,
    /// Looks came for long when the story began.
    settled: bool,
    /// Somebody spoilt a cell, which no trace shows.
    spoilt: bool,
    /// So many looks are lost beside these.
    pub looks_lost_permille: u64,
    /// A schedule fires anywhere within its tick, as EventBridge Scheduler's do, and not always at the same moment of it.
    pub ticks_anywhere: bool,
    pub people: People,
    /// Clients write this often.
    write_every: i64,
    /// What of the trace people have seen.
    pub(crate) seen: usize,
    pub(crate) chance: Chance,
    /// What every schedule sends.
    tick: Rc<Value>,
}

impl<'m> Simulation<'m> {
    pub fn new(machine: &'m Machine, plan: impl Into<Deployed>, settings: Settings) -> Self {
        let world = Rc::new(World::new(plan, settings, DAWN));
        let tick = world.plan.tick.0;
        let mut chance = Chance::new(settings.seed ^ 0x5EED);
        for function in Function::TICKING {
            let phase = i64::try_from(chance.below(tick)).unwrap_or(0);
            world.plan_for(world.moment() + phase, Due::Recur(Recurring::Tick(function)));
        }
        let simulation = Self {
            world,
            machine,
            tasks: Tasks::default(),
            executions: BTreeMap::new(),
            ended: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            at_states: Vec::new(),
            twice_permille: 0,
            lost_permille: 0,
            looks_lost_permille: 0,
            settled: false,
            spoilt: false,
            ticks_anywhere: false,
            people: People::default(),
            write_every: 1_000,
            seen: 0,
            chance,
            tick: json!({"tick": true}).into(),
        };
        simulation.recur_in(0, Recurring::LocalWrite);
        simulation.recur_in(500, Recurring::OutsideWrite);
        simulation.recur_in(0, Recurring::LongTransaction);
        simulation
    }

    /// Clients write every so many milliseconds, and in the last one before a lease runs out.
    pub fn clients_write_every(&mut self, millis: i64) {
        self.write_every = millis;
    }

    pub(crate) fn plan_in(&self, wait: i64, happening: Happening) {
        self.world.plan_for(self.world.moment() + wait, Due::Happen(Box::new(happening)));
    }

    fn recur_in(&self, wait: i64, recurring: Recurring) {
        self.world.plan_for(self.world.moment() + wait, Due::Recur(recurring));
    }

    /// Breaks something `span` from now.
    pub fn break_in(&mut self, wait: Millis, broken: Break) {
        self.plan_in(span(wait), Happening::Break(broken));
    }

    pub fn break_now(&mut self, broken: Break) {
        self.world.apply(broken);
    }

    /// Delivers an event to a function `wait` from now; nobody waits for the answer.
    pub fn deliver_in(&mut self, wait: Millis, function: Function, event: Value) {
        let deliver = Deliver { function, event: event.into(), deliveries: 1 };
        self.plan_in(span(wait), Happening::Deliver(deliver));
    }

    /// Delivers an event to a function now and lets time pass until it is answered.
    pub fn deliver(&mut self, function: Function, event: &Value) -> Invoked {
        let heard = Heard::default();
        self.invoke(function, event.clone().into(), Purpose::Held(Rc::clone(&heard)), 0);
        let until = self.world.moment() + span(BY_HAND);
        while heard.borrow().is_none() && self.happens_by(until) {}
        heard.borrow_mut().take().unwrap_or(Invoked::Killed)
    }

    /// How the first run of `step` is delivered.
    pub fn deliver_step(&mut self, step: Step, delivery: Delivery) {
        self.deliveries.insert(step, delivery);
    }

    pub fn run_for(&mut self, wait: Millis) {
        let until = self.world.moment() + span(wait);
        while self.happens_by(until) {}
        self.world.advance(until);
    }

    /// Runs until `done` says so, looking after each `step`; false when `limit` is over before.
    pub fn run_until(&mut self, limit: Millis, mut done: impl FnMut(&Self) -> bool) -> bool {
        let step = Millis::from_secs(5);
        let end = self.world.moment() + span(limit);
        while self.world.moment() < end {
            if done(self) {
                return true;
            }
            self.run_for(step);
        }
        done(self)
    }

    /// Lets the next thing happen that is due by `until`; false when there is none.
    fn happens_by(&mut self, until: Moment) -> bool {
        let Some((at, due)) = self.world.next(until) else { return false };
        self.world.advance(at);
        match due {
            Due::Poll(id) => self.poll(id),
            Due::Recur(recurring) => self.recur(recurring),
            Due::Happen(happening) => self.happen(*happening),
        }
        if self.world.asks() {
            self.take_started();
            self.take_sent();
            self.take_asked();
            self.take_ahead();
        }
        self.people_look();
        true
    }

    /// The end state of every execution that ended.
    pub fn ends(&self) -> &BTreeMap<String, String> {
        &self.ended
    }

    /// Every law that this run broke.
    pub fn broken(&self) -> Vec<Violation> {
        let (journals, reports) = self.written();
        let sealed = self.sealed(&journals);
        judge(&Left {
            trace: &self.world.trace(),
            journals: &journals,
            reports: &reports,
            sealed: &sealed,
            calm: self.is_calm(),
            plan: Some(&self.world.plan),
        })
    }

    /// Everything that this run left behind, for the checkers.
    pub fn case(&self) -> Case {
        let (journals, reports) = self.written();
        let sealed = self.sealed(&journals);
        let own = |chain: Vec<Arc<Stored>>| chain.into_iter().map(Arc::unwrap_or_clone).collect();
        let journals = journals.into_iter().map(|(name, chain)| (name, own(chain))).collect();
        let plan = Some(Rc::clone(&self.world.plan));
        Case { trace: self.world.trace().to_vec(), journals, reports, sealed, calm: self.is_calm(), plan }
    }

    fn written(&self) -> (Journals, Vec<Report>) {
        let journals: Vec<_> = self
            .world
            .executions()
            .into_iter()
            .map(|name| (name.clone(), self.world.journal(&name)))
            .collect();
        let reports = journals.iter().filter_map(|(name, _)| self.report(name)).collect();
        (journals, reports)
    }

    /// Looks came without a gap until now, so that the guard counts on them, as whatever is predicted does.
    pub fn looks_came(&mut self) {
        self.world.looks_came();
        self.settled = true;
    }

    /// Writes `body` into a cell, as a hand or another version of the code does.
    pub fn spoil(&mut self, at: Place, key: &Key, body: Value) {
        self.world.put(at, key, body);
        self.spoilt = true;
    }

    /// Whether nothing can have gone wrong that the trace does not show.
    fn is_calm(&self) -> bool {
        let Settings { slow_permille, lambda_permille, .. } = self.world.settings;
        slow_permille == 0
            && lambda_permille == 0
            && self.lost_permille == 0
            && self.looks_lost_permille == 0
            && !self.spoilt
            && (self.settled || self.world.plan.look.is_none())
            && !self.world.is_aimed_at()
            && self.deliveries.is_empty()
    }

    /// The records that lie in the evidence bucket, up to the first that is missing.
    fn sealed(&self, journals: &Journals) -> Vec<Sealed> {
        let plan = &self.world.plan.name;
        let records = |name: &str| {
            (1..).map_while(|seq| self.world.object(&record_key(plan, name, seq))).collect::<Vec<_>>()
        };
        journals.iter().map(|(name, _)| (name.clone(), records(name))).collect()
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
            let name: Rc<str> = name.into();
            self.executions.insert(Rc::clone(&name), execution);
            self.plan_in(0, Happening::Resume { execution: name, turn });
        }
    }

    /// Tokens that were sent wake the executions that wait for them.
    fn take_sent(&mut self) {
        for (token, output) in self.world.take_sent() {
            let waiting = self.executions.iter().find(|(_, one)| one.waits_for(&token));
            let Some(name) = waiting.map(|(name, _)| Rc::clone(name)) else { continue };
            self.with(&name, |machine, execution| execution.answered(machine, output));
        }
    }

    fn take_asked(&mut self) {
        for (function, event, parent, heard) in self.world.take_asked() {
            self.invoke(function, event.into(), Purpose::Called { parent, heard }, 5);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Resume { execution, turn } => self.resume(&execution, turn),
            Happening::TimesOut { execution, turn } => self.fails(&execution, turn, "States.Timeout"),
            Happening::Spoilt { execution, turn, error } => self.fails(&execution, turn, error),
            Happening::Break(_) if self.world.is_calm() => {}
            Happening::Break(broken) => self.world.apply(broken),
            Happening::Deliver(deliver) => self.redeliver(deliver),
            Happening::Look { function, due } => self.look(function, due),
            Happening::Late(effect) => self.world.arrive(effect),
            Happening::Person { execution, says } => drop(self.says(&execution, says)),
            Happening::Hold(raised, category) => self.hold(raised, category),
            Happening::Abort => self.abort(),
            Happening::Override(check, lasts) => self.overrides(check, lasts),
        }
    }

    fn recur(&mut self, recurring: Recurring) {
        match recurring {
            Recurring::Tick(function) => self.tick(function),
            Recurring::LocalWrite => {
                self.world.local_write();
                // The last millisecond in which the lease still lets a write through is the one to try.
                let last = self.world.lapses_in().map_or(i64::MAX, |left| (left - 1).max(1));
                self.recur_in(self.write_every.min(last), Recurring::LocalWrite);
            }
            Recurring::OutsideWrite => {
                self.world.outside_write();
                self.recur_in(self.write_every, Recurring::OutsideWrite);
            }
            Recurring::LongTransaction => {
                if self.world.long_transaction_begins() {
                    let (takes, client) = self.world.long_transaction_takes();
                    self.recur_in(takes, Recurring::LongCommit(client));
                }
                let last = self.world.lapses_in().map_or(i64::MAX, |left| (left - 1).max(1));
                self.recur_in((7 * self.write_every).min(last), Recurring::LongTransaction);
            }
            Recurring::LongCommit(client) => self.world.long_transaction_commits(client),
        }
    }

    fn tick(&mut self, function: Function) {
        let tick = span(self.world.plan.tick);
        let wait = if self.ticks_anywhere {
            // Within the next tick, wherever this one was in its own.
            let now = self.world.moment();
            tick - now.rem_euclid(tick) + i64::try_from(self.chance.below(tick.unsigned_abs())).unwrap_or(0)
        } else {
            tick
        };
        self.recur_in(wait, Recurring::Tick(function));
        if !self.world.invokes(function.place()) {
            return;
        }
        if self.chance.happens(self.lost_permille) {
            return self.world.cover("tick lost");
        }
        let wait = self.starts();
        self.invoke(function, Rc::clone(&self.tick), Purpose::Unheard, wait);
        if self.chance.happens(self.twice_permille) {
            self.world.cover("tick twice");
            let wait = i64::try_from(self.chance.below(3_000)).unwrap_or(0);
            self.invoke(function, Rc::clone(&self.tick), Purpose::Unheard, wait);
        }
    }

    /// Delays count in whole seconds, and a poller takes its time. SQS delivers at least once, or not while it is away.
    fn take_ahead(&mut self) {
        for (function, due, wait) in self.world.take_ahead() {
            if self.chance.happens(self.lost_permille) || self.chance.happens(self.looks_lost_permille) {
                self.world.cover("look lost");
                continue;
            }
            let drawn = self.chance.draw();
            let late = if drawn.is_multiple_of(64) { (drawn >> 8) % 40_000 } else { (drawn >> 8) % 1_000 };
            let whole = wait.secs_ceil().saturating_mul(1_000);
            let wait = i64::try_from(whole.saturating_add(late)).unwrap_or(0);
            self.plan_in(wait, Happening::Look { function, due });
            if self.chance.happens(self.twice_permille) {
                self.world.cover("look twice");
                let again = i64::try_from(self.chance.below(20_000)).unwrap_or(0);
                self.plan_in(wait + again, Happening::Look { function, due });
            }
        }
    }

    fn look(&mut self, function: Function, due: Timestamp) {
        if !self.world.invokes(function.place()) || self.world.queues_away(function.place()) {
            return;
        }
        let body = json!({ "look": due }).to_string();
        let event = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        let wait = self.starts();
        self.invoke(function, event.into(), Purpose::Unheard, wait);
    }

    fn resume(&mut self, name: &Rc<str>, turn: u64) {
        let execution = self.executions.get(name).filter(|known| known.turn() == turn);
        let Some(execution) = execution else { return };
        let state = execution.state().to_owned();
        let left = left_to(execution, self.machine, self.world.moment());
        if let Err(wait) = self.world.take_transition()
            && wait < left
        {
            return self.plan_in(wait, Happening::Resume { execution: Rc::clone(name), turn });
        }
        self.world.in_state(state.as_str().into());
        self.entered(&state);
        self.world.note(What::Entered { execution: name.as_ref().to_owned(), state });
        let now = self.world.now();
        self.with(name, |machine, execution| execution.step(machine, now));
    }

    /// Lets an execution take one step, and goes on with what follows from it.
    pub(crate) fn with(&mut self, name: &Rc<str>, step: impl FnOnce(&Machine, &mut Execution) -> Next) {
        let Some(execution) = self.executions.get_mut(name) else { return };
        let next = step(self.machine, execution);
        let turn = execution.turn();
        let left = left_to(execution, self.machine, self.world.moment());
        match next {
            Next::Ended { status, state } => self.end(name, status, state),
            Next::Parked => {}
            Next::Resume(wait) => {
                let execution = Rc::clone(name);
                self.plan_in(span(wait).min(left), Happening::Resume { execution, turn });
            }
            Next::Invoke { owner, input, timeout } => {
                if let Some(token) = execution.token() {
                    self.world.await_token(token.to_owned());
                }
                let wait = timeout.map_or(left, span).min(left);
                let execution = Rc::clone(name);
                self.plan_in(wait, Happening::TimesOut { execution, turn });
                self.task(name, turn, &owner, input.into());
            }
        }
    }

    /// An execution that failed or timed out is told of by EventBridge.
    fn end(&mut self, name: &Rc<str>, status: Status, state: String) {
        self.executions.remove(name);
        let execution = name.as_ref().to_owned();
        if status != Status::Succeeded {
            let event = json!({
                "source": "aws.states",
                "detail-type": "Step Functions Execution Status Change",
                "detail": {"name": execution, "status": status.word()},
            });
            let deliver =
                Deliver { function: Function::ReportWriter, event: event.into(), deliveries: DELIVERIES };
            self.plan_in(1_000, Happening::Deliver(deliver));
        }
        if self.executions.is_empty() {
            self.world.in_state("-".into());
        }
        self.ended.insert(execution.clone(), state.clone());
        self.world.note(What::Ended { execution, status, state });
    }

    /// Breaks something `after` the first entry into `state`.
    pub fn break_at(&mut self, state: &str, after: Millis, broken: Break) {
        self.at_states.push((state.to_owned(), span(after), Happening::Break(broken)));
    }

    /// Raises or lifts the hold `after` the first entry into `state`.
    pub fn hold_at(&mut self, state: &str, after: Millis, raised: bool) {
        self.at_states.push((state.to_owned(), span(after), Happening::Hold(raised, None)));
    }

    /// As [`Simulation::declare_in`], `after` the first entry into `state`.
    pub fn declare_at(&mut self, state: &str, after: Millis, category: Category) {
        self.at_states.push((state.to_owned(), span(after), Happening::Hold(true, Some(category))));
    }

    /// Somebody aborts what runs, `after` the first entry into `state`.
    pub fn abort_at(&mut self, state: &str, after: Millis) {
        self.at_states.push((state.to_owned(), span(after), Happening::Abort));
    }

    pub fn abort_in(&mut self, wait: Millis) {
        self.plan_in(span(wait), Happening::Abort);
    }

    pub fn hold_in(&mut self, wait: Millis, raised: bool) {
        self.plan_in(span(wait), Happening::Hold(raised, None));
    }

    /// Somebody declares what never promotes.
    pub fn declare_in(&mut self, wait: Millis, category: Category) {
        self.plan_in(span(wait), Happening::Hold(true, Some(category)));
    }

    /// Somebody overrides the check of that key for so long.
    pub fn override_in(&mut self, wait: Millis, check: &str, lasts: Millis) {
        self.plan_in(span(wait), Happening::Override(check.to_owned(), lasts));
    }

    /// The states that something still waits for.
    pub fn awaited_states(&self) -> impl Iterator<Item = &str> {
        self.at_states.iter().map(|(state, ..)| state.as_str())
    }

    /// What waits for a state that is entered now.
    fn entered(&mut self, state: &str) {
        let mut at = 0;
        while let Some((wanted, ..)) = self.at_states.get(at) {
            if wanted == state {
                let (_, after, happening) = self.at_states.swap_remove(at);
                self.plan_in(after, happening);
            } else {
                at += 1;
            }
        }
    }
}

/// How long until the workflow's own time-out, in milliseconds.
fn left_to(execution: &Execution, machine: &Machine, now: Moment) -> i64 {
    execution.times_out_at(machine).as_millisecond() - now
}
