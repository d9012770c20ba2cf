//! The steps that `store-promoter` owns, by name.

use super::{Context, Reply, Step, Task, continued, fence, not_mine, promote};
use crate::call::{self, Call};
use crate::fault::Fault;
use crate::keepers::keepers;
use crate::plan::Plan;
use crate::ports::{Both, Cells, Clock, Databases, GivesWay, Secrets, Sql};
use serde_json::Value;

/// What the promoter may touch: both keepers, the databases of the side that is to serve, the application's login, and
/// in a planned move the guard of the primary.
pub struct Ports<'a, C, S, D, X, G> {
    pub witness: Option<&'a C>,
    pub sql: Both<'a, S>,
    pub databases: Both<'a, D>,
    pub secrets: &'a X,
    /// The guard of the primary: planned moves away from it only.
    pub guard: &'a G,
}

/// What the promoter works with.
pub struct Promoter<'a, C, K, S, D, X, G> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub ports: Ports<'a, C, S, D, X, G>,
}

/// Answers one task of the workflow.
pub async fn answer<C: Cells, K: Clock, S: Sql, D: Databases, X: Secrets, G: GivesWay>(
    function: &Promoter<'_, C, K, S, D, X, G>,
    event: &Value,
) -> Result<Reply, Fault> {
    let Call::Task(task) = call::read(event)? else {
        return Err(Fault::invalid("event: store-promoter takes tasks only"));
    };
    let ctx = Context {
        plan: function.plan,
        plan_digest: function.plan_digest,
        cells: function.cells,
        clock: function.clock,
        execution: &task.execution,
        writer: "store-promoter",
    };
    run(&ctx, &task, &function.ports).await
}

pub async fn run<C, K, S, D, X, G>(
    ctx: &Context<'_, C, K>,
    task: &Task,
    ports: &Ports<'_, C, S, D, X, G>,
) -> Result<Reply, Fault>
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    X: Secrets,
    G: GivesWay,
{
    match task.step {
        Step::Continue => {
            continued::take_up(ctx, task.entered, &keepers(ctx.cells, ports.witness), &ports.databases).await
        }
        Step::CloseLease => fence::close_lease(ctx, &keepers(ctx.cells, ports.witness)).await,
        Step::GrantBack => {
            fence::grant_back(
                ctx,
                task.entered,
                &keepers(ctx.cells, ports.witness),
                &ports.sql,
                &ports.databases,
            )
            .await
        }
        Step::Fence => fence::fence(ctx, task.entered, ports.guard, &ports.sql).await,
        Step::Accept => fence::accept(ctx, task.entered, &keepers(ctx.cells, ports.witness)).await,
        Step::Capture => fence::capture(ctx, &ports.sql).await,
        Step::Promote => {
            promote::promote(ctx, task.entered, &keepers(ctx.cells, ports.witness), &ports.databases).await
        }
        Step::AwaitPromotion => promote::await_promotion(ctx, &ports.databases, &ports.sql).await,
        Step::Unfence => promote::unfence(ctx, &ports.sql).await,
        Step::VerifyWrite => promote::verify_write(ctx, &ports.sql, ports.secrets).await,
        other => Err(not_mine(other, "store-promoter")),
    }
}
