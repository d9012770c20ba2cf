//! Each function's own binary under a thousand events gone wrong: it stays alive, answers each of them with an
//! answer or one of the four errors, and touches nothing before it has understood what it was asked.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::lambda::Lambda;
use support::runtime::Answer;
use support::{FAULTS, FUNCTIONS};
use tokio::task::JoinSet;
use understudy_core::approval;
use understudy_core::call::{self, Call};
use understudy_core::drill;
use understudy_core::guard;
use understudy_core::hint;
use understudy_core::steps::{Step, spec};
use understudy_core::switch;
use understudy_invoke_tests::{Example, Mutation, examples, mutations};

const PLAN: &str = "financial-rag";
const STORE: &str = "metadata";
const SEED: u64 = 32_026;
const EVENTS: usize = 1_000;
/// Events that are understood run into refused connections and the SDK's patience: a few show what follows.
const ACTING: usize = 3;
const BATCH: usize = 50;

/// What the core says must become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    /// Understood: the function goes to work.
    Acts,
    /// Understood, and no reason to do anything.
    Idle,
    /// Understood, and told why not; nothing was touched.
    Declined,
    /// `Invalid`, and nothing was touched.
    Refused,
    /// No JSON that can be read, such as one nested too deeply.
    Unreadable,
}

fn expected(function: &str, text: &str) -> Expected {
    let Ok(event) = serde_json::from_str::<Value>(text) else { return Expected::Unreadable };
    let understood = match function {
        "alarm-handler" => match hint::read(&event, PLAN) {
            Ok(read) if read.hints.is_empty() => return Expected::Idle,
            read => read.is_ok(),
        },
        "approver" => approval::read(&event).is_ok(),
        // The packaged plan is production's: whatever is asked, nothing is touched.
        "drill-runner" if drill::read(&event).is_ok() => return Expected::Declined,
        "drill-runner" => false,
        "primary-guard" => guard::read(&event).is_ok(),
        "switch-status" => switch::read_request(&event).is_ok(),
        "sql-agent" => call::statement(&event).is_ok_and(|statement| statement.store() == STORE),
        _ => call::read(&event).is_ok_and(|call| takes(function, &call)),
    };
    if understood { Expected::Acts } else { Expected::Refused }
}

/// Whether a function is meant to be called so.
fn takes(function: &str, call: &Call) -> bool {
    match call {
        Call::Tick => !matches!(function, "step-runner" | "store-promoter"),
        Call::Task(task) => {
            let owner = spec(task.step).map(|row| row.owner);
            owner == Some(function) && (task.step != Step::Report || task.end.is_some())
        }
        Call::Ended { .. } => function == "report-writer",
    }
}

/// What was sent and what came of it.
#[derive(Default)]
struct Tally {
    sent: BTreeMap<Expected, usize>,
    /// Connections that events which were understood led to.
    connections: usize,
}

impl Tally {
    fn of(&self, expected: Expected) -> usize {
        self.sent.get(&expected).copied().unwrap_or(0)
    }

    fn all(&self) -> usize {
        self.sent.values().sum()
    }

    fn wants(&self, expected: Expected) -> bool {
        expected != Expected::Acts || self.of(Expected::Acts) < ACTING
    }
}

