//! Questions about the standby, their answers with evidence, and the sum of the answers.
//!
//! One row a check in [`CHECKS`]; each is a pure function of the situation, in the room of the side that it asks about:
//! who gives way, who takes over, or automation itself. A check never reads the world. Unknown blocks like a bad answer does (L4); every refusal says what to do (L11), and each
//! row whether a named person may override it.

mod automation;
mod gives_way;
mod takes_over;

pub use takes_over::{asks_about_rows, current_watermark, lag_behind, names};

use crate::overrides::{self, Override};
use crate::plan::Plan;
use crate::run::Kind;
use crate::situation::Situation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Pass,
    Warn,
    Block,
    /// It could not be answered. Blocks where a `Block` would.
    Unknown,
}

/// The answer to one check about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `PF-03`; stable across versions.
    pub id: String,
    /// The store or route asked about; the plan's name where it is about all.
    pub subject: String,
    pub grade: Grade,
    /// What was seen.
    pub evidence: String,
    /// What to do about it; empty when it passed.
    pub fix: String,
    /// Who took it upon themselves, where it would block and somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
}

impl Finding {
    pub fn blocks(&self) -> bool {
        self.is_bad() && self.overridden.is_none()
    }

    /// It says no, or nothing; whether or not somebody overrides it.
    pub fn is_bad(&self) -> bool {
        matches!(self.grade, Grade::Block | Grade::Unknown)
    }

    /// As people are shown it: `PF-04 metadata`.
    pub fn name(&self) -> String {
        format!("{} {}", self.id, self.subject)
    }

    /// The finding's id with its subject: what one attempt is compared to the next by.
    pub fn key(&self) -> String {
        format!("{}:{}", self.id, self.subject)
    }
}

/// The sum of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ready,
    Refused,
}

impl Verdict {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ready => "ready to take over",
            Self::Refused => "would be refused",
        }
    }
}

pub fn verdict(findings: &[Finding]) -> Verdict {
    // No evidence, no pass: an empty list of findings is a refusal (L7).
    if findings.is_empty() || findings.iter().any(Finding::blocks) {
        Verdict::Refused
    } else {
        Verdict::Ready
    }
}

/// When the standby is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nothing is to be done: readiness, watched on a schedule.
    Watch,
    Execution(Kind),
}

const FAILOVER: Occasion = Occasion::Execution(Kind::Failover);
const SWITCHOVER: Occasion = Occasion::Execution(Kind::Switchover);
const DRILL: Occasion = Occasion::Execution(Kind::Drill);
const FAILBACK: Occasion = Occasion::Execution(Kind::Failback);
const ALWAYS: &[Occasion] = &[Occasion::Watch, FAILOVER, SWITCHOVER, DRILL, FAILBACK];
/// The side that serves lives and gives way.
const PLANNED: &[Occasion] = &[SWITCHOVER, DRILL, FAILBACK];

/// Who may spare an execution a check that blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// A person, by name: see [`crate::overrides`].
    Named,
    /// Nobody: why not, and what to do instead.
    Nobody { why: &'static str, instead: &'static str },
}

/// L11: a living primary has no override.
const LIVES: Spare = Spare::Nobody {
    why: "no override makes a primary dead",
    instead: "with a living one the road is `understudy switchover`; with one that cannot be judged, make every keeper \
              readable",
};
const HELD: Spare = Spare::Nobody {
    why: "a hold is lifted by name, and one that cannot be read may be up",
    instead: "lift it with `understudy resume`, or make the state table readable",
};
const IDENTITY: Spare = Spare::Nobody {
    why: "what is not known to be the primary's replica is never promoted: it may be another database, or the one that \
          serves",
    instead: "make it reachable and available, or name the right one in the plan",
};
const GIVES_WAY: Spare = Spare::Nobody {
    why: "a side that does not hold the lease cannot give way",
    instead: "start the primary's guard, or let the votes decide on a failover",
};
const MOVED: Spare = Spare::Nobody {
    why: "there is nothing to come back from while the standby holds no lease",
    instead: "make every keeper readable",
};
const FENCE: Spare = Spare::Nobody {
    why: "while others may write, no receipt says that the primary stopped",
    instead: "name them among `writer_roles`, take their rights, or run `understudy plan sql` for the gate",
};
const NEEDLESS: Spare =
    Spare::Nobody { why: "it blocks nothing", instead: "read what it says before you arm anything" };
