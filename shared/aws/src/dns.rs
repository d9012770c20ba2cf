//! DNS as a client outside asks it: afresh each time, bounded, nothing kept.
//!
//! `UNDERSTUDY_DNS=address:port` names the resolver to ask instead of the system's.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::net::SocketAddr;
use understudy_core::fault::Fault;
use understudy_core::ports::{Dns, DnsAnswer};
use understudy_core::time::Millis;

/// A resolver that keeps nothing: a failover is visible in the very next answer.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl Resolver {
    pub fn new() -> Result<Self, Fault> {
        let mut builder = match std::env::var("UNDERSTUDY_DNS") {
            Ok(address) => {
                let address: SocketAddr = address.parse().map_err(|_| {
                    Fault::invalid(format!("UNDERSTUDY_DNS: `{address}` is not an address with a port"))
                })?;
                TokioResolver::builder_with_config(only(address), TokioRuntimeProvider::default())
            }
            Err(_) => TokioResolver::builder_tokio()
                .map_err(|error| Fault::transient(format!("resolver: {error}")))?,
        };
        builder.options_mut().cache_size = 0;
        let resolver = builder.build().map_err(|error| Fault::transient(format!("resolver: {error}")))?;
        Ok(Self(resolver))
    }

    /// The addresses of `name` now.
    pub async fn resolve(&self, name: &str) -> Result<Vec<std::net::IpAddr>, String> {
        let found = self.0.lookup_ip(name).await.map_err(|error| error.to_string())?;
        Ok(found.iter().collect())
    }
}

fn only(address: SocketAddr) -> ResolverConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp]
        .map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        })
        .to_vec();
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(address.ip(), true, connections)])
}

async fn bounded<T>(timeout: Millis, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(timeout.as_std(), work).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {timeout}")),
    }
}

impl Dns for Resolver {
    async fn txt(&self, name: &str, timeout: Millis) -> DnsAnswer {
        let ask = async { self.0.txt_lookup(name).await.map_err(|error| error.to_string()) };
        match bounded(timeout, ask).await {
            Ok(lookup) => {
                DnsAnswer::Values(lookup.answers().iter().filter_map(|record| text(&record.data)).collect())
            }
            Err(why) => DnsAnswer::Failed(why),
        }
    }

    async fn addresses(&self, name: &str, timeout: Millis) -> DnsAnswer {
        match bounded(timeout, self.resolve(name)).await {
            Ok(addresses) => DnsAnswer::Values(addresses.iter().map(ToString::to_string).collect()),
            Err(why) => DnsAnswer::Failed(why),
        }
    }
}

fn text(data: &RData) -> Option<String> {
    match data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
        _ => None,
    }
}
