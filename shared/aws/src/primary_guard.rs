//! `primary-guard`, called from the standby: the one call that leaves for the Region of the primary.

use crate::function::{Called, Function};
use crate::scaffold::patient_sdk_config;
use serde_json::json;
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::guard::Fenced;
use understudy_core::plan::Region;
use understudy_core::ports::{FenceOrder, FencedStore, GivesWay};

/// The guard's own calls of `sql-agent` end within this; a Region that does not answer costs no more.
const PATIENCE: Duration = Duration::from_secs(12);

/// The guard of the plan's primary.
#[derive(Clone, Debug)]
pub struct Guard(Function);

impl Guard {
    pub async fn new(region: &Region, prefix: &str) -> Self {
        let config = patient_sdk_config(region, PATIENCE).await;
        Self(Function::new(&config, format!("{prefix}-primary-guard")))
    }
}

impl GivesWay for Guard {
    async fn fence(&self, order: &FenceOrder) -> Result<Vec<FencedStore>, Fault> {
        let payload = json!({ "fence": order }).to_string().into_bytes();
        match self.0.call("primary-guard fence", payload).await? {
            Called::Answered(answer) => serde_json::from_value::<Fenced>(answer)
                .map(|answer| answer.fenced)
                .map_err(|error| Fault::bug(format!("primary-guard: the answer does not read: {error}"))),
            // The keepers say that the order is void: final. Anything else may pass.
            Called::Failed { kind, message } if kind == "Fenced" => Err(Fault::Fenced(message)),
            Called::Failed { kind, message } => {
                Err(Fault::transient(format!("primary-guard failed ({kind}): {message}")))
            }
        }
    }
}
