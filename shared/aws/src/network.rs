//! HTTP and DNS as a client outside does them: resolved afresh, bounded, no proxy, no redirects, no cache.
//!
//! `UNDERSTUDY_DNS=address:port` names the resolver to ask instead of the system's.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use understudy_core::fault::Fault;
use understudy_core::ports::{Dns, DnsAnswer, Http, HttpAnswer};
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

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = Self::resolve(&resolver, name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

/// An HTTP client that opens a fresh connection for each request, as a new client would.
#[derive(Clone, Debug)]
pub struct Web(reqwest::Client);

impl Web {
    pub fn new(resolver: Resolver) -> Result<Self, Fault> {
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("understudy/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| Fault::bug(format!("http client: {error}")))
    }
}

async fn answer(request: reqwest::RequestBuilder, timeout: Millis) -> HttpAnswer {
    match request.timeout(timeout.as_std()).send().await {
        Ok(response) => HttpAnswer::Status(response.status().as_u16()),
        Err(error) => HttpAnswer::Failed(root_cause(&error)),
    }
}

/// The innermost error says what happened; the outer ones only that something did.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Http for Web {
    async fn get(&self, url: &str, timeout: Millis) -> HttpAnswer {
        answer(self.0.get(url), timeout).await
    }

    async fn post(&self, url: &str, body: &Value, timeout: Millis) -> HttpAnswer {
        let request = self.0.post(url).header("content-type", "application/json").body(body.to_string());
        answer(request, timeout).await
    }
}
