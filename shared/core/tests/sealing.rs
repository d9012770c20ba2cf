//! The end of an execution, broken off anywhere: one report, one signature, people told; whatever is away or meets.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::{Cell as Counter, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use understudy_core::fault::Fault;
use understudy_core::handler::OpenRuns;
use understudy_core::incident::{Attempt, Incident};
use understudy_core::journal::{Entry, Journal, Stored, sha256_hex};
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{
    Cell, Cells, Clock, Evidence, Key, Page, Pager, Severity, Signature, Signer, Written,
};
use understudy_core::report::{Attestation, Report};
use understudy_core::run::{End, Kind, Run};
use understudy_core::state::keys;
use understudy_core::steps::Reply;
use understudy_core::steps::close::{Writer, answer, key_beside, page_key, record_key, report_key};
use understudy_core::time::{Millis, after};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const EXECUTION: &str = "i-1-a1";

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

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No effect.
    Away,
    /// The effect, and no reply.
    LostReply,
}

/// State, bucket, topic and key of one Region, with a clock that people move.
#[derive(Default)]
struct World {
    cells: RefCell<BTreeMap<Key, Cell>>,
    objects: RefCell<BTreeMap<String, Vec<u8>>>,
    pages: RefCell<Vec<Page>>,
    signed: Counter<u64>,
    now: Counter<u64>,
    calls: Counter<u64>,
    /// By the number of the call.
    troubles: RefCell<BTreeMap<u64, Trouble>>,
    key_is_away: Counter<bool>,
    pages_fail: Counter<bool>,
}

impl World {
    /// Passes one call to the world; true when its reply is lost.
    async fn call(&self) -> Result<bool, Fault> {
        give_way().await;
        self.calls.set(self.calls.get() + 1);
        match self.troubles.borrow().get(&self.calls.get()) {
            Some(Trouble::Away) => Err(Fault::transient("away")),
            Some(Trouble::LostReply) => Ok(true),
            None => Ok(false),
        }
    }

    fn reply<T>(lost: bool, value: T) -> Result<T, Fault> {
        if lost { Err(Fault::transient("the reply was lost")) } else { Ok(value) }
    }

    fn put(&self, key: Key, body: Value) {
        self.cells.borrow_mut().insert(key, Cell { version: 1, body });
    }

    fn wait(&self, span: Millis) {
        self.now.set(self.now.get() + span.0);
    }

    fn report(&self, plan: &Plan) -> Option<Report> {
        let objects = self.objects.borrow();
        let bytes = objects.get(&report_key(&plan.name, EXECUTION))?;
        Some(serde_json::from_slice(bytes).expect("a report"))
    }

    fn is_open(&self) -> bool {
        let cell = self.cells.borrow().get(&keys::open_runs()).map(|cell| cell.body.clone());
        let open: OpenRuns =
            cell.map(|body| serde_json::from_value(body).expect("a list")).unwrap_or_default();
        !open.executions.is_empty()
    }
}

impl Cells for World {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        let lost = self.call().await?;
        Self::reply(lost, self.cells.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let lost = self.call().await?;
        let mut cells = self.cells.borrow_mut();
        let version = cells.get(key).map(|cell| cell.version);
        if version != expected {
            return Self::reply(lost, Written::Conflict);
        }
        cells.insert(key.clone(), Cell { version: version.unwrap_or(0) + 1, body: body.clone() });
        Self::reply(lost, Written::Done)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.set(self.now.get() + 1);
        after(NOW, Millis(self.now.get()))
    }
}

impl Evidence for World {
    async fn put_once(&self, key: &str, bytes: &[u8], _: &str) -> Result<Written, Fault> {
        let lost = self.call().await?;
        let mut objects = self.objects.borrow_mut();
        let there = objects.entry(key.to_owned()).or_insert_with(|| bytes.to_vec());
        let same = there.as_slice() == bytes;
        Self::reply(lost, if same { Written::Done } else { Written::Conflict })
    }
}

impl Pager for World {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        let lost = self.call().await?;
        if self.pages_fail.get() {
            return Err(Fault::transient("the topic does not answer"));
        }
        self.pages.borrow_mut().push(page.clone());
        Self::reply(lost, ())
    }
}

