//! Reads the hosted zone and the health checks as Route 53's API gives them.
//!
//! Whatever the model cannot honour is refused here with its name, whole reading and all: an answer from half
//! a zone would look like a working one.

use super::Snapshot;
use super::emulator::{Emulator, EmulatorError};
use super::zone::{Data, Hosts, Policy, RecordSet, Zone};
use crate::config::Cloud;
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use roxmltree::{Document, Node};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// Route 53 gives host names of load balancers and databases for a minute or less.
const HOST_TTL: Duration = Duration::from_mins(1);

/// One health check, as far as it is modelled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HealthCheck {
    pub id: String,
    pub inverted: bool,
    /// A disabled check counts as healthy, before inversion.
    pub disabled: bool,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Metric {
        alarm: String,
        region: String,
        insufficient: Insufficient,
    },
    Endpoint(Endpoint),
    /// Healthy if so many of these are.
    Calculated {
        children: Vec<String>,
        threshold: usize,
    },
}

/// What a metric check says while the alarm's metric has no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insufficient {
    Healthy,
    Unhealthy,
    LastKnownStatus,
}

/// An HTTP or HTTPS check. The local cloud has no TLS: both are asked in plain HTTP.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub host: Option<Name>,
    pub address: Option<Ipv4Addr>,
    /// `None` for the scheme's own port, which here is the port of the web services.
    pub port: Option<u16>,
    pub path: String,
    pub interval: Duration,
    pub failure_threshold: u32,
}

