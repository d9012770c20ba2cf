//! Assess: gather the situation once, ask every check, fix the epoch to claim.
//!
//! All questions go out at the same time, each bounded by its adapter. A primary that may be lost is never asked (L1);
//! one that lives is, where a person wants it to give way or to serve again.

use super::{Context, Outcome, Reply, Step, not_mine};
use crate::call::{self, Call};
use crate::checks::{self, Finding, Occasion, Verdict};
use crate::decide::will_promote_alone;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::keepers::{self, Keeper};
use crate::observed::Observed;
use crate::overrides::{self, Override, Overrides};
use crate::plan::{Plan, Route, Store};
use crate::ports::{Both, Cells, Clock, Databases, Http, Secrets, Sql};
use crate::run::{Kind, Run};
use crate::shadow::Shadow;
use crate::situation::{RouteSituation, Situation, StoreSituation};
use crate::sql::{Answer, Statement, Written};
use crate::state::{keys, load, look, raised, replace};
use crate::switch::{Desired, Side};
use crate::votes::{History, Observer, Votes};
use crate::watermark::Watermark;
use crate::wiring::Wiring;
use futures_util::future::{join, join_all, join3, join5};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the verifier may ask.
pub struct Ports<'a, C, S, D, H, X> {
    /// The witness's table, where the plan has one.
    pub witness: Option<&'a C>,
    pub sql: Both<'a, S>,
    pub databases: Both<'a, D>,
    pub http: &'a H,
    pub secrets: &'a X,
}

/// The newest look at the standby while nothing is wrong: what blocks it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    pub at: Timestamp,
    pub verdict: Verdict,
    /// Looks in a row that found something that blocks; `None`: the standby is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfit: Option<Unfit>,
    pub findings: Vec<Finding>,
}

/// A standby that could not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// When a look first found it so.
    pub since: Timestamp,
    /// So many looks in a row.
    pub looks: u32,
}

impl Readiness {
    pub fn blocking(&self) -> Vec<String> {
        self.findings.iter().filter(|finding| finding.blocks()).map(Finding::key).collect()
    }
}

/// What the verifier works with.
pub struct Verifier<'a, C, K, S, D, H, X> {
    pub plan: &'a Plan,
    pub plan_digest: &'a str,
    pub cells: &'a C,
    pub clock: &'a K,
    pub ports: Ports<'a, C, S, D, H, X>,
}

/// What one call led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    Watched(Arc<Readiness>),
    Step(Reply),
}

pub async fn answer<C, K, S, D, H, X>(
    verifier: &Verifier<'_, C, K, S, D, H, X>,
    event: &Value,
) -> Result<Answered, Fault>
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    H: Http,
    X: Secrets,
{
    match call::read(event)? {
        Call::Tick => {
            let Verifier { plan, plan_digest, cells, clock, ports } = verifier;
            watch(plan, plan_digest, *cells, *clock, ports).await.map(Answered::Watched)
        }
        Call::Task(task) if matches!(task.step, Step::Assess | Step::LookAgain) => {
            let ctx = Context {
                plan: verifier.plan,
                plan_digest: verifier.plan_digest,
                cells: verifier.cells,
                clock: verifier.clock,
                execution: &task.execution,
                writer: "preflight-verifier",
            };
            run(&ctx, task.step, &verifier.ports).await.map(Answered::Step)
        }
        Call::Task(task) => Err(not_mine(task.step, "preflight-verifier")),
        Call::Ended { .. } => Err(Fault::invalid("detail: preflight-verifier takes no status change")),
    }
}

