//! Effects whose callers have given up on them: the request was under way, and arrives.

use super::tables::Body;
use super::{Place, World};
use crate::queue::{Due, Moment};
use crate::simulation::Happening;
use understudy_core::ports::{Key, Metric};
use understudy_core::sql::Statement;

/// What arrives late.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Sql { place: Place, statement: Box<Statement> },
    Promote { instance: String },
    Publish { metric: Metric, value: f64 },
    Write { at: Place, key: Key, expected: Option<u64>, body: Body },
}

impl World {
    pub(crate) fn happens_late(&self, at: Moment, effect: Effect) {
        self.plan_for(at, Due::Happen(Box::new(Happening::Late(effect))));
    }

    /// It arrives, if there is still somebody to arrive at; nobody hears the answer.
    pub(crate) fn arrive(&self, effect: Effect) {
        match effect {
            Effect::Sql { place, statement } => {
                if self.alive(place) {
                    drop(self.answer(place, &statement));
                }
            }
            Effect::Promote { instance } => {
                if self.alive(Place::Standby) {
                    drop(self.take_promotion(&instance));
                }
            }
            Effect::Publish { metric, value } => self.take_level(metric, value),
            Effect::Write { at, key, expected, body } => {
                if self.alive(at) {
                    self.write_cell(at, &key, expected, body);
                }
            }
        }
    }
}
