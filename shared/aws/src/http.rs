//! HTTP as a client outside does it: a fresh connection for each request, bounded, no proxy, no redirects.

use crate::dns::Resolver;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use understudy_core::fault::Fault;
use understudy_core::ports::{Http, HttpAnswer};
use understudy_core::time::Millis;

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
