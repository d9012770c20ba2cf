//! Looking at the keepers: who looks notes what it saw, who peeks needs no right to write and sees the same.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::Value;
use understudy_core::fault::Fault;
use understudy_core::keepers::{Keeper, STANDBY, look, peek};
use understudy_core::lease::{KeeperView, Lease, Sighting};
use understudy_core::plan::Region;
use understudy_core::ports::{Cell, Cells, Clock, Key, Written};
use understudy_core::time::{Millis, before};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A table that may be read, and a clock that stands still.
struct ReadOnly {
    lease: Lease,
    noted: Option<Sighting>,
}

impl Cells for ReadOnly {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        let body = match key.kind {
            "lease" => Some(serde_json::to_value(&self.lease)),
            "sighting" => self.noted.as_ref().map(serde_json::to_value),
            other => panic!("nobody needs `{other}`"),
        };
        Ok(body.map(|body| Cell { version: 1, body: body.expect("JSON") }))
    }

    async fn write(&self, key: &Key, _: Option<u64>, _: &Value) -> Result<Written, Fault> {
        Err(Fault::invalid(format!("not authorized to write `{}`", key.kind)))
    }
}

impl Clock for ReadOnly {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn lease(counter: u64) -> Lease {
    Lease { counter, ..Lease::granted(1, &Region("us-east-1".to_owned()), true) }
}

fn first_seen(views: &[KeeperView]) -> Option<Timestamp> {
    views.first().and_then(|view| view.sighting.value()).map(|seen| seen.first_seen_at)
}

fn peeked(table: &ReadOnly) -> Option<Timestamp> {
    let keepers = [Keeper { name: STANDBY, cells: table }];
    first_seen(&peek(&keepers, table, table).now_or_never().expect("nothing here waits"))
}

#[test]
fn a_peek_sees_without_a_right_to_write() {
    let earlier = before(NOW, Millis(90_000));
    let noted = Some(Sighting { lease: lease(7), first_seen_at: earlier });
    assert_eq!(peeked(&ReadOnly { lease: lease(7), noted: noted.clone() }), Some(earlier));
    // A renewal that nobody noted yet is as fresh as can be: never older than it may be.
    assert_eq!(peeked(&ReadOnly { lease: lease(8), noted }), Some(NOW));
    assert_eq!(peeked(&ReadOnly { lease: lease(8), noted: None }), Some(NOW));
}

#[test]
fn a_look_that_may_not_note_knows_nothing() {
    let table = ReadOnly { lease: lease(8), noted: None };
    let keepers = [Keeper { name: STANDBY, cells: &table }];
    let views = look(&keepers, &table, &table).now_or_never().expect("nothing here waits");
    assert_eq!(first_seen(&views), None);
}
