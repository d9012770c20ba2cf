//! People: each question that reaches them is answered late, twice, or never.

use crate::queue::Due;
use crate::simulation::{Happening, People, Simulation};
use crate::trace::What;
use crate::world::span;
use std::rc::Rc;
use understudy_core::journal::Entry;

impl Simulation<'_> {
    /// New questions in the trace set people to work.
    pub(crate) fn people_look(&mut self) {
        if self.people == People::Absent {
            return;
        }
        let trace = self.world.trace();
        let asked: Vec<Rc<str>> = trace
            .iter()
            .skip(self.seen)
            .filter_map(|event| match &event.what {
                What::Journaled(record) if matches!(record.entry, Entry::Asked { .. }) => {
                    Some(record.execution.as_str().into())
                }
                _ => None,
            })
            .collect();
        self.seen = trace.len();
        drop(trace);
        for execution in asked {
            for (after, yes, by) in self.people.answers() {
                let happening = Happening::Person { execution: Rc::clone(&execution), yes, by };
                self.world.plan_for(self.world.moment() + after, Due::Happen(Box::new(happening)));
            }
        }
    }
}

impl People {
    fn answers(self) -> Vec<(i64, bool, &'static str)> {
        match self {
            Self::Absent => Vec::new(),
            Self::Answer { after, yes } => vec![(span(after), yes, "sre-lead")],
            Self::Disagree { first, second } => {
                vec![(span(first), true, "sre-lead"), (span(second), false, "sre-deputy")]
            }
        }
    }
}
