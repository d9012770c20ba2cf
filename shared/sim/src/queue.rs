//! What is still to happen, by virtual instant; equal instants in the order in which they were planned.

use crate::simulation::{Happening, Recurring};
use crate::tasks::TaskId;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Milliseconds since 1970, of true time: what no clock in the world shows exactly.
pub type Moment = i64;

#[derive(Debug)]
pub(crate) enum Due {
    /// A waiting invocation goes on.
    Poll(TaskId),
    Recur(Recurring),
    Happen(Box<Happening>),
}

#[derive(Debug)]
struct Entry {
    /// The instant, and the count below it, in one number: a heap compares a lot.
    order: u128,
    due: Due,
}

impl Entry {
    fn new(at: Moment, count: u64, due: Due) -> Self {
        Self { order: u128::from(at.unsigned_abs()) << 64 | u128::from(count), due }
    }

    fn at(&self) -> Moment {
        i64::try_from(self.order >> 64).unwrap_or(i64::MAX)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    count: u64,
}

impl Queue {
    pub(crate) fn plan(&mut self, at: Moment, due: Due) {
        self.count += 1;
        self.heap.push(Entry::new(at, self.count, due));
    }

    /// The next thing that is due by `until`, and when.
    pub(crate) fn next(&mut self, until: Moment) -> Option<(Moment, Due)> {
        if self.heap.peek()?.at() > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at(), entry.due))
    }
}
