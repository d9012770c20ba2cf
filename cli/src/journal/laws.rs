//! What the records of an execution must show, law by law: the same rules that judge simulated nights.

use crate::exit::{Code, Failure};
use crate::plan;
use std::path::Path;
use understudy_core::journal::rules::{RULES, check};
use understudy_core::journal::{Entry, Record};

/// Asks every rule; a plan makes those askable that need its numbers.
pub fn ask(records: &[Record], path: Option<&Path>) -> Result<Code, Failure> {
    if !records.last().is_some_and(|last| matches!(last.entry, Entry::Closed { .. })) {
        say!("the journal is not closed yet: the laws are asked once it is");
        return Ok(Code::Refused);
    }
    let plan = path.map(plan::load).transpose()?;
    let made_under = records.first().map_or("", |first| first.plan_digest.as_str());
    if let Some(plan) = plan.as_ref().filter(|plan| plan.digest() != made_under) {
        let text = format!(
            "error: the records were made under a plan of digest {made_under}, and `{}` has {}; the report names it",
            plan.name,
            plan.digest()
        );
        return Err(Failure::new(Code::BadInput, text));
    }
    let breaches = check(records, plan.as_ref());
    for breach in &breaches {
        say!("{breach}");
    }
    if breaches.is_empty() {
        let with = if plan.is_some() {
            "with the plan's numbers"
        } else {
            "without the plan: name it with `--plan`"
        };
        say!("{} rules asked, {with}: every law that records can show is kept", RULES.len());
        return Ok(Code::Ok);
    }
    Ok(Code::Disagreement)
}
