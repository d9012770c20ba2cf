//! What an operator does to a deployed plan: look, ask for a move, answer, hold, abort. By profile and Region, or
//! wherever `AWS_ENDPOINT_URL` points.
//!
//! Nothing here decides or moves anything: requests, flags and answers are data that the functions act on.

mod status;

use crate::exit::{Code, Failure, print};
use crate::plan;
use aws_config::SdkConfig;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use understudy_aws::dynamodb::Table;
use understudy_aws::function::{Called, Function};
use understudy_aws::scaffold::{no_credentials, operator_config};
use understudy_core::approval::{self, Matter, open_question};
use understudy_core::decide::Decision;
use understudy_core::fault::Fault;
use understudy_core::handler::Handled;
use understudy_core::incident::{Incident, execution_name};
use understudy_core::plan::{Plan, Region};
use understudy_core::run::{Kind, Request, Run};
use understudy_core::state::{Category, Flag, keys, load, set_flag};

#[derive(Args)]
pub struct Target {
    /// The plan file.
    pub plan: PathBuf,
    /// The profile of the AWS configuration; the environment's credentials without it.
    #[arg(long)]
    pub profile: Option<String>,
    /// The plan's rehearsal environment, not production.
    #[arg(long)]
    pub rehearsal: bool,
    /// For machines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Answer {
    #[command(flatten)]
    target: Target,
    /// The execution that asks.
    execution: String,
    /// Who answers: a role of the plan's roster.
    #[arg(long)]
    by: String,
    /// The digest of the question, as the page and `status` show it: an answer counts for what was shown only.
    #[arg(long)]
    digest: String,
}

#[derive(Args)]
pub struct Move {
    #[command(flatten)]
    target: Target,
    /// Who asks: a role of the plan's roster.
    #[arg(long)]
    by: String,
    /// Why, in a line: it opens the journal.
    #[arg(long)]
    why: String,
}

#[derive(Args)]
pub struct Raise {
    #[command(flatten)]
    target: Target,
    #[arg(long)]
    by: String,
    #[arg(long, default_value = "")]
    why: String,
}

#[derive(Args)]
pub struct Hold {
    #[command(flatten)]
    raise: Raise,
    /// What no failover mends, because the replica holds it too. Until `resume` nobody starts anything, and people are
    /// paged with the road.
    #[arg(long, value_enum)]
    category: Option<Declared>,
}

/// The categories, as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
enum Declared {
    Corruption,
    Security,
}

impl From<Declared> for Category {
    fn from(declared: Declared) -> Self {
        match declared {
            Declared::Corruption => Self::Corruption,
            Declared::Security => Self::Security,
        }
    }
}

#[derive(Args)]
pub struct Abort {
    #[command(flatten)]
    raise: Raise,
    execution: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Approve,
    Refuse,
    Accept,
}

/// A deployed plan with its state table.
pub struct Deployed {
    pub plan: Plan,
    pub table: Table,
    profile: Option<String>,
}

impl Deployed {
    pub async fn at(target: &Target) -> Result<Self, Failure> {
        Self::of(plan::load_for(&target.plan, target.rehearsal)?, target).await
    }

    async fn of(plan: Plan, target: &Target) -> Result<Self, Failure> {
        let config = signed_in(&plan.regions.standby, target.profile.as_deref()).await?;
        let table = Table::from_config(&config, &prefix(&plan));
        Ok(Self { plan, table, profile: target.profile.clone() })
    }

    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }
}

/// The configuration for `region`, if there are credentials: without, every single question would fail for it.
pub async fn signed_in(region: &Region, profile: Option<&str>) -> Result<SdkConfig, Failure> {
    let config = operator_config(region, profile).await;
    let Some(why) = no_credentials(&config).await else { return Ok(config) };
    let text = format!(
        "error: no AWS credentials, neither in the environment nor by a profile ({}). Set AWS_PROFILE or give `--profile`; with single sign-on, `aws sso login` first",
        why.trim_end_matches('.')
    );
    Err(Failure::new(Code::NotAvailable, text))
}

/// The prefix of every resource of a plan.
pub fn prefix(plan: &Plan) -> String {
    format!("understudy-{}", plan.name)
}

