//! The demo: break the primary, watch the product recover, and hold its figures against the client's.

use crate::aws::{Aws, AwsError, operator_environment};
use crate::breaks::{self, Break, BreakError};
use crate::compare::{self, Line, clock, seconds};
use crate::config::Place;
use crate::deliveries::{Deliveries, DeliveriesError, Order};
use crate::examine::{self, ExamineError};
use crate::ledger::{Account, Clients, LedgerError};
use crate::logs;
use crate::progress::paint;
use crate::python::{PythonError, run as run_command};
use crate::up::{Options, People, Up};
use jiff::Timestamp;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use understudy_aws::dynamodb::Table;
use understudy_aws::scaffold::WallClock;
use understudy_core::approval::{Matter, open_question};
use understudy_core::decide::Decision;
use understudy_core::fault::Fault;
use understudy_core::handler::{self, Decided};
use understudy_core::incident::Incident;
use understudy_core::journal::{Entry, Journal, Record};
use understudy_core::lease::Lease;
use understudy_core::report::{Figure, Report, line};
use understudy_core::run::End;
use understudy_core::state::{Category, keys, load};
use understudy_core::steps::Step;
use understudy_core::steps::close::report_key;

/// The client is watched well before anything breaks.
const WARM_UP: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Ticks within which an execution must have ended.
const END_TICKS: u32 = 120;
/// Ticks for which nothing may happen after a break that must not move anything.
const STILL_TICKS: u32 = 12;
/// Ticks after which a dead primary has been decided on.
const DECIDED_TICKS: u32 = 20;
/// After the end the client must go on succeeding for this long.
const AFTERWARDS: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Break(#[from] BreakError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Deliveries(#[from] DeliveriesError),
    #[error("the state table cannot be read: {0}")]
    State(#[from] Fault),
    #[error("the operator's command was not taken")]
    Operate(#[from] PythonError),
    #[error(transparent)]
    Examine(#[from] ExamineError),
    #[error("the report does not read")]
    Report(#[from] serde_json::Error),
    #[error("no execution ended within {} s; the journal so far stands above", .0.as_secs())]
    NoEnd(Duration),
    #[error("cannot write `{}`", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Runs one break on a cloud that is up. `Ok(true)` only if every line of the comparison holds.
pub async fn run(
    options: &Options,
    up: &Up,
    what: Break,
    deliveries: Option<Order>,
) -> Result<bool, DemoError> {
    let clients = Clients { cloud: &up.cloud, binaries: &options.binaries };
    if what == Break::Failback {
        moves_first(options, up).await?;
    }
    clients.start(&up.plan, serves(what))?;
    tokio::time::sleep(WARM_UP).await;
    breaks::prepare(what, &up.cloud, &up.plan).await?;
    if what == Break::Corruption {
        let why = "rows that nobody wrote since the last release";
        operate(options, up, "hold", &["--category", "corruption", "--by", "sre-lead", "--why", why]).await?;
    }
    let broken_at = Timestamp::now();
    println!("\n{}, at {}", what.announced(), clock(broken_at));
    breaks::apply(what, &up.cloud, &up.plan).await?;
    ask_for(options, up, what).await?;
    let deliveries = match deliveries {
        Some(order) => Some(Deliveries::begin(order, up, broken_at).await),
        None => None,
    };
    let scene = Scene { options, up, what, broken_at };
    let mut lines = match what {
        Break::Link | Break::None => stands_still(up, what, &clients, broken_at).await?,
        Break::Corruption => never_promotes(&scene, &clients).await?,
        _ if options.people == People::Silence => unanswered(&scene).await?,
        Break::Lag | Break::Override => {
            let (mut lines, refused) = refuses(&scene).await?;
            take_away(&scene, &refused).await?;
            lines.extend(recovers(&scene, &clients, 2).await?);
            lines
        }
        Break::HalfWay => {
            let mut lines = stops_half_way(&scene).await?;
            breaks::still(&up.cloud, Place::Standby, false)?;
            let why = "the standby's application runs again";
            operate(options, up, "continue", &["--by", "sre-lead", "--why", why]).await?;
            lines.extend(recovers(&scene, &clients, 2).await?);
            lines
        }
        Break::Kill
        | Break::Hang
        | Break::Refuse
        | Break::Isolate
        | Break::Switchover
        | Break::Failback
        | Break::Drill => recovers(&scene, &clients, 1).await?,
    };
    if let Some(deliveries) = deliveries {
        lines.extend(deliveries.end(executions_of(what)).await?);
    }
    println!();
    for line in &lines {
        let mark = if line.holds { paint("32", "ok") } else { paint("31", "NO") };
        println!("  {mark}  {}: {}", line.what, line.told);
    }
    Ok(lines.iter().all(|line| line.holds))
}

/// How many executions a break must lead to, however often its alarm rings.
fn executions_of(what: Break) -> usize {
    match what {
        Break::Link | Break::None | Break::Corruption => 0,
        // Refused for the lag, or stopped, and once more after it.
        Break::Lag | Break::Override | Break::HalfWay => 2,
        Break::Kill
        | Break::Hang
        | Break::Refuse
        | Break::Isolate
        | Break::Switchover
        | Break::Failback
        | Break::Drill => 1,
    }
}

/// The side that serves when it begins.
fn serves(what: Break) -> Place {
    if what == Break::Failback { Place::Standby } else { Place::Primary }
}

/// The side that serves when it is over.
fn survivor(scene: &Scene<'_>) -> Place {
    if scene.what == Break::Failback { Place::Primary } else { Place::Standby }
}

/// What must lie behind a failback: a switchover, and an old primary that was built anew.
async fn moves_first(options: &Options, up: &Up) -> Result<(), DemoError> {
    let broken_at = Timestamp::now();
    println!("\n{}, at {}", Break::Switchover.announced(), clock(broken_at));
    ask_for(options, up, Break::Switchover).await?;
    let scene = Scene { options, up, what: Break::Switchover, broken_at };
    watch(&scene, 1).await?;
    println!("\nbuilding the old primary anew as a replica, at {}", clock(Timestamp::now()));
    Ok(breaks::rebuild_primary(&up.cloud).await?)
}

/// A cloud whose primary was broken.
struct Scene<'a> {
    options: &'a Options,
    up: &'a Up,
    what: Break,
    broken_at: Timestamp,
}

/// The attempt must recover, and its figures must agree with the client's.
async fn recovers(scene: &Scene<'_>, clients: &Clients<'_>, attempt: u32) -> Result<Vec<Line>, DemoError> {
    let Scene { options, up, .. } = *scene;
    let execution = watch(scene, attempt).await?;
    // The client's lasting success is a claim about the time after, so there must be some.
    tokio::time::sleep(AFTERWARDS.max(up.plan.tick.as_std())).await;
    clients.stop()?;
    let report = fetch_report(up, &execution).await?;
    let account = clients.judge(survivor(scene)).await?;
    let unexplained = logs::unexplained_errors(&up.cloud, scene.broken_at);
    tell(up, &report, &account);
    let mut lines = compare::compare(&up.plan, &report, &account, &unexplained);
    lines.push(examine::sealed_journal(options, up, &report).await?);
    lines.push(examine::tampered_journal(options).await?);
    lines.push(examine::sealed_again(up, &report).await?);
    Ok(lines)
}

/// The first attempt must stop behind the door, with its fence held, and say what to do.
async fn stops_half_way(scene: &Scene<'_>) -> Result<Vec<Line>, DemoError> {
    let Scene { options, up, .. } = *scene;
    let (execution, stood) = tokio::join!(watch(scene, 1), still_once_promoted(scene));
    let (execution, ()) = (execution?, stood?);
    let report = fetch_report(up, &execution).await?;
    let status = told_by(options, up, "status").await?;
    Ok(vec![
        compare::line(
            report.end == End::NeedsOperator && report.receipt.is_some(),
            "attempt 1 stopped behind its one-way door",
            format!("{}: {}", report.end, report.cause),
        ),
        compare::line(
            status.contains("understudy continue"),
            "`status` names the road",
            status.lines().last().unwrap_or_default().trim().to_owned(),
        ),
    ])
}

/// Stops the standby's application as soon as a promotion was asked for.
async fn still_once_promoted(scene: &Scene<'_>) -> Result<(), DemoError> {
    let up = scene.up;
    let table = Aws::at(&up.cloud, Place::Standby).await.table(&up.plan.name);
    let limit = Instant::now() + up.plan.tick.as_std() * END_TICKS;
    let promotes = |record: &Record| matches!(record.entry, Entry::Intent { step: Step::Promote, .. });
    while Instant::now() < limit {
        if let Some(execution) = execution_of(&table, 1).await?
            && records(&table, up, &execution).await?.iter().any(promotes)
        {
            return Ok(breaks::still(&up.cloud, Place::Standby, true)?);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Silence is a no: the attempt ends refused, and nothing was fenced.
async fn unanswered(scene: &Scene<'_>) -> Result<Vec<Line>, DemoError> {
    let execution = watch(scene, 1).await?;
    let report = fetch_report(scene.up, &execution).await?;
    let table = Aws::at(&scene.up.cloud, Place::Standby).await.table(&scene.up.plan.name);
    let silent = report.end == End::Refused && report.cause.contains("silence is a no");
    Ok(vec![
        compare::line(
            silent,
            "the attempt was refused by silence",
            format!("{}: {}", report.end, report.cause),
        ),
        compare::line(report.receipt.is_none(), "nothing was fenced", format!("{:?}", report.receipt)),
        first_epoch(&table).await?,
    ])
}

/// What refused the first attempt goes, or a person takes all of it on.
async fn take_away(scene: &Scene<'_>, refused: &Report) -> Result<(), DemoError> {
    let Scene { options, up, what, .. } = *scene;
    if what == Break::Override {
        for finding in refused.findings.iter().filter(|finding| finding.blocks()) {
            let why = "the primary is gone for good: an old standby is better than none";
            let named = [finding.id.as_str(), finding.subject.as_str()];
            let by = ["--by", "sre-lead", "--why", why, "--for", "1h"];
            operate(options, up, "override", &[&named[..], &by[..]].concat()).await?;
        }
        return Ok(());
    }
    println!("\nhealing the replica, at {}", clock(Timestamp::now()));
    Ok(breaks::heal_replica(&up.cloud, &up.plan).await?)
}

/// The first attempt must be refused for the lag, with what to do, and nothing may have been fenced.
async fn refuses(scene: &Scene<'_>) -> Result<(Vec<Line>, Report), DemoError> {
    let up = scene.up;
    let execution = watch(scene, 1).await?;
    let report = fetch_report(up, &execution).await?;
    let table = Aws::at(&up.cloud, Place::Standby).await.table(&up.plan.name);
    let lines = vec![
        compare::line(report.end == End::Refused, "attempt 1 was refused", report.end.to_string()),
        compare::line(
            report.cause.contains("PF-04") && report.cause.contains("pg_wal_replay_resume"),
            "the refusal names the lag and what to do",
            report.cause.clone(),
        ),
        compare::line(report.receipt.is_none(), "nothing was fenced", format!("{:?}", report.receipt)),
        first_epoch(&table).await?,
    ];
    Ok((lines, report))
}

/// What the replica holds as well is mended by no move: nothing may be started, and people are told the road (L8).
async fn never_promotes(scene: &Scene<'_>, clients: &Clients<'_>) -> Result<Vec<Line>, DemoError> {
    let up = scene.up;
    tokio::time::sleep(up.plan.tick.as_std() * DECIDED_TICKS).await;
    clients.stop()?;
    let table = Aws::at(&up.cloud, Place::Standby).await.table(&up.plan.name);
    let decided = load::<Decided>(&table, &keys::decision(handler::TICK)).await?;
    let (told, reason) = match decided.map(|decided| decided.decision) {
        Some(Decision::Page { reason, .. }) => (reason.contains(Category::Corruption.road()), reason),
        other => (false, format!("{other:?}")),
    };
    Ok(vec![
        nothing_started(&table).await?,
        first_epoch(&table).await?,
        compare::line(told, "people were paged, with the road", reason),
        compare::unexplained(&logs::unexplained_errors(&up.cloud, scene.broken_at)),
    ])
}

async fn nothing_started(table: &Table) -> Result<Line, DemoError> {
    let incident = load::<Incident>(table, &keys::incident()).await?;
    let told = format!("incident: {:?}", incident.as_ref().map(|incident| &incident.id));
    Ok(compare::line(incident.is_none(), "no execution was started", told))
}

/// Nothing may be started; why not must be on record.
async fn stands_still(
    up: &Up,
    what: Break,
    clients: &Clients<'_>,
    broken_at: Timestamp,
) -> Result<Vec<Line>, DemoError> {
    tokio::time::sleep(up.plan.tick.as_std() * STILL_TICKS).await;
    clients.stop()?;
    let table = Aws::at(&up.cloud, Place::Standby).await.table(&up.plan.name);
    let account = clients.judge(Place::Primary).await?;
    let source = if what == Break::None { handler::ALARM } else { handler::TICK };
    let decided = load::<Decided>(&table, &keys::decision(source)).await?;
    let unexplained = logs::unexplained_errors(&up.cloud, broken_at);
    let reason = match (&what, decided.map(|decided| decided.decision)) {
        (Break::None, Some(Decision::Watch { reason })) => {
            compare::line(true, "the alarm was looked into", reason)
        }
        (Break::Link, Some(Decision::Page { reason, .. })) => {
            compare::line(true, "people were paged", reason)
        }
        (_, other) => compare::line(false, "the reason is on record", format!("{other:?}")),
    };
    Ok(vec![
        nothing_started(&table).await?,
        first_epoch(&table).await?,
        reason,
        compare::line(
            account.outside.failures == 0,
            "the client outside noticed nothing",
            format!("{} failures of {}", account.outside.failures, account.outside.attempts),
        ),
        compare::unexplained(&unexplained),
    ])
}

/// The primary still holds the first epoch: nobody closed its lease.
async fn first_epoch(table: &Table) -> Result<Line, DemoError> {
    let lease = load::<Lease>(table, &keys::lease()).await?;
    let held = lease.as_ref().is_some_and(|lease| lease.epoch == 1 && lease.closed_by.is_none());
    let told =
        lease.map_or_else(|| "no lease".to_owned(), |l| format!("epoch {} of {}", l.epoch, l.holder.0));
    Ok(compare::line(held, "the primary's lease was not touched", told))
}

/// Prints the journal of one attempt as it grows, until it is closed.
async fn watch(scene: &Scene<'_>, attempt: u32) -> Result<String, DemoError> {
    let Scene { options, up, broken_at, .. } = *scene;
    let table = Aws::at(&up.cloud, Place::Standby).await.table(&up.plan.name);
    let limit = up.plan.tick.as_std() * END_TICKS;
    let began = Instant::now();
    let mut shown = 0;
    while began.elapsed() < limit {
        if let Some(execution) = execution_of(&table, attempt).await? {
            let records = records(&table, up, &execution).await?;
            for record in records.iter().skip(shown) {
                show(record, broken_at);
            }
            shown = records.len();
            if options.people != People::Silence {
                answer_open_question(options, up, &table, &execution).await?;
            }
            if records.iter().any(|record| matches!(record.entry, Entry::Closed { .. })) {
                return Ok(execution);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(DemoError::NoEnd(limit))
}

/// Says yes to whatever is asked, by the command that a person would give.
async fn answer_open_question(
    options: &Options,
    up: &Up,
    table: &Table,
    execution: &str,
) -> Result<(), DemoError> {
    let Some(asked) = open_question(table, execution).await? else { return Ok(()) };
    let question = &asked.question;
    let verb = if question.matter == Matter::Approval { "approve" } else { "accept" };
    operate(options, up, verb, &[execution, "--by", "duty-manager", "--digest", &asked.digest()]).await
}

/// Asks for a planned move by the command that a person would give.
async fn ask_for(options: &Options, up: &Up, what: Break) -> Result<(), DemoError> {
    let (verb, why) = match what {
        Break::Switchover => ("switchover", "patching the primary"),
        Break::Failback => ("failback", "the primary's Region is well again"),
        Break::Drill => ("drill", "before the quarter's audit"),
        _ => return Ok(()),
    };
    operate(options, up, verb, &["--by", "sre-lead", "--why", why]).await
}

/// What a command says that only looks.
async fn told_by(options: &Options, up: &Up, verb: &str) -> Result<String, DemoError> {
    let mut command = Command::new(options.binaries.join("understudy"));
    command.arg(verb).arg(options.state_dir().join("plan.yaml")).envs(operator_environment(&up.cloud));
    Ok(String::from_utf8_lossy(&run_command(&mut command).await?.stdout).into_owned())
}

async fn operate(options: &Options, up: &Up, verb: &str, arguments: &[&str]) -> Result<(), DemoError> {
    println!("          {}", paint("33", &format!("$ understudy {verb} plan.yaml {}", arguments.join(" "))));
    let mut command = Command::new(options.binaries.join("understudy"));
    command
        .arg(verb)
        .arg(options.state_dir().join("plan.yaml"))
        .args(arguments)
        .envs(operator_environment(&up.cloud));
    run_command(&mut command).await?;
    Ok(())
}

async fn execution_of(table: &Table, number: u32) -> Result<Option<String>, Fault> {
    let incident = load::<Incident>(table, &keys::incident()).await?;
    let attempts = incident.map(|incident| incident.attempts).unwrap_or_default();
    Ok(attempts.into_iter().find(|attempt| attempt.number == number).map(|attempt| attempt.execution))
}

async fn records(table: &Table, up: &Up, execution: &str) -> Result<Vec<Record>, Fault> {
    let journal = Journal {
        cells: table,
        clock: &WallClock,
        plan: &up.plan.name,
        plan_digest: "",
        execution,
        writer: "demo",
    };
    journal.records().await
}

fn show(record: &Record, broken_at: Timestamp) {
    let line = line(record);
    let since = line.at.as_millisecond().saturating_sub(broken_at.as_millisecond());
    let since = format!("{:>+7.1} s", f64::from(i32::try_from(since).unwrap_or(i32::MAX)) / 1000.0);
    // Padded first: a colour's own characters must not count.
    let writer = format!("{:<18}", line.writer);
    println!("  {} {} {}", paint("2", &since), paint("36", &writer), line.text);
}

/// Waits for the sealed report: sealing may be late by a tick.
async fn fetch_report(up: &Up, execution: &str) -> Result<Report, DemoError> {
    let aws = Aws::at(&up.cloud, Place::Standby).await;
    let bucket = aws.evidence_bucket(&up.plan.name);
    let key = report_key(&up.plan.name, execution);
    let deadline = Instant::now() + up.plan.tick.as_std() * 5;
    let bytes = loop {
        match aws.object(&bucket, &key).await {
            Ok(bytes) => break bytes,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    let path = up.cloud.state_dir.join("report.json");
    std::fs::write(&path, &bytes).map_err(|source| DemoError::File { path: path.clone(), source })?;
    println!("\nreport: {} (from s3://{bucket}/{key})", path.display());
    Ok(serde_json::from_slice(&bytes)?)
}

fn tell(up: &Up, report: &Report, account: &Account) {
    println!("\n  the product says                        the client outside says");
    row("outage began", &window(report.clock.last_good, report.clock.first_bad), &began(account));
    row("service back", &window(report.clock.served_after, report.clock.served), &ended(account));
    let rto = format!("{} … {}", figure(&report.rto.at_least), figure(&report.rto.at_most));
    row(
        "outage",
        &rto,
        &compare::outage(account).map_or_else(|| "not over".to_owned(), |outage| seconds(outage.0)),
    );
    let acknowledged =
        account.outside.acknowledged + account.inside.as_ref().map_or(0, |inside| inside.acknowledged);
    let missing = format!("{} of {} acknowledged", account.missing.count, acknowledged);
    row("writes lost", &format!("bound {}", figure(&report.rpo.bound)), &missing);
    let failures = format!("{} of {} attempts", account.outside.failures, account.outside.attempts);
    row("failed", "", &failures);
    println!("\n  segments: {}", segments(report));
    println!(
        "  objectives: RTO {} {:?}, RPO {} {:?}",
        up.plan.objectives.rto, report.rto.met, up.plan.objectives.rpo, report.rpo.met
    );
}

fn row(what: &str, product: &str, client: &str) {
    println!("  {what:<14} {product:<31} {client}");
}

fn window(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let one = |at: Option<Timestamp>| at.map_or_else(|| "?".to_owned(), clock);
    format!("{} … {}", one(from), one(to))
}

fn began(account: &Account) -> String {
    account.outage.as_ref().map_or_else(|| "never".to_owned(), |outage| clock(outage.first_failure.sent_at))
}

fn ended(account: &Account) -> String {
    compare::success(account).map_or_else(|| "-".to_owned(), clock)
}

fn figure(figure: &Figure) -> String {
    figure.ms.map_or_else(|| "not measured".to_owned(), seconds)
}

fn segments(report: &Report) -> String {
    let one =
        |segment: &understudy_core::report::Segment| format!("{} {}", segment.name, seconds(segment.ms));
    report.clock.segments.iter().map(one).collect::<Vec<_>>().join(", ")
}