const LOGIN: Spare = Spare::Nobody {
    why: "a promotion is believed only when that login wrote and read back",
    instead: "mend the secret in the standby's Region; a login that is rotated just now is looked at again",
};
const WITNESSED: Spare = Spare::Nobody {
    why: "no override makes up for who does not see",
    instead: "make every keeper of the lease readable, and see that the probers run",
};
const NO_CHECK: Spare = Spare::Nobody {
    why: "there is no such check",
    instead: "`understudy status` names what blocks, such as `PF-04 metadata`",
};

/// Who may spare an execution the check `id`.
pub fn spare(id: &str) -> Spare {
    CHECKS.iter().find(|check| check.id == id).map_or(NO_CHECK, |check| check.spare)
}

/// One row of the table of checks.
pub struct Check {
    pub id: &'static str,
    pub question: &'static str,
    pub asked: &'static [Occasion],
    pub spare: Spare,
    ask: fn(&Plan, &Situation) -> Vec<Finding>,
}

pub const CHECKS: &[Check] = &[
    Check {
        id: "PF-01",
        question: "is the primary still down?",
        asked: &[FAILOVER],
        spare: LIVES,
        ask: gives_way::primary_down,
    },
    Check {
        id: "PF-02",
        question: "is automation free to act?",
        asked: ALWAYS,
        spare: HELD,
        ask: automation::not_on_hold,
    },
    Check {
        id: "PF-03",
        question: "does the replica answer, as a replica?",
        asked: ALWAYS,
        spare: IDENTITY,
        ask: takes_over::replica_answers,
    },
    Check {
        id: "PF-04",
        question: "is the replica close enough behind?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: takes_over::replica_lag,
    },
    Check {
        id: "PF-05",
        question: "does the replica hold the rows?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: takes_over::consistency,
    },
    Check {
        id: "PF-06",
        question: "can the service promote it now?",
        asked: ALWAYS,
        spare: IDENTITY,
        ask: takes_over::instance_promotable,
    },
    Check {
        id: "PF-07",
        question: "can the application log in to it?",
        asked: ALWAYS,
        spare: LOGIN,
        ask: takes_over::application_login,
    },
    Check {
        id: "PF-08",
        question: "does the standby's application answer?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: takes_over::standby_answers,
    },
    Check {
        id: "PF-09",
        question: "is the switch published?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: automation::switch_published,
    },
    Check {
        id: "PF-10",
        question: "can the old primary be fenced?",
        asked: &[Occasion::Watch, FAILOVER],
        spare: Spare::Named,
        ask: gives_way::fence_possible,
    },
    Check {
        id: "PF-11",
        question: "is the primary there to give way?",
        asked: &[SWITCHOVER, DRILL],
        spare: GIVES_WAY,
        ask: gives_way::primary_lives,
    },
    Check {
        id: "PF-12",
        question: "does the fence stop every writer?",
        asked: PLANNED,
        spare: FENCE,
        ask: gives_way::all_writers_known,
    },
    Check {
        id: "PF-13",
        question: "is the standby there to give way?",
        asked: &[FAILBACK],
        spare: MOVED,
        ask: gives_way::standby_lives,
    },
    Check {
        id: "PF-14",
        question: "does the replica follow the side that it stands in for?",
        asked: ALWAYS,
        spare: IDENTITY,
        ask: takes_over::follows_the_other,
    },
    Check {
        id: "PF-15",
        question: "how often would the dead-man have acted?",
        asked: &[Occasion::Watch],
        spare: NEEDLESS,
        ask: gives_way::would_have_fenced,
    },
    Check {
        id: "PF-16",
        question: "could an outage be declared?",
        asked: &[Occasion::Watch],
        spare: WITNESSED,
        ask: gives_way::could_be_declared,
    },
    Check {
        id: "PF-17",
        question: "could the switch move the names?",
        asked: ALWAYS,
        spare: Spare::Named,
        ask: automation::switch_wired,
    },
];

/// Asks every check of the occasion. One that cannot answer does not hide the others.
pub fn assess(plan: &Plan, occasion: Occasion, situation: &Situation) -> Vec<Finding> {
    let asked = CHECKS.iter().filter(|check| check.asked.contains(&occasion));
    let findings = asked.flat_map(|check| (check.ask)(plan, situation));
    findings.map(|finding| overrides::weigh(plan, situation, finding)).collect()
}

fn finding(
    id: &str,
    subject: &str,
    grade: Grade,
    evidence: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        id: id.to_owned(),
        subject: subject.to_owned(),
        grade,
        evidence: evidence.into(),
        fix: fix.into(),
        overridden: None,
    }
}

fn pass(id: &str, subject: &str, evidence: impl Into<String>) -> Finding {
    finding(id, subject, Grade::Pass, evidence, "")
}
