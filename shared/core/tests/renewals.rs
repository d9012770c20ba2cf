//! Renewals that overlap, and databases that are not in step: what a renewal claims is never less than what may be set.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use understudy_core::fault::Fault;
use understudy_core::guard::{Guard, answer};
use understudy_core::lease::{Enforced, Lease};
use understudy_core::plan::{OnLeaseLoss, Plan, read};
use understudy_core::ports::{Cell, Cells, Clock, Key, Sql, Written as Stored};
use understudy_core::sql::{Answer, LeaseInside, Lsn, Statement, Written};
use understudy_core::state::keys;
use understudy_core::time::Millis;

const MINUTES_4: Millis = Millis::from_secs(240);

fn plan(stores: &[&str]) -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    let mut plan = read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    plan.lease.on_loss = OnLeaseLoss::Fence;
    let store = plan.stores.first().expect("a store").clone();
    plan.stores = stores
        .iter()
        .map(|name| understudy_core::plan::Store { name: (*name).to_owned(), ..store.clone() })
        .collect();
    plan
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("an instant")
}

/// One keeper, into which somebody else writes a lease just before the guard does, and one database a store.
struct World {
    cells: RefCell<BTreeMap<Key, Cell>>,
    meanwhile: RefCell<Option<Lease>>,
    /// The clock of each store's database as its heartbeat begins.
    beats: BTreeMap<String, i64>,
}

impl World {
    fn put(&self, lease: &Lease) {
        let mut cells = self.cells.borrow_mut();
        let version = cells.get(&keys::lease()).map_or(1, |cell| cell.version + 1);
        cells.insert(keys::lease(), Cell { version, body: json!(lease) });
    }

    fn lease(&self) -> Lease {
        let cells = self.cells.borrow();
        let body = cells.get(&keys::lease()).expect("a lease").body.clone();
        serde_json::from_value(body).expect("it reads")
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        at(31)
    }
}

impl Cells for World {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        Ok(self.cells.borrow().get(key).cloned())
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Stored, Fault> {
        if *key == keys::lease()
            && let Some(lease) = self.meanwhile.take()
        {
            self.put(&lease);
        }
        let mut cells = self.cells.borrow_mut();
        if cells.get(key).map(|cell| cell.version) != expected {
            return Ok(Stored::Conflict);
        }
        let cell = Cell { version: expected.map_or(1, |version| version + 1), body: body.clone() };
        cells.insert(key.clone(), cell);
        Ok(Stored::Done)
    }
}

impl Sql for World {
    async fn ask(&self, statement: &Statement) -> Result<Answer, Fault> {
        let Statement::Heartbeat { store } = statement else { return Ok(Answer::LeaseSet) };
        let before = at(self.beats.get(store).copied().expect("a store of the plan"));
        Ok(Answer::Heartbeat(Written {
            before,
            committed_at: before,
            position: Lsn(1),
            rows: BTreeMap::new(),
            gate_armed: true,
            unarmed: Vec::new(),
            lease: Some(LeaseInside { epoch: 1, since: Some(before), ends: Some(before) }),
            sessions: None,
            lineage: None,
            ungated_writers: Vec::new(),
            job_runs: None,
        }))
    }
}

fn renewed(plan: &Plan, made: i64, within: Millis, armed: bool) -> Lease {
    let enforced = Enforced {
        plan: "of this plan".to_owned(),
        ttl: within,
        unset: Vec::new(),
        looks: None,
        commit_margin: plan.lease.commit_margin,
        drift: plan.lease.drift,
        within: Some(within),
    };
    let granted = Lease::granted(1, &plan.regions.primary, armed);
    Lease { renewed_at: Some(at(made)), enforced: Some(enforced), ..granted }
}

/// What the keeper holds after a tick that saw `there`, while `meanwhile` was written.
fn after_a_tick(plan: &Plan, beats: &[i64], there: &Lease, meanwhile: Option<Lease>) -> Lease {
    let names = plan.stores.iter().map(|store| store.name.clone());
    let world = World {
        cells: RefCell::default(),
        meanwhile: RefCell::new(meanwhile),
        beats: names.zip(beats.iter().copied()).collect(),
    };
    world.put(there);
    let guard = Guard {
        plan,
        plan_digest: "of this plan",
        standby: &world,
        witness: None,
        clock: &world,
        sql: &world,
    };
    let ticked = futures_util::FutureExt::now_or_never(answer(&guard, &json!({"tick": true})));
    ticked.expect("nothing waits").expect("it renews");
    world.lease()
}

fn within(lease: &Lease) -> Millis {
    lease.enforced.as_ref().and_then(|enforced| enforced.within).expect("it ends")
}

/// A longer renewal that is late keeps the instant of the newer one that it found: by that alone it would be taken for the
/// one that was seen.
#[test]
fn a_longer_renewal_that_comes_late_is_not_forgotten() {
    let mut plan = plan(&["metadata"]);
    plan.lease.ttl = MINUTES_4;
    let there = renewed(&plan, 15, Millis::from_secs(240), true);
    let late = renewed(&plan, 15, Millis::from_secs(900), true);
    let kept = after_a_tick(&plan, &[30], &there, Some(late));
    assert_eq!(kept.renewed_at, Some(at(30)));
    assert_eq!(within(&kept), Millis::from_secs(885), "what may still be set");
    let kept = after_a_tick(&plan, &[30], &there, None);
    assert_eq!(within(&kept), MINUTES_4, "what was seen is over with the heartbeat");
}

/// An invocation that is late does not say armed where a newer one saw a gate missing.
#[test]
fn a_renewal_that_comes_late_does_not_arm_what_a_newer_one_found_unarmed() {
    let plan = plan(&["metadata"]);
    let there = renewed(&plan, 0, MINUTES_4, true);
    let newer = renewed(&plan, 45, MINUTES_4, false);
    assert!(!after_a_tick(&plan, &[30], &there, Some(newer.clone())).armed);
    assert!(after_a_tick(&plan, &[60], &there, Some(newer)).armed, "the newest says so");
    let unarmed = renewed(&plan, 15, MINUTES_4, false);
    assert!(after_a_tick(&plan, &[30], &unarmed, None).armed, "it was seen, and is older");
}

/// The renewal is dated by the first heartbeat, and the lease of a store whose heartbeat came later ends later.
#[test]
fn stores_that_beat_one_after_the_other_are_all_counted_from_the_first() {
    let plan = plan(&["one", "two"]);
    let there = renewed(&plan, 0, MINUTES_4, true);
    let kept = after_a_tick(&plan, &[21, 30], &there, None);
    assert_eq!(kept.renewed_at, Some(at(21)));
    assert_eq!(within(&kept), Millis(plan.lease.ttl.0 + 9_000));
}
