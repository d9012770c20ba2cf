//! What happened, in order: the only thing that the checkers are shown besides journals and reports.

use jiff::Timestamp;
use crate::world::Break;
use understudy_core::journal::Record;
use understudy_core::ports::Page;
use understudy_core::switch::Side;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Something broke or healed.
    Broke(Break),
    /// A client was told that its write is committed.
    Acknowledged {
        side: Side,
        client: &'static str,
        position: u64,
    },
    /// A client outside was told no, or nothing.
    Failed {
        client: &'static str,
    },
    /// A journal record was stored.
    Journaled(Box<Record>),
    /// The database service took a promotion.
    PromoteTaken {
        instance: String,
    },
    /// A replica stands alone: its log goes its own way from `position` on.
    StandsAlone {
        store: String,
        position: u64,
    },
    Started {
        execution: String,
    },
    Ended {
        execution: String,
        status: Status,
        state: String,
    },
    Entered {
        execution: String,
        state: String,
    },
    Paged(Page),
    Published {
        level: f64,
    },
}

/// How Step Functions says that an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Succeeded,
    Failed,
    TimedOut,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}
