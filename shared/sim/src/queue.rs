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
    /// The instant since the first one, and the count below it, in one number: a heap compares a lot.
    order: u64,
    due: Due,
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

#[derive(Debug)]
pub(crate) struct Queue {
    dawn: Moment,
    heap: BinaryHeap<Entry>,
    count: u32,
}

impl Queue {
    /// For what comes from `dawn` on, within 49 days.
    pub(crate) fn new(dawn: Moment) -> Self {
        Self { dawn, heap: BinaryHeap::new(), count: 0 }
    }

    pub(crate) fn plan(&mut self, at: Moment, due: Due) {
        self.count += 1;
        let since = u32::try_from(at - self.dawn).unwrap_or(if at < self.dawn { 0 } else { u32::MAX });
        self.heap.push(Entry { order: u64::from(since) << 32 | u64::from(self.count), due });
    }

    fn at(&self, entry: &Entry) -> Moment {
        self.dawn + i64::try_from(entry.order >> 32).unwrap_or(i64::MAX)
    }

    /// The next thing that is due by `until`, and when.
    pub(crate) fn next(&mut self, until: Moment) -> Option<(Moment, Due)> {
        if self.at(self.heap.peek()?) > until {
            return None;
        }
        let entry = self.heap.pop()?;
        Some((self.at(&entry), entry.due))
    }
}
