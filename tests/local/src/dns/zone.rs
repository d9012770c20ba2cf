//! The hosted zone as data, and Route 53's routing policy over it. Pure: no socket, no clock.
//!
//! Simple and failover record sets, CNAME chains and aliases to names in the zone. `EvaluateTargetHealth` and
//! every other routing policy are not modelled: the reader refuses them, so that no answer is ever a guess.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A longer chain is a loop.
const CHAIN_MAX: usize = 8;

/// One record set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecordSet {
    /// Lower case, fully qualified.
    pub name: Name,
    pub kind: RecordType,
    pub ttl: u32,
    pub policy: Policy,
    pub data: Data,
    /// The id of a health check.
    pub health_check: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Simple,
    Primary,
    Secondary,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Values(Vec<RData>),
    /// Another name of the zone, answered under this one.
    Alias(Name),
}

/// Names that stand for a place rather than for a record: RDS endpoints, load balancers.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    pub addresses: BTreeMap<Name, Ipv4Addr>,
    pub ttl: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub apex: Name,
    /// Handed out with every negative answer, so that a resolver knows how long to believe it.
    pub soa: Record,
    pub sets: Vec<RecordSet>,
    pub hosts: Hosts,
}

/// What there is under a name, before it is put into a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub code: ResponseCode,
    pub records: Vec<Record>,
    /// The name exists without such a record, or does not exist: the SOA belongs to the answer.
    pub negative: bool,
}

/// One step along a chain.
enum Step<'a> {
    Set(&'a RecordSet),
    Host(Ipv4Addr),
    NoData,
    NoName,
    NotOurs,
}

impl Zone {
    /// Answers `kind` at `name`, every CNAME and alias followed as far as this zone and its hosts go.
    pub fn answer(&self, name: &Name, kind: RecordType, healthy: &dyn Fn(&str) -> bool) -> Answer {
        // The name that the records are written under, and the one that they are looked up by.
        let mut owner = name.clone();
        let mut target = name.to_lowercase();
        let mut records: Vec<Record> = Vec::new();
        for _ in 0..CHAIN_MAX {
            match self.step(&target, kind, healthy) {
                Step::Set(set) => match &set.data {
                    Data::Alias(to) => target = to.clone(),
                    Data::Values(values) => {
                        let write = |data: &RData| Record::from_rdata(owner.clone(), set.ttl, data.clone());
                        records.extend(values.iter().map(write));
                        match values.first() {
                            Some(RData::CNAME(to)) if kind != RecordType::CNAME => {
                                owner = to.0.clone();
                                target = to.0.to_lowercase();
                            }
                            _ => return Answer::positive(records),
                        }
                    }
                },
                Step::Host(address) => {
                    records.push(Record::from_rdata(owner, self.hosts.ttl, RData::A(A(address))));
                    return Answer::positive(records);
                }
                Step::NoData => return Answer::negative(ResponseCode::NoError, records),
                Step::NoName => return Answer::negative(ResponseCode::NXDomain, records),
                Step::NotOurs if records.is_empty() => {
                    return Answer { code: ResponseCode::Refused, records, negative: false };
                }
                // The chain leaves the zone: whoever asked goes on by itself.
                Step::NotOurs => return Answer::positive(records),
            }
        }
        Answer { code: ResponseCode::ServFail, records: Vec::new(), negative: false }
    }

    /// The own address of the place behind `name`, for the health checkers.
    pub fn address(&self, name: &Name, healthy: &dyn Fn(&str) -> bool) -> Option<Ipv4Addr> {
        self.answer(name, RecordType::A, healthy).records.iter().find_map(|record| match record.data {
            RData::A(A(address)) => Some(address),
            _ => None,
        })
    }

    fn step(&self, name: &Name, kind: RecordType, healthy: &dyn Fn(&str) -> bool) -> Step<'_> {
        let chosen = self.choose(name, kind, healthy);
        if let Some(set) = chosen.or_else(|| self.choose(name, RecordType::CNAME, healthy)) {
            return Step::Set(set);
        }
        if let Some(address) = self.hosts.addresses.get(name) {
            return if kind == RecordType::A { Step::Host(*address) } else { Step::NoData };
        }
        let below = |other: &Name| name.zone_of(other);
        if self.sets.iter().any(|set| below(&set.name)) || self.hosts.addresses.keys().any(below) {
            return Step::NoData;
        }
        if self.apex.zone_of(name) { Step::NoName } else { Step::NotOurs }
    }

    /// The record set that Route 53 would take. With both halves of a pair unhealthy that is the primary:
    /// Route 53 rather answers something than nothing.
    fn choose(&self, name: &Name, kind: RecordType, healthy: &dyn Fn(&str) -> bool) -> Option<&RecordSet> {
        let find = |policy| {
            self.sets.iter().find(|set| set.policy == policy && set.kind == kind && set.name == *name)
        };
        let good = |set: &&RecordSet| set.health_check.as_deref().is_none_or(healthy);
        let (primary, secondary) = (find(Policy::Primary), find(Policy::Secondary));
        find(Policy::Simple)
            .or_else(|| primary.filter(good))
            .or_else(|| secondary.filter(good))
            .or(primary)
            .or(secondary)
    }
}

impl Answer {
    fn positive(records: Vec<Record>) -> Self {
        Self { code: ResponseCode::NoError, records, negative: false }
    }

