//! Plans: checked, shown, predicted, imported, turned into the database's script and into the template's parameters.

mod check;
mod predict;
mod show;

use crate::exit::{Code, Failure, print};
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::ddl;
use understudy_core::lint::RULES;
use understudy_core::parameters::parameters;
use understudy_core::plan::{
    Environment, NoImport, Places, Plan, Problems, codes, import, read, read_placed, schema,
};
use understudy_core::ports::Role;

#[derive(Subcommand)]
pub enum Command {
    /// Read plans whole, and tell everything that is wrong with them and all that physics will not grant them.
    Check(check::Arguments),
    /// Explain a plan in words, or as a page with a picture.
    Show(show::Arguments),
    /// What a failover is expected to take and to lose, phase by phase.
    Predict(predict::Arguments),
    /// Make a plan of a JSON configuration, flat or nested, such as scripts have. Written to standard output.
    Import { configuration: PathBuf },
    /// The JSON Schema of plan files, for editors. Written to standard output.
    Schema,
    /// What every plan is asked: the linter's rules, and the codes of what a plan file may not be.
    Rules,
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
        Command::Check(arguments) => check::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Predict(arguments) => predict::run(arguments),
        Command::Import { configuration } => taken_over(configuration),
        Command::Schema => {
            print(&format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap_or_default()));
            Ok(Code::Ok)
        }
        Command::Rules => {
            let rules = RULES.iter().map(|rule| (rule.id, rule.asks));
            let lines = rules.chain(codes::CODES.iter().copied()).map(|(id, text)| format!("{id}  {text}\n"));
            print(&lines.collect::<String>());
            Ok(Code::Ok)
        }
        Command::Sql { plan, rehearsal } => {
            let plan = load_for(plan, *rehearsal)?;
            for store in &plan.stores {
                print(&ddl::script(&plan, store));
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
                // `sam` ends a value at a blank unless it stands in quotes.
                let quote = if value.contains(' ') { "\"" } else { "" };
                say!("{name}={quote}{value}{quote}");
            }
            Ok(Code::Ok)
        }
    }
}

/// The plan goes to standard output, whatever is still wrong with it to standard error.
fn taken_over(path: &Path) -> Result<Code, Failure> {
    let json = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let made = import(&json).map_err(|error| {
        let code = if matches!(error, NoImport::Nothing(_)) { Code::Refused } else { Code::BadInput };
        Failure::new(code, format!("error: {}: {error}", path.display()))
    })?;
    print(&made.text);
    if !made.ignored.is_empty() {
        eprintln!("not understood, and so not in the plan: {}", made.ignored.join(", "));
    }
    eprintln!("examples to replace: {}", made.examples.join(", "));
    match made.problems("the imported plan") {
        None => Ok(Code::Ok),
        Some(problems) => {
            eprintln!("{problems}");
            Ok(Code::Refused)
        }
    }
}

/// The day by which the linter looks at a calendar and at schedules.
pub fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

fn try_read(path: &Path) -> Result<Result<(Plan, Places), Problems>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    Ok(read_placed(&path.display().to_string(), &text))
}

/// A plan that is whole, or the failure that tells what is wrong with it.
pub fn load(path: &Path) -> Result<Plan, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let read = read(&path.display().to_string(), &text);
    read.map_err(|problems| Failure::new(Code::BadInput, problems.to_string()))
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
