//! Overrides: a named person takes what one check says upon themselves, with a reason, for a while (L11).
//!
//! Only the gate on evidence can be overridden, check by check. What concerns a living primary, a hold, the fence or
//! the identity of what would be promoted cannot, and no override stands in for a fence receipt (L2). An overridden
//! finding keeps its grade and its evidence; it only blocks no more. What is not known of an override does not count.

use crate::checks::{Finding, Spare, spare};
use crate::fault::Fault;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::ports::Cells;
use crate::situation::Situation;
use crate::state::{Change, keys, update, update_note};
use crate::time::{Millis, elapsed};
use crate::words::{instant, same_name, span};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No override lasts longer: what should is a change of the plan.
pub const LONGEST: Millis = Millis::from_secs(24 * 3600);

/// One check that a person overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The key of the one finding that it is for: `PF-04:metadata`.
    pub check: String,
    /// A role or a name from the plan's roster.
    pub by: String,
    pub why: String,
    pub given_at: Timestamp,
    /// From this instant on the check blocks again.
    pub until: Timestamp,
}

impl Override {
    /// Why it counts for nothing at `now`; `None` where it counts.
    pub fn void(&self, plan: &Plan, now: Timestamp) -> Option<String> {
        let id = self.check.split_once(':').map_or(self.check.as_str(), |(id, _)| id);
        match spare(id) {
            Spare::Nobody { why, instead } => Some(format!("{why}; {instead}")),
            Spare::Named => self.unfit(plan).or_else(|| self.untimely(now)),
        }
    }

    /// What is wrong with it at any time.
    fn unfit(&self, plan: &Plan) -> Option<String> {
        let roles = &plan.policy.approvers;
        if self.by.trim().is_empty() || self.why.trim().is_empty() {
            return Some("an override needs a name and a reason".to_owned());
        }
        if !roles.is_empty() && !roles.iter().any(|role| same_name(role, &self.by)) {
            return Some(format!("the plan hears {}, and nobody else", roles.join(", ")));
        }
        (elapsed(self.given_at, self.until) > LONGEST).then(|| {
            format!(
                "an override lasts {} at most; what should last longer is a change of the plan",
                span(LONGEST)
            )
        })
    }

    fn untimely(&self, now: Timestamp) -> Option<String> {
        if now < self.given_at {
            return Some(format!("it counts from {} on", instant(self.given_at)));
        }
        (now >= self.until).then(|| format!("it ended at {}", instant(self.until)))
    }

    /// Who, until when and why, as every reader of a finding is told.
    pub fn told(&self) -> String {
        format!("overridden by `{}` until {}: {}", self.by, instant(self.until), self.why)
    }
}

/// Every override that was given and not lifted, one a check, as the state table holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    pub given: Vec<Override>,
}

/// Marks a blocking finding that is overridden; tells of the road where one could be.
pub fn weigh(plan: &Plan, s: &Situation, finding: Finding) -> Finding {
    if !finding.is_bad() || spare(&finding.id) != Spare::Named {
        return finding;
    }
    // What was given and cannot be read was not given (L4).
    let (given, unread) = match &s.overrides {
        Observed::Known { value, .. } => (value.given.iter().find(|one| one.check == finding.key()), None),
        Observed::Unknown { reason } => (None, Some(reason)),
    };
    let void = given.and_then(|given| given.void(plan, s.at));
    match (given, void, unread) {
        (Some(given), None, _) => Finding { overridden: Some(given.clone()), ..finding },
        (Some(given), Some(void), _) => {
            offered(finding, &format!("; the override of `{}` does not count: {void}", given.by))
        }
        (None, _, Some(reason)) => {
            offered(finding, &format!("; whether it is overridden is not known: {reason}"))
        }
        (None, _, None) => offered(finding, ""),
    }
}

fn offered(finding: Finding, besides: &str) -> Finding {
    let fix = format!(
        "{}{besides}; or take it upon your name: `understudy override PLAN {} --by ROLE --why TEXT --for 2h`",
        finding.fix,
        finding.name()
    );
    Finding { fix, ..finding }
}

/// The overrides that these findings rest on.
pub fn of(findings: &[Finding]) -> Vec<Override> {
    findings.iter().filter_map(|finding| finding.overridden.clone()).collect()
}

/// The overridden findings in one line, with what they say all the same; empty without one.
pub fn shown(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let given = finding.overridden.as_ref()?;
        Some(format!("{} ({}) is {}", finding.name(), finding.evidence, given.told()))
    };
    findings.iter().filter_map(one).collect::<Vec<_>>().join("; ")
}

/// `PF-04 metadata` or `PF-04:metadata`, as a finding's key.
pub fn key(text: &str) -> Option<String> {
    let (id, subject) = text.trim().split_once([' ', ':'])?;
    Some(format!("{id}:{}", subject.trim()))
}

/// Whether `wanted` may be given: to a check that can be overridden and blocks now, by somebody who may. `seen`: the
/// newest findings; `refused`: what the last attempt was refused by.
pub fn may_give(plan: &Plan, seen: &[Finding], refused: &[String], wanted: &Override) -> Result<(), String> {
    if let Some(why) = wanted.void(plan, wanted.given_at) {
        return Err(why);
    }
    let blocks = seen.iter().any(|finding| finding.key() == wanted.check && finding.is_bad());
    if blocks || refused.contains(&wanted.check) {
        return Ok(());
    }
    let bad: Vec<String> = seen.iter().filter(|finding| finding.is_bad()).map(Finding::name).collect();
    let bad = if bad.is_empty() { "nothing".to_owned() } else { bad.join(", ") };
    let named = wanted.check.replacen(':', " ", 1);
    Err(format!("`{named}` blocks nothing now, and an override is for one check that blocks: {bad}"))
}

/// Writes it down, in the place of an older one of the same check.
pub async fn give(cells: &impl Cells, wanted: &Override) -> Result<(), Fault> {
    update_note::<Overrides, _>(cells, &keys::overrides(), |current| {
        let mut next = current.cloned().unwrap_or_default();
        next.given.retain(|one| one.check != wanted.check);
        next.given.push(wanted.clone());
        Ok(if current == Some(&next) { Change::Keep } else { Change::Write(next) })
    })
    .await
    .map(|_| ())
}

/// Takes the override of `check` away; false where there was none.
pub async fn lift(cells: &impl Cells, check: &str) -> Result<bool, Fault> {
    let mut found = false;
    update::<Overrides, _>(cells, &keys::overrides(), |current| {
        let mut next = current.cloned().unwrap_or_default();
        next.given.retain(|one| one.check != check);
        let there = current.is_some_and(|current| *current != next);
        found |= there;
        Ok(if there { Change::Write(next) } else { Change::Keep })
    })
    .await?;
    Ok(found)
}
