//! The Lambda Runtime API, as small as it can be: one event at a time, and what became of it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// Longer than any function's own bound.
const DEADLINE: Duration = Duration::from_mins(1);

/// What a function made of one event.
#[derive(Clone, Debug)]
pub enum Answer {
    Done(Value),
    Failed { kind: String, message: String },
}

struct Desk {
    events: Mutex<mpsc::Receiver<String>>,
    answers: mpsc::Sender<Answer>,
}

/// The caller's side of the API.
pub struct Runtime {
    pub address: SocketAddr,
    pub events: mpsc::Sender<String>,
    pub answers: mpsc::Receiver<Answer>,
}

impl Runtime {
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::channel(1);
        let (told, answers) = mpsc::channel(1);
        let desk = Arc::new(Desk { events: Mutex::new(waiting), answers: told });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let service = service_fn(|request| serve(&desk, request));
                    // A function that was ended breaks its connection off.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, events, answers })
    }
}

async fn serve(desk: &Desk, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        return Ok(next(desk).await);
    }
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = if path.ends_with("/response") { Answer::Done(value) } else { failed(&value) };
    // Whoever asked may have given up.
    let _ = desk.answers.send(answer).await;
    Ok(status(StatusCode::ACCEPTED))
}

async fn next(desk: &Desk) -> Response<Full<Bytes>> {
    let Some(event) = desk.events.lock().await.recv().await else { return std::future::pending().await };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + DEADLINE;
    Response::builder()
        .header("lambda-runtime-aws-request-id", "5f0e6d1c-2b3a-4c5d-8e9f-0a1b2c3d4e5f")
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-west-2:123456789012:function:tested",
        )
        .header("lambda-runtime-trace-id", "Root=1-6740a1b2-0123456789abcdef01234567;Sampled=0")
        .body(Full::from(event))
        .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

fn failed(told: &Value) -> Answer {
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Answer::Failed { kind: text("errorType"), message: text("errorMessage") }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