/// Runs `Assess`, or `LookAgain` after a person said yes: the same questions, asked afresh.
pub async fn run<C, K, S, D, H, X>(
    ctx: &Context<'_, C, K>,
    step: Step,
    ports: &Ports<'_, C, S, D, H, X>,
) -> Result<Reply, Fault>
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    H: Http,
    X: Secrets,
{
    let before = Run::read(ctx.cells, ctx.execution).await?;
    if let Some(stopped) = &before.continues {
        return Ok(Reply::new(Outcome::Continues, format!("goes on from `{stopped}`")));
    }
    let occasion = Occasion::Execution(before.kind);
    let to = before.kind.to();
    if before.kind.is_planned() {
        ctx.intent(step, tries(before.kind)).await?;
    }
    let giving = async {
        if before.kind.is_planned() { write_as_clients_do(ctx, ports.http).await } else { Vec::new() }
    };
    let (situation, gives_way) =
        join(gather(ctx.plan, ctx.plan_digest, ctx.cells, ctx.clock, ports, to), giving).await;
    let situation = Situation { gives_way, asked: before.asked.is_some(), ..situation };
    let findings = checks::assess(ctx.plan, occasion, &situation);
    let verdict = checks::verdict(&findings);
    let epoch = next_epoch(&situation);
    let loss = known_loss(ctx.plan, &situation);
    let overrides = overrides::of(&findings);
    let blocking: Vec<String> = findings.iter().filter(|f| f.blocks()).map(Finding::key).collect();
    let served_at = situation.served_at();
    ctx.journal().append(Entry::Assessed { verdict, findings: findings.clone(), epoch, served_at }).await?;
    let run = Run::change(ctx.cells, ctx.execution, |run| {
        // The epoch is fixed once: a second delivery must claim the same one (L5).
        run.epoch = run.epoch.or(epoch);
        run.blocking.clone_from(&blocking);
        if step == Step::Assess {
            run.stated_loss_ms = loss;
            run.overrides.clone_from(&overrides);
        }
        run.shown = shown(run.kind, &findings, loss);
    })
    .await?;
    if verdict == Verdict::Refused || run.epoch.is_none() {
        return Ok(Reply::new(Outcome::Refused, refusal(&findings)));
    }
    let certain = !checks::asks_about_rows(ctx.plan, &findings);
    if (certain && will_promote_alone(ctx.plan, ctx.clock.now()))
        || (step == Step::LookAgain && still_holds(&before, epoch, loss, &overrides))
    {
        return Ok(Reply::new(Outcome::Ready, ready(&overrides)));
    }
    ask(ctx, &run, loss, &overrides).await
}

/// What the look of a planned move writes, to see who serves; in a failback, where no guard does, a heartbeat too.
fn tries(kind: Kind) -> &'static str {
    match kind {
        Kind::Failback => "write a small transaction by every public name, and a heartbeat in every store",
        _ => "write a small transaction by every public name",
    }
}

fn ready(overrides: &[Override]) -> &'static str {
    if overrides.is_empty() { "every check passed" } else { "every check passed, or somebody overrides it" }
}

/// A yes holds while the epoch and the overrides are those that were shown and no more would be lost.
fn still_holds(shown: &Run, epoch: Option<u64>, loss: Option<u64>, overrides: &[Override]) -> bool {
    let no_greater = match (loss, shown.stated_loss_ms) {
        (Some(now), Some(then)) => now <= then,
        (None, None) => true,
        _ => false,
    };
    shown.epoch == epoch && shown.overrides == overrides && no_greater
}

/// A person is asked at most this often: a situation that changes under every answer is refused.
const MAX_ASKED: u32 = 2;

async fn ask<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    run: &Run,
    loss: Option<u64>,
    overrides: &[Override],
) -> Result<Reply, Fault> {
    if run.approvals_asked >= MAX_ASKED {
        return ctx.outcome(Step::LookAgain, Outcome::Refused, "the situation changed after every yes").await;
    }
    Run::change(ctx.cells, ctx.execution, |next| {
        next.approvals_asked = run.approvals_asked.saturating_add(1);
        next.stated_loss_ms = loss;
        next.overrides = overrides.to_vec();
    })
    .await?;
    Ok(Reply {
        outcome: Outcome::NeedsApproval,
        wait_seconds: ctx.plan.policy.approval_timeout.secs_ceil().max(1),
        detail: run.shown.clone(),
    })
}

/// How far the worst required store is known to be behind the last watermark.
fn known_loss(plan: &Plan, situation: &Situation) -> Option<u64> {
    let mut worst = 0;
    for store in plan.stores.iter().filter(|store| store.required) {
        let seen = situation.stores.iter().find(|seen| seen.store == store.name)?;
        let watermark = checks::current_watermark(plan, situation, seen).ok()?;
        let lag = checks::lag_behind(watermark, seen.replica.value()?)?;
        worst = worst.max(lag.0);
    }
    Some(worst)
}

fn shown(kind: Kind, findings: &[Finding], loss: Option<u64>) -> String {
    let warnings: Vec<&str> =
        findings.iter().filter(|f| f.grade == checks::Grade::Warn).map(|f| f.evidence.as_str()).collect();
    let known = loss.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms} ms behind the last watermark"));
    let (to, from) = (kind.to().name(), kind.to().other().name());
    let (how, loss) = if kind.is_planned() {
        ("lives and gives way", format!("nothing is to be lost; the replica is {known}"))
    } else {
        ("is down", format!("known loss: {known}"))
    };
    let overridden = overrides::shown(findings);
    format!(
        "the {from} {how} and the {to} is fit ({} checks, {} warnings{}{}){}{overridden}; {loss}",
        findings.len(),
        warnings.len(),
        if warnings.is_empty() { "" } else { ": " },
        warnings.join("; "),
        if overridden.is_empty() { "" } else { " but for what a person overrides: " },
    )
}

