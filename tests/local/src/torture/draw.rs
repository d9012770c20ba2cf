//! What one round is made of, drawn from its number. The number alone: whoever has it has the same choices again.
//!
//! The choices repeat, the clocks of a busy machine do not: what a round found is shown again by its number most
//! times, not always.

use crate::config::Place;
use crate::links::LinkState;
use fastrand::Rng;
use std::fmt;
use std::time::Duration;

/// What is done to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Its database and its application die at once.
    Kill,
    /// Whoever calls it waits.
    Hang,
    /// Whoever calls it is refused.
    Refuse,
    /// It is cut off, lives, and goes on writing.
    Isolate,
    /// Nothing but the cuts between places.
    Cuts,
}

impl Harm {
    pub const ALL: [Self; 5] = [Self::Kill, Self::Hang, Self::Refuse, Self::Isolate, Self::Cuts];

    /// Whether the primary can renew its lease no more, so that an execution must follow.
    pub fn is_loss(self) -> bool {
        self != Self::Cuts
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
            Self::Isolate => "isolate",
            Self::Cuts => "cuts",
        })
    }
}

/// One link that is cut for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub from: Place,
    pub to: Place,
    pub state: LinkState,
    /// From the harm on; some are cut before it.
    pub at: i64,
    pub lasts: Duration,
}

/// How the old primary is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fencing {
    /// By its dead-man.
    Armed,
    /// By nothing: somebody takes the risk.
    Accepted,
    /// By nothing, and nobody answers.
    Silence,
}

/// A client that writes steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub every: Duration,
    pub bytes: usize,
    /// In a transaction of several statements, not by a single one.
    pub wrapped: bool,
    /// Beside the database, where no broken link stands between.
    pub beside: bool,
}

/// How a transaction stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// It wrote, goes on reading, and commits late.
    Late,
    /// It wrote and waits, within the bounds that the script set.
    Idle,
    /// It wrote and waits; it lifted the bounds for itself.
    Unbounded,
    /// One statement that takes its time, without a bound.
    Long,
    /// Many rows, each of which the gate looks at.
    Bulk,
    /// It took its snapshot long before it writes.
    Snapshot,
    /// It is prepared, outlives its session, and is committed by another one.
    Prepared,
    /// It wrote, had its constraints checked early, as frameworks do, and commits late.
    Early,
    /// What it wrote first was rolled back to a savepoint; it wrote again, and commits late.
    Savepoint,
    /// It writes to a table that inherits from the plan's, by that one's own name.
    Child,
    /// A role that the plan does not list, with a right to columns.
    Unlisted,
}

impl Open {
    pub const ALL: [Self; 11] = [
        Self::Late,
        Self::Idle,
        Self::Unbounded,
        Self::Long,
        Self::Bulk,
        Self::Snapshot,
        Self::Prepared,
        Self::Early,
        Self::Savepoint,
        Self::Child,
        Self::Unlisted,
    ];
}

/// The isolation level of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Level {
    const ALL: [Self; 3] = [Self::ReadCommitted, Self::RepeatableRead, Self::Serializable];

    /// As a transaction of it begins.
    pub fn begin(self) -> &'static str {
        match self {
            Self::ReadCommitted => "begin",
            Self::RepeatableRead => "begin isolation level repeatable read",
            Self::Serializable => "begin isolation level serializable",
        }
    }
}

/// One transaction that is open while the primary fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub how: Open,
    pub level: Level,
    /// From the harm on, in milliseconds; most begin before it.
    pub at: i64,
    pub lasts: Duration,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub seed: u64,
    pub harm: Harm,
    pub fencing: Fencing,
    /// The primary's server takes prepared transactions.
    pub prepares: bool,
    /// The primary's disk keeps every flush of the log waiting: from when, as the harm counts, and for how long.
    pub stall: Option<(i64, Duration)>,
    pub writers: Vec<Writer>,
    pub opened: Vec<Opened>,
    pub cuts: Vec<Cut>,
    /// The old primary is back this long after the harm, whatever happened meanwhile.
    pub back_after: Option<Duration>,
}

impl Round {
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Numbers in a row would begin alike.
        for _ in 0..4 {
            let _ = rng.u64(..);
        }
        let harm = rng.choice(Harm::ALL).unwrap_or(Harm::Kill);
        let prepares = rng.u8(..8) == 0;
        let fencing = match rng.u8(..12) {
            0 => Fencing::Accepted,
            1 => Fencing::Silence,
            _ => Fencing::Armed,
        };
        let writers = (0..rng.usize(1..=8)).map(|_| writer(&mut rng)).collect();
        let opened = (0..rng.usize(0..=6)).map(|_| opened(&mut rng, prepares)).collect();
        let fewest = usize::from(harm == Harm::Cuts);
        let cuts = (0..rng.usize(fewest..=3)).map(|_| cut(&mut rng)).collect();
        let back_after = (rng.u8(..3) == 0).then(|| millis(&mut rng, 1_500, 14_000));
        let stall = (rng.u8(..6) == 0).then(|| (rng.i64(-1_000..9_000), millis(&mut rng, 300, 8_000)));
        Self { seed, harm, fencing, prepares, stall, writers, opened, cuts, back_after }
    }
}

fn writer(rng: &mut Rng) -> Writer {
    Writer {
        every: millis(rng, 10, 400),
        bytes: rng.choice([16, 200, 2_000, 20_000]).unwrap_or(16),
        wrapped: rng.bool(),
        beside: rng.bool(),
    }
}

fn opened(rng: &mut Rng, prepares: bool) -> Opened {
    let how = rng.choice(Open::ALL).filter(|how| prepares || *how != Open::Prepared).unwrap_or(Open::Late);
    let level = rng.choice(Level::ALL).unwrap_or(Level::ReadCommitted);
    Opened { how, level, at: rng.i64(-2_500..6_000), lasts: millis(rng, 300, 12_000) }
}

fn cut(rng: &mut Rng) -> Cut {
    let from = rng.choice(Place::ALL).unwrap_or(Place::Primary);
    let others: Vec<Place> = Place::ALL.into_iter().filter(|to| *to != from).collect();
    let to = rng.choice(others).unwrap_or(Place::Standby);
    let state = if rng.bool() { LinkState::Hang } else { LinkState::Refuse };
    Cut { from, to, state, at: rng.i64(-1_500..8_000), lasts: millis(rng, 200, 7_000) }
}

fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..most))
}
