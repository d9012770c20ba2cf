//! A deployment as it stands, held against its plan: what no reading of the plan alone can tell.
//!
//! A [`Deployment`] is gathered once, by an operator's command, every field Known or Unknown; the questions read
//! only this. Unknown counts like a bad answer (L4), and every bad answer says what to do (L11). Nothing here
//! reads the world or changes it, and no step of a failover asks any of it. What concerns the switch is also asked on a tick:
//! see [`crate::wiring`].

mod look;
mod routes;
mod stores;
mod transactions;

pub use look::look_at_route;
pub use routes::stuck;
pub use transactions::{LiveTransaction, transact};

use crate::checks::{Finding, Grade};
use crate::observed::Observed;
use crate::parameters::role_name;
use crate::plan::Plan;
use crate::ports::Role;
use crate::steps::assess::Readiness;
use crate::time::elapsed;
use jiff::Timestamp;

/// All that an operator's command could read of a plan's surroundings.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    pub at: Timestamp,
    pub routes: Vec<LiveRoute>,
    /// The alarm whose data the switch health check follows; `None` where there is none.
    pub switch_alarm: Observed<Option<MetricAlarm>>,
    pub stores: Vec<LiveStore>,
    pub functions: Vec<LiveFunction>,
    /// How many invocations at once the account has left in the standby's Region, for whoever reserved none.
    pub concurrency: Observed<i32>,
    /// What a write by each route came to; empty where none was asked for.
    pub transactions: Vec<LiveTransaction>,
    /// What the verifier in the standby last found; `None` where it never looked.
    pub readiness: Observed<Option<Readiness>>,
}

/// A route's names as the hosted zone holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRoute {
    pub route: String,
    /// All record sets of the public name.
    pub public: Observed<Vec<RecordSet>>,
    /// All record sets of the verdict's name.
    pub verdict: Observed<Vec<RecordSet>>,
    /// The health checks that those records name.
    pub checks: Vec<(String, Observed<Option<HealthCheck>>)>,
}

/// One record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// `CNAME`, `A`, `TXT`, …
    pub kind: String,
    /// Which half of a failover pair it is, if it is one.
    pub half: Option<Half>,
    /// An alias has none of its own.
    pub ttl_seconds: Option<u64>,
    pub health_check: Option<String>,
    /// Its values, or the one name that an alias stands for.
    pub values: Vec<String>,
    /// For an alias: whether it also follows the health of what it stands for.
    pub evaluates_target: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Primary,
    Secondary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub follows: Follows,
    pub inverted: bool,
    pub disabled: bool,
}

/// What a health check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The data behind an alarm, and what it says while there is none.
    Alarm {
        name: String,
        region: String,
        without_data: String,
    },
    Endpoint {
        host: String,
    },
    /// Others: healthy if so many of them are.
    Calculated {
        children: Vec<String>,
        threshold: i32,
    },
    /// Another kind, by the service's name for it.
    Other(String),
}

/// An alarm on one metric, as far as a health check takes it over.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricAlarm {
    /// Namespace and name: `Understudy/Switch`.
    pub metric: String,
    pub dimensions: Vec<(String, String)>,
    /// In the service's words: `Minimum`.
    pub statistic: String,
    /// In the service's words: `GreaterThanOrEqualToThreshold`.
    pub comparison: String,
    pub threshold: f64,
    pub evaluation_periods: i32,
    pub period_seconds: i32,
}

/// A store's two instances, and the application's login in the standby.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveStore {
    pub store: String,
    pub primary: Observed<Option<Instance>>,
    pub standby: Observed<Option<Instance>>,
    pub secret: Observed<Option<HeldSecret>>,
}

/// One instance, in the service's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub status: String,
    /// The instance it replicates: its name, or its ARN where that is in another Region.
    pub source: Option<String>,
    pub backup_retention_days: Option<i32>,
    pub iam_authentication: Option<bool>,
    /// The word for its stream, on a replica: `replicating`, `error`, …
    pub replication: Option<String>,
    /// `16.11`, `15.7-rds.20240509`, …
    pub engine_version: Option<String>,
    /// Its own name and port; its certificate, and a login by token, are good for no other.
    pub endpoint: Option<(String, u16)>,
}

/// That a secret is there; never what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSecret {
    /// Set where it is marked to be deleted.
    pub leaves_on: Option<String>,
}

/// One function of one role.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveFunction {
    pub role: Role,
    pub function: &'static str,
    /// Its state in the service's words; `None` where there is no such function.
    pub state: Observed<Option<String>>,
}

/// The function that a fast switch alone has.
const FAST: &str = "switch-status";

/// The functions that the template deploys for `role` of `plan`.
pub fn functions(plan: &Plan, role: Role) -> impl Iterator<Item = &'static str> {
    let fast = plan.routes.iter().any(|route| route.fast);
    all_functions(role).iter().copied().filter(move |name| fast || *name != FAST)
}

