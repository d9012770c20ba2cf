//! One alarm, delivered many times to the deployed alarm handler.
//!
//! In every shape in which CloudWatch delivers, shuffled from a printed seed, in bursts from the break until the
//! execution has ended, and some after it: so that deliveries meet each other, the tick and the running
//! execution. What came of them is counted from what others keep: the services, the log of calls, the function's
//! log. Nothing in here may decide whether there is an outage.

use crate::aws::{ACCOUNT, Aws, AwsError};
use crate::compare::{Line, line};
use crate::config::{Cloud, Place};
use crate::logs;
use crate::up::Up;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use understudy_aws::dynamodb::Table;
use understudy_core::fault::Fault;
use understudy_core::incident::Incident;
use understudy_core::plan::Plan;
use understudy_core::ports::Cells;
use understudy_core::returned::Returned;
use understudy_core::state::{keys, load};

/// So many deliveries are under way at once, at most.
const LARGEST_BURST: usize = 10;
/// Ticks over which the bursts are spread: about as long as a recovery takes.
const SPREAD_TICKS: u32 = 12;
/// One delivery in so many is kept back until the execution has ended.
const LATE: usize = 10;
/// Lambda asks a function that failed on a notification again, after one minute and after two more.
const RETRIES: Duration = Duration::from_mins(4);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many deliveries, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub count: usize,
    pub seed: u64,
}

/// A way in which the alarm reaches the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// The function is the alarm's own action.
    Direct,
    /// A rule matched the state change. Nobody but CloudWatch may put an event of the source `aws.cloudwatch`,
    /// on AWS as here, so the function is invoked with what the rule would have passed.
    EventBridge,
    /// Published to the alarm's topic, from which the stack's own subscription brings it.
    Topic,
    /// A notification of several records, other alarms and repetitions among them. The emulator puts one into
    /// each event, so this one is handed over as a whole.
    Records,
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::EventBridge => "EventBridge",
            Self::Topic => "SNS topic",
            Self::Records => "SNS with several records",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DeliveriesError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the incident cannot be read: {0}")]
    State(#[from] Fault),
    #[error("the deliveries were given up")]
    Ended(#[from] JoinError),
}

/// Deliveries under way.
pub struct Deliveries<'a> {
    up: &'a Up,
    order: Order,
    since: Timestamp,
    ended: watch::Sender<bool>,
    task: JoinHandle<Vec<Delivered>>,
}

impl<'a> Deliveries<'a> {
    /// Begins to deliver the alarm of `since`.
    pub async fn begin(order: Order, up: &'a Up, since: Timestamp) -> Self {
        let door = Door::to(&up.cloud, &up.plan, since).await;
        let (ended, execution) = watch::channel(false);
        let spread = up.plan.tick.as_std() * SPREAD_TICKS;
        println!("delivering the alarm {} times, --seed {}", order.count, order.seed);
        let task = tokio::spawn(deliver_all(door, Schedule::of(order, spread), execution));
        Self { up, order, since, ended, task }
    }

    /// Delivers what was kept back, now that everything has ended, and tells what came of all of it.
    pub async fn end(self, executions: usize) -> Result<Vec<Line>, DeliveriesError> {
        // Nobody listens only if the task is gone, which the next line tells.
        let _ = self.ended.send(true);
        let delivered = self.task.await?;
        let answers = Answers::of(&delivered, &self.up.cloud).await;
        let effects = Effects::of(self.up, self.since).await?;
        Ok(vec![
            accepted(self.order, &delivered),
            answered(self.order, &answers),
            executed(executions, &effects),
            paged(&effects),
        ])
    }
}

// ---- sending ---------------------------------------------------------------------------------

/// What is delivered when.
#[derive(Clone, Debug, PartialEq)]
struct Schedule {
    /// Each burst with the pause before it.
    bursts: Vec<(Duration, Vec<Shape>)>,
    /// Kept back until the end.
    late: Vec<Shape>,
}

