//! The one-way door and the way back exclude each other, and a freeze that was taken back stays so, whichever delayed
//! delivery comes last (L2, L6).

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use understudy_core::fault::Fault;
use understudy_core::plan::{Plan, read};
use understudy_core::ports::{Cell, Cells, Clock, Http, HttpAnswer, Key, Written};
use understudy_core::run::Run;
use understudy_core::state::{Flag, keys};
use understudy_core::steps::{Context, Reply, Step, runner};
use understudy_core::time::Millis;

#[derive(Default)]
struct Table(RefCell<BTreeMap<Key, Cell>>);

impl Cells for Table {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        Ok(self.0.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let mut cells = self.0.borrow_mut();
        let version = cells.get(key).map(|cell| cell.version);
        if version != expected {
            return Ok(Written::Conflict);
        }
        cells.insert(key.clone(), Cell { version: version.unwrap_or(0) + 1, body: body.clone() });
        Ok(Written::Done)
    }
}

fn table() -> Table {
    let table = Table::default();
    let run = json!({
        "execution": "i-1-a1", "incident": "i-1", "attempt": 1, "kind": "failover", "plan_digest": "d", "asked": null,
        "accepted_at": Timestamp::UNIX_EPOCH, "started": true, "epoch": 2, "closed": null, "quiet_since": null,
        "receipt": null, "positions": [], "promotion_asked": false, "promoted": {},
        "confirmation": {"last_bad": null, "first_good": null, "probes": 0}, "shown": "", "stated_loss_ms": null,
        "approvals_asked": 0, "blocking": [], "looks": {}, "since": {}, "end": null,
    });
    table.0.borrow_mut().insert(keys::run("i-1-a1"), Cell { version: 1, body: run });
    table
}

fn promotes(table: &Table) -> Result<(), Fault> {
    Run::ask_promotion(table, "i-1-a1").now_or_never().expect("it answers at once")
}

fn goes_back(table: &Table) -> Result<(), Fault> {
    Run::give_back(table, "i-1-a1").now_or_never().expect("it answers at once")
}

#[test]
fn behind_the_way_back_nothing_is_promoted() {
    let table = table();
    assert_eq!((goes_back(&table), goes_back(&table)), (Ok(()), Ok(())), "a second delivery changes nothing");
    assert!(matches!(promotes(&table), Err(Fault::Fenced(_))));
}

#[test]
fn behind_the_door_nothing_is_given_back() {
    let table = table();
    assert_eq!((promotes(&table), promotes(&table)), (Ok(()), Ok(())), "a second delivery changes nothing");
    assert!(matches!(goes_back(&table), Err(Fault::Bug(_))));
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_800_000_000, 0)
    }
}

/// A freeze calls nobody.
struct Nobody;

impl Http for Nobody {
    async fn get(&self, url: &str, _: Millis) -> HttpAnswer {
        panic!("GET {url}")
    }

    async fn post(&self, url: &str, _: &Value, _: Millis) -> HttpAnswer {
        panic!("POST {url}")
    }
}

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn runs(table: &Table, execution: &str, step: Step) -> Result<Reply, Fault> {
    let plan = plan();
    let ctx = Context {
        plan: &plan,
        plan_digest: "d",
        cells: table,
        clock: &Noon,
        execution,
        writer: "step-runner",
    };
    runner::run(&ctx, step, &Nobody).now_or_never().expect("it answers at once")
}

fn frozen(table: &Table) -> bool {
    let cells = table.0.borrow();
    let flag = cells.get(&keys::freeze()).map(|cell| serde_json::from_value::<Flag>(cell.body.clone()));
    flag.is_some_and(|flag| flag.expect("it reads").raised)
}

#[test]
fn a_freeze_that_was_taken_back_is_not_raised_again() {
    for first in [Some(Step::Freeze), None] {
        let table = table();
        if let Some(step) = first {
            runs(&table, "i-1-a1", step).expect("it is frozen");
            assert!(frozen(&table));
        }
        runs(&table, "i-1-a1", Step::Thaw).expect("it is thawed");
        assert!(matches!(runs(&table, "i-1-a1", Step::Freeze), Err(Fault::Fenced(_))), "{first:?}");
        assert!(!frozen(&table), "{first:?}");
    }
}

#[test]
fn what_one_execution_left_or_took_back_keeps_no_other_from_freezing() {
    let table = table();
    runs(&table, "i-1-a1", Step::Freeze).expect("it is frozen");
    for _ in 0..2 {
        runs(&table, "i-1-a2", Step::Freeze).expect("it was frozen before");
        assert!(frozen(&table));
    }
    runs(&table, "i-1-a2", Step::Thaw).expect("it is thawed");
    runs(&table, "i-1-a3", Step::Freeze).expect("it is frozen");
    assert!(frozen(&table));
}
