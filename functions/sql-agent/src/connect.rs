//! A connection to one database: resolved afresh, bounded, with TLS verified against the bundled roots.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use understudy_aws::dns::Resolver;
use understudy_core::fault::Fault;
use understudy_core::sql::FailureClass;

const CONNECT: Duration = Duration::from_secs(2);
/// The server ends a statement before this function gives up on it.
const STATEMENT_MS: u32 = 4000;
/// And a transaction in which nothing is asked.
const IDLE_MS: u32 = 2000;
/// What was sent and not acknowledged for so long was sent to nobody.
const GONE: Duration = Duration::from_secs(5);
/// The SQLSTATE that the statement gate raises.
pub const FENCED: &str = "US001";

/// Why a statement has no result.
#[derive(Debug)]
pub struct Refusal {
    pub class: FailureClass,
    pub detail: String,
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(told) = error.as_db_error() else {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return Self {
                class: FailureClass::Unreachable,
                detail: cause.unwrap_or_else(|| error.to_string()),
            };
        };
        let class = match told.code() {
            code if code.code() == FENCED => FailureClass::Fenced,
            code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => FailureClass::ReadOnly,
            code if *code == SqlState::QUERY_CANCELED => FailureClass::Timeout,
            // Starting up, shutting down, terminated: nothing was asked yet, or nobody is there to answer.
            code if code.code().starts_with("57P") => FailureClass::Unreachable,
            code if code.code().starts_with("28") => FailureClass::Login,
            _ => FailureClass::Sql,
        };
        Self { class, detail: format!("{}: {}", told.code().code(), told.message()) }
    }
}

/// Which database of which server.
pub struct Target<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
}

pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
}

pub struct Connector {
    resolver: Resolver,
    /// `None` only where the deployment said `DatabaseTls=off`.
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// `tls` is `verify-full` or `off`, as the template's parameter says; the roots lie beside the binary.
    pub fn new(resolver: Resolver, tls: &str) -> Result<Self, Fault> {
        let folder = std::env::var("LAMBDA_TASK_ROOT").map_or_else(|_| PathBuf::from("."), PathBuf::from);
        Self::with_roots(resolver, tls, &folder.join("rds-ca.pem"))
    }

    /// As [`Connector::new`], with the roots of another file.
    pub fn with_roots(resolver: Resolver, tls: &str, roots: &Path) -> Result<Self, Fault> {
        let tls = match tls {
            "off" => None,
            "verify-full" => Some(MakeRustlsConnect::new(verified(roots)?)),
            other => {
                return Err(Fault::invalid(format!(
                    "DATABASE_TLS: `{other}` is neither verify-full nor off"
                )));
            }
        };
        Ok(Self { resolver, tls })
    }

    pub async fn connect(&self, target: &Target<'_>, login: &Login<'_>) -> Result<Client, Refusal> {
        let resolve = tokio::time::timeout(CONNECT, self.resolver.resolve(target.host)).await;
        let mut addresses = match resolve {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(why)) => return Err(unreachable(target, &why)),
            Err(_) => return Err(unreachable(target, "its name did not resolve in time")),
        };
        // Of a dual-stack instance both are tried, and the family first that every subnet has.
        addresses.sort_by_key(IpAddr::is_ipv6);
        let mut first = None;
        for address in addresses {
            match self.connect_to(address, target, login).await {
                Ok(client) => return Ok(client),
                Err(error) if is_not_reached(&error) => {
                    first.get_or_insert(error);
                }
                // Somebody answered: what that one says is the answer, and the next address is the same instance.
                Err(error) => return Err(error.into()),
            }
        }
        Err(first.map_or_else(|| unreachable(target, "no address"), Refusal::from))
    }

    async fn connect_to(
        &self,
        address: IpAddr,
        target: &Target<'_>,
        login: &Login<'_>,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host(target.host)
            .hostaddr(address)
            .port(target.port)
            // A server that will not speak TLS gets neither token nor password.
            .ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .dbname(target.database)
            .user(login.user)
            .password(login.password)
            .application_name("understudy")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(GONE)
            // A heartbeat that is not on the disk attests nothing, and a fence that is not on it stops nobody.
            // A function that is frozen in the middle of a transaction must not keep the lease's row from the next one.
            // And whatever somebody put into a schema of the application's is none of the operators that we mean.
            .options(format!(
                "-c statement_timeout={STATEMENT_MS} -c synchronous_commit=on \
                 -c idle_in_transaction_session_timeout={IDLE_MS} -c search_path=pg_catalog,pg_temp"
            ));
        if let Some(tls) = &self.tls {
            let (client, connection) = config.connect(tls.clone()).await?;
            tokio::spawn(connection);
            Ok(client)
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

/// No packet came back from there: another address of the same name may do.
fn is_not_reached(error: &tokio_postgres::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let kind = io.map(std::io::Error::kind);
    matches!(
        kind,
        Some(
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::TimedOut
        )
    )
}

fn unreachable(target: &Target<'_>, why: &str) -> Refusal {
    Refusal { class: FailureClass::Unreachable, detail: format!("{}:{}: {why}", target.host, target.port) }
}

/// The roots of RDS, put beside the binary when the package was made.
fn verified(path: &Path) -> Result<rustls::ClientConfig, Fault> {
    let wrong = |why: String| {
        Fault::invalid(format!("{}: {why}; `make package RDS_CA=…` puts it there", path.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(&pem)) {
        let broken =
            |error: &dyn std::fmt::Display| wrong(format!("certificate {number} is broken: {error}"));
        let certificate = certificate.map_err(|error| broken(&error))?;
        roots.add(certificate).map_err(|error| broken(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
