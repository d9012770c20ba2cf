//! Many alarms at once: however their handlers get in each other's way, one execution comes of them, and nobody is
//! told the same thing twice (L5).
//!
//! The simulator answers each call at once, so no two handlers ever meet there. Here every call is a place where
//! another handler may go on; who does is drawn from a seed.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use understudy_core::decide::Decision;
use understudy_core::fault::Fault;
use understudy_core::handler::{Decided, Handled, Handler, answer};
use understudy_core::hint::alarm_prefix;
use understudy_core::incident::{Attempt, Ended, Incident, Start, end_attempt, execution_name, open_attempt};
use understudy_core::journal::{Entry, Journal, Stored};
use understudy_core::keepers::{STANDBY, WITNESS};
use understudy_core::lease::{Lease, Sighting};
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{Cell, Cells, Clock, Executions, Key, Page, Pager, Started, Written};
use understudy_core::run::{End, Kind, Run};
use understudy_core::state::{Change, keys};
use understudy_core::steps::Step;
use understudy_core::time::{Millis, after, before};
use understudy_core::votes::{History, Observer, Onset, Probe, Seen};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Whoever waits here lets the others go on.
async fn give_way() {
    let mut waited = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Both tables, the workflow, the people's topic, and a clock that moves with every look at it.
#[derive(Default)]
struct World {
    cells: RefCell<BTreeMap<Key, Cell>>,
    looks: RefCell<u64>,
    started: RefCell<Vec<String>>,
    pages: RefCell<Vec<Page>>,
    /// Pages that do not get through before one does.
    failing_pages: RefCell<u32>,
    /// Why no execution starts.
    cannot_start: RefCell<Option<Fault>>,
}

impl World {
    fn put(&self, key: Key, body: Value) {
        self.cells.borrow_mut().insert(key, Cell { version: 1, body });
    }

    fn get<T: serde::de::DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let body = self.cells.borrow().get(key).map(|cell| cell.body.clone())?;
        Some(serde_json::from_value(body).expect("it reads"))
    }

    /// A primary that everybody sees down, and whose lease ran out long ago.
    fn down(plan: &Plan) -> Self {
        let world = Self::default();
        let bad = |ago| Probe {
            at: before(NOW, Millis::from_secs(ago)),
            seen: Seen::Down { reason: "timed out".to_owned() },
        };
        let good = Probe { at: before(NOW, Millis::from_secs(310)), seen: Seen::Up };
        let history = History { probes: vec![good, bad(250), bad(190), bad(130), bad(70), bad(10)] };
        for observer in Observer::ALL {
            world.put(keys::votes(observer.name()), json!(history));
        }
        let lease = Lease::granted(1, &plan.regions.primary, true);
        world.put(keys::lease(), json!(lease));
        for keeper in [STANDBY, WITNESS] {
            let seen = Sighting { lease: lease.clone(), first_seen_at: before(NOW, Millis::from_secs(300)) };
            world.put(keys::sighting(keeper), json!(seen));
        }
        world
    }
}

impl Cells for World {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        give_way().await;
        Ok(self.cells.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        give_way().await;
        let mut cells = self.cells.borrow_mut();
        let version = cells.get(key).map(|cell| cell.version);
        if version != expected {
            return Ok(Written::Conflict);
        }
        cells.insert(key.clone(), Cell { version: version.unwrap_or(0) + 1, body: body.clone() });
        Ok(Written::Done)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        *self.looks.borrow_mut() += 1;
        after(NOW, Millis(*self.looks.borrow()))
    }
}

impl Executions for World {
    async fn start(&self, name: &str, _incident: &str) -> Result<Started, Fault> {
        give_way().await;
        if let Some(fault) = self.cannot_start.borrow().clone() {
            return Err(fault);
        }
        if self.started.borrow().iter().any(|known| known == name) {
            return Ok(Started::Already);
        }
        self.started.borrow_mut().push(name.to_owned());
        Ok(Started::Now)
    }
}