impl Schedule {
    fn of(order: Order, spread: Duration) -> Self {
        let mut chance = fastrand::Rng::with_seed(order.seed);
        let turns = [Shape::Direct, Shape::EventBridge, Shape::Topic];
        let again = [Shape::Direct, Shape::EventBridge, Shape::Records];
        let mut left: Vec<_> = turns.into_iter().chain(again).cycle().take(order.count).collect();
        chance.shuffle(&mut left);
        let late = left.split_off(left.len() - left.len() / LATE);
        let mut bursts = Vec::new();
        while !left.is_empty() {
            let size = chance.usize(1..=LARGEST_BURST).min(left.len());
            bursts.push((0.5 + chance.f64(), left.split_off(left.len() - size)));
        }
        // Uneven shares of the spread.
        let whole: f64 = bursts.iter().map(|(share, _)| share).sum();
        let bursts =
            bursts.into_iter().map(|(share, burst)| (spread.mul_f64(share / whole), burst)).collect();
        Self { bursts, late }
    }
}

/// One delivery and what its door said.
struct Delivered {
    shape: Shape,
    taken: Result<Taken, AwsError>,
}

/// What was accepted.
enum Taken {
    /// With the function's answer, or its error.
    Answered(Result<Value, String>),
    /// As this message; the answer is kept by the emulator.
    Published(String),
}

async fn deliver_all(door: Door, schedule: Schedule, mut ended: watch::Receiver<bool>) -> Vec<Delivered> {
    let mut all = Vec::new();
    for (pause, burst) in schedule.bursts {
        // What is left when everything ends early goes out at once.
        let _ = tokio::time::timeout(pause, ended.wait_for(|ended| *ended)).await;
        all.extend(deliver_at_once(&door, burst).await);
    }
    let _ = ended.wait_for(|ended| *ended).await;
    for burst in schedule.late.chunks(LARGEST_BURST) {
        all.extend(deliver_at_once(&door, burst.to_vec()).await);
    }
    all
}

async fn deliver_at_once(door: &Door, burst: Vec<Shape>) -> Vec<Delivered> {
    let mut under_way = JoinSet::new();
    for shape in burst {
        let door = door.clone();
        under_way.spawn(async move { Delivered { shape, taken: door.deliver(shape).await } });
    }
    under_way.join_all().await
}

/// The deployed function and its topic, with the alarm in every shape.
#[derive(Clone)]
struct Door {
    aws: Aws,
    function: String,
    topic: String,
    direct: String,
    event_bridge: String,
    records: String,
    subject: String,
    message: String,
}

impl Door {
    async fn to(cloud: &Cloud, plan: &Plan, at: Timestamp) -> Self {
        let real = |example| as_here(example, &plan.name, &plan.regions.standby.0, at);
        let one = real(include_str!("../../events/alarm-handler/sns-one.json"));
        let notification: Value = serde_json::from_str(&one).unwrap_or_default();
        let text = |field: &str| {
            let found = notification.pointer(&format!("/Records/0/Sns/{field}"));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Self {
            aws: Aws::at(cloud, Place::Standby).await,
            function: handler_of(plan),
            topic: format!("understudy-{}-hints", plan.name),
            direct: real(include_str!("../../events/alarm-handler/direct.json")),
            event_bridge: real(include_str!("../../events/alarm-handler/eventbridge.json")),
            records: real(include_str!("../../events/alarm-handler/sns-many.json")),
            subject: text("Subject"),
            message: text("Message"),
        }
    }

    async fn deliver(&self, shape: Shape) -> Result<Taken, AwsError> {
        let event = match shape {
            Shape::Direct => &self.direct,
            Shape::EventBridge => &self.event_bridge,
            Shape::Records => &self.records,
            Shape::Topic => {
                let sent = self.aws.notify(&self.topic, &self.subject, &self.message).await;
                return sent.map(Taken::Published);
            }
        };
        self.aws.invoke(&self.function, event).await.map(Taken::Answered)
    }
}

fn handler_of(plan: &Plan) -> String {
    format!("understudy-{}-alarm-handler", plan.name)
}

/// An example event with the names, the account and the instant of this cloud. It went to ALARM once: every
/// delivery tells the same instant.
fn as_here(example: &str, plan: &str, region: &str, at: Timestamp) -> String {
    let stamp = |format| jiff::fmt::strtime::format(format, at).unwrap_or_else(|_| at.to_string());
    example
        .replace("financial-rag", plan)
        .replace("us-west-2", region)
        .replace("123456789012", ACCOUNT)
        .replace("2026-11-21T03:15:02.118+0000", &stamp("%Y-%m-%dT%H:%M:%S%.3f+0000"))
        .replace("2026-11-21T03:15:02.164Z", &stamp("%Y-%m-%dT%H:%M:%S%.3fZ"))
        .replace("2026-11-21T03:15:02Z", &stamp("%Y-%m-%dT%H:%M:%SZ"))
}

// ---- what came of it -------------------------------------------------------------------------

/// What the function said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    /// How often it decided what.
    decisions: BTreeMap<String, usize>,
    errors: Vec<String>,
}

