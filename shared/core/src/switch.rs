//! Which side the routes should serve: one desired-state item, published as a level.

use crate::fault::Fault;
use crate::ports::Cells;
use crate::state::{keys, look};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The side that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Primary,
    Standby,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Primary => Self::Standby,
            Self::Standby => Self::Primary,
        }
    }

    /// `primary`, `standby`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }

    /// The level of the switch metric: 1 = the standby serves.
    pub fn level(self) -> f64 {
        match self {
            Self::Primary => 0.0,
            Self::Standby => 1.0,
        }
    }
}

/// The desired state of the plan's switch. It has exactly one writer and one publisher: the switcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    pub serves: Side,
    /// The epoch under which it was set; an older one never overwrites it.
    pub epoch: u64,
    pub set_at: Timestamp,
    /// The last time the level was published.
    pub published_at: Option<Timestamp>,
}

/// What a function URL answers, in the shape that Lambda takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    #[serde(rename = "statusCode")]
    pub status_code: u16,
    pub body: &'static str,
}

/// What a checker of Route 53 is told: 200 if the standby serves. Its health check is inverted, so that whatever else it
/// sees, no answer included, leaves clients to the metric.
pub async fn answer_checker(cells: &impl Cells, event: &Value) -> Result<Told, Fault> {
    read_request(event)?;
    Ok(match look::<Desired>(cells, &keys::switch()).await {
        Ok(desired) if standby_serves(desired.as_deref()) => {
            Told { status_code: 200, body: "the standby serves" }
        }
        Ok(_) => Told { status_code: 503, body: "the primary serves" },
        Err(_) => Told { status_code: 503, body: "not known" },
    })
}

/// Whoever asks by the function URL asks in this shape; nothing else of the event is read.
pub fn read_request(event: &Value) -> Result<(), Fault> {
    let by_http = event.pointer("/requestContext/http").is_some_and(Value::is_object);
    if by_http {
        Ok(())
    } else {
        Err(Fault::invalid("requestContext.http: must be an object, as a function URL sends it"))
    }
}

/// Whether clients belong to the standby; before anybody moved them they do not.
pub fn standby_serves(desired: Option<&Desired>) -> bool {
    desired.is_some_and(|desired| desired.serves == Side::Standby)
}