/// Of whichever plan; a test holds this and the template together.
pub fn all_functions(role: Role) -> &'static [&'static str] {
    match role {
        Role::Standby => &[
            "alarm-handler",
            "approver",
            "dns-switcher",
            "drill-runner",
            "preflight-verifier",
            "report-writer",
            "route-prober",
            "sql-agent",
            "step-runner",
            "store-promoter",
            FAST,
        ],
        Role::Primary => &["primary-guard", "sql-agent"],
        Role::Witness => &["route-prober"],
    }
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The names, and what moves them.
    Switch,
    Stores,
    Stacks,
    /// Asked only where somebody wants a write to be tried.
    Transactions,
}

/// One row of the table of questions.
pub struct Question {
    pub id: &'static str,
    pub about: About,
    pub question: &'static str,
    ask: fn(&'static str, &Plan, &Deployment) -> Vec<Finding>,
}

pub const QUESTIONS: &[Question] = &[
    Question {
        id: "LV-01",
        about: About::Switch,
        question: "is the public record a failover pair?",
        ask: routes::pair,
    },
    Question {
        id: "LV-02",
        about: About::Switch,
        question: "does PRIMARY hang on the switch, and on nothing else?",
        ask: routes::switched,
    },
    Question {
        id: "LV-03",
        about: About::Switch,
        question: "does SECONDARY hang on no health check?",
        ask: routes::secondary_unchecked,
    },
    Question {
        id: "LV-04",
        about: About::Switch,
        question: "does neither half follow the health of its target?",
        ask: routes::targets_unfollowed,
    },
    Question { id: "LV-05", about: About::Switch, question: "is the TTL the plan's?", ask: routes::ttl },
    Question {
        id: "LV-06",
        about: About::Switch,
        question: "does each half lead to its own side?",
        ask: routes::sides,
    },
    Question {
        id: "LV-07",
        about: About::Switch,
        question: "do Route 53's checkers tell their verdict by DNS?",
        ask: routes::verdict,
    },
    Question {
        id: "LV-08",
        about: About::Switch,
        question: "is the switch's alarm there, as the template makes it?",
        ask: routes::switch_alarm,
    },
    Question {
        id: "LV-11",
        about: About::Stores,
        question: "are both instances there, and available?",
        ask: stores::available,
    },
    Question {
        id: "LV-12",
        about: About::Stores,
        question: "is one the replica of the other?",
        ask: stores::replica,
    },
    Question {
        id: "LV-13",
        about: About::Stores,
        question: "does the replica stream?",
        ask: stores::streams,
    },
    Question { id: "LV-14", about: About::Stores, question: "do both keep backups?", ask: stores::backups },
    Question {
        id: "LV-15",
        about: About::Stores,
        question: "do both take IAM logins?",
        ask: stores::iam_logins,
    },
    Question {
        id: "LV-16",
        about: About::Stores,
        question: "does the engine's release take inserts after every promotion?",
        ask: stores::release,
    },
    Question {
        id: "LV-17",
        about: About::Stores,
        question: "does the plan name each instance by its own endpoint?",
        ask: stores::endpoints,
    },
    Question {
        id: "LV-21",
        about: About::Stores,
        question: "does the standby hold the application's login?",
        ask: stores::secret,
    },
    Question {
        id: "LV-31",
        about: About::Stacks,
        question: "are the stacks' functions there?",
        ask: deployed,
    },
    Question {
        id: "LV-32",
        about: About::Stacks,
        question: "may the standby's functions run beside the application that moves there?",
        ask: concurrency,
    },
    Question {
        id: "LV-41",
        about: About::Stacks,
        question: "is the standby's readiness watched?",
        ask: watched,
    },
    Question {
        id: "LV-51",
        about: About::Transactions,
        question: "does the primary take the write by which a recovery is confirmed?",
        ask: transactions::taken,
    },
    Question {
        id: "LV-52",
        about: About::Transactions,
        question: "does the standby have the same path?",
        ask: transactions::stands_by,
    },
];

/// Asks every question, then adds what the verifier in the standby found. One that cannot be answered does not
/// hide the others; but a half that is missing, which LV-01 says, is asked nothing more.
pub fn findings(plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let asked = QUESTIONS.iter().flat_map(|row| (row.ask)(row.id, plan, seen));
    asked.chain(readiness(plan, seen).into_iter().flatten().cloned()).collect()
}

/// The questions about the names, and what moves them.
pub fn of_the_switch(plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let asked = QUESTIONS.iter().filter(|row| row.about == About::Switch);
    asked.flat_map(|row| (row.ask)(row.id, plan, seen)).collect()
}

/// The alarm whose data the switch health check follows, as the template names it.
pub fn switch_alarm_name(plan: &Plan) -> String {
    format!("understudy-{}-switch", plan.name)
}

/// A look of the verifier older than this many ticks says nothing of now.
const READINESS_TICKS: u64 = 3;

/// The verifier's findings while they are fresh.
fn readiness<'a>(plan: &Plan, seen: &'a Deployment) -> Option<&'a [Finding]> {
    let newest = seen.readiness.value()?.as_ref()?;
    let fresh = elapsed(newest.at, seen.at) <= plan.tick.times(READINESS_TICKS);
    fresh.then_some(newest.findings.as_slice())
}

