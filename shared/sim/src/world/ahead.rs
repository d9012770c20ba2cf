//! Queues that come back to the function that sends: looks between two ticks.

use super::{Place, World};
use crate::functions::Function;
use jiff::Timestamp;
use understudy_core::fault::Fault;
use understudy_core::ports::Looks;
use understudy_core::time::Millis;

/// The queue of one function, in its Region.
pub struct Ahead<'a> {
    pub world: &'a World,
    pub function: Function,
}

impl Looks for Ahead<'_> {
    async fn send(&self, looks: &[(Timestamp, Millis)]) -> Result<(), Fault> {
        let place = self.function.place();
        let passed = self.world.pass(place, place).await?;
        if self.world.queues_away(place) {
            return Err(Fault::transient("the queue does not answer"));
        }
        self.world.inner().ahead.extend(looks.iter().map(|(due, wait)| (self.function, *due, *wait)));
        self.world.reply(passed, ()).await
    }
}

impl World {
    pub(crate) fn queues_away(&self, place: Place) -> bool {
        self.inner.borrow().queues_away.contains(place)
    }

    pub(crate) fn take_ahead(&self) -> Vec<(Function, Timestamp, Millis)> {
        std::mem::take(&mut self.inner().ahead)
    }
}
