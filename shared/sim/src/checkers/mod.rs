//! What must hold whatever happens.
//!
//! A checker sees the trace, journals, reports and what was sealed: never the world, and never the code that made them.
//! Beside these, every journal is held to the rules over records, `understudy_core::journal::rules`, as real ones are.

mod accepted;
mod clear;
mod ends;
mod epochs;
mod figures;
mod heard;
mod held;
mod left;
mod moves;
mod once;
mod one_writer;
mod sealed;
mod silent;

pub use accepted::accepted;
pub use clear::clear;
pub use ends::ends;
pub use epochs::epochs;
pub use figures::{figures, overstated, truth};
pub use heard::heard;
pub use held::held;
pub use left::left;
pub use moves::moves;
pub use once::once;
pub use one_writer::one_writer;
pub use sealed::{Sealed, sealed};
pub use silent::silent;

use crate::trace::{Event, What};
use crate::world::Break;
use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;
use understudy_core::journal::rules::check;
use understudy_core::journal::{Stored, verify_chain};
use understudy_core::plan::Plan;
use understudy_core::report::Report;

/// A law that was broken, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub law: &'static str,
    pub what: String,
}

impl Violation {
    fn new(law: &'static str, what: impl Into<String>) -> Self {
        Self { law, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

/// Everything that one run of the world left behind.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub trace: Vec<Event>,
    /// Every execution's journal.
    pub journals: Vec<(String, Vec<Stored>)>,
    pub reports: Vec<Report>,
    pub sealed: Vec<Sealed>,
    /// No call, function or tick went wrong by itself.
    pub calm: bool,
    /// What all of it was made under.
    pub plan: Option<Rc<Plan>>,
}

/// Asks every checker.
pub fn all(case: &Case) -> Vec<Violation> {
    let left = Left {
        trace: &case.trace,
        journals: &case.journals,
        reports: &case.reports,
        sealed: &case.sealed,
        calm: case.calm,
        plan: case.plan.as_deref(),
    };
    judge(&left)
}

/// A [`Case`] that is not copied.
pub(crate) struct Left<'a, S> {
    pub trace: &'a [Event],
    pub journals: &'a [(String, Vec<S>)],
    pub reports: &'a [Report],
    pub sealed: &'a [Sealed],
    pub calm: bool,
    pub plan: Option<&'a Plan>,
}

/// As [`all`].
pub(crate) fn judge<S: Borrow<Stored>>(left: &Left<'_, S>) -> Vec<Violation> {
    let Left { trace, journals, reports, sealed, calm, plan } = *left;
    let whole: Vec<_> = journals.iter().map(|(name, chain)| (name.as_str(), verify_chain(chain))).collect();
    let mut broken = one_writer(trace);
    broken.extend(epochs(trace));
    broken.extend(clear(trace));
    broken.extend(held(trace));
    broken.extend(heard(trace));
    broken.extend(once(trace));
    broken.extend(ends(trace, &whole));
    broken.extend(self::sealed(journals, &whole, sealed, reports));
    broken.extend(plan.iter().flat_map(|plan| self::left(trace, plan)));
    broken.extend(plan.iter().flat_map(|plan| silent(trace, plan)));
    // A look that could not be read is none.
    broken.extend(plan.iter().filter(|_| calm).flat_map(|plan| accepted(trace, plan)));
    broken.extend(plan.iter().flat_map(|plan| moves(trace, reports, plan, calm)));
    for (execution, chain) in &whole {
        // A chain that is not whole is told by `ends`.
        let told = chain.iter().flat_map(|known| check(known, plan));
        broken.extend(told.map(|breach| Violation::new(breach.law, format!("{execution}: {breach}"))));
    }
    for report in reports {
        broken.extend(figures(report));
        broken.extend(truth(report, trace));
    }
    if trace.iter().any(|event| matches!(event.what, What::Broke(Break::ClocksWrong(_)))) {
        // A host whose clock is wrong by minutes writes wrong instants, and no figure or order of records can be better than
        // they are. That it makes no second writer, runs nothing twice and leaves nothing without an end, it must.
        broken.retain(|violation| ["L2", "L5", "L6"].iter().any(|law| violation.law.starts_with(law)));
    }
    broken
}
