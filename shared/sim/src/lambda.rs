//! Lambda, as far as it matters: invocations begin late, run side by side, die, are spoilt and are delivered twice.

use crate::asl::{Execution, Failure};
use crate::functions::{Function, Invoked, invoke};
use crate::queue::Due;
use crate::simulation::{Deliver, Happening, Simulation};
use crate::tasks::{Invocation, Purpose, Task, TaskId};
use crate::world::{Delivery, MUCH_LATER};
use serde::Deserialize;
use serde_json::Value;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use understudy_core::steps::Step;

/// An event that found its function failing is delivered again after this long.
const REDELIVER_AFTER: i64 = 60_000;

impl Simulation<'_> {
    /// One invocation, under way from `wait` milliseconds from now on.
    pub(crate) fn invoke(&mut self, function: Function, event: Rc<Value>, purpose: Purpose, wait: i64) {
        let step = step_of(&event);
        let first = step.is_some_and(|step| self.world.is_first(step));
        let wanted = !matches!(purpose, Purpose::Unheard | Purpose::Event { .. });
        let begins_at = self.world.moment() + wait;
        let place = function.place();
        let host = self.world.draw_host(function);
        let world = &self.world;
        let id = self.tasks.add(|id| {
            let dies_at = begins_at + function.lasts();
            let event_of = event.clone();
            let invocation =
                Invocation { id, place, event: event_of, step, first, calls: 0, dies_at, host, dead: false };
            world.enter(Some(invocation));
            let future = invoke(world, function, event, wanted);
            Task { future, invocation: world.leave(), purpose }
        });
        self.world.plan_for(begins_at, Due::Poll(id));
    }

    pub(crate) fn poll(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        let now = self.world.moment();
        let over = task
            .invocation
            .as_ref()
            .is_none_or(|invocation| now >= invocation.dies_at || !self.world.alive(invocation.place));
        if over {
            return self.over(id, Invoked::Killed);
        }
        self.world.enter(task.invocation.take());
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let invocation = self.world.leave();
        let dead = invocation.as_ref().is_none_or(|invocation| invocation.dead);
        match polled {
            Poll::Ready(invoked) => self.over(id, invoked),
            Poll::Pending if dead => self.over(id, Invoked::Killed),
            Poll::Pending => task.invocation = invocation,
        }
    }

    /// An invocation is over; whoever waits for it hears how.
    fn over(&mut self, id: TaskId, invoked: Invoked) {
        let Some(task) = self.tasks.remove(id) else { return };
        match task.purpose {
            Purpose::Unheard => {}
            Purpose::Held(heard) => *heard.borrow_mut() = Some(invoked),
            Purpose::Called { parent, heard } => {
                *heard.borrow_mut() = Some(invoked);
                self.world.plan_for(self.world.moment(), Due::Poll(parent));
            }
            Purpose::Event { function, event, deliveries } => {
                if !matches!(invoked, Invoked::Answered(_)) && deliveries > 1 {
                    let deliver = Deliver { function, event, deliveries: deliveries - 1 };
                    self.plan_in(REDELIVER_AFTER, Happening::Deliver(deliver));
                }
            }
            Purpose::State { execution, turn } => self.answers(&execution, turn, invoked),
        }
    }

    /// A function answers the state that invoked it, if that still waits for it.
    fn answers(&mut self, execution: &Rc<str>, turn: u64, invoked: Invoked) {
        let result = match invoked {
            Invoked::Answered(value) => Ok(value),
            Invoked::Failed(fault) => {
                Err(Failure { error: fault.error_type().to_owned(), cause: fault.to_string(), hung: false })
            }
            // Half of those that die are seen to die; of the others nothing is heard any more.
            Invoked::Killed => {
                let drawn = self.chance.draw();
                if drawn & 1 == 1 {
                    return;
                }
                let error = match (drawn >> 1) % 3 {
                    0 => "Lambda.Unknown",
                    1 => "Runtime.ExitError",
                    _ => "Runtime.Unknown",
                };
                let cause = "the function died".to_owned();
                Err(Failure { error: error.to_owned(), cause, hung: false })
            }
        };
        if self.executions.get(execution).is_some_and(|known| known.turn() == turn) {
            self.with(execution, |machine, execution| execution.done(machine, result));
        }
    }

    pub(crate) fn fails(&mut self, execution: &Rc<str>, turn: u64, error: &'static str) {
        if self.executions.get(execution).is_none_or(|known| known.turn() != turn) {
            return;
        }
        let cause = "no answer from the function".to_owned();
        let failure = Failure { error: error.to_owned(), cause, hung: error == "States.Timeout" };
        if let Some(token) = self.executions.get(execution).and_then(Execution::token) {
            self.world.forget_token(token);
        }
        self.with(execution, |machine, execution| execution.done(machine, Err(failure)));
    }

    /// How long Lambda takes before code runs: seldom a cold start.
    pub(crate) fn starts(&mut self) -> i64 {
        let drawn = self.chance.draw();
        let wait = if drawn.is_multiple_of(32) { 150 + (drawn >> 8) % 700 } else { 8 + (drawn >> 8) % 24 };
        i64::try_from(wait).unwrap_or(0)
    }

    pub(crate) fn redeliver(&mut self, Deliver { function, event, deliveries }: Deliver) {
        if self.world.invokes(function.place()) {
            let again = Purpose::Event { function, event: Rc::clone(&event), deliveries };
            self.invoke(function, event, again, 5);
        } else if deliveries > 1 {
            let deliver = Deliver { function, event, deliveries: deliveries - 1 };
            self.plan_in(REDELIVER_AFTER, Happening::Deliver(deliver));
        }
    }

    pub(crate) fn task(&mut self, name: &Rc<str>, turn: u64, owner: &str, input: Rc<Value>) {
        let Some(function) = Function::named(owner) else {
            let error = "Lambda.ResourceNotFoundException";
            return self.plan_in(0, Happening::Spoilt { execution: Rc::clone(name), turn, error });
        };
        let heard = Purpose::State { execution: Rc::clone(name), turn };
        let wait = self.starts();
        if !self.world.invokes(function.place()) {
            return;
        }
        match self.delivery(&input) {
            Delivery::Once => self.lambda(function, input, heard, wait),
            Delivery::Twice => {
                self.invoke(function, Rc::clone(&input), Purpose::Unheard, wait);
                self.invoke(function, input, heard, wait + 400);
            }
            Delivery::AgainLater => {
                let deliver = Deliver { function, event: Rc::clone(&input), deliveries: 1 };
                self.plan_in(MUCH_LATER, Happening::Deliver(deliver));
                self.invoke(function, input, heard, wait);
            }
        }
    }

    /// Lambda between a state and its function: it may refuse, lose the answer, or deliver once more.
    fn lambda(&mut self, function: Function, input: Rc<Value>, heard: Purpose, wait: i64) {
        let Purpose::State { execution, turn } = &heard else { return };
        let spoilt = |error| Happening::Spoilt { execution: Rc::clone(execution), turn: *turn, error };
        match self.world.spoils() {
            None => self.invoke(function, input, heard, wait),
            Some(0) => {
                self.world.cover("Lambda throttles");
                self.plan_in(wait, spoilt("Lambda.TooManyRequestsException"));
            }
            Some(1) => {
                // It runs; only the connection to it was lost.
                self.world.cover("Lambda answer lost");
                self.plan_in(wait + 200, spoilt("Lambda.SdkClientException"));
                self.invoke(function, input, Purpose::Unheard, wait);
            }
            Some(2) => {
                self.world.cover("delivered twice");
                let later = i64::try_from(self.chance.below(4_000)).unwrap_or(0);
                self.invoke(function, Rc::clone(&input), Purpose::Unheard, wait + later);
                self.invoke(function, input, heard, wait);
            }
            Some(_) => {
                self.world.cover("delivered again later");
                let later = i64::try_from(self.chance.below(600_000)).unwrap_or(0);
                self.invoke(function, Rc::clone(&input), Purpose::Unheard, wait + later);
                self.invoke(function, input, heard, wait);
            }
        }
    }

    /// How this run of a step is delivered; what was asked for counts once.
    fn delivery(&mut self, input: &Value) -> Delivery {
        if self.deliveries.is_empty() {
            return Delivery::Once;
        }
        step_of(input).and_then(|step| self.deliveries.remove(&step)).unwrap_or(Delivery::Once)
    }
}

/// The step that an event asks for.
fn step_of(event: &Value) -> Option<Step> {
    event.get("step").and_then(|step| Step::deserialize(step).ok())
}
