//! What must hold whatever happens. Beside those of this folder every journal is held to the rules over records,
//! `understudy_core::journal::rules`, which real ones are held to as well. A checker sees the trace, journals and reports: never the world, and never
//! the code that made them. Those that need journals only are as good over real ones.

mod clear;
mod ends;
mod epochs;
mod figures;
mod held;
mod left;
mod once;
mod one_writer;

pub use clear::clear;
pub use ends::ends;
pub use epochs::epochs;
pub use figures::{figures, overstated, truth};
pub use held::held;
pub use left::left;
pub use once::once;
pub use one_writer::one_writer;

use crate::trace::Event;
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
    /// What all of it was made under.
    pub plan: Option<Rc<Plan>>,
}

/// Asks every checker.
pub fn all(case: &Case) -> Vec<Violation> {
    judge(&case.trace, &case.journals, &case.reports, case.plan.as_deref())
}

/// As [`all`], on what is not copied.
pub fn judge<S: Borrow<Stored>>(
    trace: &[Event],
    journals: &[(String, Vec<S>)],
    reports: &[Report],
    plan: Option<&Plan>,
) -> Vec<Violation> {
    let whole: Vec<_> = journals.iter().map(|(name, chain)| (name.as_str(), verify_chain(chain))).collect();
    let mut broken = one_writer(trace);
    broken.extend(epochs(trace));
    broken.extend(clear(trace));
    broken.extend(held(trace));
    broken.extend(once(trace));
    broken.extend(ends(trace, &whole));
    broken.extend(plan.iter().flat_map(|plan| left(trace, plan)));
    for (execution, chain) in &whole {
        // A chain that is not whole is told by `ends`.
        let told = chain.iter().flat_map(|known| check(known, plan));
        broken.extend(told.map(|breach| Violation::new(breach.law, format!("{execution}: {breach}"))));
    }
    for report in reports {
        broken.extend(figures(report));
        broken.extend(truth(report, trace));
    }
    broken
}
