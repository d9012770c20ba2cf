//! `understudy override`: puts a person's name under one check that blocks, or takes it away again.
//!
//! Which check can be overridden, and by whom, the core says; here it is read, asked and written.

use crate::exit::{Code, Failure};
use crate::operate::{Deployed, Target, unavailable, wait};
use clap::Args;
use jiff::Timestamp;
use understudy_core::checks::{CHECKS, Check, Finding, Spare};
use understudy_core::incident::{Attempt, Incident};
use understudy_core::overrides::{LONGEST, Override, give, key, lift, may_give};
use understudy_core::state::{keys, load};
use understudy_core::steps::assess::Readiness;
use understudy_core::time::{Millis, after};
use understudy_core::words::{instant, span};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The check as `status` shows it: `PF-04 metadata`.
    #[arg(required = true, num_args = 1..=2)]
    check: Vec<String>,
    /// Who takes it upon themselves: a role of the plan's roster. Who overrides a check may not approve what it lets
    /// through.
    #[arg(long)]
    by: String,
    /// Why, in a line: it stands in the verdict, the journal and the report.
    #[arg(long, required_unless_present = "lift")]
    why: Option<String>,
    /// For how long, `90m` or `2h`, a day at most; then it blocks again.
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "lift")]
    lasts: Option<Millis>,
    /// Take the override away instead.
    #[arg(long, conflicts_with_all = ["why", "lasts"])]
    lift: bool,
}

/// Which checks can be overridden, and why the others cannot.
pub fn help() -> String {
    let row = |check: &Check| match check.spare {
        Spare::Named => format!("  {}  {}", check.id, check.question),
        Spare::Nobody { why, instead } => format!("  {}  {} {why}; {instead}", check.id, check.question),
    };
    let rows = |named: bool| {
        let rows = CHECKS.iter().filter(|check| (check.spare == Spare::Named) == named).map(row);
        rows.collect::<Vec<_>>().join("\n")
    };
    format!(
        "A named person may override:\n{}\nNobody may override:\n{}\nIt counts from the next look on, and an attempt \
         that it refused is repeated by itself.",
        rows(true),
        rows(false)
    )
}

pub fn run(arguments: &Arguments) -> Result<Code, Failure> {
    let check = key(&arguments.check.join(" ")).ok_or_else(|| {
        bad(&format!(
            "`{}` names no check: write `PF-04 metadata`, as `status` does",
            arguments.check.join(" ")
        ))
    })?;
    wait(async {
        let deployed = Deployed::at(&arguments.target).await?;
        match arguments.lasts {
            Some(lasts) if !arguments.lift => put(&deployed, arguments, check, lasts).await,
            _ => take_away(&deployed, &check, &arguments.by).await,
        }
    })
}

fn bad(text: &str) -> Failure {
    Failure::new(Code::BadInput, format!("error: {text}"))
}

async fn put(deployed: &Deployed, asked: &Arguments, check: String, lasts: Millis) -> Result<Code, Failure> {
    if lasts > LONGEST {
        return Err(bad(&format!(
            "--for: {} at most; what should last longer is a change of the plan",
            span(LONGEST)
        )));
    }
    let given_at = Timestamp::now();
    let (by, why) = (asked.by.clone(), asked.why.clone().unwrap_or_default());
    let wanted = Override { check, by, why, given_at, until: after(given_at, lasts) };
    let seen = findings(deployed).await?;
    let refused = refused_by(deployed).await?;
    if let Err(why) = may_give(&deployed.plan, &seen, &refused, &wanted) {
        say!("not overridden: {why}");
        return Ok(Code::Refused);
    }
    give(&deployed.table, &wanted).await.map_err(|fault| unavailable(&fault))?;
    if asked.target.json {
        say!("{}", serde_json::to_string(&wanted).unwrap_or_default());
    } else {
        let until = instant(wanted.until);
        say!("`{}` is overridden by `{}` until {until}; the next look counts it", wanted.check, wanted.by);
    }
    Ok(Code::Ok)
}

/// What the verifier found last; nothing where it never looked.
async fn findings(deployed: &Deployed) -> Result<Vec<Finding>, Failure> {
    let readiness = load::<Readiness>(&deployed.table, &keys::readiness()).await;
    let readiness = readiness.map_err(|fault| unavailable(&fault))?;
    Ok(readiness.map(|readiness| readiness.findings).unwrap_or_default())
}

async fn refused_by(deployed: &Deployed) -> Result<Vec<String>, Failure> {
    let incident = load::<Incident>(&deployed.table, &keys::incident()).await;
    let incident = incident.map_err(|fault| unavailable(&fault))?.filter(Incident::is_open);
    let last = incident.as_ref().and_then(|incident| incident.attempts.last());
    Ok(last.and_then(Attempt::refused_by).unwrap_or_default().to_vec())
}

async fn take_away(deployed: &Deployed, check: &str, by: &str) -> Result<Code, Failure> {
    let found = lift(&deployed.table, check).await.map_err(|fault| unavailable(&fault))?;
    if !found {
        say!("`{check}` is not overridden");
        return Ok(Code::Refused);
    }
    say!("`{by}` lifted the override of `{check}`: it blocks again from the next look on");
    Ok(Code::Ok)
}