pub fn unavailable(fault: &Fault) -> Failure {
    Failure::new(Code::NotAvailable, format!("error: {fault}"))
}

/// Runs `work` to its end on this thread.
pub fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::file("runtime", &error))?.block_on(work)
}

pub fn status(target: &Target) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(target).await?;
        let status = status::gather(&deployed).await?;
        if target.json {
            say!("{}", status.json());
        } else {
            print(&status.to_string());
        }
        Ok(Code::Ok)
    })
}

/// Asks for an execution. Whether there is one decides the evidence: what was decided is printed either way.
pub fn start(asked: &Move, kind: Kind) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&asked.target).await?;
        let request = Request { kind, by: asked.by.clone(), why: asked.why.clone() };
        ask(&deployed, "alarm-handler", &json!({ "start": request }), asked.target.json).await
    })
}

/// Asks that what stopped half-way goes on.
pub fn go_on(asked: &Move) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&asked.target).await?;
        let event = json!({ "continue": { "by": asked.by, "why": asked.why } });
        ask(&deployed, "alarm-handler", &event, asked.target.json).await
    })
}

/// Says that what stopped was brought to its end by hand.
pub fn close(asked: &Move) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&asked.target).await?;
        let event = json!({ "close": { "by": asked.by, "why": asked.why } });
        ask(&deployed, "alarm-handler", &event, asked.target.json).await
    })
}

/// Asks for a drill: of the rehearsal environment, whichever of the two plans is given.
pub fn drill(asked: &Move) -> Result<Code, Failure> {
    wait(async {
        let plan = plan::load_for(&asked.target.plan, true)?;
        let deployed = Deployed::of(plan, &asked.target).await?;
        let event = json!({ "drill": { "by": asked.by, "why": asked.why } });
        ask(&deployed, "drill-runner", &event, asked.target.json).await
    })
}

/// Puts a request to the function that may start what it asks for, and tells what came of it.
async fn ask(deployed: &Deployed, function: &str, event: &Value, json: bool) -> Result<Code, Failure> {
    let answer = call(deployed, function, event).await?;
    let handled: Handled = serde_json::from_value(answer)
        .map_err(|error| unavailable(&Fault::bug(format!("{function}: {error}"))))?;
    if json {
        say!("{}", serde_json::to_string(&handled).unwrap_or_default());
    }
    let (code, told) = match handled.decision {
        Some(Decision::Start(start)) => {
            (Code::Ok, format!("started `{}`", execution_name(&start.incident, start.attempt)))
        }
        Some(Decision::Running { execution }) => {
            (Code::Refused, format!("`{execution}` runs already: one execution at a time"))
        }
        Some(closed @ Decision::Closed { .. }) => (Code::Ok, closed.to_string()),
        Some(Decision::Declined { reason }) => (Code::Refused, format!("not started: {reason}")),
        Some(other) => (Code::Refused, format!("not started: {other}")),
        None => (Code::Refused, "not started: the handler took it for no request".to_owned()),
    };
    if !json {
        say!("{told}");
    }
    Ok(code)
}

/// Answers the open question of an execution, bound to its digest.
pub fn answer(given: &Answer, said: Said) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&given.target).await?;
        let open =
            open_question(&deployed.table, &given.execution).await.map_err(|fault| unavailable(&fault))?;
        let asked = open.ok_or_else(|| {
            Failure::new(Code::BadInput, format!("error: `{}` asks nothing now", given.execution))
        })?;
        let question = &asked.question;
        let expected = match said {
            Said::Approve => Some(Matter::Approval),
            Said::Accept => Some(Matter::Acceptance),
            Said::Refuse => None,
        };
        if expected.is_some_and(|matter| matter != question.matter) {
            let text = format!("error: `{}` asks for {}, not that", given.execution, question.matter.name());
            return Err(Failure::new(Code::BadInput, text));
        }
        say!("{}", question.shown);
        let answer = approval::Answer {
            execution: given.execution.clone(),
            yes: said != Said::Refuse,
            by: given.by.clone(),
            digest: given.digest.clone(),
        };
        send(&deployed, &answer).await
    })
}

