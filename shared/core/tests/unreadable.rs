//! A flag that does not read counts as raised, until a person sets it.

#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use serde_json::{Value, json};
use std::cell::RefCell;
use understudy_core::fault::Fault;
use understudy_core::ports::{Cell, Cells, Key, Written};
use understudy_core::state::{Category, Flag, keys, raised, set_flag};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A table of one cell, whatever its key.
struct One(RefCell<Option<Cell>>);

impl Cells for One {
    async fn read(&self, _: &Key) -> Result<Option<Cell>, Fault> {
        Ok(self.0.borrow().clone())
    }

    async fn write(&self, _: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let mut cell = self.0.borrow_mut();
        if cell.as_ref().map(|cell| cell.version) != expected {
            return Ok(Written::Conflict);
        }
        *cell = Some(Cell { version: expected.map_or(1, |version| version + 1), body: body.clone() });
        Ok(Written::Done)
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("nothing waits")
}

#[test]
fn a_hold_that_does_not_read_holds_until_somebody_lifts_it() {
    let by = |raised| Flag {
        raised,
        by: "sre".to_owned(),
        why: "a test".to_owned(),
        at: NOW,
        category: None,
        also: Vec::new(),
    };
    for spoilt in [json!("not what it was"), json!({"version": 9})] {
        for set in [false, true] {
            let table = One(RefCell::new(Some(Cell { version: 7, body: spoilt.clone() })));
            let read = || now(raised(&table, &keys::hold(), NOW)).expect("it counts as raised");
            assert!(read().is_some_and(|flag| flag.why.contains("does not read")), "{spoilt}");
            now(set_flag(&table, &keys::hold(), &by(set))).expect("a person sets it");
            assert_eq!(read(), set.then(|| by(true)), "{spoilt}");
        }
    }
}

/// Two people hold: each lowers their own, and nobody's is dropped.
#[test]
fn a_hold_of_two_is_up_until_both_lower_theirs() {
    let table = One(RefCell::new(None));
    let set = |raised: bool, by: &str, category: Option<Category>| {
        let (by, why) = (by.to_owned(), "a test".to_owned());
        let flag = Flag { raised, by, why, at: NOW, category, also: Vec::new() };
        now(set_flag(&table, &keys::hold(), &flag)).expect("a person sets it")
    };
    set(true, "sre-1", None);
    assert!(set(true, "sre-2", None).told().contains("`sre-1`: a test; and by `sre-2`"));
    assert_eq!(set(true, "SRE-2 ", None).also.len(), 1, "one person is one");
    let stands = set(false, "sre-1", None);
    assert!(stands.raised && stands.by == "sre-2" && stands.also.is_empty(), "{stands:?}");
    assert!(!set(false, "somebody", None).raised, "one that stands alone anybody lowers");
    // A declaration goes with who made it, and a plain hold beside it stays.
    set(true, "sre-1", None);
    assert_eq!(set(true, "dba", Some(Category::Corruption)).category, Some(Category::Corruption));
    assert_eq!(set(true, "sre-3", None).category, Some(Category::Corruption));
    let stands = set(false, "dba", None);
    assert!(stands.raised && stands.category.is_none() && stands.also.len() == 1, "{stands:?}");
    assert!(set(false, "somebody", None).raised, "two still hold, and this is neither");
    set(false, "sre-3", None);
    assert!(!set(false, "sre-1", None).raised);
}