impl Pager for World {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        give_way().await;
        let mut failing = self.failing_pages.borrow_mut();
        if *failing > 0 {
            *failing -= 1;
            return Err(Fault::transient("the topic does not answer"));
        }
        self.pages.borrow_mut().push(page.clone());
        Ok(())
    }
}

/// Answers `count` deliveries of one alarm at the same time; `draw` says who goes on next.
fn deliver(
    world: &World,
    plan: &Plan,
    count: usize,
    draw: impl FnMut(usize) -> usize,
) -> Vec<Result<Handled, Fault>> {
    let handler = Handler {
        plan,
        plan_digest: "digest",
        cells: world,
        witness: Some(world),
        clock: world,
        executions: world,
        pager: world,
        writer: "alarm-handler",
    };
    let name = format!("{}primary-unhealthy", alarm_prefix(&plan.name));
    let message = json!({"AlarmName": name, "NewStateValue": "ALARM"}).to_string();
    let event = json!({"Records": [{"Sns": {"Message": message}}]});
    at_once((0..count).map(|_| Box::pin(answer(&handler, &event)) as _).collect(), draw)
}

type Call<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Runs all to their ends, a call of one and then a call of another.
fn at_once<T>(mut under_way: Vec<Call<'_, T>>, mut draw: impl FnMut(usize) -> usize) -> Vec<T> {
    let mut answers = Vec::new();
    while !under_way.is_empty() {
        let next = draw(under_way.len());
        let future = under_way.get_mut(next).expect("one of them");
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            drop(under_way.swap_remove(next));
            answers.push(answer);
        }
    }
    answers
}

/// The same order for the same seed.
fn chance(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |bound| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % bound
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_hundred_alarms_at_once_are_one_execution_and_one_page(seed: u64) {
        let plan = plan();
        let world = World::down(&plan);
        let answers = deliver(&world, &plan, 100, chance(seed));
        for answer in &answers {
            prop_assert!(answer.is_ok(), "{answer:?}");
        }
        let incident: Incident = world.get(&keys::incident()).expect("an incident");
        prop_assert_eq!(incident.attempts.len(), 1);
        let started = world.started.borrow();
        prop_assert_eq!(&*started, &[execution_name(&incident.id, 1)]);
        let pages = world.pages.borrow();
        prop_assert_eq!(pages.len(), 1, "{:?}", pages);
        let execution = execution_name(&incident.id, 1);
        prop_assert!(world.get::<Run>(&keys::run(&execution)).is_some_and(|run| run.started));
        prop_assert!(world.get::<Value>(&keys::journal(&execution).key(2)).is_none(), "accepted once");
        let decided: Decided = world.get(&keys::decision("alarm")).expect("a decision on record");
        let begun = matches!(decided.decision, Decision::Start { .. } | Decision::Running { .. });
        prop_assert!(begun, "{decided:?}");
    }
}

fn journal(world: &World) -> Journal<'_, World, World> {
    Journal {
        cells: world,
        clock: world,
        plan: "rag",
        plan_digest: "d1",
        execution: "i-1-a1",
        writer: "store-promoter",
    }
}

proptest! {
    /// Deliveries of one answer that meet, beside others that write what they have to: it stands once.
    #[test]
    fn what_is_written_once_stands_once_whoever_writes_it(seed: u64) {
        let world = World::default();
        let journal = journal(&world);
        let intent = |what: &str| Entry::Intent { step: Step::Freeze, what: what.to_owned() };
        let mut writers: Vec<Call<'_, bool>> = Vec::new();
        for _ in 0..4 {
            writers.push(Box::pin(async { journal.append_once(intent("once")).await.is_ok() }));
            writers.push(Box::pin(async { journal.append(intent("each")).await.is_ok() }));
        }
        let written = at_once(writers, chance(seed));
        prop_assert!(written.iter().all(|ok| *ok));
        let records = now(journal.records()).expect("a chain");
        let times = |what| records.iter().filter(|record| record.entry == intent(what)).count();
        prop_assert_eq!((times("once"), times("each")), (1, 4));
    }
}

