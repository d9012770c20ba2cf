//! The linter: what a plan that reads asks of physics, of its own numbers, and of people, and will not get.
//!
//! A finding has an id that never changes its meaning, the arithmetic that was done, the fields that it used (the first
//! one is where to look) and what to change. Whether a plan can be read at all is the plan room's business; what is
//! deployed is `live`'s. Nothing here reads a clock or a file: the day is handed in.

mod declared;
mod drills;
mod loss;
mod promised;
mod safety;
mod time;

use crate::budget::{Budget, budget};
use crate::plan::Plan;
use jiff::civil::Date;
use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// To be known.
    Note,
    /// It can go wrong.
    Warning,
    /// It contradicts itself, or no run can grant it.
    Error,
}

impl Level {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that the plan should be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, see [`RULES`].
    pub id: &'static str,
    pub level: Level,
    pub message: String,
    /// The arithmetic, one step a line; empty where nothing was computed.
    pub sum: Vec<String>,
    /// The plan's fields that it is about; the first is where to look.
    pub fields: Vec<String>,
    /// What to change.
    pub help: String,
}

/// A rule: what it asks of every plan.
pub struct Rule {
    pub id: &'static str,
    pub asks: &'static str,
    check: fn(&Look<'_>) -> Vec<Finding>,
}

/// What the rules look at.
struct Look<'a> {
    plan: &'a Plan,
    budget: &'a Budget,
    today: Date,
}

#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    Rule { id: "LN-01", asks: "can the RTO be met at all, every phase at its shortest?", check: time::best_case },
    Rule { id: "LN-02", asks: "is the RTO met when every phase takes its longest?", check: time::worst_case },
    Rule { id: "LN-03", asks: "may people take longer to answer than the RTO allows?", check: time::approval },
    Rule { id: "LN-04", asks: "can each service be back as fast as it is promised?", check: time::services },
    Rule { id: "LN-05", asks: "do caches hold the old answer longer than a promise lasts?", check: time::caches },
    Rule { id: "LN-06", asks: "is confirmation given up before names can move?", check: time::confirmation },
    Rule { id: "LN-07", asks: "is promotion given up before RDS can promote?", check: time::promotion },
    Rule { id: "LN-08", asks: "do Route 53's checkers see the primary, and in time?", check: time::checkers },
    Rule { id: "LN-09", asks: "may questions and waits outlast the workflow?", check: time::workflow },
    Rule { id: "LN-10", asks: "is no loss promised without synchronous evidence?", check: loss::none_at_all },
    Rule { id: "LN-11", asks: "is the RPO above the replica's normal lag?", check: loss::typical_lag },
    Rule { id: "LN-12", asks: "would a failover that is let through lose more than the RPO?", check: loss::blocking_lag },
    Rule { id: "LN-13", asks: "can a report ever show the RPO as met?", check: loss::shown },
    Rule { id: "LN-14", asks: "are pieces shipped, and copies made, as often as the RPO asks?", check: loss::copies },
    Rule { id: "LN-15", asks: "is the newest copy always too old?", check: loss::ages },
    Rule { id: "LN-20", asks: "does the promised availability leave room for one recovery?", check: promised::availability },
    Rule { id: "LN-21", asks: "is the stated downtime the availability's?", check: promised::downtime },
    Rule { id: "LN-22", asks: "does a service promise more than its tier, or a tier more than the plan?", check: promised::nested },
    Rule { id: "LN-23", asks: "does the posture fit the RTO?", check: promised::posture },
    Rule { id: "LN-24", asks: "who keeps the promises that Understudy only measures?", check: promised::measured_only },
    Rule { id: "LN-30", asks: "do a drill's phases fit into its window?", check: drills::phases },
    Rule { id: "LN-31", asks: "do drills come as often as the plan says?", check: drills::gaps },
    Rule { id: "LN-32", asks: "do drills come as often as the named rules ask?", check: drills::frameworks },
    Rule { id: "LN-33", asks: "can the scheduled drills run at all?", check: drills::runnable },
    Rule { id: "LN-34", asks: "do scheduled drills start when the plan keeps them out?", check: drills::kept_out },
    Rule { id: "LN-40", asks: "is there a witness?", check: safety::witness },
    Rule { id: "LN-41", asks: "was the shadow period waived?", check: safety::waiver },
    Rule { id: "LN-42", asks: "do the clocks' margins bear what clocks do?", check: safety::clocks },
    Rule { id: "LN-43", asks: "does the road out of each scenario fit what went wrong?", check: safety::scenarios },
    Rule { id: "LN-44", asks: "are people called while there is still time?", check: safety::escalation },
    Rule { id: "LN-45", asks: "can everybody who must answer be reached?", check: safety::reachable },
    Rule { id: "LN-46", asks: "does an automatic failover have a fence of its own?", check: safety::automatic },
    Rule { id: "LN-47", asks: "does the plan name instances by their own endpoints?", check: safety::endpoints },
    Rule { id: "LN-48", asks: "do the names of what is deployed fit?", check: safety::names },
    Rule { id: "LN-49", asks: "does the calendar still know the holidays to come?", check: safety::holidays },
    Rule { id: "LN-50", asks: "what is declared, and done by nobody yet?", check: declared::declared_only },
    Rule { id: "LN-51", asks: "is something required that cannot be executed?", check: declared::required },
];

/// Everything that the rules find in `plan` on the day `today`, the heaviest first, then in the order of the rules.
#[must_use]
pub fn lint(plan: &Plan, today: Date) -> Vec<Finding> {
    let look = Look { plan, budget: &budget(plan, &[]), today };
    let mut findings: Vec<Finding> = RULES
        .iter()
        .flat_map(|rule| (rule.check)(&look).into_iter().map(|one| Finding { id: rule.id, ..one }))
        .collect();
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.id));
    findings
}

/// A finding of the rule that is being asked; [`lint`] gives it its id.
fn finding(level: Level, message: String, help: &str) -> Finding {
    Finding { id: "", level, message, sum: Vec::new(), fields: Vec::new(), help: help.to_owned() }
}

impl Finding {
    fn at<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields.extend(fields.into_iter().map(Into::into));
        self
    }

    fn computed(mut self, sum: Vec<String>) -> Self {
        self.sum = sum;
        self
    }
}
