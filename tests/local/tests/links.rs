//! Links carry, reset, stall and resume, each pair by itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use support::{Room, room};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use understudy_local::config::Place::{Outside, Primary, Standby};
use understudy_local::links::{Forwarders, LinkState, Links};

/// Long enough for loopback to have delivered what it will deliver.
const SILENCE: Duration = Duration::from_millis(150);
const SOON: Duration = Duration::from_secs(5);

/// A cloud whose primary runs an echo service on the web port.
async fn wired() -> (Room, Links) {
    let room = room();
    let links = Links::new();
    tokio::spawn(Forwarders::bind(&room.cloud, &links).await.unwrap().run());
    let address = SocketAddr::from((room.cloud.own(Primary), room.cloud.web_port));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    (room, links)
}

async fn echo(stream: &mut TcpStream, word: &[u8; 4]) -> std::io::Result<[u8; 4]> {
    stream.write_all(word).await?;
    let mut heard = [0; 4];
    timeout(SOON, stream.read_exact(&mut heard)).await.unwrap()?;
    Ok(heard)
}

#[tokio::test]
async fn an_open_link_carries_both_ways_and_half_closes() {
    let (room, _links) = wired().await;
    let mut stream = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    assert_eq!(&echo(&mut stream, b"ping").await.unwrap(), b"ping");
    let large = vec![7; 1 << 20];
    let (mut from, mut to) = stream.split();
    let mut heard = Vec::new();
    let send = async {
        to.write_all(&large).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(send, timeout(SOON, from.read_to_end(&mut heard)));
    assert_eq!(read.unwrap().unwrap(), large.len());
    assert_eq!(heard, large);
}

#[tokio::test]
async fn a_refusing_link_resets_old_and_new_and_no_other_pair() {
    let (room, links) = wired().await;
    let mut old = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    let mut other = TcpStream::connect(room.cloud.web(Outside, Primary)).await.unwrap();
    echo(&mut old, b"ping").await.unwrap();
    echo(&mut other, b"ping").await.unwrap();
    links.set(Standby, Primary, LinkState::Refuse);
    let mut byte = [0];
    let cut = timeout(SOON, old.read(&mut byte)).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut new = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    let cut = timeout(SOON, new.read(&mut byte)).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(&echo(&mut other, b"pong").await.unwrap(), b"pong");
    links.set(Standby, Primary, LinkState::Open);
    let mut mended = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    assert_eq!(&echo(&mut mended, b"back").await.unwrap(), b"back");
}

#[tokio::test]
async fn a_hanging_link_stalls_and_resumes_without_losing_a_byte() {
    let (room, links) = wired().await;
    let mut old = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    echo(&mut old, b"ping").await.unwrap();
    links.set(Standby, Primary, LinkState::Hang);
    old.write_all(b"held").await.unwrap();
    let mut new = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    new.write_all(b"wait").await.unwrap();
    let mut heard = [0; 4];
    assert!(timeout(SILENCE, old.read_exact(&mut heard)).await.is_err());
    assert!(timeout(SILENCE, new.read_exact(&mut heard)).await.is_err());
    links.set(Standby, Primary, LinkState::Open);
    timeout(SOON, old.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"held");
    timeout(SOON, new.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"wait");
}

#[tokio::test]
async fn a_hanging_link_that_refuses_resets_those_who_waited() {
    let (room, links) = wired().await;
    links.set(Standby, Primary, LinkState::Hang);
    let mut waiting = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    waiting.write_all(b"wait").await.unwrap();
    links.set(Standby, Primary, LinkState::Refuse);
    let cut = timeout(SOON, waiting.read(&mut [0])).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_gave_up_on_a_hanging_link_is_never_delivered() {
    let room = room();
    let links = Links::new();
    tokio::spawn(Forwarders::bind(&room.cloud, &links).await.unwrap().run());
    let address = SocketAddr::from((room.cloud.own(Primary), room.cloud.web_port));
    let listener = TcpListener::bind(address).await.unwrap();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.unwrap();
            arrived.send(word).unwrap();
        }
    });
    links.set(Standby, Primary, LinkState::Hang);
    let mut gone = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    gone.write_all(b"gone").await.unwrap();
    drop(gone);
    let mut stays = TcpStream::connect(room.cloud.web(Standby, Primary)).await.unwrap();
    stays.write_all(b"stay").await.unwrap();
    tokio::time::sleep(SILENCE).await;
    links.set(Standby, Primary, LinkState::Open);
    assert_eq!(timeout(SOON, arrivals.recv()).await.unwrap(), Some(*b"stay"));
    assert!(timeout(SILENCE, arrivals.recv()).await.is_err());
}

#[tokio::test]
async fn nobody_listening_reads_as_a_reset() {
    let (room, _links) = wired().await;
    let mut stream = TcpStream::connect(room.cloud.db(Outside, Standby)).await.unwrap();
    let cut = timeout(SOON, stream.read(&mut [0])).await.unwrap();
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