    fn negative(code: ResponseCode, records: Vec<Record>) -> Self {
        Self { code, records, negative: true }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use hickory_proto::rr::rdata::CNAME;

    pub fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn set(at: &str, kind: RecordType, policy: Policy, check: Option<&str>, value: &str) -> RecordSet {
        let data = match kind {
            RecordType::CNAME => RData::CNAME(CNAME(name(value))),
            kind => RData::try_from_str(kind, value).unwrap(),
        };
        RecordSet {
            name: name(at),
            kind,
            ttl: 3,
            policy,
            data: Data::Values(vec![data]),
            health_check: check.map(str::to_owned),
        }
    }

    /// `rag.example.com`: a CNAME pair on a switch, a TXT pair, an A pair with checks on both halves.
    pub fn example() -> Zone {
        use Policy::{Primary, Secondary, Simple};
        use RecordType as T;
        let soa = "ns.example.com. admin.example.com. 1 7200 900 1209600 60";
        let sets = vec![
            set("example.com.", T::SOA, Simple, None, soa),
            set("rag.example.com.", T::CNAME, Primary, Some("switch"), "primary.rag.example.com."),
            set("rag.example.com.", T::CNAME, Secondary, None, "standby.rag.example.com."),
            set("verdict.example.com.", T::TXT, Primary, Some("probe"), "up"),
            set("verdict.example.com.", T::TXT, Secondary, None, "down"),
            set("both.example.com.", T::A, Primary, Some("first"), "127.77.0.1"),
            set("both.example.com.", T::A, Secondary, Some("second"), "127.77.0.2"),
            set("away.example.com.", T::CNAME, Simple, None, "www.example.org."),
            set("round.example.com.", T::CNAME, Simple, None, "round.example.com."),
            set("deep.down.example.com.", T::A, Simple, None, "192.0.2.1"),
            RecordSet {
                data: Data::Alias(name("primary.rag.example.com.")),
                ..set("alias.example.com.", T::A, Simple, None, "192.0.2.9")
            },
        ];
        let soa = RData::try_from_str(T::SOA, soa).unwrap();
        let addresses = [
            (name("primary.rag.example.com."), Ipv4Addr::new(127, 77, 0, 1)),
            (name("standby.rag.example.com."), Ipv4Addr::new(127, 77, 0, 2)),
        ];
        Zone {
            apex: name("example.com."),
            soa: Record::from_rdata(name("example.com."), 60, soa),
            sets,
            hosts: Hosts { addresses: addresses.into(), ttl: 5 },
        }
    }

    fn ask(at: &str, kind: RecordType, sick: &[&str]) -> Answer {
        example().answer(&name(at), kind, &|id| !sick.contains(&id))
    }

    fn texts(answer: &Answer) -> Vec<String> {
        answer.records.iter().map(|record| record.data.to_string()).collect()
    }

    #[test]
    fn a_pair_follows_the_check_of_its_primary() {
        let at = "rag.example.com.";
        let first = ask(at, RecordType::A, &[]);
        assert_eq!(texts(&first), ["primary.rag.example.com.", "127.77.0.1"]);
        assert_eq!(first.records.iter().map(|r| r.ttl).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(first.records[1].name, name("primary.rag.example.com."));
        assert_eq!(texts(&ask(at, RecordType::A, &["switch"])), ["standby.rag.example.com.", "127.77.0.2"]);
        assert_eq!(texts(&ask(at, RecordType::CNAME, &["switch"])), ["standby.rag.example.com."]);
    }

    #[test]
    fn a_txt_pair_is_a_verdict() {
        assert_eq!(texts(&ask("verdict.example.com.", RecordType::TXT, &[])), ["up"]);
        assert_eq!(texts(&ask("verdict.example.com.", RecordType::TXT, &["probe"])), ["down"]);
    }

    #[test]
    fn with_both_halves_unhealthy_the_primary_answers() {
        let of = |sick: &[&str]| texts(&ask("both.example.com.", RecordType::A, sick));
        assert_eq!(of(&["second"]), ["127.77.0.1"]);
        assert_eq!(of(&["first"]), ["127.77.0.2"]);
        assert_eq!(of(&["first", "second"]), ["127.77.0.1"]);
    }

    #[test]
    fn an_alias_answers_under_its_own_name() {
        let answer = ask("alias.example.com.", RecordType::A, &[]);
        assert_eq!(texts(&answer), ["127.77.0.1"]);
        assert_eq!(answer.records[0].name, name("alias.example.com."));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let code = |at, kind| {
            let answer = ask(at, kind, &[]);
            (answer.code, answer.negative)
        };
        assert_eq!(code("nothing.example.com.", RecordType::A), (ResponseCode::NXDomain, true));
        assert_eq!(code("verdict.example.com.", RecordType::A), (ResponseCode::NoError, true));
        assert_eq!(code("down.example.com.", RecordType::A), (ResponseCode::NoError, true));
        assert_eq!(code("primary.rag.example.com.", RecordType::AAAA), (ResponseCode::NoError, true));
        assert_eq!(code("www.example.org.", RecordType::A), (ResponseCode::Refused, false));
        assert_eq!(code("round.example.com.", RecordType::A), (ResponseCode::ServFail, false));
    }

    #[test]
    fn a_chain_may_leave_the_zone_and_keeps_the_case_that_was_asked() {
        assert_eq!(texts(&ask("away.example.com.", RecordType::A, &[])), ["www.example.org."]);
        let answer = ask("RAG.Example.com.", RecordType::A, &[]);
        assert_eq!(answer.records[0].name.to_string(), "RAG.Example.com.");
        let nodata = ask("rag.example.com.", RecordType::AAAA, &[]);
        assert_eq!((texts(&nodata).len(), nodata.negative), (1, true));
    }
}
