//! The emulator's API as the inside of AWS sees it: straight, over no link.
//!
//! Route 53's own checkers and name servers do not go down with a Region, so that nothing here passes the
//! gateway.

use super::http::{self, CallError, Limits};
use crate::config::Cloud;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;

const LIMITS: Limits = Limits { connect: Duration::from_secs(1), answer: Duration::from_secs(3) };

/// Why the emulator's word is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmulatorError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the request for {what} cannot be written: {problem}")]
    Request { what: String, problem: String },
    #[error("the emulator refused {what} with {status}: {body}")]
    Refused { what: String, status: StatusCode, body: String },
    #[error("the emulator's answer to {what} cannot be read: {problem}")]
    Answer { what: String, problem: String },
}

pub(super) struct Emulator {
    at: SocketAddr,
}

impl Emulator {
    pub fn new(cloud: &Cloud) -> Self {
        Self { at: cloud.emulator() }
    }

    /// A `GET` of Route 53, whose API is REST with XML.
    pub async fn route53(&self, path: &str) -> Result<String, EmulatorError> {
        let request = Request::get(path)
            .header(HOST, self.at.to_string())
            .header(AUTHORIZATION, credential("us-east-1", "route53"))
            .body(Full::default());
        let body = self.send(path, request).await?;
        String::from_utf8(body.to_vec())
            .map_err(|error| EmulatorError::Answer { what: path.into(), problem: error.to_string() })
    }

    /// A CloudWatch operation in the JSON protocol: the older query protocol leaves an alarm's period,
    /// statistic and dimensions out of the emulator's answers.
    pub async fn cloudwatch<A: DeserializeOwned>(
        &self,
        region: &str,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<A, EmulatorError> {
        let unwritable = |error: serde_json::Error| EmulatorError::Request {
            what: operation.into(),
            problem: error.to_string(),
        };
        let input = serde_json::to_vec(input).map_err(unwritable)?;
        let request = Request::post("/")
            .header(HOST, self.at.to_string())
            .header(AUTHORIZATION, credential(region, "monitoring"))
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("GraniteServiceVersion20100801.{operation}"))
            .body(Full::from(input));
        let body = self.send(operation, request).await?;
        serde_json::from_slice(&body)
            .map_err(|error| EmulatorError::Answer { what: operation.into(), problem: error.to_string() })
    }

    async fn send(
        &self,
        what: &str,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<Bytes, EmulatorError> {
        let request = request
            .map_err(|error| EmulatorError::Request { what: what.into(), problem: error.to_string() })?;
        let (status, body) = http::call(self.at, request, LIMITS).await?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(EmulatorError::Refused { what: what.into(), status, body });
        }
        Ok(body)
    }
}

/// The emulator reads Region and service from the scope and does not check the signature.
fn credential(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}
