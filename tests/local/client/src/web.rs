//! One HTTP call over a connection of its own, as a client that just looked the name up makes it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Far above a full page of the survivor's list.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// Why there is no answer. It has no time-out of its own: the caller bounds the whole.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the exchange broke off")]
    Exchange(#[from] hyper::Error),
    #[error("the body of the answer: {0}")]
    Body(String),
}

pub async fn call(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), CallError> {
    let stream = TcpStream::connect(to).await.map_err(CallError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        Ok((status, body.map_err(|error| CallError::Body(error.to_string()))?.to_bytes()))
    };
    // The connection is driven here and not in a task: it must not outlive the call.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        result = &mut answer => result,
        driven = &mut connection => {
            driven?;
            answer.await
        }
    }
}
