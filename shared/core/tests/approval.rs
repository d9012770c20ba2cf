//! Who may answer, how many must, and when it is settled (L8).

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::{Cell as Counter, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use understudy_core::approval::{Approver, answer, open_question, page, untold_question};
use understudy_core::fault::Fault;
use understudy_core::journal::{Entry, Journal};
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{Cell, Cells, Clock, Key, Page, Pager, Tokens, Written};
use understudy_core::report::cause;
use understudy_core::run::{Confirmation, End};
use understudy_core::state::keys;
use understudy_core::steps::{Outcome, Reply};
use understudy_core::time::{Millis, after};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const EXECUTION: &str = "i-1-a1";

fn plan(approvals: u32, approvers: &[&str]) -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    let mut plan = read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    plan.policy.approvals = approvals;
    plan.policy.approvers = approvers.iter().map(|role| (*role).to_owned()).collect();
    plan
}

/// State, waiting task and topic.
#[derive(Default)]
struct World {
    cells: RefCell<BTreeMap<Key, Cell>>,
    sent: RefCell<Vec<Value>>,
    late: Counter<u64>,
    pages: RefCell<Vec<String>>,
    /// The topic does not answer.
    away: Counter<bool>,
}

impl Cells for World {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        Ok(self.cells.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
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
        after(NOW, Millis(self.late.get()))
    }
}

impl Tokens for World {
    async fn send(&self, _: &str, output: &Value) -> Result<(), Fault> {
        self.sent.borrow_mut().push(output.clone());
        Ok(())
    }
}

