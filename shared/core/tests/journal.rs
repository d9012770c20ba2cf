//! The chain: whatever is changed in it is found and named; and behind the closing record nothing is written.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use futures_util::FutureExt;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use understudy_core::fault::Fault;
use understudy_core::journal::{ChainError, Entry, GENESIS, Journal, Stored, verify_chain};
use understudy_core::ports::{Cell, Cells, Clock, Key, Written};
use understudy_core::run::End;
use understudy_core::state::keys;
use understudy_core::steps::Step;
use understudy_core::time::{Millis, after};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A table and a clock that moves with every look at it.
#[derive(Default)]
struct World {
    cells: RefCell<BTreeMap<Key, Cell>>,
    looks: RefCell<u64>,
    /// The next write takes place, and its client, which heard nothing, asks again.
    loses_a_reply: RefCell<bool>,
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
        let version = version.unwrap_or(0) + 1;
        cells.insert(key.clone(), Cell { version, body: body.clone() });
        let lost = self.loses_a_reply.replace(false);
        Ok(if lost { Written::Conflict } else { Written::Done })
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        *self.looks.borrow_mut() += 1;
        after(NOW, Millis(*self.looks.borrow()))
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

fn intent(what: &str) -> Entry {
    Entry::Intent { step: Step::Freeze, what: what.to_owned() }
}

fn closing() -> Entry {
    Entry::Closed { end: End::Refused, cause: "PF-04".to_owned() }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing here waits")
}

fn chain() -> Vec<Stored> {
    let world = World::default();
    for number in 0..5 {
        now(journal(&world).append(intent(&number.to_string()))).expect("appended");
    }
    now(journal(&world).append(closing())).expect("closed");
    let chain = now(journal(&world).all_stored()).expect("read");
    chain.into_iter().map(Arc::unwrap_or_clone).collect()
}

#[test]
fn a_whole_chain_verifies_and_names_its_writer_and_plan() {
    let records = verify_chain(&chain()).expect("whole");
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(records.first().map(|record| record.prev.as_str()), Some(GENESIS));
    assert!(records.iter().all(|record| record.writer == "store-promoter" && record.plan_digest == "d1"));
}

#[test]
fn a_record_that_is_gone_is_named() {
    for gone in 0..5 {
        let mut chain = chain();
        chain.remove(gone);
        let expected = u64::try_from(gone).expect("small") + 1;
        let found = verify_chain(&chain).expect_err("a gap");
        assert_eq!(found, ChainError::OutOfOrder { expected, found: expected + 1 });
    }
}

#[test]
fn a_record_that_stands_twice_and_two_that_changed_places_are_named() {
    let mut twice = chain();
    twice.insert(2, twice.get(2).expect("a record").clone());
    assert_eq!(verify_chain(&twice), Err(ChainError::OutOfOrder { expected: 4, found: 3 }));
    let mut swapped = chain();
    swapped.swap(1, 2);
    assert_eq!(verify_chain(&swapped), Err(ChainError::OutOfOrder { expected: 2, found: 3 }));
}

#[test]
fn a_record_that_was_forged_with_its_hash_is_found_by_the_next() {
    let mut chain = chain();
    let forged = chain.get_mut(2).expect("a record");
    *forged = Stored::of(forged.bytes().replace(r#""what":"2""#, r#""what":"9""#));
    assert!(matches!(verify_chain(&chain), Err(ChainError::Broken { seq: 4, .. })));
}

#[test]
fn what_is_no_record_is_named() {
    let chain = [Stored::of("{}".to_owned())];
    assert!(matches!(verify_chain(&chain), Err(ChainError::Unreadable { seq: 1, .. })));
}

#[test]
fn the_first_record_is_written_once() {
    let world = World::default();
    now(journal(&world).append_first(intent("one"))).expect("written");
    now(journal(&world).append_first(intent("two"))).expect("kept");
    let records = now(journal(&world).records()).expect("read");
    assert_eq!(records.into_iter().map(|record| record.entry).collect::<Vec<_>>(), [intent("one")]);
}

#[test]
fn records_are_read_up_to_the_first_that_is_missing() {
    let world = World::default();
    for number in 0..3 {
        now(journal(&world).append(intent(&number.to_string()))).expect("appended");
    }
    let behind = |last| now(journal(&world).stored_behind(last)).expect("read").len();
    assert_eq!([behind(0), behind(1), behind(3)], [3, 2, 0]);
    world.cells.borrow_mut().remove(&keys::journal("i-1-a1").key(2));
    assert_eq!([behind(0), behind(1), behind(2)], [1, 0, 1]);
}

#[test]
fn an_equal_entry_is_written_once_where_that_is_asked_for() {
    let world = World::default();
    for what in ["one", "one", "two"] {
        now(journal(&world).append_once(intent(what))).expect("written");
    }
    assert_eq!(now(journal(&world).records()).expect("read").len(), 2);
}

#[test]
fn behind_the_closing_record_nothing_is_written() {
    let world = World::default();
    now(journal(&world).append(intent("one"))).expect("written");
    now(journal(&world).append(closing())).expect("closed");
    let late = now(journal(&world).append(intent("late")));
    assert!(matches!(late, Err(Fault::Fenced(_))), "{late:?}");
    assert_eq!(now(journal(&world).records()).expect("read").len(), 2);
}

#[test]
fn a_lost_hint_of_the_end_costs_no_record() {
    let world = World::default();
    now(journal(&world).append(intent("one"))).expect("written");
    now(journal(&world).append(intent("two"))).expect("written");
    world.cells.borrow_mut().retain(|key, _| !key.id.ends_with("/head"));
    now(journal(&world).append(intent("three"))).expect("written");
    let chain = now(journal(&world).all_stored()).expect("read");
    assert_eq!(verify_chain(&chain).expect("whole").len(), 3);
}

#[test]
fn a_hint_that_lags_behind_costs_no_record() {
    let world = World::default();
    now(journal(&world).append(intent("one"))).expect("written");
    let key = keys::journal_head("i-1-a1");
    let old = now(world.read(&key)).expect("read").expect("a hint");
    now(journal(&world).append(intent("two"))).expect("written");
    now(journal(&world).append(closing())).expect("closed");
    world.cells.borrow_mut().insert(key, old);
    let late = now(journal(&world).append(intent("late")));
    assert!(matches!(late, Err(Fault::Fenced(_))), "{late:?}");
    let chain = now(journal(&world).all_stored()).expect("read");
    assert_eq!(verify_chain(&chain).expect("whole").len(), 3);
}

#[test]
fn a_record_whose_reply_was_lost_is_known_as_ones_own() {
    for entry in [intent("two"), closing()] {
        let world = World::default();
        now(journal(&world).append(intent("one"))).expect("written");
        world.loses_a_reply.replace(true);
        let stored = now(journal(&world).append(entry.clone())).expect("its own");
        assert_eq!(stored.record().expect("a record").entry, entry);
        assert_eq!(now(journal(&world).records()).expect("read").len(), 2);
    }
}

proptest! {
    #[test]
    fn one_changed_byte_is_found_and_named(record in 0..6_usize, at in any::<prop::sample::Index>(), to in 32..127_u8) {
        let mut chain = chain();
        let Some(stored) = chain.get_mut(record) else { panic!("no record {record}") };
        let mut bytes = stored.bytes().to_owned().into_bytes();
        let place = at.get_mut(&mut bytes);
        prop_assume!(*place != to);
        *place = to;
        *stored = Stored::new(String::from_utf8(bytes).expect("text"), stored.sha256().to_owned());
        let seq = u64::try_from(record).expect("small") + 1;
        match verify_chain(&chain) {
            Err(ChainError::Changed { seq: named, .. }) => prop_assert_eq!(named, seq),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