impl Answers {
    async fn of(delivered: &[Delivered], cloud: &Cloud) -> Self {
        let mut published = BTreeSet::new();
        let mut answers = Self::default();
        for one in delivered {
            match &one.taken {
                Ok(Taken::Answered(answer)) => answers.add(answer.as_ref().map_err(String::as_str)),
                Ok(Taken::Published(message)) => {
                    published.insert(message.as_str());
                }
                Err(_) => {}
            }
        }
        let deadline = Instant::now() + cloud.scaled(RETRIES);
        let mut kept = notifications(cloud, &published);
        while !published.iter().all(|id| kept.iter().any(|one| !one.failed && one.id == *id))
            && Instant::now() < deadline
        {
            tokio::time::sleep(LOOK_EVERY).await;
            kept = notifications(cloud, &published);
        }
        for one in kept {
            let text = one.answer.to_string();
            answers.add(if one.failed { Err(&text) } else { Ok(&one.answer) });
        }
        answers
    }

    fn add(&mut self, answer: Result<&Value, &str>) {
        match answer {
            Ok(answer) => {
                let decision = answer.pointer("/decision/decision").and_then(Value::as_str);
                *self.decisions.entry(decision.unwrap_or("none").to_owned()).or_default() += 1;
            }
            Err(error) => self.errors.push(error.to_owned()),
        }
    }
}

/// One run of the function on one of our messages, as the emulator keeps it.
struct Notified {
    id: String,
    failed: bool,
    answer: Value,
}

fn notifications(cloud: &Cloud, published: &BTreeSet<&str>) -> Vec<Notified> {
    let lines = logs::json_lines(&cloud.state_dir.join("notifications.jsonl"));
    let ours = |line: Value| {
        let id = line.pointer("/messages/0").and_then(Value::as_str)?.to_owned();
        let failed = line.get("failed").and_then(Value::as_bool)?;
        published.contains(id.as_str()).then(|| Notified {
            id,
            failed,
            answer: line.get("answer").cloned().unwrap_or_default(),
        })
    };
    lines.into_iter().filter_map(ours).collect()
}

/// What the stack did, however often it was asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Effects {
    /// By Step Functions.
    executions: Vec<String>,
    /// By the state table.
    attempts: Vec<String>,
    /// Calls of StartExecution, and how many of them were not told that the name is taken.
    asked: usize,
    started: usize,
    /// What people had to be told, and how often the function told them something.
    matters: BTreeSet<String>,
    pages: usize,
}

impl Effects {
    async fn of(up: &Up, since: Timestamp) -> Result<Self, DeliveriesError> {
        let aws = Aws::at(&up.cloud, Place::Standby).await;
        let executions = aws.executions(&format!("understudy-{}-failover", up.plan.name)).await?;
        let incident = load::<Incident>(&aws.table(&up.plan.name), &keys::incident()).await?;
        let attempts = incident.map(|incident| incident.attempts).unwrap_or_default();
        let calls = logs::calls(&up.cloud, "StartExecution", since);
        let handler = handler_of(&up.plan);
        let returned = returned(&aws.table(&up.plan.name)).await?;
        let answers = logs::answers(&up.cloud, Place::Standby, &handler, since);
        Ok(Self {
            matters: matters(&answers).chain(executions.iter().cloned()).chain(returned).collect(),
            executions,
            attempts: attempts.into_iter().map(|attempt| attempt.execution).collect(),
            asked: calls.len(),
            started: calls.iter().filter(|status| **status == Some(200)).count(),
            pages: logs::permissions_used(&up.cloud, &handler, "sns:Publish", since),
        })
    }
}

