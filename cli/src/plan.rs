//! Plans: checked, also against what is deployed, turned into the database's script and into the template's parameters.

use crate::exit::{Code, Failure};
use crate::live;
use clap::{Subcommand, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::ddl;
use understudy_core::parameters::parameters;
use understudy_core::plan::{Environment, Plan, Problems, read};
use understudy_core::ports::Role;

#[derive(Subcommand)]
pub enum Command {
    /// Read plans whole and tell everything that is wrong with them.
    Check {
        #[arg(required = true)]
        plans: Vec<PathBuf>,
        /// For machines.
        #[arg(long)]
        json: bool,
        /// Then look at what is deployed: records, databases, secret, functions, readiness. Reads only.
        #[arg(long)]
        live: bool,
        /// The profile of the AWS configuration that looks; the environment's credentials without it.
        #[arg(long, requires = "live")]
        profile: Option<String>,
    },
    /// The script that an administrator runs once on the primary's database.
    Sql {
        plan: PathBuf,
        /// Of the plan's rehearsal environment.
        #[arg(long)]
        rehearsal: bool,
    },
    /// The template's parameters for one role, as `sam deploy --parameter-overrides` takes them.
    Parameters {
        plan: PathBuf,
        #[arg(long)]
        role: RoleName,
        /// Of the plan's rehearsal environment.
        #[arg(long)]
        rehearsal: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum RoleName {
    Standby,
    Primary,
    Witness,
}

pub fn run(command: &Command) -> Result<Code, Failure> {
    match command {
        Command::Check { plans, json, live: false, .. } => check(plans, *json),
        Command::Check { plans, json, profile, .. } => check_live(plans, profile.as_deref(), *json),
        Command::Sql { plan, rehearsal } => {
            let plan = load_for(plan, *rehearsal)?;
            for store in &plan.stores {
                print!("{}", ddl::script(&plan, store));
            }
            Ok(Code::Ok)
        }
        Command::Parameters { plan, role, rehearsal } => {
            let role = match role {
                RoleName::Standby => Role::Standby,
                RoleName::Primary => Role::Primary,
                RoleName::Witness => Role::Witness,
            };
            for (name, value) in parameters(&load_for(plan, *rehearsal)?, role) {
                println!("{name}={value}");
            }
            Ok(Code::Ok)
        }
    }
}

/// Every plan is read, also after one that is wrong.
fn check(plans: &[PathBuf], json: bool) -> Result<Code, Failure> {
    let mut worst = Code::Ok;
    for path in plans {
        match try_read(path)? {
            Ok(plan) if json => println!("{}", json_line(path, &plan.digest(), None)),
            Ok(plan) => {
                println!("{}: plan `{}` is whole, digest {}", path.display(), plan.name, plan.digest());
            }
            Err(problems) => {
                worst = Code::BadInput;
                if json {
                    println!("{}", json_line(path, "", Some(&problems)));
                } else {
                    eprintln!("{problems}");
                }
            }
        }
    }
    Ok(worst)
}

/// A plan that is not whole has nothing to be held against.
fn check_live(plans: &[PathBuf], profile: Option<&str>, json: bool) -> Result<Code, Failure> {
    let mut worst = Code::Ok;
    for path in plans {
        worst = worst.max(live::check(&load(path)?, profile, json)?);
    }
    Ok(worst)
}

fn json_line(path: &Path, digest: &str, problems: Option<&Problems>) -> String {
    serde_json::json!({
        "plan": path.display().to_string(),
        "digest": (!digest.is_empty()).then_some(digest),
        "problems": problems,
    })
    .to_string()
}

fn try_read(path: &Path) -> Result<Result<Plan, Problems>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    Ok(read(&path.display().to_string(), &text))
}

/// A plan that is whole, or the failure that tells what is wrong with it.
pub fn load(path: &Path) -> Result<Plan, Failure> {
    try_read(path)?.map_err(|problems| Failure::new(Code::BadInput, problems.to_string()))
}

/// The plan, or that of its rehearsal environment. The rehearsal's own file counts as it stands.
pub fn load_for(path: &Path, rehearsal: bool) -> Result<Plan, Failure> {
    let plan = load(path)?;
    if !rehearsal || plan.environment == Environment::Rehearsal {
        return Ok(plan);
    }
    let name = plan.name.clone();
    plan.rehearsal().ok_or_else(|| {
        let text =
            format!("error: plan `{name}` has no `rehearsal`: it names no twin of its own to rehearse on");
        Failure::new(Code::BadInput, text)
    })
}
