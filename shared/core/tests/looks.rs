//! Looks between two ticks: when they are due, and what a tick sends.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use understudy_core::fault::Fault;
use understudy_core::looks::{Eyes, Unbroken, due};
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{Cell, Cells, Clock, Key, Looks, Written};
use understudy_core::time::Millis;

fn plan() -> Plan {
    read("plan.yaml", include_str!("../../../infra/plans/financial-rag.yaml")).expect("a plan")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("an instant")
}

/// A table, a queue and a clock; each can be away.
#[derive(Default)]
struct World {
    now: RefCell<i64>,
    cells: RefCell<BTreeMap<Key, Cell>>,
    sent: RefCell<Vec<Timestamp>>,
    table_away: RefCell<bool>,
    queue_away: RefCell<bool>,
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        at(*self.now.borrow())
    }
}

impl Cells for World {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        if *self.table_away.borrow() {
            return Err(Fault::transient("the table is away"));
        }
        Ok(self.cells.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let cell = Cell { version: expected.map_or(1, |version| version + 1), body: body.clone() };
        self.cells.borrow_mut().insert(key.clone(), cell);
        Ok(Written::Done)
    }
}

impl Looks for World {
    async fn send(&self, looks: &[(Timestamp, Millis)]) -> Result<(), Fault> {
        if *self.queue_away.borrow() {
            return Err(Fault::transient("the queue is away"));
        }
        self.sent.borrow_mut().extend(looks.iter().map(|(due, _)| *due));
        Ok(())
    }
}

/// What `event` leads to at `now`, as JSON, and the looks that it sent.
fn answered(world: &World, now: i64, event: &Value) -> (Result<Value, Fault>, Vec<Timestamp>) {
    let plan = plan();
    *world.now.borrow_mut() = now;
    let eyes =
        Eyes { plan: &plan, cells: world, clock: world, queue: Some(world), function: "alarm-handler" };
    let inner = async |event: &Value| Ok(json!({ "inner": event }));
    let answer = futures_util::FutureExt::now_or_never(eyes.answer(event, inner)).expect("nothing waits");
    let sent = world.sent.take();
    (answer.map(|answer| serde_json::to_value(answer).unwrap()), sent)
}

fn tick() -> Value {
    json!({"tick": true})
}

fn delivered(due: Timestamp) -> Value {
    let body = json!({ "look": due }).to_string();
    json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": body}]})
}

