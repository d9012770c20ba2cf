//! The journal: the hash-chained, write-once record of one execution.
//!
//! Intent is written before each effect, the outcome after it. A record's stored bytes are what is hashed,
//! never a re-serialisation. Records go to the state table first and are sealed to the evidence bucket later,
//! so that a bucket out of reach never stops a failover. Only the report writer closes a journal.

pub mod rules;

use crate::approval::{Matter, Question};
use crate::checks::{Finding, Verdict};
use crate::fault::Fault;
use crate::lease::KeeperView;
use crate::ports::{Cells, Clock, Written};
use crate::run::{End, Kind, Position, Receipt};
use crate::sql::Lsn;
use crate::state::{keys, look};
use crate::steps::Step;
use crate::votes::{Observer, Onset, Vote};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Borrow;
use std::sync::{Arc, OnceLock};

/// Writers that race for a sequence number; each conflict means that another record got in.
const MAX_APPENDS: u32 = 32;

/// `prev` of the first record.
pub const GENESIS: &str = "genesis";

/// One record. Field order is the order of the stored bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub plan: String,
    pub execution: String,
    /// Starts at 1, without gaps.
    pub seq: u64,
    pub at: Timestamp,
    /// The function that wrote it.
    pub writer: String,
    /// sha256 of the plan that it acted on.
    pub plan_digest: String,
    /// sha256 of the stored bytes of the record before; [`GENESIS`] for the first.
    pub prev: String,
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The outage was declared, or a person asked for a move, and this attempt opened.
    Accepted {
        incident: String,
        attempt: u32,
        kind: Kind,
        /// A person asked for it; else the votes did.
        #[serde(default, skip_serializing_if = "is_false")]
        asked: bool,
        /// The ended execution that this one goes on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continues: Option<String>,
        accepted_at: Timestamp,
        hint: String,
        /// `None` for a planned move.
        onset: Option<Onset>,
        votes: Vec<(Observer, Vote)>,
        keepers: Vec<KeeperView>,
    },
    /// What an ended execution held is this one's from here on.
    Continued { from: Stopped },
    /// The standby was assessed.
    Assessed {
        verdict: Verdict,
        findings: Vec<Finding>,
        epoch: Option<u64>,
        /// Of a planned move: when the side that gives way took a write as a client makes one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        served_at: Option<Timestamp>,
    },
    /// A person was asked. `digest` is what an answer is bound to: it is that of the question as it was asked, whatever a later
    /// version would make of it.
    Asked {
        question: Question,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        digest: String,
    },
    /// A person answered.
    Answered { matter: Matter, yes: bool, by: String, digest: String },
    /// An effect is about to be asked for.
    Intent { step: Step, what: String },
    /// What is known of an effect after it.
    Outcome { step: Step, outcome: String, detail: String },
    /// The lease was claimed: nobody renews it any more at the keepers that are known here.
    LeaseClosed { closed_at: Timestamp, keepers: Vec<KeeperView> },
    /// The old primary is fenced.
    Fenced { receipt: Receipt },
    /// What the standby had received when the old primary was fenced.
    Captured { positions: Vec<Position> },
    /// A store was written as the application, and the row read back.
    Verified { store: String, position: Option<Lsn> },
    /// One look at a public name from outside.
    Probed { route: String, good: bool, detail: String },
    /// Success has lasted.
    Confirmed { last_bad: Option<Timestamp>, first_good: Timestamp, settled_at: Timestamp, probes: u32 },
    /// The last record.
    Closed { end: End, cause: String },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What the journal of an ended execution says of what it held: whoever goes on from it has no other source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    pub execution: String,
    /// sha256 of its last record: that journal is the evidence of everything here.
    pub head_sha256: String,
    /// When the first of those that go on from each other was accepted.
    pub accepted_at: Timestamp,
    pub served_at: Option<Timestamp>,
    pub decided_at: Option<Timestamp>,
    pub fenced_at: Option<Timestamp>,
    /// The epoch that was claimed; `None` where it was not assessed that far.
    pub epoch: Option<u64>,
    pub receipt: Option<Receipt>,
    pub positions: Vec<Position>,
    /// A promotion was about to be asked for, or a hand promoted it by then: the only way is forward. Not so where the lease may
    /// be back already; where the fence was accepted, the service took no promotion, and the primary is back.
    pub promotes: bool,
    /// A hand promoted it, by then or before: what it holds need not be what was captured.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_hand: bool,
    /// Traffic was about to be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<Timestamp>,
    /// The last look from outside that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_bad: Option<Timestamp>,
}

