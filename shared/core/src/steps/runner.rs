//! The reversible steps around the move: capacity, freeze, and the user's own hooks, each with its undo.

use super::{Context, Outcome, Reply, Step, not_mine};
use crate::call::{self, Call};
use crate::fault::Fault;
use crate::plan::{Hook, HookPoint, Plan};
use crate::ports::{Cells, Clock, Http, HttpAnswer};
use crate::run::Run;
use crate::state::{Change, Flag, keys, update_note};
use crate::switch::Side;
use crate::words::count;
use serde_json::{Value, json};

/// What a step says that had nothing to call.
const NO_HOOK: &str = "the plan has no hook here";
/// The same in a failback.
const NOT_OURS: &str = "the plan's hooks are the standby's; a failback calls none";

/// Whether an outcome with this detail had nothing to call, and hence no intent.
pub fn called_nothing(detail: &str) -> bool {
    [NO_HOOK, NOT_OURS].contains(&detail)
}

/// What the runner works with.
pub struct Runner<'a, C, K, H> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub http: &'a H,
}

/// Answers one task of the workflow.
pub async fn answer<C: Cells, K: Clock, H: Http>(
    function: &Runner<'_, C, K, H>,
    event: &Value,
) -> Result<Reply, Fault> {
    let Call::Task(task) = call::read(event)? else {
        return Err(Fault::invalid("event: step-runner takes tasks only"));
    };
    let ctx = Context {
        plan: function.plan,
        plan_digest: function.plan_digest,
        cells: function.cells,
        clock: function.clock,
        execution: &task.execution,
        writer: "step-runner",
    };
    run(&ctx, task.step, function.http).await
}

/// Runs the step that `step` names.
pub async fn run<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    step: Step,
    http: &impl Http,
) -> Result<Reply, Fault> {
    match step {
        Step::RaiseCapacity => {
            call_hooks(ctx, step, HookPoint::Capacity, http, |hook| Some(&hook.http)).await
        }
        Step::LowerCapacity => {
            call_hooks(ctx, step, HookPoint::Capacity, http, |hook| hook.undo.as_deref()).await
        }
        Step::Recycle => call_hooks(ctx, step, HookPoint::Recycle, http, |hook| Some(&hook.http)).await,
        Step::RunConsumers => {
            call_hooks(ctx, step, HookPoint::Consumers, http, |hook| Some(&hook.http)).await
        }
        Step::Freeze => freeze(ctx).await,
        Step::Thaw => thaw(ctx).await,
        other => Err(not_mine(other, "step-runner")),
    }
}

/// Calls every hook of one point in the plan's order; each call names the execution, so that the callee can
/// tell a repetition from a second request.
async fn call_hooks<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    step: Step,
    point: HookPoint,
    http: &impl Http,
    url: fn(&Hook) -> Option<&str>,
) -> Result<Reply, Fault> {
    if Run::read(ctx.cells, ctx.execution).await?.kind.to() == Side::Primary {
        return ctx.outcome(step, Outcome::Done, NOT_OURS).await;
    }
    let calls: Vec<(&Hook, &str)> = ctx
        .plan
        .hooks
        .iter()
        .filter(|hook| hook.at == point)
        .filter_map(|hook| Some((hook, url(hook)?)))
        .collect();
    if calls.is_empty() {
        return ctx.outcome(step, Outcome::Done, NO_HOOK).await;
    }
    for (hook, url) in &calls {
        ctx.intent(step, format!("hook `{}`: POST {url}", hook.name)).await?;
        let body = json!({"execution": ctx.execution, "hook": hook.name});
        match http.post(url, &body, hook.timeout).await {
            answer if answer.is_good() => {}
            HttpAnswer::Status(status @ 400..=499) => {
                return Err(Fault::invalid(format!("hooks.{}: POST {url} answered {status}", hook.name)));
            }
            other => return Err(Fault::transient(format!("hooks.{}: POST {url}: {other}", hook.name))),
        }
    }
    ctx.outcome(step, Outcome::Done, format!("{} answered", count(calls.len(), "hook"))).await
}

/// `Freeze`. Once this execution lowered the flag it raises it no more: a delivery that comes after the thaw finds
/// that in the flag itself (L6).
async fn freeze<C: Cells, K: Clock>(ctx: &Context<'_, C, K>) -> Result<Reply, Fault> {
    ctx.intent(Step::Freeze, "set the freeze flag to true").await?;
    update_note::<Flag, _>(ctx.cells, &keys::freeze(), |now| match now {
        Some(now) if now.raised => Ok(Change::Keep),
        Some(now) if now.by == ctx.execution => {
            Err(Fault::Fenced("this execution took its freeze back, and raises it no more".to_owned()))
        }
        _ => Ok(Change::Write(flag(ctx, true))),
    })
    .await?;
    ctx.outcome(Step::Freeze, Outcome::Done, "frozen").await
}

/// `Thaw`: the flag says who lowered it, also where it was not raised yet.
async fn thaw<C: Cells, K: Clock>(ctx: &Context<'_, C, K>) -> Result<Reply, Fault> {
    ctx.intent(Step::Thaw, "set the freeze flag to false").await?;
    update_note::<Flag, _>(ctx.cells, &keys::freeze(), |now| {
        let lowered = now.is_some_and(|now| !now.raised && now.by == ctx.execution);
        Ok(if lowered { Change::Keep } else { Change::Write(flag(ctx, false)) })
    })
    .await?;
    ctx.outcome(Step::Thaw, Outcome::Done, "thawed").await
}

fn flag<C, K: Clock>(ctx: &Context<'_, C, K>, raised: bool) -> Flag {
    Flag {
        raised,
        by: ctx.execution.to_owned(),
        why: "an execution moves this application".to_owned(),
        at: ctx.clock.now(),
        category: None,
        also: Vec::new(),
    }
}
