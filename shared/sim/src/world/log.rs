//! The log of one store as both servers hold it, with the lease rows and the counts that lie in it.

use crate::queue::Moment;
use understudy_core::sql::Lsn;

/// Bytes of log that one entry takes.
const ENTRY_BYTES: u64 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRow {
    pub(super) epoch: u64,
    /// From when its end was counted; `None`: from no heartbeat.
    pub(super) since: Option<Moment>,
    /// `None`: it has no end.
    pub(super) valid_until: Option<Moment>,
    /// The writer roles may not log in.
    pub(super) locked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    Row,
    Heartbeat,
    Lease(LeaseRow),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    now: Moment,
    /// What the server's own clock made of it.
    clock: Moment,
    /// Rows up to and with this entry.
    rows: u64,
}

/// What one server wrote, in commit order.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// How much of somebody else's log lies before this one.
    base: usize,
    base_rows: u64,
    entries: Vec<Entry>,
    /// Lease rows by the length of the log with them.
    leases: Vec<(usize, LeaseRow)>,
}

impl Log {
    /// A log that goes its own way behind the first `length` entries of `other`.
    pub(super) fn behind(other: &Log, length: usize) -> Self {
        Self { base: length, base_rows: other.rows(length), entries: Vec::new(), leases: Vec::new() }
    }

    /// As much of it as a backup of a while ago holds.
    pub(super) fn restored(&self, length: usize) -> Log {
        let kept = length.saturating_sub(self.base).min(self.entries.len());
        let leases = self.leases.iter().filter(|(at, _)| *at <= self.base + kept).copied().collect();
        Self {
            base: self.base,
            base_rows: self.base_rows,
            entries: self.entries.iter().take(kept).copied().collect(),
            leases,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.base + self.entries.len()
    }

    pub(super) fn commit(&mut self, now: Moment, clock: Moment, wrote: Wrote) -> u64 {
        let rows = self.rows(self.len()) + u64::from(wrote == Wrote::Row);
        self.entries.push(Entry { now, clock, rows });
        if let Wrote::Lease(row) = wrote {
            self.leases.push((self.len(), row));
        }
        position(self.len()).map_or(0, |Lsn(position)| position)
    }

    fn entry(&self, length: usize) -> Option<&Entry> {
        self.entries.get(length.checked_sub(self.base)?.checked_sub(1)?)
    }

    pub(super) fn rows(&self, length: usize) -> u64 {
        self.entry(length).map_or(self.base_rows, |entry| entry.rows)
    }

    /// By the server's own clock, when the entry that ends at `length` was committed.
    pub(super) fn committed_at(&self, length: usize) -> Option<Moment> {
        self.entry(length).map(|entry| entry.clock)
    }

    /// How long the log was at `now`, if it was at least `from`.
    pub(super) fn length_at(&self, from: usize, now: Moment) -> usize {
        let fresh = self.entries.iter().skip(from.saturating_sub(self.base));
        from + fresh.take_while(|entry| entry.now <= now).count()
    }

    pub(super) fn lease(&self, length: usize) -> Option<LeaseRow> {
        self.leases.iter().rev().find(|(at, _)| *at <= length).map(|(_, row)| *row)
    }
}

/// The position behind that many entries.
pub(super) fn position(length: usize) -> Option<Lsn> {
    (length > 0)
        .then(|| Lsn(ENTRY_BYTES.saturating_mul(u64::try_from(length).unwrap_or(0).saturating_add(1))))
}