/// The bytes of a record and their hash. Whoever has one cannot change it: what its bytes read as is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    bytes: String,
    sha256: String,
    #[serde(skip)]
    read: OnceLock<Arc<Record>>,
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.sha256 == other.sha256
    }
}

impl Stored {
    /// Bytes and the hash that is stated for them; whether it is theirs is for [`verify_chain`] to say.
    pub fn new(bytes: String, sha256: String) -> Self {
        Self { bytes, sha256, read: OnceLock::new() }
    }

    /// Bytes under their own hash.
    pub fn of(bytes: String) -> Self {
        let sha256 = sha256_hex(bytes.as_bytes());
        Self::new(bytes, sha256)
    }

    pub fn bytes(&self) -> &str {
        &self.bytes
    }

    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether its entry has these very bytes: the entry is the last field, and a quote inside a text is escaped.
    fn holds(&self, entry: &str) -> bool {
        let rest = self.bytes.strip_suffix('}').and_then(|rest| rest.strip_suffix(entry));
        rest.is_some_and(|rest| rest.ends_with(r#""entry":"#))
    }

    /// Whether it is the last record: as [`Stored::holds`], by the tag that stands before any text.
    pub fn is_closing(&self) -> bool {
        self.bytes.contains(r#","entry":{"closed":{"#)
    }

    /// What the bytes read as.
    pub fn record(&self) -> Result<Arc<Record>, Fault> {
        if let Some(record) = self.read.get() {
            return Ok(Arc::clone(record));
        }
        let record = serde_json::from_str(&self.bytes)
            .map_err(|e| Fault::bug(format!("journal record does not read: {e}")))?;
        Ok(Arc::clone(self.read.get_or_init(|| Arc::new(record))))
    }
}

fn bytes_of(part: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(part).map_err(|e| Fault::bug(format!("journal record: {e}")))
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let digits = [byte >> 4, byte & 0x0F].map(|digit| char::from_digit(u32::from(digit), 16));
        hex.extend(digits.into_iter().flatten());
    }
    hex
}

/// Where the chain ended when it was last written: a hint, which may lag behind and never runs ahead.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    seq: u64,
    sha256: String,
    closed: bool,
}

impl Head {
    fn before_the_first() -> Self {
        Self { seq: 0, sha256: GENESIS.to_owned(), closed: false }
    }

    fn at(seq: u64, last: &Stored) -> Self {
        Self { seq, sha256: last.sha256.clone(), closed: last.is_closing() }
    }
}

/// A record that was to stand under a number.
enum Wrote {
    Mine(Arc<Stored>),
    /// Another one stands there, or this very one since an earlier try.
    Taken(Arc<Stored>),
}

/// A writer's hold on one journal.
pub struct Journal<'a, C, K> {
    pub cells: &'a C,
    pub clock: &'a K,
    pub plan: &'a str,
    pub plan_digest: &'a str,
    pub execution: &'a str,
    pub writer: &'static str,
}

