//! What `sql-agent` sends to a server that is not the one it was told of: nothing.
//!
//! Servers that answer as a stripped, a plaintext and a foreign one do, on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sql_agent::connect::{Connector, Login, Refusal, Target};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use understudy_aws::dns::Resolver;
use understudy_core::sql::FailureClass;

const TOKEN: &str = "the token that must not leave";

/// A certificate authority of this test alone, and a certificate by it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn accepts_for(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a server does with the first eight bytes, which ask for TLS.
enum Server {
    /// It has none; whoever prefers TLS goes on without it.
    SaysNo,
    /// Somebody on the path, or a server of another kind.
    SaysNothing,
    Speaks(TlsAcceptor),
}

/// Serves one connection and returns the port, and what it was sent in clear or under TLS once that ends.
async fn serve(server: Server) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 8];
        stream.read_exact(&mut asked).await.unwrap();
        let mut heard = Vec::new();
        match server {
            Server::SaysNo => {
                stream.write_all(b"N").await.unwrap();
                _ = stream.read_to_end(&mut heard).await;
            }
            Server::SaysNothing => drop(stream),
            Server::Speaks(acceptor) => {
                stream.write_all(b"S").await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut startup = [0; 4];
                    if stream.read_exact(&mut startup).await.is_ok() {
                        heard.extend(startup);
                    }
                }
            }
        }
        heard
    });
    (port, heard)
}

fn roots(pem: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rds-ca.pem");
    std::fs::write(&path, pem).unwrap();
    (folder, path)
}

async fn connects(port: u16, pem: &str) -> Refusal {
    let (_folder, path) = roots(pem);
    let connector = Connector::with_roots(Resolver::new().unwrap(), "verify-full", &path).unwrap();
    let target = Target { host: "localhost", port, database: "rag" };
    let login = Login { user: "understudy", password: TOKEN };
    match connector.connect(&target, &login).await {
        Ok(_) => panic!("nobody is to be let in here"),
        Err(refusal) => refusal,
    }
}

#[tokio::test]
async fn a_server_that_answers_without_tls_gets_no_token() {
    let authority = Authority::new();
    let (port, heard) = serve(Server::SaysNo).await;
    let refusal = connects(port, &authority.pem).await;
    assert_eq!(refusal.class, FailureClass::Unreachable, "{}", refusal.detail);
    assert!(refusal.detail.contains("TLS"), "{}", refusal.detail);
    assert_eq!(heard.await.unwrap(), b"", "not even who asks");
    let (port, heard) = serve(Server::SaysNothing).await;
    connects(port, &authority.pem).await;
    assert_eq!(heard.await.unwrap(), b"");
}

#[tokio::test]
async fn a_foreign_server_gets_no_token() {
    let authority = Authority::new();
    for (acceptor, why) in [
        (Authority::new().accepts_for("localhost"), "invalid peer certificate"),
        (authority.accepts_for("db.example.com"), "not valid for name"),
    ] {
        let (port, heard) = serve(Server::Speaks(acceptor)).await;
        let refusal = connects(port, &authority.pem).await;
        assert!(refusal.detail.contains(why), "{}", refusal.detail);
        assert_eq!(heard.await.unwrap(), b"");
    }
    // The one it was told of hears who asks, under TLS.
    let (port, heard) = serve(Server::Speaks(authority.accepts_for("localhost"))).await;
    connects(port, &authority.pem).await;
    assert_eq!(heard.await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_bundle_that_is_broken_says_which_certificate() {
    let good = Authority::new().pem;
    let broken = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    for (pem, why) in [
        (format!("{good}{broken}"), "certificate 2 is broken"),
        (format!("{broken}{good}"), "certificate 1 is broken"),
        (String::new(), "it holds no certificate"),
        ("no PEM at all".to_owned(), "it holds no certificate"),
    ] {
        let (_folder, path) = roots(&pem);
        let made = Connector::with_roots(Resolver::new().unwrap(), "verify-full", &path);
        let Err(fault) = made else { panic!("a broken bundle was taken") };
        let told = fault.to_string();
        assert!(told.contains(why) && told.contains("rds-ca.pem"), "{told}");
    }
}
