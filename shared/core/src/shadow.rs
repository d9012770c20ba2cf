//! What the dead-man would have done: how often the writer was without a lease for longer than its time to live.
//!
//! Counted under `on_loss: stay` too, so that people know before they arm anything what it would have cost (L8).
//! Nothing decides on it.

use crate::fault::Fault;
use crate::keepers::{Keeper, STANDBY};
use crate::ports::Cells;
use crate::state::{Change, keys, update_note};
use crate::time::{Millis, elapsed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// All by the clock of the primary's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// Since when it has been counted.
    pub since: Timestamp,
    pub times: u32,
    pub last: Option<Gap>,
}

/// Two renewals in a row that lie further apart than the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Counts one renewal, at `to`, that any keeper took: the one before it was at `from`, as the newest keeper tells.
/// Writes only where there is something to write: at the first renewal ever, and behind a gap.
pub async fn count(
    keepers: &[Keeper<'_, impl Cells>],
    from: Option<Timestamp>,
    to: Timestamp,
    ttl: Millis,
) -> Result<(), Fault> {
    let gap = from.map(|from| Gap { from, to }).filter(|gap| elapsed(gap.from, gap.to) > ttl);
    if from.is_some() && gap.is_none() {
        return Ok(());
    }
    let Some(standby) = keepers.iter().find(|keeper| keeper.name == STANDBY) else { return Ok(()) };
    update_note::<Shadow, _>(standby.cells, &keys::shadow(), |shadow| Ok(after(shadow, gap, to)))
        .await
        .map(|_| ())
}

fn after(shadow: Option<&Shadow>, gap: Option<Gap>, now: Timestamp) -> Change<Shadow> {
    let since = gap.map_or(now, |gap| gap.from);
    let shadow = shadow.cloned();
    match (shadow, gap) {
        (Some(_), None) => Change::Keep,
        // One gap, however many ticks end it: a repetition after a lost reply, and those that overlap once a link is back (L5).
        (Some(shadow), Some(gap)) if shadow.last.is_some_and(|last| last.from == gap.from) => Change::Keep,
        (Some(shadow), Some(_)) => {
            Change::Write(Shadow { times: shadow.times.saturating_add(1), last: gap, ..shadow })
        }
        (None, gap) => Change::Write(Shadow { since, times: u32::from(gap.is_some()), last: gap }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a test stops at the first surprise")]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap_or(Timestamp::MAX)
    }

    fn gap(from: i64, to: i64) -> Gap {
        Gap { from: at(from), to: at(to) }
    }

    /// Ticks that waited for a link come through it together, and each finds the renewal from before it was cut.
    #[test]
    fn a_gap_that_several_ticks_end_counts_once() {
        let first = after(None, Some(gap(0, 600)), at(600));
        let Change::Write(first) = first else { panic!("not written") };
        assert_eq!((first.times, first.last), (1, Some(gap(0, 600))));
        assert!(matches!(after(Some(&first), Some(gap(0, 601)), at(601)), Change::Keep));
        let Change::Write(second) = after(Some(&first), Some(gap(660, 1300)), at(1300)) else {
            panic!("another one is another one")
        };
        assert_eq!(second.times, 2);
    }
}