impl<C: Cells, K: Clock> Journal<'_, C, K> {
    /// Appends one record behind the last, whoever wrote that. Behind the closing record nothing is written:
    /// whoever comes that late lost its right to act (L6).
    pub async fn append(&self, entry: Entry) -> Result<Arc<Stored>, Fault> {
        let (version, head) = self.hint().await?;
        self.append_behind(version, head, entry, |_| Ok(false)).await
    }

    async fn hint(&self) -> Result<(Option<u64>, Head), Fault> {
        let key = keys::journal_head(self.execution);
        match self.cells.load::<Head>(&key).await {
            // What it says stands in the records as well.
            Err(Fault::Bug(_)) => {
                let version = self.cells.read(&key).await.ok().flatten().map(|cell| cell.version);
                let all = self.all_stored().await?;
                let last = (1..).zip(&all).last().map(|(seq, last)| Head::at(seq, last));
                Ok((version, last.unwrap_or_else(Head::before_the_first)))
            }
            read => Ok(match read? {
                Some((version, head)) => (Some(version), Arc::unwrap_or_clone(head)),
                None => (None, Head::before_the_first()),
            }),
        }
    }

    /// Appends behind `head` or what followed it. Of each record that got in first `enough` says whether it is as good
    /// as this one, or why this one may not be written any more.
    async fn append_behind(
        &self,
        version: Option<u64>,
        mut head: Head,
        entry: Entry,
        enough: impl Fn(&Stored) -> Result<bool, Fault>,
    ) -> Result<Arc<Stored>, Fault> {
        for _ in 0..MAX_APPENDS {
            if head.closed {
                return Err(Fault::Fenced(format!("the journal of `{}` is closed", self.execution)));
            }
            let seq = head.seq.saturating_add(1);
            let there = match self.write(seq, &head.sha256, &entry).await? {
                Wrote::Mine(stored) => stored,
                Wrote::Taken(stored) => {
                    let there = self.stored(seq).await?.ok_or_else(|| {
                        Fault::transient(format!(
                            "record {seq} of `{}` stands and is not found",
                            self.execution
                        ))
                    })?;
                    // It may be one's own: a client whose reply was lost asks again, and finds it there (L5).
                    if there != stored && !enough(&there)? {
                        head = Head::at(seq, &there);
                        continue;
                    }
                    there
                }
            };
            self.advance(version, Head::at(seq, &there)).await;
            return Ok(there);
        }
        Err(Fault::transient(format!("journal of `{}` moved on {MAX_APPENDS} times", self.execution)))
    }

    /// Writes record `seq`, if that number is free.
    async fn write(&self, seq: u64, prev: &str, entry: &Entry) -> Result<Wrote, Fault> {
        let record = Record {
            plan: self.plan.to_owned(),
            execution: self.execution.to_owned(),
            seq,
            at: self.clock.now(),
            writer: self.writer.to_owned(),
            plan_digest: self.plan_digest.to_owned(),
            prev: prev.to_owned(),
            entry: entry.clone(),
        };
        let stored = Arc::new(Stored::of(bytes_of(&record)?));
        Ok(match self.cells.store(&keys::journal(self.execution).key(seq), None, &stored).await? {
            Written::Done => Wrote::Mine(stored),
            Written::Conflict => Wrote::Taken(stored),
        })
    }

    /// Only a hint: losing it costs whoever writes next a look, never a record.
    async fn advance(&self, version: Option<u64>, head: Head) {
        let _ = self.cells.store(&keys::journal_head(self.execution), version, &Arc::new(head)).await;
    }

    /// Appends unless an equal entry stands already: for steps that may be delivered twice, also at the same time
    /// (L5).
    pub async fn append_once(&self, entry: Entry) -> Result<(), Fault> {
        self.append_once_unless(entry, |_| Ok(())).await
    }

    /// As [`Journal::append_once`], and never behind a record that `bars` it: that one says why.
    pub async fn append_once_unless(
        &self,
        entry: Entry,
        bars: impl Fn(&Stored) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let bytes = bytes_of(&entry)?;
        let enough = |stored: &Stored| {
            if stored.holds(&bytes) { Ok(true) } else { bars(stored).map(|()| false) }
        };
        let (version, _) = self.hint().await?;
        let mut head = Head::before_the_first();
        for (seq, stored) in (1..).zip(self.all_stored().await?) {
            if enough(&stored)? {
                return Ok(());
            }
            head = Head::at(seq, &stored);
        }
        self.append_behind(version, head, entry, enough).await.map(|_| ())
    }

    /// Writes the first record; if one stands already, that one stays, also when two writers race.
    pub async fn append_first(&self, entry: Entry) -> Result<(), Fault> {
        if let Wrote::Mine(stored) = self.write(1, GENESIS, &entry).await? {
            self.advance(None, Head::at(1, &stored)).await;
        }
        Ok(())
    }

    async fn stored(&self, seq: u64) -> Result<Option<Arc<Stored>>, Fault> {
        look::<Stored>(self.cells, &keys::journal(self.execution).key(seq)).await
    }

    /// The last record, as far as the hint knows.
    pub async fn last(&self) -> Result<Option<Arc<Stored>>, Fault> {
        let (_, head) = self.hint().await?;
        self.stored(head.seq).await
    }

    /// Every record as stored, in order.
    pub async fn all_stored(&self) -> Result<Vec<Arc<Stored>>, Fault> {
        self.stored_behind(0).await
    }

    /// The records behind number `last`, as stored, in order.
    pub async fn stored_behind(&self, last: u64) -> Result<Vec<Arc<Stored>>, Fault> {
        self.cells.follow(&keys::journal(self.execution), last).await
    }

    pub async fn records(&self) -> Result<Vec<Record>, Fault> {
        self.all_stored().await?.iter().map(|stored| Ok(stored.record()?.as_ref().clone())).collect()
    }
}

