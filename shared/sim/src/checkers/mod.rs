//! What must hold whatever happens. A checker sees the trace, journals and reports: never the world, and never
//! the code that made them. Those that need journals only are as good over real ones.

mod ends;
mod figures;
mod once;
mod one_writer;
mod order;

pub use ends::ends;
pub use figures::{figures, overstated, truth};
pub use once::once;
pub use one_writer::one_writer;
pub use order::order;

use crate::trace::Event;
use std::fmt;
use understudy_core::journal::Stored;
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
}

/// Asks every checker.
pub fn all(case: &Case) -> Vec<Violation> {
    let mut broken = one_writer(&case.trace);
    broken.extend(once(&case.trace));
    broken.extend(ends(&case.trace, &case.journals));
    for (execution, chain) in &case.journals {
        broken.extend(order(execution, chain));
    }
    for report in &case.reports {
        broken.extend(figures(report));
        broken.extend(truth(report, &case.trace));
    }
    broken
}