proptest! {
    /// A receipt that meets the way back: it stands before it, or it is not written.
    #[test]
    fn what_is_barred_never_stands_behind_what_bars_it(seed: u64) {
        let world = World::default();
        let journal = journal(&world);
        let intent = |step| Entry::Intent { step, what: "do it".to_owned() };
        let bars = |stored: &Stored| match stored.record()?.entry {
            Entry::Intent { step: Step::GrantBack, .. } => Err(Fault::Fenced("given back".to_owned())),
            _ => Ok(()),
        };
        let mut writers: Vec<Call<'_, Result<(), Fault>>> = Vec::new();
        for _ in 0..2 {
            writers.push(Box::pin(journal.append_once_unless(intent(Step::Fence), bars)));
            writers.push(Box::pin(async { journal.append(intent(Step::Freeze)).await.map(|_| ()) }));
        }
        writers.push(Box::pin(async { journal.append(intent(Step::GrantBack)).await.map(|_| ()) }));
        let written = at_once(writers, chance(seed));
        let records = now(journal.records()).expect("a chain");
        let seq = |step| records.iter().find(|record| record.entry == intent(step)).map(|record| record.seq);
        let (barred, bar) = (seq(Step::Fence), seq(Step::GrantBack));
        prop_assert!(bar.is_some() && barred.is_none_or(|barred| Some(barred) < bar), "{records:?}");
        let refused = written.iter().filter(|one| matches!(one, Err(Fault::Fenced(_)))).count();
        prop_assert_eq!(refused, if barred.is_some() { 0 } else { 2 }, "whoever wrote nothing heard why");
    }
}

/// What nobody gets in the way of.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answer;
        }
    }
}

#[test]
fn a_crowd_in_lockstep_fails_over_no_note() {
    let plan = plan();
    let world = World::down(&plan);
    let mut turn = 0;
    let answers = deliver(&world, &plan, 100, |bound| {
        turn += 1;
        turn % bound
    });
    assert_eq!(answers.iter().find_map(|answer| answer.as_ref().err()), None);
    assert_eq!(world.started.borrow().len(), 1);
    assert_eq!(world.pages.borrow().len(), 1);
}

/// One after the other.
fn in_turn(_: usize) -> usize {
    0
}

#[test]
fn a_page_that_failed_is_tried_again_and_then_not_repeated() {
    let plan = plan();
    let world = World::down(&plan);
    *world.failing_pages.borrow_mut() = 1;
    let failed = deliver(&world, &plan, 1, in_turn);
    assert!(matches!(failed.as_slice(), [Err(Fault::Transient(_))]), "{failed:?}");
    assert_eq!(world.started.borrow().len(), 1, "people are told of it, not asked");
    *world.looks.borrow_mut() += plan.tick.0;
    assert!(deliver(&world, &plan, 3, in_turn).iter().all(Result::is_ok));
    assert_eq!(world.pages.borrow().len(), 1);
    assert_eq!(world.started.borrow().len(), 1);
}

#[test]
fn an_execution_that_cannot_be_started_is_told_of() {
    let plan = plan();
    let pages = |world: &World| -> Vec<String> {
        world.pages.borrow().iter().map(|page| page.text.clone()).collect()
    };
    let refused = World::down(&plan);
    *refused.cannot_start.borrow_mut() = Some(Fault::bug("no such state machine"));
    assert!(deliver(&refused, &plan, 1, in_turn).iter().all(Result::is_err));
    let [page] = pages(&refused).try_into().expect("one page, at once");
    assert!(page.contains("cannot be started") && page.contains("no such state machine"), "{page}");

    // What may come by itself is given until the next tick.
    let slow = World::down(&plan);
    *slow.cannot_start.borrow_mut() = Some(Fault::transient("throttled"));
    assert!(deliver(&slow, &plan, 1, in_turn).iter().all(Result::is_err));
    assert_eq!(pages(&slow), Vec::<String>::new());
    *slow.looks.borrow_mut() += plan.tick.0;
    assert!(deliver(&slow, &plan, 2, in_turn).iter().all(Result::is_err));
    assert_eq!(pages(&slow).len(), 1);
    *slow.cannot_start.borrow_mut() = None;
    assert!(deliver(&slow, &plan, 1, in_turn).iter().all(Result::is_ok));
    assert!(pages(&slow).last().is_some_and(|page| page.contains("has started")), "{:?}", pages(&slow));
}

