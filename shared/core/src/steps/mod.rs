//! What each step of the workflow is. In which order they run stands in the workflow file, nowhere else.
//!
//! One row of [`STEPS`] for each task of the workflow: its effect, its undo, its owner, its possible outcomes
//! and why it exists. A test holds this table and the workflow to each other, both ways.

pub mod assess;
pub mod close;
pub mod confirm;
pub mod continued;
pub mod fence;
pub mod handover;
pub mod promote;
pub mod promoter;
pub mod runner;
pub mod traffic;

use crate::fault::Fault;
use crate::journal::{Entry, Journal};
use crate::plan::Plan;
use crate::ports::{Cells, Clock};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// A task of the workflow, by the name of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    Assess,
    Continue,
    RaiseCapacity,
    LowerCapacity,
    AskApproval,
    LookAgain,
    Freeze,
    Thaw,
    CloseLease,
    GrantBack,
    Fence,
    AskAcceptance,
    Accept,
    Capture,
    Promote,
    AwaitPromotion,
    Unfence,
    Recycle,
    VerifyWrite,
    MoveTraffic,
    RunConsumers,
    Confirm,
    Report,
}

/// What running a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing but evidence.
    Observe,
    /// It may write a row of its own, as a client or the application would, only to see whether that is taken. No undo:
    /// the row stays.
    Trial,
    /// Something that its undo takes back.
    Reversible { undo: Step },
    /// Takes back what another step did. Itself never undone.
    Undo,
    /// What an ended execution holds becomes this one's. Not undone: whoever fails in it leaves it to the next.
    Inherit,
    /// Behind the one-way door: repeated until it is done, or a person takes over.
    PointOfNoReturn,
}

/// What a step answers. The workflow compares these words and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// Look again after `wait_seconds`.
    Again,
    /// It has looked often or long enough.
    Exhausted,
    /// The standby may take over, and the plan lets this go on without a person.
    Ready,
    /// The standby may take over once a person says so.
    NeedsApproval,
    Refused,
    /// A person said yes.
    Approved,
    Fenced,
    /// No receipt can be had: the old primary may still write.
    Unproven,
    /// A hold or an abort was raised in time.
    Stopped,
    /// No promotion was asked for yet.
    Unasked,
    /// This execution goes on from one that stopped: nothing is assessed.
    Continues,
    /// What it goes on from had asked for a promotion.
    Forward,
    /// What it goes on from had not: all is taken back.
    Back,
}

/// What a step is.
pub struct StepSpec {
    pub step: Step,
    pub effect: Effect,
    /// The function that runs it.
    pub owner: &'static str,
    pub outcomes: &'static [Outcome],
    pub why: &'static str,
}

use Effect::{Inherit, Observe, PointOfNoReturn, Reversible, Trial, Undo};
use Outcome::{
    Again, Approved, Back, Continues, Done, Exhausted, Fenced, Forward, NeedsApproval, Ready, Refused,
    Stopped, Unasked, Unproven,
};