/// The refusal in one line for the pager: which checks, what was seen, what to do.
pub fn refusal(findings: &[Finding]) -> String {
    let line = |f: &Finding| format!("{} {}: {}. {}", f.id, f.subject, f.evidence, f.fix);
    findings.iter().filter(|f| f.blocks()).map(line).collect::<Vec<_>>().join("; ")
}

fn next_epoch(situation: &Situation) -> Option<u64> {
    let epochs =
        situation.keepers.iter().filter_map(|view| view.sighting.value()).map(|seen| seen.lease.epoch);
    epochs.max().map(|epoch| epoch.saturating_add(1))
}

/// Watches readiness: the same questions on a schedule, without an outage.
pub async fn watch<C, K, S, D, H, X>(
    plan: &Plan,
    plan_digest: &str,
    cells: &C,
    clock: &K,
    ports: &Ports<'_, C, S, D, H, X>,
) -> Result<Arc<Readiness>, Fault>
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    H: Http,
    X: Secrets,
{
    let situation = gather(plan, plan_digest, cells, clock, ports, Side::Standby).await;
    let findings = checks::assess(plan, Occasion::Watch, &situation);
    let verdict = checks::verdict(&findings);
    // A look that does not read began nothing.
    let before = look::<Readiness>(cells, &keys::readiness()).await.ok().flatten();
    let before = before.and_then(|before| before.unfit).unwrap_or(Unfit { since: situation.at, looks: 0 });
    let unfit =
        (verdict != Verdict::Ready).then(|| Unfit { looks: before.looks.saturating_add(1), ..before });
    let readiness = Readiness { at: situation.at, verdict, unfit, findings };
    replace(cells, &keys::readiness(), &readiness).await?;
    Ok(Arc::new(readiness))
}

/// All that is known now of the side that is to serve, asked at the same time.
pub async fn gather<C, K, S, D, H, X>(
    plan: &Plan,
    plan_digest: &str,
    cells: &C,
    clock: &K,
    ports: &Ports<'_, C, S, D, H, X>,
    to: Side,
) -> Situation
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    H: Http,
    X: Secrets,
{
    let all = keepers::keepers(cells, ports.witness);
    let stores = join_all(plan.stores.iter().map(|store| look_at_store(store, cells, clock, ports, to)));
    let routes = join_all(plan.routes.iter().map(|route| look_at_route(plan, route, clock, ports.http, to)));
    let (hold_key, overrides_key) = (keys::hold(), keys::overrides());
    let (switch_key, wiring_key, shadow_key) = (keys::switch(), keys::wiring(), keys::shadow());
    let flags = join5(
        raised(cells, &hold_key, clock.now()),
        load::<Overrides>(cells, &overrides_key),
        load::<Desired>(cells, &switch_key),
        look::<Wiring>(cells, &wiring_key),
        load::<Shadow>(cells, &shadow_key),
    );
    let state = join3(votes(&all, clock), keepers::look(&all, cells, clock), flags);
    let ((stores, routes), (votes, keepers, (hold, overrides, switch, wiring, shadow))) =
        join(join(stores, routes), state).await;
    let at = clock.now();
    Situation {
        at,
        to,
        asked: false,
        plan_digest: plan_digest.to_owned(),
        votes,
        keepers,
        hold: observed(hold, "state table", at),
        overrides: observed(overrides.map(Option::unwrap_or_default), "state table", at),
        switch: observed(switch, "state table", at).flatten("the switch was never set"),
        wiring: observed(wiring.map(|found| found.map(Arc::unwrap_or_clone)), "state table", at),
        shadow: observed(shadow, "state table", at),
        stores,
        routes,
        gives_way: Vec::new(),
    }
}