proptest! {
    /// However ticks come, anywhere in their minutes, and though one in three is lost: no look is sent twice, and none is
    /// left out.
    #[test]
    fn no_gap_and_no_look_twice(places in prop::collection::vec(0..60_i64, 4..30), lost in 0..3_usize) {
        let world = World::default();
        let mut all = Vec::new();
        let ticks: Vec<i64> = places.iter().enumerate()
            .filter(|(minute, _)| minute % 3 != lost)
            .map(|(minute, second)| i64::try_from(minute).unwrap() * 60 + second)
            .collect();
        for now in &ticks {
            let (answer, sent) = answered(&world, *now, &tick());
            prop_assert_eq!(answer.unwrap(), json!({"inner": {"tick": true}}));
            prop_assert!(sent.iter().all(|due| *due > at(*now)));
            all.extend(sent);
        }
        prop_assert!(all.len() > 4);
        for pair in all.windows(2) {
            if let [one, next] = pair {
                prop_assert_eq!(next.as_second() - one.as_second(), 15, "{:?}", ticks);
            }
        }
    }

    #[test]
    fn what_is_due_is_ahead_in_order_and_on_the_grid(now in 0..10_000_i64, sent in prop::option::of(-500..500_i64), every in 1..120_u64) {
        let (now, sent) = (at(now), sent.map(|seconds| at(now + seconds)));
        let horizon = Millis::from_secs(180);
        let all = due(now, sent, Millis::from_secs(every), horizon);
        let end = now.as_second() + 180;
        let ours = |sent: &&Timestamp| sent.as_second() <= end;
        let begin = sent.as_ref().filter(ours).map_or(now.as_second(), |sent| sent.as_second().max(now.as_second()));
        let every = i64::try_from(every).unwrap();
        let wanted: Vec<i64> = (begin + 1..=end).filter(|second| second % every == 0).collect();
        prop_assert_eq!(all.iter().map(|due| due.as_second()).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn a_look_is_answered_as_a_tick_and_sends_nothing() {
    let world = World::default();
    let (answer, sent) = answered(&world, 3, &delivered(at(0)));
    assert_eq!(answer.unwrap(), json!({"inner": {"look": at(0)}}));
    assert!(sent.is_empty());
}

#[test]
fn a_look_that_comes_late_is_none() {
    let world = World::default();
    let (answer, _) = answered(&world, 31, &delivered(at(0)));
    assert_eq!(answer.unwrap(), json!({"late": at(0)}));
    let (answer, _) = answered(&world, 30, &delivered(at(0)));
    assert_eq!(answer.unwrap(), json!({"inner": {"look": at(0)}}));
}

#[test]
fn a_tick_looks_whatever_becomes_of_its_looks() {
    let world = World::default();
    world.queue_away.replace(true);
    let (answer, _) = answered(&world, 0, &tick());
    assert_eq!(answer.unwrap(), json!({"inner": {"tick": true}, "looks_missed": "the queue is away"}));
    // What was not sent is sent by the next one.
    world.queue_away.replace(false);
    let (_, sent) = answered(&world, 60, &tick());
    assert_eq!(sent.len(), 12);
    // And what was sent before is not known while the table is away.
    world.table_away.replace(true);
    let (answer, sent) = answered(&world, 61, &tick());
    assert_eq!(sent.len(), 12);
    assert_eq!(answer.unwrap(), json!({"inner": {"tick": true}}));
}

#[test]
fn what_is_no_look_is_told() {
    let world = World::default();
    for body in ["", "{}", "{\"look\": 7}", "{\"look\": \"2026-11-30T12:00:00Z\", \"more\": 1}"] {
        let event = json!({"Records": [{"eventSource": "aws:sqs", "body": body}]});
        let (answer, _) = answered(&world, 0, &event);
        assert!(matches!(answer, Err(Fault::Invalid(_))), "{body}");
    }
    // An alarm by SNS has records too.
    let alarm = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "{}"}}]});
    let (answer, _) = answered(&world, 0, &alarm);
    assert_eq!(answer.unwrap(), json!({ "inner": alarm }));
}

/// A host whose clock is years ahead sent one: the right ones that follow are counted from afresh.
#[test]
fn a_look_that_is_dated_ahead_proves_nothing_and_keeps_nothing_from_being_proved() {
    let pace = Millis::from_secs(15);
    let ahead = Unbroken { since: at(0), last: at(100_000_000) };
    let plan = plan();
    assert!(!ahead.proved(&plan, at(2_000)), "nothing came that late yet");
    let next = Unbroken::and(Some(&ahead), at(2_010), pace);
    assert_eq!(next, Unbroken { since: at(2_010), last: at(2_010) });
    // Two looks that changed places begin nothing anew.
    let run = Unbroken { since: at(0), last: at(45) };
    assert_eq!(Unbroken::and(Some(&run), at(15), pace), run);
}

#[test]
fn a_look_that_comes_ahead_of_its_time_is_none() {
    let world = World::default();
    let (answer, _) = answered(&world, 0, &delivered(at(60)));
    assert_eq!(answer.unwrap(), json!({ "late": at(60) }));
}

proptest! {
    /// Looks that come late, twice or in another order do not lengthen a run; one that is missing begins it anew.
    #[test]
    fn a_run_of_looks_has_no_gap(grid in prop::collection::vec(0i64..40, 1..60), every in 5i64..30) {
        let pace = Millis::from_secs(every.unsigned_abs());
        let mut run: Option<Unbroken> = None;
        for (n, look) in grid.iter().enumerate() {
            let next = Unbroken::and(run.as_ref(), at(look * every), pace);
            let came = grid.get(..=n).unwrap();
            let (since, last) = (next.since.duration_since(at(0)), next.last.duration_since(at(0)));
            for between in since.as_secs() / every..=last.as_secs() / every {
                prop_assert!(came.contains(&between), "{between} never came: {next:?}");
            }
            prop_assert!(next.last >= at(look * every));
            run = Some(next);
        }
    }
}