impl Pager for World {
    async fn page(&self, page: &Page) -> Result<(), Fault> {
        if self.away.get() {
            return Err(Fault::transient("the topic does not answer"));
        }
        self.pages.borrow_mut().push(page.text.clone());
        Ok(())
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

/// An execution that has just asked.
struct Asked {
    world: World,
    plan: Plan,
}

impl Asked {
    fn of(plan: Plan) -> Self {
        Self::about(plan, &json!([]))
    }

    fn about(plan: Plan, overrides: &Value) -> Self {
        let world = World::default();
        let run = json!({
            "execution": EXECUTION, "incident": "i-1", "attempt": 1, "kind": "failover", "plan_digest": "d1",
            "asked": {"kind": "failover", "by": "sre-lead", "why": "the votes are slow"}, "accepted_at": NOW,
            "started": true, "epoch": 2, "closed": null, "quiet_since": null, "receipt": null, "positions": [],
            "promotion_asked": false, "promoted": {}, "confirmation": Confirmation::default(), "shown": "all is well",
            "stated_loss_ms": null, "overrides": overrides, "approvals_asked": 1, "blocking": [], "looks": {}, "since": {}, "end": null,
        });
        world.cells.borrow_mut().insert(keys::run(EXECUTION), Cell { version: 1, body: run });
        let asked = Self { world, plan };
        asked.call(&json!({"execution": EXECUTION, "step": "AskApproval", "token": "t"})).expect("asked");
        asked
    }

    fn call(&self, event: &Value) -> Result<Reply, Fault> {
        let world = &self.world;
        let approver = Approver {
            plan: &self.plan,
            plan_digest: "d1",
            cells: world,
            clock: world,
            tokens: world,
            pager: world,
        };
        at_once(answer(&approver, event))
    }

    fn say(&self, by: &str, yes: bool) -> Result<Reply, Fault> {
        let key = keys::approval(EXECUTION);
        let question = self.world.cells.borrow().get(&key).expect("a question").body["question"].clone();
        let question: understudy_core::approval::Question =
            serde_json::from_value(question).expect("it reads");
        self.call(
            &json!({"answer": {"execution": EXECUTION, "yes": yes, "by": by, "digest": question.digest()}}),
        )
    }

    fn sent(&self) -> Vec<Value> {
        self.world.sent.borrow().iter().map(|output| output["outcome"].clone()).collect()
    }

    fn is_open(&self) -> bool {
        at_once(open_question(&self.world, EXECUTION)).expect("it reads").is_some()
    }

    fn entries(&self) -> Vec<understudy_core::journal::Record> {
        let journal = Journal {
            cells: &self.world,
            clock: &self.world,
            plan: "financial-rag",
            plan_digest: "d1",
            execution: EXECUTION,
            writer: "test",
        };
        at_once(journal.records()).expect("it reads")
    }
}

#[test]
fn one_yes_is_enough_where_the_plan_says_no_more() {
    let asked = Asked::of(plan(1, &[]));
    assert_eq!(asked.say("duty-manager", true).map(|reply| reply.outcome), Ok(Outcome::Approved));
    assert_eq!(asked.sent(), ["approved"]);
    assert!(!asked.is_open());
}

#[test]
fn two_different_people_must_say_yes_where_the_plan_says_two() {
    let asked = Asked::of(plan(2, &["cto", "cro", "sre-lead"]));
    let page = asked.world.pages.borrow().concat();
    assert!(page.contains("2 different people must say yes, heard are cto, cro, sre-lead"), "{page}");
    assert_eq!(asked.say("cto", true).map(|reply| reply.outcome), Ok(Outcome::Done));
    assert!(asked.sent().is_empty() && asked.is_open(), "one of two is nothing yet");
    assert_eq!(
        asked.say("cto", true).map(|reply| reply.outcome),
        Ok(Outcome::Done),
        "said twice is said once"
    );
    assert!(asked.sent().is_empty());
    for stranger in ["duty-manager", "sre-lead", " "] {
        assert!(asked.say(stranger, true).is_err(), "`{stranger}` may not");
    }
    let settled = asked.say("cro", true).expect("the second");
    assert_eq!((settled.outcome, settled.detail.as_str()), (Outcome::Approved, "yes by cto and cro"));
    assert_eq!(asked.sent(), ["approved"]);
    let answers = asked.entries().into_iter().filter(|record| matches!(record.entry, Entry::Answered { .. }));
    assert_eq!(answers.count(), 2, "each answer stands on record once");
}

#[test]
fn one_no_is_a_no_whoever_said_yes() {
    let asked = Asked::of(plan(3, &[]));
    asked.say("cto", true).expect("a yes");
    asked.say("cro", true).expect("a yes");
    assert_eq!(asked.say("cfo", false).map(|reply| reply.outcome), Ok(Outcome::Refused));
    assert!(asked.say("ceo", true).is_err(), "it is settled");
    assert_eq!(asked.sent(), ["refused"]);
}

#[test]
fn who_said_yes_may_still_say_no_until_it_is_settled() {
    let asked = Asked::of(plan(2, &[]));
    asked.say("cto", true).expect("a yes");
    assert_eq!(asked.say("cto", false).map(|reply| reply.outcome), Ok(Outcome::Refused));
    let asked = Asked::of(plan(1, &[]));
    asked.say("cto", true).expect("a yes");
    assert!(asked.say("cto", false).is_err(), "too late");
}

#[test]
fn too_few_answers_in_time_are_a_no() {
    let asked = Asked::of(plan(2, &[]));
    asked.say("cto", true).expect("a yes");
    asked.world.late.set(asked.plan.policy.approval_timeout.0 + 1);
    assert!(asked.say("cro", true).is_err(), "silence was a no");
    let told = cause(&asked.entries(), End::Refused);
    assert!(told.starts_with("1 of 2 said yes until"), "{told}");
}

/// A yes is to the overrides that were shown, and comes from somebody else than who gave them.
#[test]
fn who_overrides_a_check_does_not_approve_what_it_lets_through() {
    let overrides = json!([{
        "check": "PF-04:metadata", "by": "cro", "why": "all that is left", "given_at": NOW,
        "until": after(NOW, Millis::from_secs(3600)),
    }]);
    let asked = Asked::about(plan(1, &[]), &overrides);
    let refused = asked.say("cro", true).expect_err("refused").to_string();
    assert!(refused.contains("who overrides a check may not approve"), "{refused}");
    let plain = Asked::of(plan(1, &[]));
    let digest = |asked: &Asked| {
        at_once(open_question(&asked.world, EXECUTION)).expect("it reads").expect("a question").digest()
    };
    assert_ne!(digest(&asked), digest(&plain), "an answer is bound to the overrides");
    assert_eq!(asked.say("cto", true).map(|reply| reply.outcome), Ok(Outcome::Approved));
}

/// The workflow lost the answer of the first asking and asks again, while that one still goes on.
#[test]
fn a_question_that_comes_late_replaces_no_newer_one() {
    let asking = |token: &str| json!({"execution": EXECUTION, "step": "AskApproval", "token": token});
    let asked = Asked::of(plan(1, &[]));
    let first = asked.world.late.get();
    asked.world.late.set(first + 5_000);
    asked.call(&asking("second")).expect("asked again");
    assert_eq!(asked.world.pages.borrow().len(), 2);
    // Delivered once more, however late; and one that began before the second and comes behind it.
    for (token, begun) in [("t", first + 1_800_000), ("third", first + 2_000)] {
        asked.world.late.set(begun);
        let late = asked.call(&asking(token)).expect("answered").detail;
        assert_eq!(late, "a newer question stands", "{token}");
    }
    assert_eq!(asked.world.pages.borrow().len(), 2, "people are not asked what nobody waits for");
    asked.world.late.set(first + 6_000);
    assert_eq!(asked.say("cto", true).map(|reply| reply.outcome), Ok(Outcome::Approved));
    // Once it is settled the next question is a new one.
    asked.world.late.set(first + 7_000);
    assert!(asked.call(&asking("fourth")).expect("asked").detail.starts_with("asked"));
}

/// Who took the first of two answers was killed before it stood on record: the second brings it along.
#[test]
fn an_answer_that_was_taken_and_not_recorded_is_recorded_with_the_next() {
    let asked = Asked::of(plan(2, &[]));
    let journal: Vec<Key> =
        asked.world.cells.borrow().keys().filter(|key| key.kind == "journal").cloned().collect();
    let before: Vec<_> =
        journal.iter().map(|key| (key.clone(), asked.world.cells.borrow()[key].clone())).collect();
    asked.say("cto", true).expect("a yes");
    let mut cells = asked.world.cells.borrow_mut();
    cells.retain(|key, _| key.kind != "journal");
    cells.extend(before);
    drop(cells);
    assert_eq!(asked.say("cro", true).map(|reply| reply.outcome), Ok(Outcome::Approved));
    let entries = asked.entries().into_iter();
    let who: Vec<String> = entries
        .filter_map(|record| match record.entry {
            Entry::Answered { by, .. } => Some(by),
            _ => None,
        })
        .collect();
    assert_eq!(who, ["cto", "cro"]);
}

/// Four eyes are four also where somebody types a capital or a blank.
#[test]
fn one_person_is_one_however_the_name_is_typed() {
    let asked = Asked::of(plan(2, &["cto", "cro"]));
    assert_eq!(asked.say("cto", true).map(|reply| reply.outcome), Ok(Outcome::Done));
    for again in ["cto ", "CTO", " Cto"] {
        let refused = asked.say(again, true).expect_err(again).to_string();
        assert!(refused.contains("answered before"), "{again}: {refused}");
    }
    assert_eq!(
        asked.say("Cro", true).map(|reply| reply.outcome),
        Ok(Outcome::Approved),
        "the plan hears the role"
    );
}

/// Another version of this code put the question there, and would make another digest of it.
#[test]
fn an_answer_is_bound_to_the_digest_that_was_shown() {
    let asked = Asked::of(plan(1, &[]));
    let key = keys::approval(EXECUTION);
    let told = "f".repeat(64);
    asked.world.cells.borrow_mut().get_mut(&key).expect("a question").body["digest"] = json!(told);
    let shown = at_once(open_question(&asked.world, EXECUTION)).expect("it reads").expect("a question");
    assert_eq!(shown.digest(), told);
    let answer = json!({"answer": {"execution": EXECUTION, "yes": true, "by": "cto", "digest": told}});
    assert_eq!(asked.call(&answer).map(|reply| reply.outcome), Ok(Outcome::Approved));
}

/// The topic is away: the question stands, can be answered, and is not asked anew; the handler's tick tells it.
#[test]
fn a_question_whose_page_is_lost_stands_and_is_told_later() {
    let asked = Asked::of(plan(1, &[]));
    let untold = |after_ms: u64| {
        let now = after(NOW, Millis(after_ms));
        at_once(untold_question(&asked.world, EXECUTION, Millis(30_000), now)).expect("it reads")
    };
    assert_eq!(untold(40_000), None, "people were told");
    asked.world.away.set(true);
    asked.world.late.set(60_000);
    let asking = json!({"execution": EXECUTION, "step": "AskApproval", "token": "second"});
    let detail = asked.call(&asking).expect("it is asked all the same").detail;
    assert!(detail.contains("people are told late"), "{detail}");
    assert_eq!(untold(80_000), None, "who asked may be about to tell");
    let question = untold(100_000).expect("nobody was told");
    assert!(page(&asked.plan, "i-1", &question).text.contains(&question.digest()));
    assert_eq!(untold(60_001 + asked.plan.policy.approval_timeout.0), None, "too late to answer");
    assert_eq!(asked.say("cto", true).map(|reply| reply.outcome), Ok(Outcome::Approved));
    assert_eq!(untold(100_000), None, "it is settled");
}