/// The histories of all observers: the witness's own from its own table, the others from the standby's.
pub async fn votes<C: Cells>(keepers: &[Keeper<'_, C>], clock: &impl Clock) -> Votes {
    let reads = Observer::ALL.into_iter().map(|observer| async move {
        let table = if observer == Observer::Witness { keepers::WITNESS } else { keepers::STANDBY };
        let history = match keepers.iter().find(|keeper| keeper.name == table) {
            None => Observed::unknown("the plan has no witness"),
            Some(keeper) => {
                let read = look::<History>(keeper.cells, &keys::votes(observer.name())).await;
                observed(read, table, clock.now()).flatten("it has not voted yet")
            }
        };
        (observer, history)
    });
    Votes { histories: join_all(reads).await }
}

fn observed<T>(read: Result<T, Fault>, source: &str, at: Timestamp) -> Observed<T> {
    match read {
        Ok(value) => Observed::known(value, source, at),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

async fn look_at_store<C, K, S, D, H, X>(
    store: &Store,
    cells: &C,
    clock: &K,
    ports: &Ports<'_, C, S, D, H, X>,
    to: Side,
) -> StoreSituation
where
    C: Cells,
    K: Clock,
    S: Sql,
    D: Databases,
    H: Http,
    X: Secrets,
{
    let status = Statement::ReplicaStatus { store: store.name.clone() };
    // First: a replica that is asked later holds what was written by then, or lags.
    let watermark = last_written(store, cells, clock, ports, to).await;
    let (replica, instance, login) = join3(
        ports.sql.at(to).ask(&status),
        ports.databases.at(to).describe(&store.instance(to).id),
        log_in(store, ports.sql.at(to), ports.secrets),
    )
    .await;
    let at = clock.now();
    StoreSituation {
        store: store.name.clone(),
        watermark,
        replica: replica_answer(replica, at),
        instance: observed(instance, "RDS", at).flatten("no such instance"),
        login: login_answer(login, at),
    }
}

/// What the writing side wrote last. Of the primary it is on record here; the standby, from which a failback leads
/// away, is at hand and says so itself.
async fn last_written<C, K, S, D, H, X>(
    store: &Store,
    cells: &C,
    clock: &K,
    ports: &Ports<'_, C, S, D, H, X>,
    to: Side,
) -> Observed<Written>
where
    C: Cells,
    K: Clock,
    S: Sql,
{
    if to == Side::Standby {
        return recorded(load::<Watermark>(cells, &keys::watermark(&store.name)).await);
    }
    match ports.sql.standby.ask(&Statement::Heartbeat { store: store.name.clone() }).await {
        Ok(Answer::Heartbeat(written)) => Observed::known(written, "sql-agent", clock.now()),
        Ok(Answer::Failed { class, detail }) => Observed::unknown(format!("{class}: {detail}")),
        Ok(other) => Observed::unknown(format!("sql-agent answered something else: {other:?}")),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

/// A watermark is as old as its recording, not as its reading.
fn recorded(read: Result<Option<Watermark>, Fault>) -> Observed<Written> {
    match read {
        Ok(Some(watermark)) => Observed::known(watermark.written, "watermark", watermark.recorded_at),
        Ok(None) => Observed::unknown("the guard has not recorded one yet"),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

fn replica_answer(answer: Result<Answer, Fault>, at: Timestamp) -> Observed<crate::sql::Replica> {
    match answer {
        Ok(Answer::Replica(replica)) => Observed::known(replica, "sql-agent", at),
        Ok(Answer::Failed { class, detail }) => Observed::unknown(format!("{class}: {detail}")),
        Ok(other) => Observed::unknown(format!("sql-agent answered something else: {other:?}")),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

async fn log_in(store: &Store, sql: &impl Sql, secrets: &impl Secrets) -> Result<Answer, Fault> {
    let login = secrets.login(&store.application.secret).await?;
    sql.ask(&Statement::ApplicationRead { store: store.name.clone(), login }).await
}

fn login_answer(answer: Result<Answer, Fault>, at: Timestamp) -> Observed<()> {
    match answer {
        Ok(Answer::ApplicationRead) => Observed::known((), "sql-agent", at),
        Ok(Answer::Failed { class, detail }) => Observed::unknown(format!("{class}: {detail}")),
        Ok(other) => Observed::unknown(format!("sql-agent answered something else: {other:?}")),
        Err(fault) => Observed::unknown(fault.to_string()),
    }
}

async fn look_at_route(
    plan: &Plan,
    route: &Route,
    clock: &impl Clock,
    http: &impl Http,
    to: Side,
) -> RouteSituation {
    let url = format!("{}{}", route.endpoint(to), route.health_path);
    let answer = http.get(&url, plan.detection.probe_timeout).await;
    RouteSituation { route: route.name.clone(), answer: Observed::known(answer, url, clock.now()) }
}

/// A write by every public name, as a client makes one and `Confirm` will: a health path may say yes while the stores
/// behind it refuse, and the name may lead to somebody else.
async fn write_as_clients_do<C: Cells, K: Clock>(
    ctx: &Context<'_, C, K>,
    http: &impl Http,
) -> Vec<RouteSituation> {
    let writes = ctx.plan.routes.iter().map(|route| async move {
        // What was taken was served no earlier than when it was sent.
        let at = ctx.clock.now();
        let id = format!("understudy-{}-before-{}", ctx.execution, at.as_millisecond());
        let body = json!({"id": id, "body": "a look before a planned move"});
        let url = format!("{}{}", route.public(), route.transaction_path);
        let answer = http.post(&url, &body, ctx.plan.detection.probe_timeout).await;
        RouteSituation { route: route.name.clone(), answer: Observed::known(answer, url, at) }
    });
    join_all(writes).await
}
