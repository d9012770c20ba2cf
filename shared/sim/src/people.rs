//! People: each question that reaches them is answered late, twice, or never.

use crate::queue::Due;
use crate::simulation::{Happening, People, Says, Simulation};
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
            for (after, says) in self.people.answers() {
                let happening = Happening::Person { execution: Rc::clone(&execution), says };
                self.world.plan_for(self.world.moment() + after, Due::Happen(Box::new(happening)));
            }
        }
    }
}

impl People {
    fn answers(self) -> Vec<(i64, Says)> {
        let one = |after, yes, by| (span(after), Says { yes, by, mistaken: false });
        match self {
            Self::Absent => Vec::new(),
            Self::Answer { after, yes } => vec![one(after, yes, "sre-lead")],
            Self::Disagree { first, second } => {
                vec![one(first, true, "sre-lead"), one(second, false, "sre-deputy")]
            }
            Self::Mistaken { after } => {
                vec![(span(after), Says { yes: true, by: "sre-lead", mistaken: true })]
            }
            Self::Own { after } => vec![one(after, true, "sre-1")],
        }
    }
}
