//! The drill: a planned move in the rehearsal environment, asked for by a schedule or a person.
//!
//! Whoever asks, it goes the way of every request. All that is added here is where it may happen (L9), and that a
//! drill of the schedule that could not begin is told to people: nobody else would miss it.

use crate::call;
use crate::decide::Decision;
use crate::fault::Fault;
use crate::handler::{Handled, Handler};
use crate::hint::{Hint, said};
use crate::plan::{Environment, Plan, rehearsal_name};
use crate::ports::{Cells, Clock, Executions, Pager};
use crate::run::{Kind, Request};
use jiff::Timestamp;
use serde_json::Value;

/// Who asks when nobody does, and why.
const SCHEDULE: &str = "schedule";
const WHY: &str = "the quarterly drill";

/// Answers one event: starts a drill, or says why there is none.
pub async fn answer<C: Cells, K: Clock, E: Executions, P: Pager>(
    handler: &Handler<'_, C, K, E, P>,
    event: &Value,
) -> Result<Handled, Fault> {
    let request = read(event)?;
    if let Err(reason) = is_rehearsal(handler.plan) {
        // Before any call: production's state is not even read.
        return Ok(Handled { decision: Some(Decision::Declined { reason }), ignored: Vec::new() });
    }
    let scheduled = request.by == SCHEDULE;
    let decision = handler.handle(&Hint::Asked(request)).await?;
    if let Decision::Declined { reason } = &decision
        && scheduled
    {
        let text = format!("{}: the scheduled drill did not begin: {reason}", handler.plan.title);
        handler.page(&text, "drill-declined", None, handler.clock.now()).await?;
    }
    Ok(Handled { decision: Some(decision), ignored: Vec::new() })
}

/// Whether a drill may start at `now`: in a rehearsal environment, and at no time that the plan guards.
pub fn may_rehearse(plan: &Plan, now: Timestamp) -> Result<(), String> {
    is_rehearsal(plan)?;
    plan.guarded_at(now).map_or(Ok(()), |why| Err(format!("no drill may start now: {why}")))
}

/// Only a rehearsal's plan names nothing that serves (L9).
fn is_rehearsal(plan: &Plan) -> Result<(), String> {
    match plan.environment {
        Environment::Rehearsal => Ok(()),
        Environment::Production => Err(format!(
            "`{}` is production's plan, and a drill runs in a rehearsal environment or nowhere (L9): deploy the \
             stacks of `{}` and ask there",
            plan.name,
            rehearsal_name(&plan.name)
        )),
    }
}

/// Reads an event: the schedule, or a person's `drill`.
pub fn read(event: &Value) -> Result<Request, Fault> {
    if call::is_tick(event)? {
        return Ok(Request { kind: Kind::Drill, by: SCHEDULE.to_owned(), why: WHY.to_owned() });
    }
    let Some(drill) = event.get("drill") else {
        return Err(Fault::invalid("event: neither the schedule (`tick`) nor a request (`drill`)"));
    };
    call::only(event, &["drill"])?;
    call::only(drill, &["by", "why"])?;
    let by = said(event, "drill.by")?;
    // Whoever is called that would be paged for in the schedule's name.
    if by == SCHEDULE {
        return Err(Fault::invalid(format!("drill.by: `{SCHEDULE}` is the schedule's own name")));
    }
    Ok(Request { kind: Kind::Drill, by, why: said(event, "drill.why")? })
}
