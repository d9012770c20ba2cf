//! People: each question that reaches them is answered late, twice, or never.

use crate::functions::{Function, Invoked};
use crate::queue::Due;
use crate::simulation::{Happening, People, Says, Simulation};
use crate::tasks::Purpose;
use crate::trace::{Event, What};
use crate::world::{Break, Place, span};
use serde_json::{Value, json};
use std::rc::Rc;
use understudy_core::approval::Asked;
use understudy_core::incident::Incident;
use understudy_core::journal::Entry;
use understudy_core::overrides::{Override, Overrides};
use understudy_core::state::{Category, Flag, keys};
use understudy_core::time::{Millis, after};

/// So long an execution may take.
const LONGEST: Millis = Millis::from_secs(3 * 3600);

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

impl Simulation<'_> {
    /// A person answers the open question of an execution, as the command line does.
    pub fn answer(&mut self, execution: &str, yes: bool, by: &str) -> Option<Invoked> {
        self.asked(execution).filter(|asked| asked.settled().is_none())?;
        let event = self.answer_to(execution, yes, by, false)?;
        Some(self.deliver(Function::Approver, &event))
    }

    pub(crate) fn says(&mut self, execution: &str, says: Says) -> Option<()> {
        let event = self.answer_to(execution, says.yes, says.by, says.mistaken)?;
        self.invoke(Function::Approver, event.into(), Purpose::Unheard, 20);
        Some(())
    }

    pub(crate) fn hold(&self, raised: bool, category: Option<Category>) {
        let (by, why) = ("sre-1".to_owned(), "a night".to_owned());
        let flag = Flag { raised, by, why, at: self.world.now(), category, also: Vec::new() };
        self.world.put(Place::Standby, &keys::hold(), serde_json::to_value(flag).unwrap_or_default());
    }

    /// Somebody aborts every execution that runs, as the command line does.
    pub(crate) fn abort(&self) {
        for execution in self.executions.keys() {
            let (by, why) = ("sre-2".to_owned(), "a night".to_owned());
            let flag = Flag { raised: true, by, why, at: self.world.now(), category: None, also: Vec::new() };
            let body = serde_json::to_value(flag).unwrap_or_default();
            self.world.put(Place::Standby, &keys::abort(execution), body);
        }
    }

    /// Somebody overrides a check for so long, as the command line does.
    pub(crate) fn overrides(&self, check: String, lasts: Millis) {
        let given_at = self.world.now();
        let (by, why) = ("sre-2".to_owned(), "a night".to_owned());
        let given = vec![Override { check, by, why, given_at, until: after(given_at, lasts) }];
        let body = serde_json::to_value(Overrides { given }).unwrap_or_default();
        self.world.put(Place::Standby, &keys::overrides(), body);
    }

    /// Somebody asks that what stopped half-way goes on, so often at most, as the runbook says: each time until nothing runs
    /// any more.
    pub(crate) fn goes_on(&mut self, times: u32) {
        for _ in 0..times {
            if self.stopped().is_none() {
                return;
            }
            let event = json!({"continue": {"by": "sre-1", "why": "a night"}});
            self.deliver_in(Millis(20), Function::AlarmHandler, event);
            // What the asking does not get started, the tick does.
            self.run_for(self.world.plan.tick.times(2));
            self.run_until(LONGEST, |simulation| !simulation.busy());
            self.run_for(self.world.plan.tick);
        }
    }

    /// All is well: whoever asks now gets on, but where the service keeps a promotion for ever, or takes none for hours.
    pub(crate) fn gets_on(&mut self) {
        if self.stopped().is_none() {
            return;
        }
        self.hold(false, None);
        self.goes_on(3);
        let hangs =
            |event: &Event| matches!(event.what, What::Broke(Break::PromotionHangs | Break::Optimizes));
        if self.world.trace().iter().any(hangs) {
            return;
        }
        if let Some(execution) = self.stopped() {
            self.world.note(What::DeadEnd { execution });
        }
    }

    /// The execution that stands half-way.
    fn stopped(&self) -> Option<String> {
        let incident = self.world.peek(Place::Standby, &keys::incident())?;
        let incident: Incident = serde_json::from_value(incident).ok()?;
        Some(incident.stopped().filter(|_| incident.running().is_none())?.execution.clone())
    }

    fn asked(&self, execution: &str) -> Option<Asked> {
        let asked = self.world.peek(Place::Standby, &keys::approval(execution))?;
        serde_json::from_value(asked).ok()
    }

    /// Whether it is settled by then, people may not know.
    fn answer_to(&self, execution: &str, yes: bool, by: &str, mistaken: bool) -> Option<Value> {
        let asked = self.asked(execution)?;
        let digest = if mistaken { "0".repeat(64) } else { asked.digest() };
        self.world.note(What::Said { by: by.to_owned(), yes, digest: digest.clone() });
        Some(json!({"answer": {"execution": execution, "yes": yes, "by": by, "digest": digest}}))
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
            Self::Both { first, second } => {
                vec![one(first, true, "sre-lead"), one(second, true, "sre-deputy")]
            }
            Self::Twice { after, again } => {
                vec![one(after, true, "sre-lead"), one(after.saturating_add(again), true, "sre-lead")]
            }
            Self::Mistaken { after } => {
                vec![(span(after), Says { yes: true, by: "sre-lead", mistaken: true })]
            }
            Self::Own { after } => vec![one(after, true, "sre-1")],
        }
    }
}