#[tokio::test]
async fn every_function_survives_a_thousand_events_gone_wrong() {
    let Some(binaries) = support::binaries() else { return };
    let mut tests = JoinSet::new();
    for function in FUNCTIONS {
        tests.spawn(torment(function, binaries.clone()));
    }
    while let Some(ended) = tests.join_next().await {
        ended.unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn torment(function: &'static str, binaries: PathBuf) {
    let since = Instant::now();
    let mut lambda = start(function, &binaries).await;
    let mut tally = Tally::default();
    for event in events(function) {
        let expected = expected(function, &event);
        if tally.wants(expected) {
            feed(function, &mut lambda, event, expected, &mut tally).await;
        }
        if tally.all() >= EVENTS {
            break;
        }
    }
    assert!(lambda.ended().is_none(), "{function} did not outlive its events");
    let works = tally.connections > 0 || tally.of(Expected::Declined) > 0;
    assert!(works, "{function} never went to work: the count of connections shows nothing");
    println!(
        "{function:20} {:4} events: {:4} refused, {:4} idle, {:2} unreadable, {} acted ({} connections); {:.1} s",
        tally.all(),
        tally.of(Expected::Refused),
        tally.of(Expected::Idle),
        tally.of(Expected::Unreadable),
        tally.of(Expected::Acts),
        tally.connections,
        since.elapsed().as_secs_f64()
    );
}

async fn start(function: &str, binaries: &Path) -> Lambda {
    Lambda::start(function, binaries).await.unwrap_or_else(|error| panic!("{function}: {error}"))
}

/// The examples as they are, then mutations of all of them in turn, without end.
fn events(function: &'static str) -> impl Iterator<Item = String> {
    let mut own: Vec<Example> = examples().expect("the example events read");
    own.retain(|example| example.function == function);
    assert!(!own.is_empty(), "{function} has no example event");
    let plain: Vec<String> = own.iter().map(|example| example.text.clone()).collect();
    let mutated = (SEED..).flat_map(move |seed| {
        let mutate = |example: &Example| mutations(&example.event, seed, BATCH);
        own.iter().flat_map(mutate).map(|Mutation { text, .. }| text).collect::<Vec<_>>()
    });
    plain.into_iter().chain(mutated)
}

async fn feed(function: &str, lambda: &mut Lambda, event: String, expected: Expected, tally: &mut Tally) {
    let before = lambda.endpoint.count();
    let answer =
        lambda.invoke(event.clone()).await.unwrap_or_else(|why| panic!("{function}: {why}: {event}"));
    let connections = lambda.endpoint.count() - before;
    *tally.sent.entry(expected).or_default() += 1;
    if expected == Expected::Acts {
        tally.connections += connections;
    } else {
        assert_eq!(connections, 0, "{function} acted on what it must not ({expected:?}): {event}");
    }
    let context = || format!("{function}, {expected:?}: {answer:?} to {event}");
    match (&answer, expected) {
        (Answer::Done(answer), Expected::Idle) => assert!(answer["decision"].is_null(), "{}", context()),
        (Answer::Done(answer), Expected::Declined) => {
            let decision = answer.pointer("/decision/decision").and_then(Value::as_str);
            assert_eq!(decision, Some("declined"), "{}", context());
        }
        (Answer::Done(_), Expected::Acts) => {}
        (Answer::Failed { kind, .. }, Expected::Acts) => {
            assert!(FAULTS.contains(&kind.as_str()), "{}", context());
        }
        (Answer::Failed { kind, .. }, Expected::Refused | Expected::Unreadable) => {
            assert_eq!(kind, "Invalid", "{}", context());
        }
        _ => panic!("{}", context()),
    }
}

#[tokio::test]
async fn no_answer_repeats_a_secret() {
    let Some(binaries) = support::binaries() else { return };
    let mut lambda = start("sql-agent", &binaries).await;
    let secret = "9876543210";
    for login in [
        format!("\"{secret}\""),
        secret.to_owned(),
        format!(r#"{{"username":"rag_app","password":{secret}}}"#),
        format!(r#"{{"username":"rag_app","password":["{secret}"]}}"#),
    ] {
        let event = format!(r#"{{"statement":"application_read","store":"metadata","login":{login}}}"#);
        let answer = lambda.invoke(event).await.unwrap_or_else(|why| panic!("{why}"));
        let Answer::Failed { kind, message } = answer else { panic!("{answer:?}") };
        assert_eq!(kind, "Invalid", "{message}");
        assert!(!message.contains(secret), "{message}");
    }
    let log = lambda.log().expect("the log reads");
    assert!(!log.contains(secret), "the log repeats a secret: {log}");
}