async fn send(deployed: &Deployed, answer: &approval::Answer) -> Result<Code, Failure> {
    let reply = call(deployed, "approver", &json!({ "answer": answer })).await?;
    say!("{}", reply.get("detail").and_then(|detail| detail.as_str()).unwrap_or("taken"));
    Ok(Code::Ok)
}

/// Calls a function of the standby and waits for its answer.
async fn call(deployed: &Deployed, function: &str, event: &Value) -> Result<Value, Failure> {
    let config = operator_config(&deployed.plan.regions.standby, deployed.profile()).await;
    let name = format!("{}-{function}", prefix(&deployed.plan));
    let called = Function::new(&config, name).call(function, event.to_string().into_bytes()).await;
    match called.map_err(|fault| unavailable(&fault))? {
        Called::Answered(answer) => Ok(answer),
        Called::Failed { message, .. } => Err(Failure::new(Code::Refused, format!("error: {message}"))),
    }
}

pub fn hold(hold: &Hold) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&hold.raise.target).await?;
        let category = hold.category.map(Category::from);
        let stands = flag(&deployed, &keys::hold(), &hold.raise, true, category).await?;
        say!("{}: no one-way step is taken", stands.told());
        if let Some(through) = through_the_door(&deployed).await? {
            say!("`{through}` is through its one-way door by now: it goes on, and nothing takes it back");
        }
        if let Some(category) = category {
            say!("{}", category.road());
        }
        Ok(Code::Ok)
    })
}

pub fn resume(raise: &Raise) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&raise.target).await?;
        let stands = flag(&deployed, &keys::hold(), raise, false, None).await?;
        if stands.raised {
            say!(
                "still {}: each lowers their own, `understudy resume PLAN --by {}`",
                stands.told(),
                stands.by
            );
            return Ok(Code::Refused);
        }
        say!("the hold is lifted");
        Ok(Code::Ok)
    })
}

pub fn abort(abort: &Abort) -> Result<Code, Failure> {
    wait(async {
        let deployed = Deployed::at(&abort.raise.target).await?;
        let run = load::<Run>(&deployed.table, &keys::run(&abort.execution)).await;
        let run = run.map_err(|fault| unavailable(&fault))?.ok_or_else(|| {
            let text = format!(
                "error: no execution `{}` is on record: `understudy status` names what runs",
                abort.execution
            );
            Failure::new(Code::BadInput, text)
        })?;
        if let Some(end) = run.end {
            say!("`{}` has ended, {end}: there is nothing to abort", abort.execution);
            return Ok(Code::Refused);
        }
        if run.promotion_asked {
            say!("`{}` is through its one-way door: it goes on, and nothing takes it back", abort.execution);
            return Ok(Code::Refused);
        }
        flag(&deployed, &keys::abort(&abort.execution), &abort.raise, true, None).await?;
        say!("`{}` stops before its one-way step, if it has not taken it by then", abort.execution);
        Ok(Code::Ok)
    })
}

/// The execution that runs behind its one-way door.
async fn through_the_door(deployed: &Deployed) -> Result<Option<String>, Failure> {
    let incident = load::<Incident>(&deployed.table, &keys::incident()).await;
    let incident = incident.map_err(|fault| unavailable(&fault))?;
    let Some(running) = incident.as_ref().and_then(Incident::running) else { return Ok(None) };
    let run = load::<Run>(&deployed.table, &keys::run(&running.execution)).await;
    let run = run.map_err(|fault| unavailable(&fault))?;
    Ok(run.filter(|run| run.promotion_asked).map(|run| run.execution))
}

async fn flag(
    deployed: &Deployed,
    key: &understudy_core::ports::Key,
    raise: &Raise,
    raised: bool,
    category: Option<Category>,
) -> Result<Flag, Failure> {
    let (by, why) = (raise.by.clone(), raise.why.clone());
    let flag = Flag { raised, by, why, at: jiff::Timestamp::now(), category, also: Vec::new() };
    set_flag(&deployed.table, key, &flag).await.map_err(|fault| unavailable(&fault))
}
