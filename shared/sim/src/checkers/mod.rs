//! What must hold whatever happens. A checker sees the trace, journals and reports: never the world, and never
//! the code that made them. Those that need journals only are as good over real ones.

mod clear;
mod ends;
mod epochs;
mod figures;
mod held;
mod left;
mod once;
mod one_writer;
mod records;

pub use clear::clear;
pub use ends::ends;
pub use epochs::epochs;
pub use figures::{figures, overstated, truth};
pub use held::held;
pub use left::left;
pub use once::once;
pub use one_writer::one_writer;
pub use records::records;

use crate::trace::Event;
use std::fmt;
use std::rc::Rc;
use understudy_core::journal::Stored;
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
    let mut broken = one_writer(&case.trace);
    broken.extend(epochs(&case.trace));
    broken.extend(clear(&case.trace));
    broken.extend(held(&case.trace));
    broken.extend(once(&case.trace));
    broken.extend(ends(&case.trace, &case.journals));
    broken.extend(case.plan.iter().flat_map(|plan| left(&case.trace, plan)));
    for (execution, chain) in &case.journals {
        broken.extend(records(execution, chain, case.plan.as_deref()));
    }
    for report in &case.reports {
        broken.extend(figures(report));
        broken.extend(truth(report, &case.trace));
    }
    broken
}
