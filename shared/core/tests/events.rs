//! Every example event reads as what it is; and no mutation of one gets past a parser unexplained.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use understudy_core::approval;
use understudy_core::call::{self, Call};
use understudy_core::drill;
use understudy_core::fault::Fault;
use understudy_core::guard;
use understudy_core::hint::{self, Delivery, Hint};
use understudy_core::ports::FenceOrder;
use understudy_core::run::{End, Kind};
use understudy_core::sql::{Secret, Statement};
use understudy_core::steps::{STEPS, Step, Task};
use understudy_core::switch;
use understudy_invoke_tests::{Example, examples, mutations, names_a_field, paths};

const PLAN: &str = "financial-rag";
const EXECUTION: &str = "i-20261121t031500z-a1";
const SEED: u64 = 20_261_121;
const EACH: usize = 1_000;
/// What no message may repeat.
const PASSWORD: &str = "EXAMPLE-password-0123";

const UNHEALTHY: &str = "understudy-financial-rag-primary-unhealthy";
const LOST: &str = "understudy-financial-rag-primary-lost";
const SHARE: &str = "understudy-financial-rag-error-share";
const CHECK: &str = "understudy-financial-rag-health-check";

/// An event of `alarm-handler`: the alarms to look for, and why the rest of it is ignored.
type Alarms = (&'static str, &'static [(&'static str, Delivery)], &'static [&'static str]);

const ALARMS: &[Alarms] = &[
    ("composite", &[(LOST, Delivery::Sns)], &[]),
    ("direct", &[(UNHEALTHY, Delivery::Direct)], &[]),
    ("direct-composite", &[(LOST, Delivery::Direct)], &[]),
    ("eventbridge", &[(UNHEALTHY, Delivery::EventBridge)], &[]),
    ("eventbridge-composite", &[(LOST, Delivery::EventBridge)], &[]),
    ("eventbridge-metric-math", &[(SHARE, Delivery::EventBridge)], &[]),
    ("foreign", &[], &["is not one of this plan"]),
    ("insufficient-data", &[], &["went to INSUFFICIENT_DATA"]),
    ("metric-math", &[(SHARE, Delivery::Sns)], &[]),
    ("ok", &[], &["went to OK"]),
    ("route53", &[(CHECK, Delivery::Sns)], &[]),
    (
        "sns-many",
        &[(UNHEALTHY, Delivery::Sns), (LOST, Delivery::Sns)],
        &["is not one of this plan", "is repeated", "went to OK"],
    ),
    ("sns-one", &[(UNHEALTHY, Delivery::Sns)], &[]),
];

/// What a person may ask of `alarm-handler`.
const REQUESTS: [&str; 3] = ["continue", "start-failover", "start-switchover"];

/// What starts a drill, and who then asks for it.
const DRILLS: [(&str, &str); 2] = [("drill", "sre-lead"), ("tick", "schedule")];

/// The functions that a schedule calls.
const TICKING: &[&str] =
    &["dns-switcher", "preflight-verifier", "primary-guard", "report-writer", "route-prober"];

fn of(function: &str) -> Vec<Example> {
    let all = examples().expect("the example events read");
    all.into_iter().filter(|example| example.function == function).collect()
}

fn names(examples: &[Example]) -> Vec<&str> {
    examples.iter().map(|example| example.name.as_str()).collect()
}

#[test]
fn alarms_read_as_what_they_are() {
    let examples = of("alarm-handler");
    let mut known: Vec<&str> =
        ALARMS.iter().map(|(name, ..)| *name).chain(REQUESTS).chain(["tick"]).collect();
    known.sort_unstable();
    assert_eq!(names(&examples), known);
    for example in examples.iter().filter(|example| !REQUESTS.contains(&example.name.as_str())) {
        let read =
            hint::read(&example.event, PLAN).unwrap_or_else(|fault| panic!("{}: {fault}", example.name));
        let Some((_, hints, ignored)) = ALARMS.iter().find(|(name, ..)| *name == example.name) else {
            assert_eq!(read.hints, [Hint::Tick]);
            continue;
        };
        let hints: Vec<Hint> = hints
            .iter()
            .map(|(name, delivered_by)| Hint::Alarm { name: (*name).to_owned(), delivered_by: *delivered_by })
            .collect();
        assert_eq!(read.hints, hints, "{}", example.name);
        assert_eq!(read.ignored.len(), ignored.len(), "{}", example.name);
        for (told, expected) in read.ignored.iter().zip(*ignored) {
            assert!(told.ends_with(expected), "{}: {told}", example.name);
        }
    }
}

#[test]
fn every_task_of_the_workflow_has_its_event() {
    for row in STEPS.iter().filter(|row| row.owner != "approver") {
        let tasks = of(row.owner).into_iter().filter_map(|example| match call::read(&example.event) {
            Ok(Call::Task(task)) if task.step == row.step => Some(task),
            _ => None,
        });
        let end = (row.step == Step::Report).then_some(End::Recovered);
        let expected = Task { execution: EXECUTION.to_owned(), step: row.step, end, entered: None };
        assert_eq!(tasks.collect::<Vec<_>>(), [expected], "{:?}", row.step);
    }
}

#[test]
fn every_question_has_its_event() {
    for row in STEPS.iter().filter(|row| row.owner == "approver") {
        let asks = of("approver").into_iter().filter_map(|example| match approval::read(&example.event) {
            Ok(approval::Call::Ask { step, .. }) if step == row.step => Some(step),
            _ => None,
        });
        assert_eq!(asks.collect::<Vec<_>>(), [row.step]);
    }
    let answer = of("approver").into_iter().find(|example| example.name == "answer").expect("an answer");
    assert!(matches!(approval::read(&answer.event), Ok(approval::Call::Answer(answer)) if answer.yes));
}

#[test]
fn requests_and_orders_read() {
    for (name, kind) in REQUESTS.into_iter().zip([None, Some(Kind::Failover), Some(Kind::Switchover)]) {
        let example = of("alarm-handler").into_iter().find(|example| example.name == name).expect("an event");
        let read = hint::read(&example.event, PLAN).expect("it reads");
        let asked = match read.hints.as_slice() {
            [Hint::Asked(request)] => Some(request.kind),
            [Hint::Continue { .. }] => None,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(asked, kind, "{name}");
    }
    for (name, by) in DRILLS {
        let example = of("drill-runner").into_iter().find(|example| example.name == name).expect("an event");
        let read = drill::read(&example.event).expect("it reads");
        assert_eq!((read.kind, read.by.as_str()), (Kind::Drill, by));
    }
    let order = of("primary-guard").into_iter().find(|example| example.name == "fence").expect("an order");
    let expected = FenceOrder { execution: EXECUTION.to_owned(), epoch: 8 };
    assert_eq!(guard::read(&order.event), Ok(guard::Asked::Fence(expected)));
}

#[test]
fn a_drill_has_one_door() {
    let start = json!({"start": {"kind": "drill", "by": "sre-1", "why": "a test"}});
    let told =
        "start.kind: must be `failover`, `switchover` or `failback`; a drill is `drill-runner`'s to start";
    assert_eq!(hint::read(&start, PLAN), Err(Fault::invalid(told)));
    for (event, told) in [
        (json!({}), "event: neither the schedule (`tick`) nor a request (`drill`)"),
        (json!({"drill": {"by": "", "why": "x"}}), "drill.by: must be 1 to 255 bytes long"),
        (json!({"drill": {"by": "schedule", "why": "x"}}), "drill.by: `schedule` is the schedule's own name"),
        (json!({"drill": {"by": "a", "why": "x", "plan": "y"}}), "event: has no use for a field `plan`"),
    ] {
        assert_eq!(drill::read(&event), Err(Fault::invalid(told)));
    }
}

#[test]
fn schedules_and_ends_read() {
    for function in TICKING {
        let tick = of(function).into_iter().find(|example| example.name == "tick").expect("a tick");
        assert_eq!(call::read(&tick.event), Ok(Call::Tick), "{function}");
    }
    let ended = of("report-writer").into_iter().find(|example| example.name == "execution-ended");
    let expected = Call::Ended { execution: EXECUTION.to_owned(), status: "ABORTED".to_owned() };
    assert_eq!(call::read(&ended.expect("an event").event), Ok(expected));
}

#[test]
fn only_an_end_that_no_step_reports_closes_an_execution() {
    let example = of("report-writer").into_iter().find(|example| example.name == "execution-ended");
    let mut event = example.expect("an event").event;
    for (status, closes) in [
        ("FAILED", true),
        ("TIMED_OUT", true),
        ("ABORTED", true),
        ("RUNNING", false),
        ("SUCCEEDED", false),
        ("PENDING_REDRIVE", false),
    ] {
        *event.pointer_mut("/detail/status").expect("a status") = json!(status);
        assert_eq!(call::read(&event).is_ok(), closes, "{status}");
    }
}

#[test]
fn names_that_could_mean_something_in_a_key_are_refused() {
    for name in ["", "a/b", "../a", "a b", "a\0", "名前", "a.json", &"a".repeat(81)] {
        let event = json!({"execution": name, "step": "Assess"});
        let told = "execution: must be 1 to 80 letters, digits, `-` or `_`";
        assert_eq!(call::read(&event), Err(Fault::invalid(told)), "{name}");
    }
}

#[test]
fn tasks_name_the_field_that_is_wrong() {
    for (event, told) in [
        (json!({"execution": "a", "step": "Assist"}), "step: must be a step of the workflow"),
        (json!({"execution": "a", "step": "Assess", "wait": 1}), "event: has no use for a field `wait`"),
        (
            json!({"execution": "a", "step": "Report", "end": "Won"}),
            "end: must be the name of an end, or null",
        ),
        (json!({"step": "Assess"}), "execution: must be 1 to 80 letters, digits, `-` or `_`"),
        (
            json!({"execution": "a"}),
            "event: neither a tick (`tick`), a task (`step`) nor a status change (`detail`)",
        ),
    ] {
        assert_eq!(call::read(&event), Err(Fault::invalid(told)));
    }
}

fn statements() -> Vec<(&'static str, Statement)> {
    let store = || "metadata".to_owned();
    let login = || Secret { username: "rag_app".to_owned(), password: PASSWORD.to_owned() };
    let since = "2026-11-21T03:14:58.204117Z".parse().expect("an instant");
    let lease = |epoch, holder: &str, since, valid_ms| Statement::SetLease {
        store: store(),
        epoch,
        holder: holder.to_owned(),
        since,
        valid_ms,
    };
    vec![
        ("application-read", Statement::ApplicationRead { store: store(), login: login() }),
        (
            "application-write",
            Statement::ApplicationWrite { store: store(), login: login(), token: format!("{EXECUTION}-1") },
        ),
        ("fence", Statement::Fence { store: store(), epoch: 8, holder: "us-west-2".to_owned() }),
        ("heartbeat", Statement::Heartbeat { store: store() }),
        ("replica-status", Statement::ReplicaStatus { store: store() }),
        ("set-lease", lease(7, "us-east-1", Some(since), Some(180_000))),
        ("set-lease-without-end", lease(8, "us-west-2", None, None)),
    ]
}

#[test]
fn statements_read_as_they_are_sent() {
    let (examples, expected) = (of("sql-agent"), statements());
    assert_eq!(names(&examples), expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (example, (name, statement)) in examples.iter().zip(expected) {
        assert_eq!(serde_json::to_value(&statement).expect("it writes"), example.event, "{name}");
        assert_eq!(call::statement(&example.event), Ok(statement), "{name}");
    }
}

#[test]
fn a_lease_without_end_must_be_said() {
    let mut event = serde_json::to_value(&statements().pop().expect("a statement").1).expect("it writes");
    event.as_object_mut().expect("an object").remove("valid_ms");
    let told = "valid_ms: must be a whole number or null";
    assert_eq!(call::statement(&event), Err(Fault::invalid(told)));
}

#[test]
fn a_statement_tells_the_field_and_never_what_it_held() {
    let login = |login: Value| json!({"statement": "application_read", "store": "metadata", "login": login});
    for (event, told) in [
        (login(json!(PASSWORD)), "login: must be `username` and `password`, both text"),
        (
            login(json!({"username": "a", "password": 123})),
            "login: must be `username` and `password`, both text",
        ),
        (json!({"statement": PASSWORD}), "statement: must be one of heartbeat, "),
        (json!({"statement": "heartbeat"}), "store: must be text"),
        (
            json!({"statement": "heartbeat", "store": "metadata", "sql": "drop"}),
            "event: has no use for a field `sql`",
        ),
    ] {
        let Err(Fault::Invalid(message)) = call::statement(&event) else { panic!("{event}") };
        assert!(message.starts_with(told), "{message}");
        assert!(!message.contains(PASSWORD) && !message.contains("123"), "{message}");
    }
}

/// What a function's entry parser says of an event. What a service delivers and is no alarm is no fault: it is ignored, with
/// its reason.
fn parse(function: &str, event: &Value) -> Result<(), Fault> {
    match function {
        "alarm-handler" => hint::read(event, PLAN).and_then(|read| {
            let about_an_alarm = |why: &&String| why.starts_with("alarm `");
            match read.ignored.iter().find(|why| !about_an_alarm(why)) {
                Some(why) => Err(Fault::invalid(why)),
                None => Ok(()),
            }
        }),
        "sql-agent" => call::statement(event).map(|_| ()),
        "approver" => approval::read(event).map(|_| ()),
        "drill-runner" => drill::read(event).map(|_| ()),
        "primary-guard" => guard::read(event).map(|_| ()),
        "switch-status" => switch::read_request(event),
        _ => call::read(event).map(|_| ()),
    }
}

#[derive(Default)]
struct Tally {
    mutations: usize,
    ok: usize,
    invalid: usize,
    not_json: usize,
}

impl Tally {
    fn count(&mut self, example: &Example, known: &BTreeSet<String>, text: &str) {
        self.mutations += 1;
        // The runtime refuses it before any function sees it: nested too deep, or a number that no type holds.
        let Ok(event) = serde_json::from_str::<Value>(text) else {
            self.not_json += 1;
            return;
        };
        let told = match parse(&example.function, &event) {
            Ok(()) => {
                self.ok += 1;
                return;
            }
            Err(Fault::Invalid(told)) => told,
            Err(other) => panic!("{}: {other:?}: {text}", example.function),
        };
        let named = names_a_field(&told, known) || names_a_field(&told, &paths(text));
        assert!(named, "`{told}` names no field of {text}");
        // A mutation may move the password to where a name is told; there it is a secret no more.
        assert!(!told.contains(PASSWORD), "{told}");
        self.invalid += 1;
    }
}

#[test]
fn no_mutation_panics_or_goes_unexplained() {
    let mut total = Tally::default();
    for (index, example) in (0..).zip(examples().expect("the example events read")) {
        assert_eq!(parse(&example.function, &example.event), Ok(()), "{}/{}", example.function, example.name);
        let (known, mut tally) = (paths(&example.text), Tally::default());
        for mutation in mutations(&example.event, SEED + index, EACH) {
            tally.count(&example, &known, &mutation.text);
        }
        // Of a request by HTTP hardly anything is read.
        let least = if example.function == "switch-status" { 0 } else { EACH / 20 };
        assert!(tally.invalid > least, "{}/{}: too tame", example.function, example.name);
        println!(
            "{:20} {:24} {:5} mutations, {:4} Ok, {:4} Invalid, {:2} no JSON",
            example.function, example.name, tally.mutations, tally.ok, tally.invalid, tally.not_json
        );
        total.mutations += tally.mutations;
        total.ok += tally.ok;
        total.invalid += tally.invalid;
        total.not_json += tally.not_json;
    }
    println!(
        "all: {} mutations, {} Ok, {} Invalid, {} no JSON",
        total.mutations, total.ok, total.invalid, total.not_json
    );
}

#[test]
fn a_seed_repeats_its_mutations() {
    for example in of("alarm-handler") {
        let (once, again) = (mutations(&example.event, SEED, 50), mutations(&example.event, SEED, 50));
        assert_eq!(once, again, "{}", example.name);
    }
}

/// What stands beside a good alarm never takes it down, and a single one that is none fails nobody.
#[test]
fn what_is_no_alarm_is_ignored_with_its_reason() {
    let good =
        || json!({"Sns": {"Message": json!({"AlarmName": UNHEALTHY, "NewStateValue": "ALARM"}).to_string()}});
    let inside = json!({"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change",
        "detail": {"alarmName": UNHEALTHY, "state": {"value": "ALARM"}}});
    let foreign = json!({"AlarmName": "é".repeat(250), "NewStateValue": "ALARM"});
    let too_long = format!("understudy-{PLAN}-{}", "é".repeat(130));
    for (beside, why) in [
        (
            json!({"Sns": {"Message": "The budget of this month is used up."}}),
            "Records[0].Sns.Message: not JSON",
        ),
        (json!({"Sns": {"Message": inside.to_string()}}), "an event inside a notification"),
        (json!({"eventSource": "aws:sqs", "body": "{}"}), "Records[0].Sns.Message: must be text"),
        (json!({"Sns": {"Message": foreign.to_string()}}), "is not one of this plan"),
        (
            json!({"Sns": {"Message": json!({"AlarmName": too_long, "NewStateValue": "ALARM"}).to_string()}}),
            "longer than 255 bytes",
        ),
        (json!({"Sns": {"Message": "{\"AlarmName\": \"x\"}"}}), "NewStateValue: must be text"),
        (json!(7), "Records[0].Sns.Message: must be text"),
    ] {
        let read = hint::read(&json!({"Records": [beside, good()]}), PLAN).expect("it reads");
        assert_eq!(
            read.hints,
            [Hint::Alarm { name: UNHEALTHY.to_owned(), delivered_by: Delivery::Sns }],
            "{why}"
        );
        assert!(
            matches!(read.ignored.as_slice(), [told] if told.contains(why) && told.len() < 300),
            "{:?}",
            read.ignored
        );
    }
    for (kind, why) in [
        ("CloudWatch Alarm Configuration Change", "detail-type: `CloudWatch Alarm Configuration Change`"),
        (
            "CloudWatch Alarm Contributor State Change",
            "detail-type: `CloudWatch Alarm Contributor State Change`",
        ),
    ] {
        let mut event = inside.clone();
        *event.pointer_mut("/detail-type").expect("a kind") = json!(kind);
        let read = hint::read(&event, PLAN).expect("it reads");
        assert!(read.hints.is_empty() && read.ignored.iter().all(|told| told.contains(why)), "{read:?}");
    }
}

/// Of two plans, of which one's name begins with the other's, each has its own alarms.
#[test]
fn an_alarm_is_of_the_plan_whose_whole_name_it_has() {
    let direct = |name: &str| json!({"source": "aws.cloudwatch", "alarmData": {"alarmName": name, "state": {"value": "ALARM"}}});
    for (name, plan, theirs) in [
        ("understudy-financial-rag-primary-unhealthy", "financial-rag", true),
        ("understudy-financial-rag-primary-unhealthy", "financial", false),
        ("understudy-financial-rag-switch", "financial", false),
        ("understudy-financial-switch", "financial", true),
        ("understudy-financialrag-switch", "financial", false),
        ("understudy-financial-error-share", "financial", true),
    ] {
        let read = hint::read(&direct(name), plan).expect("it reads");
        assert_eq!(read.hints.len(), usize::from(theirs), "{name} {plan}");
        assert_eq!(read.ignored.len(), usize::from(!theirs), "{name} {plan}");
    }
}
