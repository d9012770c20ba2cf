//! All that is known at one instant about the fitness of one side to take over: the standby's, or in a failback the
//! primary's.
//!
//! Gathered once by the preflight verifier, every field Known or Unknown; checks read only this. Nothing in it asks a
//! primary that may be lost: what the primary last wrote comes from the watermark kept in the standby (L1). Only where
//! a person moves an application that lives is the serving side looked at too.

use crate::lease::KeeperView;
use crate::observed::Observed;
use crate::overrides::Overrides;
use crate::ports::{HttpAnswer, InstanceStatus};
use crate::shadow::Shadow;
use crate::sql::{Replica, Written};
use crate::state::Flag;
use crate::switch::{Desired, Side};
use crate::votes::Votes;
use crate::wiring::Wiring;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    pub at: Timestamp,
    /// The side that is to serve, whose fitness this is about.
    pub to: Side,
    /// A person asked for what this is about.
    #[serde(default)]
    pub asked: bool,
    /// The digest of the plan by which it is judged.
    #[serde(default)]
    pub plan_digest: String,
    pub votes: Votes,
    pub keepers: Vec<KeeperView>,
    /// `None` when automation is not on hold.
    pub hold: Observed<Option<Flag>>,
    /// Empty where nobody overrides anything.
    pub overrides: Observed<Overrides>,
    pub switch: Observed<Desired>,
    /// What the switcher's last looks at records, checks and alarm found; `None` before the first.
    pub wiring: Observed<Option<Wiring>>,
    /// `None` before the first renewal was counted.
    pub shadow: Observed<Option<Shadow>>,
    pub stores: Vec<StoreSituation>,
    pub routes: Vec<RouteSituation>,
    /// Of a planned move: what the side that gives way answers to a write of a client, when the request left. Empty
    /// otherwise.
    pub gives_way: Vec<RouteSituation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreSituation {
    pub store: String,
    /// What the writing side last wrote: of the primary as its guard recorded it here, of the standby as it says.
    pub watermark: Observed<Written>,
    pub replica: Observed<Replica>,
    pub instance: Observed<InstanceStatus>,
    /// The application's own login worked against the standby.
    pub login: Observed<()>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSituation {
    pub route: String,
    /// The endpoint of one side, asked by its own name.
    pub answer: Observed<HttpAnswer>,
}

impl Situation {
    /// When the side that gives way took a client's write by every route; `None` where one was refused, or none was
    /// tried.
    pub fn served_at(&self) -> Option<Timestamp> {
        let looks = self.gives_way.iter().map(|route| match &route.answer {
            Observed::Known { value, at, .. } => value.is_good().then_some(*at),
            Observed::Unknown { .. } => None,
        });
        looks.min().flatten()
    }
}
