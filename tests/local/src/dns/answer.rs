//! From the bytes of a question to the bytes of its answer, for one place.
//!
//! The zone holds every place's own address; nobody in the cloud may use those. Here, and only here, they
//! become the asker's link addresses.

use super::{HealthBoard, Latest};
use crate::config::{Cloud, Place};
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What we say that we can take, and the most that we send in one datagram.
const PAYLOAD: u16 = 1232;

/// Answers the questions of one place.
#[derive(Clone)]
pub(super) struct Responder {
    pub cloud: Arc<Cloud>,
    pub health: Arc<HealthBoard>,
    pub place: Place,
    pub latest: Latest,
}

/// How the question came, and so how long its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Responder {
    /// `None` where no answer is due: what came is not a question that can be read.
    pub fn respond(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        if question.metadata.message_type != MessageType::Query {
            return None;
        }
        let answer = self.answer(&question);
        let bytes = answer.to_vec().ok()?;
        let room = usize::from(question.max_payload().min(PAYLOAD));
        if transport == Transport::Udp && bytes.len() > room {
            return answer.truncate().to_vec().ok();
        }
        Some(bytes)
    }

    fn answer(&self, question: &Message) -> Message {
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&question.metadata);
        answer.queries.clone_from(&question.queries);
        if question.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD);
            answer.set_edns(edns);
        }
        let [query] = question.queries.as_slice() else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer;
        };
        if question.metadata.op_code != OpCode::Query || query.query_class() != DNSClass::IN {
            answer.metadata.response_code = ResponseCode::NotImp;
            return answer;
        }
        let Some(snapshot) = self.latest.borrow().clone() else {
            answer.metadata.response_code = ResponseCode::ServFail;
            return answer;
        };
        let healthy = |id: &str| self.health.is_healthy(id);
        let found = snapshot.zone.answer(query.name(), query.query_type(), &healthy);
        answer.metadata.response_code = found.code;
        answer.metadata.authoritative = matches!(found.code, ResponseCode::NoError | ResponseCode::NXDomain);
        answer.add_answers(found.records.into_iter().map(|record| self.seen_from_here(record)));
        if found.negative {
            answer.add_authority(snapshot.zone.soa.clone());
        }
        answer
    }

    fn seen_from_here(&self, mut record: Record) -> Record {
        if let RData::A(A(address)) = &mut record.data {
            *address = translate(&self.cloud, self.place, *address);
        }
        record
    }
}

/// The address by which somebody in `from` calls the place that owns `address`; any other stays as it is.
pub(super) fn translate(cloud: &Cloud, from: Place, address: Ipv4Addr) -> Ipv4Addr {
    let owner = Place::ALL.into_iter().find(|place| cloud.own(*place) == address);
    owner.map_or(address, |to| cloud.link(from, to))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::zone::tests::{example, name};
    use super::super::{CheckKind, Snapshot};
    use super::*;
    use hickory_proto::op::Query;
    use hickory_proto::rr::RecordType;
    use jiff::Timestamp;
    use tokio::sync::watch;

    pub fn cloud() -> Cloud {
        serde_json::from_value(serde_json::json!({
            "block": 77, "speed": 20.0, "state_dir": "/nowhere", "emulator_port": 1, "aws_port": 2,
            "web_port": 3, "db_port": 4, "dns_port": 5, "control_port": 6, "regions": {},
            "pg_bin": "/nowhere", "pg_user": null
        }))
        .unwrap()
    }

    pub fn responder(place: Place, health: Arc<HealthBoard>) -> Responder {
        let snapshot = Snapshot { zone: example(), checks: Vec::new() };
        let (_, latest) = watch::channel(Some(Arc::new(snapshot)));
        Responder { cloud: Arc::new(cloud()), health, place, latest }
    }

    pub fn question(at: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(name(at), kind));
        message
    }

    fn ask(responder: &Responder, at: &str, kind: RecordType) -> Message {
        let bytes = question(at, kind).to_vec().unwrap();
        Message::from_vec(&responder.respond(&bytes, Transport::Udp).unwrap()).unwrap()
    }

    #[test]
    fn own_addresses_become_the_askers_links() {
        let cloud = cloud();
        let own = Ipv4Addr::new(127, 77, 0, 2);
        assert_eq!(translate(&cloud, Place::Outside, own), Ipv4Addr::new(127, 77, 4, 2));
        assert_eq!(translate(&cloud, Place::Standby, own), Ipv4Addr::new(127, 77, 2, 2));
        for other in [Ipv4Addr::new(127, 78, 0, 2), Ipv4Addr::new(127, 77, 0, 9), Ipv4Addr::LOCALHOST] {
            assert_eq!(translate(&cloud, Place::Outside, other), other);
        }
    }

    #[test]
    fn the_answer_is_authoritative_and_moves_with_health() {
        let health = Arc::new(HealthBoard::new());
        let here = responder(Place::Outside, health.clone());
        let first = ask(&here, "rag.example.com.", RecordType::A);
        assert!(first.metadata.authoritative);
        assert_eq!(first.answers[1].data, RData::A(A(Ipv4Addr::new(127, 77, 4, 1))));
        health.report("switch", CheckKind::Metric, false, "1 >= 1".into(), Timestamp::UNIX_EPOCH);
        let second = ask(&here, "rag.example.com.", RecordType::A);
        assert_eq!(second.answers[1].data, RData::A(A(Ipv4Addr::new(127, 77, 4, 2))));
    }

    #[test]
    fn negative_answers_carry_the_soa() {
        let here = responder(Place::Witness, Arc::new(HealthBoard::new()));
        let missing = ask(&here, "nothing.example.com.", RecordType::A);
        assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(missing.authorities[0].record_type(), RecordType::SOA);
        let foreign = ask(&here, "example.org.", RecordType::A);
        assert_eq!(foreign.metadata.response_code, ResponseCode::Refused);
        assert!(!foreign.metadata.authoritative && foreign.authorities.is_empty());
    }

    #[test]
    fn before_the_first_reading_there_is_no_answer_and_noise_gets_none() {
        let (_, latest) = watch::channel(None);
        let here = Responder { latest, ..responder(Place::Outside, Arc::new(HealthBoard::new())) };
        let answer = ask(&here, "rag.example.com.", RecordType::A);
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(here.respond(b"noise", Transport::Udp), None);
    }
}
