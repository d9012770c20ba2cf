//! The sockets of one place's DNS: UDP and TCP at the same address.

use super::DnsError;
use super::answer::{Responder, Transport};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const CONNECTIONS_MAX: usize = 64;
/// A connection that says nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Listener {
    at: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Listener {
    pub async fn bind(at: SocketAddr) -> Result<Self, DnsError> {
        let failed = |source| DnsError::Listen { at, source };
        let udp = UdpSocket::bind(at).await.map_err(failed)?;
        let tcp = TcpListener::bind(at).await.map_err(failed)?;
        Ok(Self { at, udp, tcp })
    }

    /// Answers until a socket breaks.
    pub async fn run(self, responder: Responder) -> Result<(), DnsError> {
        let (broken, at) = tokio::select! {
            error = datagrams(self.udp, responder.clone()) => (error, self.at),
            error = connections(self.tcp, responder) => (error, self.at),
        };
        Err(DnsError::Socket { at, source: broken })
    }
}

/// An answer takes microseconds and waits for nothing, so that questions are answered one by one.
async fn datagrams(socket: UdpSocket, responder: Responder) -> io::Error {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, asker) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        let answer = buffer.get(..length).and_then(|question| responder.respond(question, Transport::Udp));
        if let Some(answer) = answer
            && let Err(error) = socket.send_to(&answer, asker).await
        {
            tracing::debug!(%asker, %error, "an answer could not be sent");
        }
    }
}

async fn connections(listener: TcpListener, responder: Responder) -> io::Error {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let responder = responder.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = conversation(stream, responder).await {
                tracing::debug!(%error, "a DNS connection ended");
            }
        });
    }
}

/// Questions and answers on one connection, each behind its length.
async fn conversation(mut stream: TcpStream, responder: Responder) -> io::Result<()> {
    loop {
        let question = timeout(IDLE_MAX, receive(&mut stream)).await??;
        let Some(answer) = responder.respond(&question, Transport::Tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        timeout(IDLE_MAX, send(&mut stream, length, &answer)).await??;
    }
}

async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

async fn send(stream: &mut TcpStream, length: u16, answer: &[u8]) -> io::Result<()> {
    stream.write_u16(length).await?;
    stream.write_all(answer).await
}

#[cfg(test)]
mod tests {
    use super::super::HealthBoard;
    use super::super::answer::tests::{question, responder};
    use super::*;
    use crate::config::Place;
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{RData, RecordType};
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_real_socket_answers_over_udp_and_tcp() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await;
        // UDP and TCP take their own free ports here; the local cloud gives both the same one.
        let listener = listener.unwrap();
        let (udp, tcp) = (listener.udp.local_addr().unwrap(), listener.tcp.local_addr().unwrap());
        let server = tokio::spawn(listener.run(responder(Place::Outside, Arc::new(HealthBoard::new()))));
        let ask = question("rag.example.com.", RecordType::A);
        let bytes = ask.to_vec().unwrap();

        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&bytes, udp).await.unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await.unwrap();
        let over_udp = Message::from_vec(&buffer[..length]).unwrap();

        let mut stream = TcpStream::connect(tcp).await.unwrap();
        send(&mut stream, bytes.len().try_into().unwrap(), &bytes).await.unwrap();
        let over_tcp = Message::from_vec(&receive(&mut stream).await.unwrap()).unwrap();

        for answer in [over_udp, over_tcp] {
            assert_eq!(answer.metadata.id, ask.metadata.id);
            assert_eq!(answer.answers[1].data, RData::A(A(Ipv4Addr::new(127, 77, 4, 1))));
        }
        server.abort();
    }
}