fn watched(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let row = Row { id, subject: &plan.name };
    vec![match &seen.readiness {
        Observed::Unknown { reason } => {
            row.unknown(reason, "let this login read the state table in the standby")
        }
        Observed::Known { value: None, .. } => row.unknown(
            "the verifier in the standby has never looked",
            "deploy the standby's stack and wait for a tick; its log says what keeps it",
        ),
        Observed::Known { value: Some(newest), .. } => {
            let age = elapsed(newest.at, seen.at);
            if readiness(plan, seen).is_some() {
                row.pass(format!("the verifier looked {age} ago: {:?}", newest.verdict))
            } else {
                row.unknown(
                    format!("the verifier last looked {age} ago, and looks every {}", plan.tick),
                    "see why preflight-verifier no longer runs: its schedule, its log",
                )
            }
        }
    }]
}

/// One finding a role: which of its functions are missing or not active.
fn deployed(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let roles = [Role::Standby, Role::Witness, Role::Primary];
    let placed = roles.into_iter().filter_map(|role| Some((role, role.region(&plan.regions)?)));
    placed.map(|(role, region)| deployed_role(&Row { id, subject: &region.0 }, plan, role, seen)).collect()
}

/// The load that moves to the standby takes invocations from the same account; new ones are given few.
const COMFORTABLE: i32 = 100;

fn concurrency(id: &'static str, plan: &Plan, seen: &Deployment) -> Vec<Finding> {
    let row = Row { id, subject: &plan.regions.standby.0 };
    let needed = i32::try_from(functions(plan, Role::Standby).count()).unwrap_or(i32::MAX);
    let fix = "ask AWS for a higher quota of concurrent executions there, and reserve some of it for your own functions, not all";
    vec![match &seen.concurrency {
        Observed::Unknown { reason } => row.unknown(reason, "let this login call `lambda:GetAccountSettings`"),
        Observed::Known { value, .. } if *value < needed => row.block(
            format!("{value} invocations at once are left for all functions of the account, and a failover has {needed}"),
            fix,
        ),
        Observed::Known { value, .. } if *value < COMFORTABLE => row.warn(
            format!("{value} invocations at once are left: what fails over with the application may take them all"),
            fix,
        ),
        Observed::Known { value, .. } => row.pass(format!("{value} invocations at once are left")),
    }]
}

fn deployed_role(row: &Row<'_>, plan: &Plan, role: Role, seen: &Deployment) -> Finding {
    let all = functions(plan, role).count();
    let (mut absent, mut idle, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for name in functions(plan, role) {
        let found = seen.functions.iter().find(|one| one.role == role && one.function == name);
        match found.map(|one| &one.state) {
            Some(Observed::Known { value: Some(state), .. }) if state == "Active" => {}
            Some(Observed::Known { value: Some(state), .. }) => idle.push(format!("{name} is {state}")),
            Some(Observed::Known { value: None, .. }) => absent.push(name.to_owned()),
            Some(Observed::Unknown { reason }) => unread.push(format!("{name}: {reason}")),
            None => unread.push(format!("{name}: it was not looked at")),
        }
    }
    let role = role_name(role);
    if !absent.is_empty() {
        let evidence = format!("{} of {all} are missing: {}", absent.len(), absent.join(", "));
        return row.block(evidence, format!("deploy the stack of the {role}, from packages of this plan"));
    }
    if let Some(first) = unread.first() {
        return row.unknown(first, format!("let this login read the functions of the {role}"));
    }
    if !idle.is_empty() {
        return row.block(idle.join(", "), "invoke it once, or see in its log why it cannot start");
    }
    row.pass(format!("the {role}'s functions are there and active: {all}"))
}

/// One answer in the making: which question, about what.
struct Row<'a> {
    id: &'static str,
    subject: &'a str,
}

impl Row<'_> {
    fn finding(&self, grade: Grade, evidence: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding {
            id: self.id.to_owned(),
            subject: self.subject.to_owned(),
            grade,
            evidence: evidence.into(),
            fix: fix.into(),
            overridden: None,
        }
    }

    fn pass(&self, evidence: impl Into<String>) -> Finding {
        self.finding(Grade::Pass, evidence, "")
    }

    fn warn(&self, evidence: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Grade::Warn, evidence, fix)
    }

    fn block(&self, evidence: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Grade::Block, evidence, fix)
    }

    fn unknown(&self, evidence: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Grade::Unknown, evidence, fix)
    }
}
