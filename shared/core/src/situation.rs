//! All that is known at one instant about the standby's fitness to take over.
//!
//! Gathered once by the preflight verifier, every field Known or Unknown; checks read only this. Nothing in
//! it asks the primary: what the primary last wrote comes from the watermark kept in the standby (L1).

use crate::lease::KeeperView;
use crate::observed::Observed;
use crate::overrides::Overrides;
use crate::ports::{HttpAnswer, InstanceStatus};
use crate::sql::{Replica, Written};
use crate::state::Flag;
use crate::switch::Desired;
use crate::votes::Votes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Situation {
    pub at: Timestamp,
    pub votes: Votes,
    pub keepers: Vec<KeeperView>,
    /// `None` when automation is not on hold.
    pub hold: Observed<Option<Flag>>,
    /// Empty where nobody overrides anything.
    pub overrides: Observed<Overrides>,
    pub switch: Observed<Desired>,
    pub stores: Vec<StoreSituation>,
    pub routes: Vec<RouteSituation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreSituation {
    pub store: String,
    /// What the primary last wrote, as its guard recorded it here.
    pub watermark: Observed<Written>,
    pub replica: Observed<Replica>,
    pub instance: Observed<InstanceStatus>,
    /// The application's own login worked against the standby.
    pub login: Observed<()>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSituation {
    pub route: String,
    /// The standby's endpoint, asked by its own name.
    pub standby: Observed<HttpAnswer>,
}