/// What people were told of an old primary that its guard found.
async fn returned(table: &Table) -> Result<Vec<String>, DeliveriesError> {
    let Some(returned) = load::<Returned>(table, &keys::returned()).await? else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    for matter in returned.matters() {
        if table.read(&keys::paged(&matter)).await?.is_some() {
            told.push(matter);
        }
    }
    Ok(told)
}

/// What the function's decisions to page were about.
fn matters(answers: &[Value]) -> impl Iterator<Item = String> {
    let about = |answer: &Value| answer.pointer("/decision/dedup").and_then(Value::as_str).map(str::to_owned);
    answers.iter().filter_map(about)
}

// ---- telling ---------------------------------------------------------------------------------

fn accepted(order: Order, delivered: &[Delivered]) -> Line {
    let mut shapes: BTreeMap<Shape, usize> = BTreeMap::new();
    let mut refused = Vec::new();
    for one in delivered {
        match &one.taken {
            Ok(_) => *shapes.entry(one.shape).or_default() += 1,
            Err(error) => refused.push(error.to_string()),
        }
    }
    let shapes = counted(shapes.into_iter().map(|(shape, count)| (shape.name().to_owned(), count)));
    let what = format!("all {} deliveries of the alarm were accepted", order.count);
    let taken = delivered.len().saturating_sub(refused.len());
    line(taken == order.count, &what, with(&shapes, &refused))
}

fn answered(order: Order, answers: &Answers) -> Line {
    let count = answers.decisions.values().sum::<usize>();
    let decisions = counted(answers.decisions.iter().map(|(decision, count)| (decision.clone(), *count)));
    line(
        count == order.count && answers.errors.is_empty(),
        "each was answered without an error of the function",
        with(&format!("{count} answers: {decisions}"), &answers.errors),
    )
}

fn executed(expected: usize, effects: &Effects) -> Line {
    let Effects { executions, attempts, asked, started, .. } = effects;
    let what = match expected {
        0 => "nothing was executed".to_owned(),
        1 => "exactly one execution came of all of them".to_owned(),
        more => format!("exactly {more} executions came of all of them"),
    };
    let told = format!(
        "{} in Step Functions, {} on record, {started} started by {asked} calls",
        executions.len(),
        attempts.len()
    );
    let names = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let same = names(executions) == names(attempts);
    line(same && executions.len() == expected && *started == expected, &what, told)
}

fn paged(effects: &Effects) -> Line {
    let matters = effects.matters.iter().cloned().collect::<Vec<_>>().join(", ");
    line(
        effects.pages <= effects.matters.len(),
        "people were paged no more than once for each matter",
        format!("{} pages: {matters}", effects.pages),
    )
}

