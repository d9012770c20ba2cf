//! Reads from the service that survived which transactions its database holds.

use crate::web::{self, CallError};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

const PAGE: usize = 1_000;
/// Ten transactions a second for more than a day.
const PAGES_MAX: usize = 1_000;
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// `http://IP:PORT`.
#[derive(Clone, Copy, Debug)]
pub struct Survivor {
    at: SocketAddr,
}

/// Why the survivor's transactions are not known.
#[derive(Debug, thiserror::Error)]
pub enum SurvivorError {
    #[error("the survivor {at} cannot be asked for its transactions")]
    Call { at: SocketAddr, source: CallError },
    #[error("the survivor {at} did not list its transactions within {} s", PAGE_TIMEOUT.as_secs())]
    Late { at: SocketAddr },
    #[error("the survivor {at} answered {status} instead of its transactions: {body}")]
    Status { at: SocketAddr, status: StatusCode, body: String },
    #[error("what the survivor {at} listed is no page of transactions: {problem}")]
    Page { at: SocketAddr, problem: String },
    #[error("the survivor {at} lists more than {} transactions", PAGE * PAGES_MAX)]
    Endless { at: SocketAddr },
}

#[derive(Deserialize)]
struct Page {
    transactions: Vec<Listed>,
    next: Option<i64>,
}

#[derive(Deserialize)]
struct Listed {
    tx: String,
}

impl Survivor {
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let at = address.and_then(|address| address.parse().ok());
        at.map(|at| Self { at }).ok_or_else(|| format!("`{text}` is not `http://IP:PORT`"))
    }

    /// The ids of all transactions, page by page.
    pub async fn transactions(&self) -> Result<HashSet<String>, SurvivorError> {
        let mut all = HashSet::new();
        let mut after = 0;
        for _ in 0..PAGES_MAX {
            let page = timeout(PAGE_TIMEOUT, self.page(after)).await;
            let page = page.map_err(|_| SurvivorError::Late { at: self.at })??;
            all.extend(page.transactions.into_iter().map(|listed| listed.tx));
            match page.next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
        Err(SurvivorError::Endless { at: self.at })
    }

    async fn page(&self, after: i64) -> Result<Page, SurvivorError> {
        let at = self.at;
        let broken = |problem: String| SurvivorError::Page { at, problem };
        let request = Request::get(format!("/transactions?after={after}&limit={PAGE}"))
            .header("host", at.to_string())
            .body(Full::default())
            .map_err(|error| broken(error.to_string()))?;
        let call = web::call(at, request).await;
        let (status, body) = call.map_err(|source| SurvivorError::Call { at, source })?;
        if status != StatusCode::OK {
            let body = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(SurvivorError::Status { at, status, body });
        }
        serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
    }
}