pub const STEPS: &[StepSpec] = &[
    StepSpec {
        step: Step::Assess,
        effect: Trial,
        owner: "preflight-verifier",
        outcomes: &[Ready, NeedsApproval, Refused, Continues],
        why: "nothing is done to a standby that cannot take over, nor about a primary that came back",
    },
    StepSpec {
        step: Step::Continue,
        effect: Inherit,
        owner: "store-promoter",
        outcomes: &[Forward, Back, Again, Exhausted],
        why: "where an execution stopped, a person has a road: forward behind the one-way door, back before it",
    },
    StepSpec {
        step: Step::RaiseCapacity,
        effect: Reversible { undo: Step::LowerCapacity },
        owner: "step-runner",
        outcomes: &[Done],
        why: "compute is the slowest to rise, so it starts before anything irreversible",
    },
    StepSpec {
        step: Step::LowerCapacity,
        effect: Undo,
        owner: "step-runner",
        outcomes: &[Done],
        why: "a standby that did not take over goes back to its idle size",
    },
    StepSpec {
        step: Step::AskApproval,
        effect: Observe,
        owner: "approver",
        outcomes: &[Approved, Refused],
        why: "people hold the one-way doors; silence is a no",
    },
    StepSpec {
        step: Step::LookAgain,
        effect: Trial,
        owner: "preflight-verifier",
        outcomes: &[Ready, NeedsApproval, Refused],
        why: "a yes was given to what was shown: it holds only while that is still true",
    },
    StepSpec {
        step: Step::Freeze,
        effect: Reversible { undo: Step::Thaw },
        owner: "step-runner",
        outcomes: &[Done],
        why: "pipelines and updates keep still while an application changes place",
    },
    StepSpec {
        step: Step::Thaw,
        effect: Undo,
        owner: "step-runner",
        outcomes: &[Done],
        why: "once the execution ends, pipelines may run again",
    },
    StepSpec {
        step: Step::CloseLease,
        effect: Reversible { undo: Step::GrantBack },
        owner: "store-promoter",
        outcomes: &[Done],
        why: "after it no renewal succeeds, so the old writer's right ends at a known instant",
    },
    StepSpec {
        step: Step::GrantBack,
        effect: Undo,
        owner: "store-promoter",
        outcomes: &[Done],
        why: "an attempt that ends before promotion gives the lease back under a newer epoch",
    },
    StepSpec {
        step: Step::Fence,
        effect: Reversible { undo: Step::GrantBack },
        owner: "store-promoter",
        outcomes: &[Fenced, Again, Unproven, Exhausted],
        why: "nothing is promoted without a receipt that the old primary cannot write",
    },
    StepSpec {
        step: Step::AskAcceptance,
        effect: Observe,
        owner: "approver",
        outcomes: &[Approved, Refused],
        why: "what cannot be proved can only be accepted, by name, with the stated risk",
    },
    StepSpec {
        step: Step::Accept,
        effect: Observe,
        owner: "store-promoter",
        outcomes: &[Fenced, Unproven],
        why: "an acceptance counts only while nothing says that the old primary lives",
    },
    StepSpec {
        step: Step::Capture,
        effect: Observe,
        owner: "store-promoter",
        outcomes: &[Done, Again, Exhausted],
        why: "what the standby holds is only known for good once nobody writes any more",
    },
    StepSpec {
        step: Step::Promote,
        effect: PointOfNoReturn,
        owner: "store-promoter",
        outcomes: &[Done, Again, Stopped, Exhausted],
        why: "the one-way door: from here the standby's data goes its own way",
    },
    StepSpec {
        step: Step::AwaitPromotion,
        effect: Observe,
        owner: "store-promoter",
        outcomes: &[Done, Again, Unasked, Exhausted],
        why: "an accepted promotion is not a finished one",
    },
    StepSpec {
        step: Step::Unfence,
        effect: PointOfNoReturn,
        owner: "store-promoter",
        outcomes: &[Done],
        why: "the fence is in the data and came along: the promoted store refuses writes until it is lifted",
    },
    StepSpec {
        step: Step::Recycle,
        effect: PointOfNoReturn,
        owner: "step-runner",
        outcomes: &[Done],
        why: "connection pools still hold sessions of a read-only server",
    },
    StepSpec {
        step: Step::VerifyWrite,
        effect: Trial,
        owner: "store-promoter",
        outcomes: &[Done, Again, Exhausted],
        why: "promotion is believed only when the application's own login wrote and read back",
    },
    StepSpec {
        step: Step::MoveTraffic,
        effect: PointOfNoReturn,
        owner: "dns-switcher",
        outcomes: &[Done],
        why: "clients follow only now, when what they reach can serve them",
    },
    StepSpec {
        step: Step::RunConsumers,
        effect: PointOfNoReturn,
        owner: "step-runner",
        outcomes: &[Done],
        why: "queues and schedules start once the store and the name are in place",
    },
    StepSpec {
        step: Step::Confirm,
        effect: Trial,
        owner: "route-prober",
        outcomes: &[Done, Again, Exhausted],
        why: "recovered is what clients see by the public name, and only if it lasts",
    },
    StepSpec {
        step: Step::Report,
        effect: Observe,
        owner: "report-writer",
        outcomes: &[Done],
        why: "every execution ends explained",
    },
];

pub fn spec(step: Step) -> Option<&'static StepSpec> {
    STEPS.iter().find(|row| row.step == step)
}

/// What a task is handed: the execution's name and which step to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub execution: String,
    pub step: Step,
    /// The named end, for `Report` only.
    #[serde(default)]
    pub end: Option<crate::run::End>,
    /// When the workflow entered the state, by its own clock, for a step that asks two.
    #[serde(default)]
    pub entered: Option<jiff::Timestamp>,
}

/// What a task answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub outcome: Outcome,
    /// How long to wait before looking again; at least 1, since the workflow waits in whole seconds.
    pub wait_seconds: u64,
    pub detail: String,
}

impl Reply {
    pub fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, wait_seconds: 1, detail: detail.into() }
    }

    pub fn again(wait: Millis, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Again, wait_seconds: wait.secs_ceil().max(1), detail: detail.into() }
    }
}

/// What every step is given: the plan, the state, the clock, and which execution it works for.
pub struct Context<'a, C, K> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub execution: &'a str,
    /// The function that runs the step.
    pub writer: &'static str,
}

impl<C: Cells, K: Clock> Context<'_, C, K> {
    pub fn journal(&self) -> Journal<'_, C, K> {
        Journal {
            cells: self.cells,
            clock: self.clock,
            plan: &self.plan.name,
            plan_digest: self.plan_digest,
            execution: self.execution,
            writer: self.writer,
        }
    }

    pub async fn intent(&self, step: Step, what: impl Into<String>) -> Result<(), Fault> {
        self.journal().append(Entry::Intent { step, what: what.into() }).await.map(|_| ())
    }

    /// Records what became of a step and hands it to the workflow.
    pub async fn outcome(
        &self,
        step: Step,
        outcome: Outcome,
        detail: impl Into<String>,
    ) -> Result<Reply, Fault> {
        let reply = Reply::new(outcome, detail);
        let word = serde_json::to_value(reply.outcome).map_err(Fault::bug)?;
        let entry = Entry::Outcome {
            step,
            outcome: word.as_str().unwrap_or_default().to_owned(),
            detail: reply.detail.clone(),
        };
        self.journal().append(entry).await?;
        Ok(reply)
    }
}

/// A step that this function does not own.
pub fn not_mine(step: Step, writer: &str) -> Fault {
    Fault::invalid(format!("step: `{step:?}` is not run by {writer}"))
}
