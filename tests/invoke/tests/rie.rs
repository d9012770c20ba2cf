//! One event a function through AWS's own runtime interface emulator, whose Runtime API is the real one's kin.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use support::endpoint::Endpoint;
use support::lambda::{environment, package};
use support::{FAULTS, FUNCTIONS};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const STARTS_WITHIN: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// The emulator and the function that it starts: one process group, ended as one.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn every_function_answers_through_the_emulator() {
    let (Some(binaries), Some(emulator)) = (support::binaries(), support::emulator()) else { return };
    for function in FUNCTIONS {
        let answer = invoke(&emulator, &binaries.join(function), function).await;
        // The emulator answers a function's error with 200 and the error as the answer.
        let kind = answer.get("errorType").and_then(Value::as_str);
        assert!(answer.is_object(), "{function}: {answer}");
        assert!(kind.is_none_or(|kind| FAULTS.contains(&kind)), "{function}: {answer}");
        println!("{function:20} {answer}");
    }
}

async fn invoke(emulator: &Path, binary: &Path, function: &str) -> Value {
    let event = support::event(function).expect("an example event").text;
    let endpoint = Endpoint::open().expect("a port to refuse at");
    let (front, back) = (free_address().await, free_address().await);
    let package = package(function, "rie", endpoint.port).expect("a package");
    let log = File::create(package.join("log")).expect("a log");
    let mut command = Command::new(emulator);
    environment(&mut command, function, &package, endpoint.port);
    command
        .args(["--runtime-interface-emulator-address", &front.to_string()])
        .args(["--runtime-api-address", &back.to_string()])
        .arg(binary)
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .process_group(0);
    let _group = Group(command.spawn().expect("the emulator starts"));
    let stream = timeout(STARTS_WITHIN, connect(front)).await.expect("the emulator listens");
    timeout(ANSWERS_WITHIN, post(stream, event)).await.unwrap_or_else(|_| panic!("{function}: no answer"))
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("its address")
}

async fn connect(address: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn post(stream: TcpStream, event: String) -> Value {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::post("/2015-03-31/functions/function/invocations")
        .header("host", "localhost")
        .body(Full::<Bytes>::from(event))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"))
}
