//! One bounded HTTP/1.1 call over a connection of its own.
//!
//! For the emulator's API and for endpoint checks. Nothing is pooled: a check that reused a connection would
//! not see a link that refuses new ones.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far above any answer that is expected; an endless one must end.
const BODY_MAX: usize = 4 * 1024 * 1024;

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connect: Duration,
    pub answer: Duration,
}

/// Why there is no answer. The text is whole, cause included: it is shown as the reason of a health check.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("cannot connect to {to}: {cause}")]
    Connect { to: SocketAddr, cause: io::Error },
    #[error("{to} did not accept a connection within {} ms", within.as_millis())]
    ConnectTimeout { to: SocketAddr, within: Duration },
    #[error("{to} did not answer within {} ms", within.as_millis())]
    AnswerTimeout { to: SocketAddr, within: Duration },
    #[error("{to} broke the exchange off: {cause}")]
    Exchange { to: SocketAddr, cause: hyper::Error },
    #[error("the body that {to} sent is broken or longer than {BODY_MAX} bytes: {what}")]
    Body { to: SocketAddr, what: String },
}

/// Sends `request` to `to` and returns the whole answer.
pub(super) async fn call(
    to: SocketAddr,
    request: Request<Full<Bytes>>,
    limits: Limits,
) -> Result<(StatusCode, Bytes), CallError> {
    let stream = timeout(limits.connect, TcpStream::connect(to))
        .await
        .map_err(|_| CallError::ConnectTimeout { to, within: limits.connect })?
        .map_err(|cause| CallError::Connect { to, cause })?;
    timeout(limits.answer, exchange(to, stream, request))
        .await
        .map_err(|_| CallError::AnswerTimeout { to, within: limits.answer })?
}

async fn exchange(
    to: SocketAddr,
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), CallError> {
    let failed = |cause| CallError::Exchange { to, cause };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        let body = body.map_err(|error| CallError::Body { to, what: error.to_string() })?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven here and not in a task: it must not outlive the call.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        result = &mut answer => result,
        driven = &mut connection => match driven {
            Err(cause) => Err(failed(cause)),
            Ok(()) => answer.await,
        },
    }
}
