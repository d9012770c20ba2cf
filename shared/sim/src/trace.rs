//! What happened, in order: the only thing that the checkers are shown besides journals and reports.

use crate::world::{Break, Place, Trouble};
use jiff::Timestamp;
use std::sync::Arc;
use understudy_core::journal::Record;
use understudy_core::plan::Region;
use understudy_core::ports::Page;
use understudy_core::steps::Step;
use understudy_core::switch::Side;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: Timestamp,
    pub what: What,
}

/// The client whose commit a hanging disk acknowledges: no receipt speaks for it, and each says so.
pub const STALLED: &str = "behind a hanging disk";

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
    /// The primary's own lease ran out under its writers; for each time once.
    PastLease,
    /// A client outside was told no, or nothing.
    Failed {
        client: &'static str,
    },
    /// A journal record was stored.
    Journaled(Arc<Record>),
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
    Paged(Box<Page>),
    Published {
        level: f64,
    },
    /// A call went wrong.
    Troubled {
        /// Its number among all calls of this night.
        call: u64,
        step: Option<Step>,
        trouble: Trouble,
    },
    /// A step of an execution reached for the primary's Region.
    ReachedForPrimary {
        step: Step,
        execution: String,
    },
    /// A keeper holds another epoch than before.
    Lease {
        keeper: Place,
        epoch: u64,
        holder: Region,
    },
    /// An observer's last look at the primary, as it stands in the standby's table.
    Looked {
        observer: String,
        /// When the look was made, by its host's clock.
        at: Timestamp,
        up: bool,
    },
    /// An execution took its way through the one-way door: from here it only goes forward.
    ThroughTheDoor {
        execution: String,
    },
    /// The hold or the freeze was raised or lowered.
    Flag {
        name: String,
        raised: bool,
        by: String,
    },
    /// All is well by now, a person asked that it goes on, again and again, and it still stands half-way.
    DeadEnd {
        execution: String,
    },
    /// A person answers a question, whoever hears it.
    Said {
        by: String,
        yes: bool,
        digest: String,
    },
    /// Somebody overrides a check, by its key.
    Overridden {
        check: String,
        by: String,
        until: Timestamp,
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