fn counted(counts: impl Iterator<Item = (String, usize)>) -> String {
    counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Figures, and below them what went wrong.
fn with(figures: &str, wrong: &[String]) -> String {
    std::iter::once(figures).chain(wrong.iter().map(String::as_str)).collect::<Vec<_>>().join("\n      ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_core::hint::{Delivery, Hint, read};

    const SPREAD: Duration = Duration::from_secs(36);
    const ORDER: Order = Order { count: 100, seed: 7 };

    #[test]
    fn every_shape_tells_of_this_plans_alarm_here() {
        let at: Timestamp = "2026-12-01T10:20:30.456Z".parse().unwrap();
        let examples = [
            (include_str!("../../events/alarm-handler/direct.json"), Delivery::Direct, 1),
            (include_str!("../../events/alarm-handler/eventbridge.json"), Delivery::EventBridge, 1),
            (include_str!("../../events/alarm-handler/sns-one.json"), Delivery::Sns, 1),
            (include_str!("../../events/alarm-handler/sns-many.json"), Delivery::Sns, 2),
        ];
        for (example, by, hints) in examples {
            let event = as_here(example, "shop", "eu-west-1", at);
            for left in ["financial-rag", "us-west-2", "123456789012", "2026-11-21T03:15:02.118"] {
                assert!(!event.contains(left), "{left} is left in {by:?}");
            }
            assert!(event.contains("2026-12-01T10:20:30"), "{by:?}");
            let found = read(&serde_json::from_str(&event).unwrap(), "shop").unwrap().hints;
            let name = "understudy-shop-primary-unhealthy".to_owned();
            assert_eq!(found.len(), hints, "{by:?}");
            assert_eq!(found.first(), Some(&Hint::Alarm { name, delivered_by: by }));
        }
    }

    #[test]
    fn a_schedule_holds_every_delivery_once_and_follows_its_seed() {
        let schedule = Schedule::of(ORDER, SPREAD);
        assert_eq!(schedule, Schedule::of(ORDER, SPREAD));
        assert_ne!(schedule, Schedule::of(Order { seed: 8, ..ORDER }, SPREAD));
        assert_eq!(schedule.late.len(), 10);
        let all: Vec<_> = schedule.bursts.iter().flat_map(|(_, burst)| burst).chain(&schedule.late).collect();
        let of = |shape| all.iter().filter(|one| ***one == shape).count();
        assert_eq!([of(Shape::Direct), of(Shape::EventBridge)], [34, 33]);
        assert_eq!([of(Shape::Topic), of(Shape::Records)], [17, 16]);
        assert!(schedule.bursts.iter().all(|(_, burst)| (1..=LARGEST_BURST).contains(&burst.len())));
        let pauses: Duration = schedule.bursts.iter().map(|(pause, _)| *pause).sum();
        assert!(pauses.abs_diff(SPREAD) < Duration::from_millis(1), "{pauses:?}");
        let one = Schedule::of(Order { count: 1, ..ORDER }, SPREAD);
        assert_eq!((one.bursts.len(), one.late.len()), (1, 0));
    }

    /// What one execution leaves behind.
    fn one() -> Effects {
        let name = "i-20261121t031500z-a1".to_owned();
        Effects {
            executions: vec![name.clone()],
            attempts: vec![name.clone()],
            asked: 6,
            started: 1,
            matters: BTreeSet::from([name]),
            pages: 1,
        }
    }

    #[test]
    fn one_execution_is_one_by_every_account() {
        assert!(executed(1, &one()).holds);
        assert!(!executed(0, &one()).holds);
        assert!(!executed(1, &Effects { started: 2, ..one() }).holds);
        assert!(!executed(1, &Effects { executions: Vec::new(), ..one() }).holds);
        assert!(!executed(1, &Effects { attempts: vec!["another".to_owned()], ..one() }).holds);
        let twice = ["i-20261121t031500z-a1", "i-20261121t031501z-a1"].map(str::to_owned).to_vec();
        let two = Effects { executions: twice.clone(), attempts: twice, started: 2, ..one() };
        assert!(!executed(1, &two).holds);
        assert!(executed(2, &two).holds);
        assert!(executed(0, &Effects::default()).holds);
        assert!(!paged(&Effects { pages: 2, ..one() }).holds);
    }

    #[test]
    fn a_delivery_without_an_answer_and_one_with_an_error_fail() {
        let mut answers = Answers::default();
        for _ in 0..2 {
            answers.add(Ok(&serde_json::json!({"decision": {"decision": "watch", "reason": "…"}})));
        }
        let two = Order { count: 2, seed: 0 };
        assert_eq!(answered(two, &answers).told, "2 answers: watch 2");
        assert!(answered(two, &answers).holds);
        assert!(!answered(Order { count: 3, ..two }, &answers).holds);
        answers.add(Err("Transient"));
        assert!(!answered(two, &answers).holds);
        let published = |taken| Delivered { shape: Shape::Topic, taken };
        let id = || Ok(Taken::Published("1".to_owned()));
        assert!(accepted(two, &[published(id()), published(id())]).holds);
        assert!(!accepted(two, &[published(id())]).holds);
    }
}