/// Why there is no new reading.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("`zone_id` is empty in the description of the local cloud: make the hosted zone first")]
    NoZone,
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    #[error("what Route 53 lists is not XML")]
    Xml(#[from] roxmltree::Error),
    #[error("{what} has no `{field}`")]
    Missing { what: String, field: &'static str },
    #[error("`{field}` of {what} is `{value}`: {problem}")]
    Invalid { what: String, field: &'static str, value: String, problem: String },
    #[error("{what} is longer than one page, and the local cloud reads only one")]
    TooMany { what: &'static str },
}

pub(super) struct Reader {
    emulator: Emulator,
    zone_id: String,
    speed: f64,
    hosts: Result<Hosts, String>,
}

impl Reader {
    pub fn new(cloud: &Cloud) -> Self {
        let hosts = cloud.hosts.iter().map(|(host, place)| Ok((full_name(host)?, cloud.own(*place))));
        let ttl = scaled_seconds(HOST_TTL.as_secs(), cloud.speed);
        Self {
            emulator: Emulator::new(cloud),
            zone_id: cloud.zone_id.clone(),
            speed: cloud.speed,
            hosts: hosts.collect::<Result<_, String>>().map(|addresses| Hosts { addresses, ttl }),
        }
    }

    pub async fn read(&self) -> Result<Snapshot, ReadError> {
        if self.zone_id.is_empty() {
            return Err(ReadError::NoZone);
        }
        let invalid = |problem: &String| ReadError::Invalid {
            what: "the description of the local cloud".into(),
            field: "hosts",
            value: "a name".into(),
            problem: problem.clone(),
        };
        let hosts = self.hosts.as_ref().map_err(invalid)?.clone();
        let id = self.zone_id.trim_start_matches("/hostedzone/");
        let sets = self.emulator.route53(&format!("/2013-04-01/hostedzone/{id}/rrset?maxitems=300")).await?;
        let checks = self.emulator.route53("/2013-04-01/healthcheck?maxitems=1000").await?;
        Ok(Snapshot { zone: parse_zone(&sets, hosts, self.speed)?, checks: parse_checks(&checks)? })
    }
}

fn parse_zone(xml: &str, hosts: Hosts, speed: f64) -> Result<Zone, ReadError> {
    let document = Document::parse(xml)?;
    let whole = document.root_element();
    refuse_pages(whole, "the list of record sets")?;
    let sets: Vec<RecordSet> =
        children(whole, "ResourceRecordSet").map(parse_set).collect::<Result<_, ReadError>>()?;
    let missing = || ReadError::Missing { what: "the hosted zone".into(), field: "SOA" };
    let soa = sets.iter().find(|set| set.kind == RecordType::SOA).ok_or_else(missing)?;
    let Data::Values(values) = &soa.data else { return Err(missing()) };
    let Some(RData::SOA(start)) = values.first() else { return Err(missing()) };
    // No template sets this TTL, and it decides how long a resolver remembers that a name is missing.
    let ttl = scaled_seconds(soa.ttl.min(start.minimum).into(), speed);
    let mut start = start.clone();
    start.minimum = ttl;
    let soa_record = Record::from_rdata(soa.name.clone(), ttl, RData::SOA(start));
    Ok(Zone { apex: soa.name.clone(), soa: soa_record, sets, hosts })
}

fn parse_set(node: Node<'_, '_>) -> Result<RecordSet, ReadError> {
    let entry = Entry { node, what: format!("record set `{}`", text(node, "Name").unwrap_or("?")) };
    let name: Name = entry.parsed("Name", full_name)?;
    let kind = entry.parsed("Type", |kind| RecordType::from_str(kind).map_err(|e| e.to_string()))?;
    for policy in
        ["Weight", "Region", "GeoLocation", "GeoProximityLocation", "MultiValueAnswer", "CidrRoutingConfig"]
    {
        if let Some(value) = children(node, policy).next() {
            let value = value.text().unwrap_or_default();
            return Err(entry.invalid(policy, value, "this routing policy is not modelled"));
        }
    }
    let policy = match text(node, "Failover") {
        None => Policy::Simple,
        Some("PRIMARY") => Policy::Primary,
        Some("SECONDARY") => Policy::Secondary,
        Some(other) => return Err(entry.invalid("Failover", other, "not a half of a failover pair")),
    };
    let (ttl, data) = match children(node, "AliasTarget").next() {
        Some(alias) => (0, parse_alias(&Entry { node: alias, what: entry.what.clone() })?),
        None => (entry.parsed("TTL", number::<u32>)?, parse_values(&entry, kind)?),
    };
    let health_check = text(node, "HealthCheckId").map(str::to_owned);
    Ok(RecordSet { name, kind, ttl, policy, data, health_check })
}

fn parse_alias(alias: &Entry<'_, '_>) -> Result<Data, ReadError> {
    if text(alias.node, "EvaluateTargetHealth") == Some("true") {
        return Err(alias.invalid("EvaluateTargetHealth", "true", "only `false` is modelled"));
    }
    Ok(Data::Alias(alias.parsed("DNSName", full_name)?))
}

fn parse_values(entry: &Entry<'_, '_>, kind: RecordType) -> Result<Data, ReadError> {
    let value = |node: Node<'_, '_>| {
        let value = node.text().unwrap_or_default();
        let data = match kind {
            // A target without its last dot is fully qualified to Route 53 all the same.
            RecordType::CNAME => full_name(value).map(|name| RData::CNAME(CNAME(name))),
            kind => RData::try_from_str(kind, value).map_err(|error| error.to_string()),
        };
        data.map_err(|problem| entry.invalid("Value", value, &problem))
    };
    let values: Vec<RData> = children(entry.node, "Value").map(value).collect::<Result<_, _>>()?;
    if values.is_empty() {
        return Err(ReadError::Missing { what: entry.what.clone(), field: "ResourceRecords" });
    }
    Ok(Data::Values(values))
}

fn parse_checks(xml: &str) -> Result<Vec<HealthCheck>, ReadError> {
    let document = Document::parse(xml)?;
    refuse_pages(document.root_element(), "the list of health checks")?;
    children(document.root_element(), "HealthCheck").map(parse_check).collect()
}

fn parse_check(node: Node<'_, '_>) -> Result<HealthCheck, ReadError> {
    let entry = Entry { node, what: format!("health check `{}`", text(node, "Id").unwrap_or("?")) };
    let target = match entry.required("Type")? {
        "CLOUDWATCH_METRIC" => parse_metric(&entry)?,
        "HTTP" | "HTTPS" => Target::Endpoint(parse_endpoint(&entry)?),
        "CALCULATED" => Target::Calculated {
            children: children(entry.node, "ChildHealthCheck")
                .filter_map(|child| child.text().map(str::to_owned))
                .collect(),
            threshold: entry.parsed("HealthThreshold", number)?,
        },
        other => return Err(entry.invalid("Type", other, "this type of health check is not modelled")),
    };
    Ok(HealthCheck {
        id: entry.required("Id")?.to_owned(),
        inverted: entry.flag("Inverted"),
        disabled: entry.flag("Disabled"),
        target,
    })
}

fn parse_metric(entry: &Entry<'_, '_>) -> Result<Target, ReadError> {
    let missing = || ReadError::Missing { what: entry.what.clone(), field: "AlarmIdentifier" };
    let alarm = children(entry.node, "AlarmIdentifier").next().ok_or_else(missing)?;
    let alarm = Entry { node: alarm, what: entry.what.clone() };
    let insufficient = match text(entry.node, "InsufficientDataHealthStatus") {
        Some("Healthy") => Insufficient::Healthy,
        Some("Unhealthy") => Insufficient::Unhealthy,
        None | Some("LastKnownStatus") => Insufficient::LastKnownStatus,
        Some(other) => return Err(entry.invalid("InsufficientDataHealthStatus", other, "no such status")),
    };
    let (alarm, region) = (alarm.required("Name")?.to_owned(), alarm.required("Region")?.to_owned());
    Ok(Target::Metric { alarm, region, insufficient })
}

fn parse_endpoint(entry: &Entry<'_, '_>) -> Result<Endpoint, ReadError> {
    let address = |text: &str| text.parse::<Ipv4Addr>().map_err(|error| error.to_string());
    let endpoint = Endpoint {
        host: entry.optional("FullyQualifiedDomainName", full_name)?,
        address: entry.optional("IPAddress", address)?,
        port: entry.optional("Port", number::<u16>)?.filter(|port| ![80, 443].contains(port)),
        path: text(entry.node, "ResourcePath").unwrap_or("/").to_owned(),
        interval: Duration::from_secs(entry.optional("RequestInterval", number)?.unwrap_or(30)),
        failure_threshold: entry.optional("FailureThreshold", number)?.unwrap_or(3),
    };
    if endpoint.host.is_none() && endpoint.address.is_none() {
        return Err(ReadError::Missing { what: entry.what.clone(), field: "FullyQualifiedDomainName" });
    }
    Ok(endpoint)
}

/// One element of a list, with the name under which a complaint mentions it.
struct Entry<'a, 'i> {
    node: Node<'a, 'i>,
    what: String,
}

impl<'a> Entry<'a, '_> {
    fn required(&self, field: &'static str) -> Result<&'a str, ReadError> {
        text(self.node, field).ok_or_else(|| ReadError::Missing { what: self.what.clone(), field })
    }

    fn parsed<T>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ReadError> {
        let value = self.required(field)?;
        parse(value).map_err(|problem| self.invalid(field, value, &problem))
    }

    fn optional<T>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ReadError> {
        text(self.node, field).map(|_| self.parsed(field, parse)).transpose()
    }

    fn flag(&self, field: &str) -> bool {
        text(self.node, field).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn invalid(&self, field: &'static str, value: &str, problem: &str) -> ReadError {
        ReadError::Invalid {
            what: self.what.clone(),
            field,
            value: value.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

/// Everything below `node` with this tag; Route 53 never nests a tag in itself.
fn children<'a, 'i: 'a>(node: Node<'a, 'i>, tag: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.descendants().filter(move |below| below.tag_name().name() == tag)
}

fn text<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    node.descendants().find(|below| below.tag_name().name() == tag)?.text()
}

fn refuse_pages(whole: Node<'_, '_>, what: &'static str) -> Result<(), ReadError> {
    match text(whole, "IsTruncated") {
        Some("true") => Err(ReadError::TooMany { what }),
        _ => Ok(()),
    }
}

/// Lower case and fully qualified: the form in which names are compared.
fn full_name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| format!("`{text}` is no name: {error}"))?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

fn number<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Whole seconds of AWS as they pass here; a TTL is never 0, which would mean another thing.
fn scaled_seconds(seconds: u64, speed: f64) -> u32 {
    let scaled = Duration::from_secs(seconds).div_f64(speed).as_secs();
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(sets: &str) -> Result<Zone, ReadError> {
        let xml = format!(
            r#"<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
            <ResourceRecordSets><ResourceRecordSet><Name>example.com.</Name><Type>SOA</Type><TTL>900</TTL>
            <ResourceRecords><ResourceRecord><Value>ns-1.awsdns-1.org. a.amazon.com. 1 7200 900 1209600 86400</Value>
            </ResourceRecord></ResourceRecords></ResourceRecordSet>{sets}</ResourceRecordSets>
            <IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"#
        );
        parse_zone(&xml, Hosts { addresses: std::collections::BTreeMap::default(), ttl: 3 }, 20.0)
    }

    fn set(kind: &str, more: &str, value: &str) -> String {
        format!(
            "<ResourceRecordSet><Name>Rag.example.com</Name><Type>{kind}</Type>{more}<TTL>3</TTL>\
             <ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>\
             <HealthCheckId>abc</HealthCheckId></ResourceRecordSet>"
        )
    }

    #[test]
    fn a_pair_is_read_whole() {
        let pair = set("TXT", "<Failover>PRIMARY</Failover>", "&quot;up&quot;")
            + &set("TXT", "<Failover>SECONDARY</Failover>", "&quot;down&quot;");
        let zone = zone(&pair).unwrap();
        let [_, primary, secondary] = zone.sets.as_slice() else { panic!("{:?}", zone.sets) };
        assert_eq!((primary.policy, secondary.policy), (Policy::Primary, Policy::Secondary));
        assert_eq!(primary.name.to_string(), "rag.example.com.");
        assert_eq!(primary.ttl, 3);
        assert_eq!(primary.health_check.as_deref(), Some("abc"));
        let Data::Values(values) = &primary.data else { panic!("{primary:?}") };
        assert_eq!(values[0].to_string(), "up");
        assert_eq!((zone.apex.to_string(), zone.soa.ttl), ("example.com.".to_owned(), 45));
    }

    #[test]
    fn what_is_not_modelled_is_refused_by_name() {
        let refusal = |sets: &str| zone(sets).unwrap_err().to_string();
        let weighted = refusal(&set("A", "<Weight>10</Weight>", "192.0.2.1"));
        assert!(weighted.contains("`rag.example.com`") || weighted.contains("Rag"), "{weighted}");
        assert!(weighted.contains("this routing policy is not modelled"), "{weighted}");
        assert!(refusal(&set("A", "", "not an address")).contains("`Value`"));
        assert!(refusal(&set("A", "<Failover>THIRD</Failover>", "192.0.2.1")).contains("THIRD"));
    }

    #[test]
    fn both_kinds_of_checks_are_read() {
        let xml = "<ListHealthChecksResponse><HealthChecks>\
            <HealthCheck><Id>one</Id><HealthCheckConfig><Type>CLOUDWATCH_METRIC</Type>\
            <InsufficientDataHealthStatus>LastKnownStatus</InsufficientDataHealthStatus>\
            <AlarmIdentifier><Name>switch</Name><Region>us-west-2</Region></AlarmIdentifier>\
            </HealthCheckConfig></HealthCheck>\
            <HealthCheck><Id>two</Id><HealthCheckConfig><Type>HTTPS</Type><Port>443</Port>\
            <FullyQualifiedDomainName>primary.rag.example.com</FullyQualifiedDomainName>\
            <ResourcePath>/health</ResourcePath><RequestInterval>10</RequestInterval>\
            <FailureThreshold>2</FailureThreshold><Inverted>True</Inverted></HealthCheckConfig></HealthCheck>\
            </HealthChecks><IsTruncated>false</IsTruncated></ListHealthChecksResponse>";
        let checks = parse_checks(xml).unwrap();
        let insufficient = Insufficient::LastKnownStatus;
        let metric = Target::Metric { alarm: "switch".into(), region: "us-west-2".into(), insufficient };
        assert_eq!(checks[0].target, metric);
        let Target::Endpoint(endpoint) = &checks[1].target else { panic!("{checks:?}") };
        assert!(checks[1].inverted && !checks[0].inverted);
        assert_eq!((endpoint.port, endpoint.path.as_str()), (None, "/health"));
        assert_eq!((endpoint.interval, endpoint.failure_threshold), (Duration::from_secs(10), 2));
    }
}
