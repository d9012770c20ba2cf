//! The one-way door and the way back exclude each other, whichever delayed delivery comes last (L2).

#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use understudy_core::fault::Fault;
use understudy_core::ports::{Cell, Cells, Key, Written};
use understudy_core::run::Run;
use understudy_core::state::keys;

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
