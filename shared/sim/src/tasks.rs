//! Invocations under way: futures of the core, polled by hand whenever one of their calls is answered.
//!
//! One thread, no waker: a call that takes time plans its own end in the queue, under the number of the invocation
//! that waits for it. Whoever dies is dropped where it stands, between any two effects.

use crate::functions::{Function, Invoked};
use crate::queue::Moment;
use crate::world::{Place, World};
use serde_json::Value;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use understudy_core::steps::Step;

/// A slot with the turn of its use: a wake-up for an invocation that is gone finds another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId {
    slot: u32,
    turn: u32,
}

/// Where somebody waits to hear what came of an invocation.
pub(crate) type Heard = Rc<RefCell<Option<Invoked>>>;

/// Who hears how it ended.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// Nobody: a tick, or a delivery too many.
    Unheard,
    /// Lambda's own queue, which delivers again what failed.
    Event { function: Function, event: Rc<Value>, deliveries: u32 },
    /// A state of an execution, if it is still in that turn.
    State { execution: Rc<str>, turn: u64 },
    /// Somebody outside the world.
    Held(Heard),
    /// Another invocation.
    Called { parent: TaskId, heard: Heard },
}

/// What the world knows of the invocation that runs just now.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) id: TaskId,
    pub(crate) place: Place,
    /// What it was called with.
    pub(crate) event: Rc<Value>,
    pub(crate) step: Option<Step>,
    pub(crate) first: bool,
    pub(crate) calls: u32,
    /// Lambda ends it here.
    pub(crate) dies_at: Moment,
    /// How far its host's clock is off its Region's, in milliseconds.
    pub(crate) host: i64,
    /// It was killed in one of its calls.
    pub(crate) dead: bool,
}

pub(crate) type Running = Pin<Box<dyn Future<Output = Invoked>>>;

pub(crate) struct Task {
    pub(crate) future: Running,
    pub(crate) invocation: Option<Invocation>,
    pub(crate) purpose: Purpose,
}

#[derive(Default)]
pub(crate) struct Tasks {
    slots: Vec<(u32, Option<Task>)>,
    free: Vec<u32>,
}

impl Tasks {
    /// Takes up an invocation under a new number, which `make` is told.
    pub(crate) fn add(&mut self, make: impl FnOnce(TaskId) -> Task) -> TaskId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let id = TaskId { slot, turn: self.slots.get(slot as usize).map_or(0, |(turn, _)| *turn) };
        let task = make(id);
        if let Some((_, place)) = self.slots.get_mut(slot as usize) {
            *place = Some(task);
        }
        id
    }

    pub(crate) fn get(&mut self, id: TaskId) -> Option<&mut Task> {
        match self.slots.get_mut(id.slot as usize) {
            Some((turn, task)) if *turn == id.turn => task.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: TaskId) -> Option<Task> {
        let (turn, task) = self.slots.get_mut(id.slot as usize)?;
        if *turn != id.turn {
            return None;
        }
        *turn = turn.wrapping_add(1);
        self.free.push(id.slot);
        task.take()
    }
}

/// Waits until somebody answered, or until it has waited for long enough.
struct Hear<'a> {
    world: &'a World,
    heard: Heard,
    due: Moment,
    planned: bool,
}

impl Future for Hear<'_> {
    type Output = Option<Invoked>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(invoked) = self.heard.borrow_mut().take() {
            return Poll::Ready(Some(invoked));
        }
        if self.world.moment() >= self.due {
            return Poll::Ready(None);
        }
        if !self.planned {
            self.planned = true;
            self.world.wake_at(self.due);
        }
        Poll::Pending
    }
}

impl World {
    /// What came of an invocation that was asked for, if that is known within `patience` milliseconds.
    pub(crate) async fn hear(&self, heard: &Heard, patience: i64) -> Option<Invoked> {
        let due = self.moment().saturating_add(patience);
        Hear { world: self, heard: Rc::clone(heard), due, planned: false }.await
    }
}