#[test]
fn a_question_that_nobody_was_told_of_is_told_by_the_next_look() {
    let plan = plan();
    let world = World::down(&plan);
    assert!(deliver(&world, &plan, 1, in_turn).iter().all(Result::is_ok));
    let execution = world.started.borrow().first().cloned().expect("an execution");
    let question = json!({
        "plan": plan.name, "execution": execution, "matter": "approval", "epoch": 2, "shown": "the primary is down",
        "loss_ms": null, "overrides": [], "started_by": null, "approvals": 1, "asked_at": NOW,
        "expires_at": after(NOW, plan.policy.approval_timeout),
    });
    world.put(keys::approval(&execution), json!({"question": question, "token": "t", "answers": []}));
    let asks =
        |world: &World| world.pages.borrow().iter().filter(|page| page.text.contains("Answer until")).count();
    assert!(deliver(&world, &plan, 1, in_turn).iter().all(Result::is_ok));
    assert_eq!(asks(&world), 0, "who asked may be about to tell");
    *world.looks.borrow_mut() += plan.tick.0;
    assert!(deliver(&world, &plan, 3, in_turn).iter().all(Result::is_ok));
    assert_eq!(asks(&world), 1);
}

/// A decision for attempt `number` of `incident`.
fn decided(incident: &str, attempt: u32) -> Start {
    let onset = Some(Onset { last_good: None, first_bad: NOW });
    Start {
        incident: incident.to_owned(),
        attempt,
        kind: Kind::Failover,
        asked: None,
        continues: None,
        onset,
    }
}

/// An incident with one attempt that ended like this.
fn ended(end: End) -> Incident {
    let id = "i-20261121t031500z";
    let execution = execution_name(id, 1);
    let open = Incident {
        id: id.to_owned(),
        onset: decided(id, 1).onset,
        opened_at: NOW,
        attempts: vec![Attempt {
            grounds: None,
            number: 1,
            execution: execution.clone(),
            kind: Kind::Failover,
            asked: None,
            continues: None,
            opened_at: NOW,
            ended: None,
        }],
        closed_at: None,
    };
    let ended =
        Ended { took_nothing: false, at: after(NOW, Millis::from_secs(60)), end, blocking: Vec::new() };
    match end_attempt(Some(&open), &execution, &ended) {
        Ok(Change::Write(incident)) => incident,
        _ => panic!("the attempt runs, so it can end"),
    }
}

#[test]
fn who_decided_before_a_recovery_opens_nothing_after_it() {
    let recovered = ended(End::Recovered);
    // It looked when there was no incident yet, and comes to write when the first one is over.
    let late = open_attempt(Some(&recovered), None, &decided("i-20261121t031501z", 1), NOW);
    assert!(matches!(late, Change::Keep));
    let next = open_attempt(Some(&recovered), Some(&recovered.id), &decided("i-20261122t031501z", 1), NOW);
    assert!(matches!(next, Change::Write(incident) if incident.attempts.len() == 1));
}

#[test]
fn who_decided_on_another_attempt_opens_none_once_the_incident_is_over() {
    let refused = ended(End::Refused);
    let id = refused.id.clone();
    let again = open_attempt(Some(&refused), Some(&id), &decided(&id, 2), NOW);
    assert!(matches!(again, Change::Write(incident) if incident.attempts.len() == 2));
    let over = Incident { closed_at: Some(NOW), ..refused };
    assert!(matches!(open_attempt(Some(&over), Some(&id), &decided(&id, 2), NOW), Change::Keep));
}
