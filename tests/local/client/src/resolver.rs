//! A stub resolver that believes exactly what it is told, for exactly as long.
//!
//! No stale answers, no negative caching, no search list: what a careless client does to a failover is not
//! measured here, only what the TTL does.

use crate::clock::Clock;
use crate::ledger::Event;
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, RecordType};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long one question waits, and how often it is asked: together less than an attempt may take.
const ANSWER_MAX: Duration = Duration::from_millis(400);
const QUESTIONS: u32 = 2;

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("dns: the resolver {0} did not answer")]
    NoAnswer(SocketAddr),
    #[error("dns: the resolver {at} cannot be asked")]
    Socket { at: SocketAddr, source: io::Error },
    #[error("dns: the question cannot be written: {0}")]
    Question(String),
    #[error("dns: the answer was {0}")]
    Refused(ResponseCode),
    #[error("dns: the answer holds no address")]
    NoAddress,
}

/// An address and how long it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Ipv4Addr,
    pub ttl: u32,
}

pub struct Resolver {
    at: SocketAddr,
    name: Name,
    clock: Clock,
    /// The last answer and when it ends. Locked while a question is under way: one question serves all who wait.
    cached: Mutex<Option<(Ipv4Addr, Instant)>>,
}

impl Resolver {
    pub fn new(at: SocketAddr, mut name: Name, clock: Clock) -> Self {
        name.set_fqdn(true);
        Self { at, name, clock, cached: Mutex::new(None) }
    }

    /// The address of the name, and the event if the resolver had to be asked.
    pub async fn address(&self) -> Result<(Ipv4Addr, Option<Event>), ResolveError> {
        let mut cached = self.cached.lock().await;
        if let Some((address, until)) = *cached
            && Instant::now() < until
        {
            return Ok((address, None));
        }
        *cached = None;
        let asked = Instant::now();
        let Found { address, ttl } = self.ask().await?;
        // Counted from the question: an answer is not younger than that.
        *cached = Some((address, asked + Duration::from_secs(ttl.into())));
        Ok((address, Some(Event::Resolved { at: self.clock.now(), address, ttl })))
    }

    async fn ask(&self) -> Result<Found, ResolveError> {
        for _ in 0..QUESTIONS {
            if let Ok(answer) = timeout(ANSWER_MAX, self.exchange()).await {
                return interpret(&answer?);
            }
        }
        Err(ResolveError::NoAnswer(self.at))
    }

    async fn exchange(&self) -> Result<Message, ResolveError> {
        let failed = |source| ResolveError::Socket { at: self.at, source };
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(self.name.clone(), RecordType::A));
        let bytes = question.to_vec().map_err(|error| ResolveError::Question(error.to_string()))?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(failed)?;
        socket.connect(self.at).await.map_err(failed)?;
        socket.send(&bytes).await.map_err(failed)?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(failed)?;
            // What does not answer this question is noise, and the wait goes on.
            let message = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok());
            if let Some(message) = message.filter(|message| answers(message, &question)) {
                return Ok(message);
            }
        }
    }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries
}

/// The first address, good for as long as the shortest-lived record on the way to it.
fn interpret(answer: &Message) -> Result<Found, ResolveError> {
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(ResolveError::Refused(answer.metadata.response_code));
    }
    let address = answer.answers.iter().find_map(|record| match record.data {
        RData::A(A(address)) => Some(address),
        _ => None,
    });
    let ttl = answer.answers.iter().map(|record| record.ttl).min();
    let (Some(address), Some(ttl)) = (address, ttl) else { return Err(ResolveError::NoAddress) };
    Ok(Found { address, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::CNAME;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn answer(records: Vec<(u32, RData)>) -> Message {
        let mut message = Message::response(7, OpCode::Query);
        let record = |(ttl, data)| Record::from_rdata(name("rag.example.com."), ttl, data);
        message.add_answers(records.into_iter().map(record));
        message
    }

    #[test]
    fn the_shortest_ttl_of_the_chain_counts() {
        let chain = vec![
            (3, RData::CNAME(CNAME(name("primary.example.com.")))),
            (60, RData::A(A(Ipv4Addr::new(127, 77, 4, 1)))),
        ];
        let found = interpret(&answer(chain)).unwrap();
        assert_eq!(found, Found { address: Ipv4Addr::new(127, 77, 4, 1), ttl: 3 });
    }

    #[test]
    fn no_address_is_an_error_and_so_is_a_refusal() {
        assert!(matches!(interpret(&answer(Vec::new())), Err(ResolveError::NoAddress)));
        let mut refused = answer(Vec::new());
        refused.metadata.response_code = ResponseCode::ServFail;
        assert!(matches!(interpret(&refused), Err(ResolveError::Refused(ResponseCode::ServFail))));
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_ttl_and_then_asked_for_again() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = Resolver::new(server.local_addr().unwrap(), name("rag.example.com"), Clock::start());
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            for last in 1.. {
                let (length, asker) = server.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let mut reply = answer(vec![(1, RData::A(A(Ipv4Addr::new(127, 0, 0, last))))]);
                reply.metadata.id = question.metadata.id;
                reply.queries = question.queries;
                server.send_to(&reply.to_vec().unwrap(), asker).await.unwrap();
            }
        });
        let (first, event) = resolver.address().await.unwrap();
        assert!(matches!(event, Some(Event::Resolved { ttl: 1, .. })));
        let (second, event) = resolver.address().await.unwrap();
        assert_eq!((first, event), (second, None));
        tokio::time::sleep(Duration::from_millis(1050)).await;
        let (third, event) = resolver.address().await.unwrap();
        assert!(third != first && event.is_some());
    }
}