/// What is wrong with a chain, at which record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("record {seq} does not read: {why}")]
    Unreadable { seq: u64, why: String },
    #[error("record {seq} was changed after it was written: its bytes hash to {found}, not {stated}")]
    Changed { seq: u64, found: String, stated: String },
    #[error("a record is missing or out of order: expected number {expected}, found {found}")]
    OutOfOrder { expected: u64, found: u64 },
    #[error(
        "record {seq} does not continue the one before it: it names {stated}, that one hashes to {found}"
    )]
    Broken { seq: u64, stated: String, found: String },
}

/// Checks that `chain` is whole: every byte as hashed, every number in order, every link fitting.
pub fn verify_chain<S: Borrow<Stored>>(chain: &[S]) -> Result<Vec<Record>, ChainError> {
    Whole::of(chain).map(|whole| whole.records)
}

/// A closed or open chain that was found whole, and what it reads as.
#[derive(Debug, Default)]
pub struct Whole {
    records: Vec<Record>,
    head_sha256: String,
}

impl Whole {
    pub fn of<S: Borrow<Stored>>(chain: &[S]) -> Result<Self, ChainError> {
        let mut whole = Self { records: Vec::with_capacity(chain.len()), head_sha256: String::new() };
        whole.extend(chain)?;
        Ok(whole)
    }

    /// Goes on with the records that follow.
    pub fn extend<S: Borrow<Stored>>(&mut self, more: &[S]) -> Result<(), ChainError> {
        more.iter().try_for_each(|stored| self.follow(stored.borrow()))
    }

    fn follow(&mut self, stored: &Stored) -> Result<(), ChainError> {
        let expected = self.records.last().map_or(1, |last| last.seq.saturating_add(1));
        let found = sha256_hex(stored.bytes.as_bytes());
        if found != stored.sha256 {
            return Err(ChainError::Changed { seq: expected, found, stated: stored.sha256.clone() });
        }
        let record =
            stored.record().map_err(|e| ChainError::Unreadable { seq: expected, why: e.to_string() })?;
        if record.seq != expected {
            return Err(ChainError::OutOfOrder { expected, found: record.seq });
        }
        let prev = if self.records.is_empty() { GENESIS } else { &self.head_sha256 };
        if record.prev != prev {
            return Err(ChainError::Broken {
                seq: expected,
                found: prev.to_owned(),
                stated: record.prev.clone(),
            });
        }
        self.head_sha256 = found;
        self.records.push(record.as_ref().clone());
        Ok(())
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The hash of the last record; empty where there is none.
    pub fn head_sha256(&self) -> &str {
        &self.head_sha256
    }
}
