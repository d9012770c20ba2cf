//! What the records of one execution must show, law by law: the same questions to a simulated journal and to a
//! real one.
//!
//! Each rule reads records and nothing else: no state, no clock, no report. Where the plan is at hand, the rules
//! that need its numbers are asked too. A chain that is not whole is no case for these: `verify_chain` comes first.

mod ending;
mod evidence;
mod fencing;
mod order;
mod people;

use super::{Entry, Record};
use crate::plan::Plan;
use crate::run::Kind;
use crate::steps::Step;
use std::fmt;

/// A law that the records break, at which record, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// `L3`.
    pub law: &'static str,
    /// The record that shows it; 0 where it is the lack of one.
    pub seq: u64,
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.law)?;
        if self.seq > 0 {
            write!(f, "record {}: ", self.seq)?;
        }
        f.write_str(&self.what)
    }
}

/// One rule: the law that it watches, what it asks, and how.
pub struct Rule {
    pub law: &'static str,
    pub question: &'static str,
    ask: fn(&Chain<'_>) -> Vec<Breach>,
}

/// Every rule. A new one is a row here.
pub const RULES: &[Rule] = &[
    Rule {
        law: "L2",
        question: "is every promotion behind a receipt of its own epoch?",
        ask: fencing::receipts,
    },
    Rule { law: "L2", question: "does every receipt prove what it says?", ask: fencing::proofs },
    Rule { law: "L2", question: "is nothing done once the lease was given back?", ask: fencing::given_back },
    Rule { law: "L2", question: "has a planned move lost nothing?", ask: fencing::arrived },
    Rule {
        law: "L3",
        question: "is every milestone behind those that come before it?",
        ask: order::milestones,
    },
    Rule { law: "L4", question: "does nothing unknown count as good?", ask: evidence::unknown },
    Rule { law: "L4", question: "was the outage declared on enough evidence?", ask: evidence::declared },
    Rule {
        law: "L5",
        question: "is there one acceptance, and an intent before each effect?",
        ask: order::once,
    },
    Rule {
        law: "L6",
        question: "is there one end, the last record, that fits what was done?",
        ask: ending::ended,
    },
    Rule { law: "L6", question: "was all taken back that had to be?", ask: ending::undone },
    Rule {
        law: "L7",
        question: "do the instants of the confirmation follow each other?",
        ask: evidence::confirmed,
    },
    Rule { law: "L8", question: "did people say yes where the plan asks them?", ask: people::asked },
    Rule { law: "L9", question: "do drills stay in the rehearsal environment?", ask: ending::rehearsed },
    Rule { law: "L11", question: "does every refusal say why and what to do?", ask: evidence::teaches },
];

/// The records of one execution, with the plan where it is at hand.
struct Chain<'a> {
    records: &'a [Record],
    plan: Option<&'a Plan>,
}

/// Every law that the records of one execution break. `plan`: the one that they were made under.
pub fn check(records: &[Record], plan: Option<&Plan>) -> Vec<Breach> {
    let chain = Chain { records, plan };
    RULES.iter().flat_map(|rule| (rule.ask)(&chain)).collect()
}

impl<'a> Chain<'a> {
    fn kind(&self) -> Option<Kind> {
        self.records.iter().find_map(|record| match &record.entry {
            Entry::Accepted { kind, .. } => Some(*kind),
            _ => None,
        })
    }

    /// It goes on from another one.
    fn continues(&self) -> bool {
        self.records
            .first()
            .is_some_and(|first| matches!(first.entry, Entry::Accepted { continues: Some(_), .. }))
    }

    fn find(&self, is: impl Fn(&Entry) -> bool) -> Option<&'a Record> {
        self.records.iter().find(|record| is(&record.entry))
    }

    /// The records before `record`.
    fn before(&self, record: &Record) -> impl Iterator<Item = &'a Record> {
        let seq = record.seq;
        self.records.iter().filter(move |other| other.seq < seq)
    }

    fn intends(&self, step: Step) -> Option<&'a Record> {
        self.find(|entry| is_intent(entry, step))
    }
}

fn is_intent(entry: &Entry, wanted: Step) -> bool {
    matches!(entry, Entry::Intent { step, .. } if *step == wanted)
}

fn breach(law: &'static str, record: &Record, what: impl Into<String>) -> Breach {
    Breach { law, seq: record.seq, what: what.into() }
}

fn lacks(law: &'static str, what: impl Into<String>) -> Breach {
    Breach { law, seq: 0, what: what.into() }
}
