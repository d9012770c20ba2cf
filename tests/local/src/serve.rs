//! All of the local cloud that runs in one process: links, gateway, RDS, DNS and the control API.
//!
//! Wiring only. It neither starts nor stops the emulator, PostgreSQL or the web services.

use crate::config::Cloud;
use crate::control::{self, Control};
use crate::dns::{self, DnsError, HealthBoard};
use crate::gateway::{self, Calls, CallsError, Gateway};
use crate::links::{self, Forwarders, Links};
use crate::postgres::PostgresError;
use crate::rds::Rds;
use std::sync::Arc;

/// Why the local cloud cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the links cannot start")]
    Links(#[from] links::BindError),
    #[error("the AWS gateway cannot start")]
    Gateway(#[from] gateway::BindError),
    #[error("the log of calls cannot start")]
    Calls(#[from] CallsError),
    #[error("RDS cannot start")]
    Rds(#[from] PostgresError),
    #[error("the control API cannot start")]
    Control(#[from] control::BindError),
    #[error("the DNS failed")]
    Dns(#[from] DnsError),
}

/// Serves until it is dropped or its DNS breaks. Once the control API answers, everything else does too.
pub async fn serve(cloud: Cloud) -> Result<(), ServeError> {
    let cloud = Arc::new(cloud);
    let links = Links::new();
    let calls = Calls::open(&cloud.state_dir)?;
    let rds = Rds::new(Arc::clone(&cloud))?;
    let forwarders = Forwarders::bind(&cloud, &links).await?;
    let gateway = Gateway::bind(Arc::clone(&cloud), links.clone(), rds.clone(), calls).await?;
    let health = Arc::new(HealthBoard::new());
    let control = Control::bind(&cloud, links, rds, Arc::clone(&health)).await?;
    tracing::info!(block = cloud.block, control = %cloud.control(), "the local cloud is served");
    let dns = dns::serve(Arc::clone(&cloud), health);
    let rest = async {
        tokio::join!(forwarders.run(), gateway.run(), control.run());
        Ok(())
    };
    // The first one is polled first: the DNS listens before the control API answers.
    tokio::try_join!(dns, rest)?;
    Ok(())
}