/// No two signatures are alike, as with ECDSA.
impl Signer for World {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Signature, Fault> {
        let lost = self.call().await?;
        if self.key_is_away.get() {
            return Err(Fault::transient("the key cannot be reached"));
        }
        self.signed.set(self.signed.get() + 1);
        let bytes = [digest.as_slice(), &self.signed.get().to_be_bytes()].concat();
        Self::reply(
            lost,
            Signature { key: "arn:key".to_owned(), algorithm: "ECDSA_SHA_256".to_owned(), bytes },
        )
    }
}

fn run() -> Run {
    Run { plan_digest: "d1".to_owned(), started: true, ..Run::first(EXECUTION, "i-1", Kind::Failover, NOW) }
}

/// An execution that was accepted and then did nothing.
fn begun(plan: &Plan) -> World {
    let world = World::default();
    let attempt = Attempt {
        number: 1,
        execution: EXECUTION.to_owned(),
        kind: Kind::Failover,
        asked: None,
        continues: None,
        opened_at: NOW,
        grounds: None,
        ended: None,
    };
    let incident = Incident {
        id: "i-1".to_owned(),
        onset: None,
        opened_at: NOW,
        attempts: vec![attempt],
        closed_at: None,
    };
    world.put(keys::incident(), json!(incident));
    world.put(keys::run(EXECUTION), json!(run()));
    world.put(keys::open_runs(), json!(OpenRuns { executions: vec![EXECUTION.to_owned()] }));
    let journal = Journal {
        cells: &world,
        clock: &world,
        plan: &plan.name,
        plan_digest: "d1",
        execution: EXECUTION,
        writer: "alarm-handler",
    };
    let accepted = Entry::Accepted {
        incident: "i-1".to_owned(),
        attempt: 1,
        kind: Kind::Failover,
        asked: false,
        continues: None,
        accepted_at: NOW,
        hint: "tick".to_owned(),
        onset: None,
        votes: Vec::new(),
        keepers: Vec::new(),
    };
    at_once(journal.append_first(accepted)).expect("a first record");
    world.calls.set(0);
    world
}

fn writer<'a>(
    world: &'a World,
    plan: &'a Plan,
    signs: bool,
) -> Writer<'a, World, World, World, World, World> {
    Writer {
        plan,
        plan_digest: "d1",
        cells: world,
        clock: world,
        evidence: world,
        pager: world,
        signer: signs.then_some(world),
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn ending() -> Value {
    json!({"source": "aws.states", "detail-type": "Step Functions Execution Status Change",
           "detail": {"name": EXECUTION, "status": "FAILED"}})
}

fn close(world: &World, plan: &Plan) -> Result<Reply, Fault> {
    at_once(answer(&writer(world, plan, true), &ending()))
}

/// The next tick.
fn tick(world: &World, plan: &Plan) -> Result<Reply, Fault> {
    world.wait(plan.tick);
    at_once(answer(&writer(world, plan, true), &json!({"tick": true})))
}

/// One signature of the head that the report names, over the bytes that lie in the bucket; told, and off the list.
fn assert_whole(world: &World, plan: &Plan) {
    let report = world.report(plan).expect("a report");
    let objects = world.objects.borrow();
    let last =
        objects.get(&record_key(&plan.name, EXECUTION, report.journal.records)).expect("a last record");
    assert_eq!(sha256_hex(last), report.journal.head_sha256);
    assert!(matches!(report.attestation, Attestation::Signed { .. }), "{:?}", report.attestation);
    let page = objects.get(&page_key(&plan.name, EXECUTION)).expect("a page");
    let page = String::from_utf8_lossy(page);
    let Attestation::Signed { signature, .. } = &report.attestation else { panic!("not signed") };
    assert!(page.contains(signature.as_str()), "page and report show one signature");
    assert!(!world.is_open(), "off the list");
    let told: BTreeSet<String> = world.pages.borrow().iter().map(|page| page.dedup.clone()).collect();
    assert_eq!(told, BTreeSet::from([format!("{EXECUTION}-end")]));
}

#[test]
fn an_end_that_is_delivered_twice_is_signed_and_told_once() {
    let plan = plan();
    let world = begun(&plan);
    let told = close(&world, &plan).expect("an end").detail;
    assert_eq!(told, format!("{}; sealed", End::Unfinished));
    let first = world.objects.borrow().clone();
    world.calls.set(0);
    close(&world, &plan).expect("the same end");
    assert_eq!(world.calls.get(), 2, "the run and the list say that nothing is left to do");
    tick(&world, &plan).expect("nothing left to do");
    assert_eq!(*world.objects.borrow(), first);
    assert_eq!((world.signed.get(), world.pages.borrow().len()), (1, 1));
    assert_whole(&world, &plan);
}

#[test]
fn without_a_key_the_report_says_so_for_good() {
    let plan = plan();
    let world = begun(&plan);
    at_once(answer(&writer(&world, &plan, false), &ending())).expect("an end");
    let report = world.report(&plan).expect("a report");
    assert_eq!((report.attestation, world.signed.get()), (Attestation::SelfAttested, 0));
    // A key that comes later changes nothing of what was written.
    let told = close(&world, &plan).expect("an end").detail;
    assert_eq!(told, format!("{}; sealed", End::Unfinished));
    assert_eq!(world.signed.get(), 0);
}

#[test]
fn a_key_out_of_reach_makes_the_report_late_and_nothing_else() {
    let plan = plan();
    let world = begun(&plan);
    world.key_is_away.set(true);
    let told = close(&world, &plan).expect("an end, whoever signs").detail;
    assert!(told.contains("sealing is late"), "{told}");
    assert_eq!(world.pages.borrow().len(), 1, "people are told without it");
    assert!(world.report(&plan).is_none() && world.is_open());
    assert!(
        world.objects.borrow().contains_key(&record_key(&plan.name, EXECUTION, 2)),
        "records do not wait"
    );
    assert!(tick(&world, &plan).is_err(), "it is still away");
    world.key_is_away.set(false);
    tick(&world, &plan).expect("it is back");
    assert_eq!((world.signed.get(), world.pages.borrow().len()), (1, 1));
    assert_whole(&world, &plan);
}

#[test]
fn a_page_that_fails_is_made_up_for() {
    let plan = plan();
    let world = begun(&plan);
    world.pages_fail.set(true);
    assert!(close(&world, &plan).is_err());
    world.pages_fail.set(false);
    // Delivered again at once: the claim may still be somebody's who is about to page.
    close(&world, &plan).expect("an end");
    assert!(world.pages.borrow().is_empty() && world.is_open());
    tick(&world, &plan).expect("a tick later nobody did");
    assert_eq!(world.pages.borrow().len(), 1);
    assert_whole(&world, &plan);
}

#[test]
fn an_attestation_of_another_head_is_not_rendered() {
    let plan = plan();
    let world = begun(&plan);
    let other = json!({"head_sha256": "00", "attestation": "self_attested"});
    world.put(keys::attestation(EXECUTION), other);
    let told = close(&world, &plan).expect("an end").detail;
    assert!(told.contains("is of the head 00"), "{told}");
    assert!(world.report(&plan).is_none() && world.is_open());
}

/// Whichever call fails, or whose reply is lost, in the first delivery: ticks make it whole, and what was once
/// rendered stays.
#[test]
fn every_call_may_fail() {
    let plan = plan();
    let undisturbed = begun(&plan);
    close(&undisturbed, &plan).expect("an end");
    for call in 1..=undisturbed.calls.get() {
        for trouble in [Trouble::Away, Trouble::LostReply] {
            let world = begun(&plan);
            world.troubles.borrow_mut().insert(call, trouble);
            if close(&world, &plan).is_err() {
                // What Lambda does with an event that found its function failing.
                world.wait(plan.tick);
                close(&world, &plan).unwrap_or_else(|fault| panic!("{call} {trouble:?}: {fault}"));
            }
            let rendered = world.objects.borrow().get(&report_key(&plan.name, EXECUTION)).cloned();
            for _ in 0..2 {
                tick(&world, &plan).unwrap_or_else(|fault| panic!("{call} {trouble:?}: {fault}"));
            }
            assert_whole(&world, &plan);
            let stands = world.objects.borrow().get(&report_key(&plan.name, EXECUTION)).cloned();
            assert!(rendered.is_none() || rendered == stands, "{call} {trouble:?}: rendered once");
        }
    }
}

type Delivery<'a> = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + 'a>>;

/// Lets all of them go on in turns that `draw` says.
fn together(
    mut under_way: Vec<Delivery<'_>>,
    mut draw: impl FnMut(usize) -> usize,
) -> Vec<Result<Reply, Fault>> {
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
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn closings_and_ticks_that_meet_render_one_report_and_page_once(seed: u64) {
        let plan = plan();
        let world = begun(&plan);
        let writer = writer(&world, &plan, true);
        let (ending, ticking) = (ending(), json!({"tick": true}));
        let events = [&ending, &ticking, &ending, &ticking];
        let under_way = events.iter().map(|event| Box::pin(answer(&writer, event)) as _).collect();
        for answer in together(under_way, chance(seed)) {
            let told = answer.map(|reply| reply.detail);
            // Two that close at once: the later one finds the journal closed, and Lambda delivers it again.
            let fine = match &told {
                Ok(detail) => !detail.contains("late"),
                Err(fault) => matches!(fault, Fault::Fenced(_)),
            };
            prop_assert!(fine, "{told:?}");
        }
        tick(&world, &plan).expect("whatever was left");
        prop_assert_eq!(world.pages.borrow().len(), 1);
        assert_whole(&world, &plan);
    }
}

#[test]
fn a_chain_that_is_not_whole_is_told_and_neither_signed_nor_sealed() {
    let plan = plan();
    let world = begun(&plan);
    let key = keys::journal(EXECUTION).key(1);
    let body = world.cells.borrow().get(&key).map(|cell| cell.body.clone()).expect("a record");
    let stored: Stored = serde_json::from_value(body).expect("a record");
    let changed = stored.bytes().replace("\"tick\"", "\"alarm\"");
    world.put(key, json!(Stored::new(changed, stored.sha256().to_owned())));
    for _ in 0..2 {
        let told = close(&world, &plan).expect("it ends").detail;
        assert!(told.contains("not sealed: nothing that is to be relied on is on record"), "{told}");
    }
    assert_eq!(world.signed.get(), 0);
    assert!(world.is_open() && world.objects.borrow().is_empty(), "until it is mended");
    let pages = world.pages.borrow();
    assert_eq!(pages.len(), 1);
    assert!(
        pages.iter().all(|page| page.severity == Severity::Critical && page.text.contains("was changed"))
    );
}

/// Whoever may put to the bucket may take a name before it is ours; what is sealed lies beside then, and people are told once.
#[test]
fn bytes_that_were_planted_under_a_name_to_come_keep_nothing_from_being_sealed() {
    let plan = plan();
    let world = begun(&plan);
    let planted = [record_key(&plan.name, EXECUTION, 1), report_key(&plan.name, EXECUTION)];
    for key in &planted {
        world.objects.borrow_mut().insert(key.clone(), b"planted".to_vec());
    }
    let told = close(&world, &plan).expect("an end").detail;
    assert_eq!(told, format!("{}; sealed", End::Unfinished));
    assert!(!world.is_open(), "off the list");
    let objects = world.objects.borrow();
    for key in &planted {
        assert_eq!(
            objects.get(key).map(Vec::as_slice),
            Some(b"planted".as_slice()),
            "kept for who looks into it"
        );
        let beside = objects.iter().find(|(other, bytes)| **other == key_beside(key, bytes));
        assert!(beside.is_some(), "nothing beside {key}: {:?}", objects.keys());
    }
    let pages = world.pages.borrow();
    let evidence = pages.iter().filter(|page| page.text.contains("EVIDENCE"));
    assert_eq!(evidence.count(), planted.len());
}

/// Whoever claimed the page may have been killed behind it: until it was told, the run stays on the list.
#[test]
fn other_bytes_are_told_though_whoever_was_about_to_was_killed() {
    let plan = plan();
    let world = begun(&plan);
    let key = record_key(&plan.name, EXECUTION, 1);
    world.put(keys::paged(&format!("other-bytes-{key}")), json!({"at": NOW, "out": false}));
    world.objects.borrow_mut().insert(key, b"planted".to_vec());
    close(&world, &plan).expect("an end, and sealing is late");
    assert!(world.is_open(), "the claim of a moment ago is somebody else's");
    tick(&world, &plan).expect("the next tick");
    assert!(!world.is_open());
    let pages = world.pages.borrow();
    assert_eq!(pages.iter().filter(|page| page.text.contains("EVIDENCE")).count(), 1);
}
