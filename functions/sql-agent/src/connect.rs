//! A connection to one database: resolved afresh, bounded, with TLS verified against the bundled roots.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use understudy_aws::dns::Resolver;
use understudy_core::fault::Fault;
use understudy_core::sql::FailureClass;

const CONNECT: Duration = Duration::from_secs(2);
/// The server ends a statement before this function gives up on it.
const STATEMENT_MS: u32 = 4000;
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
    /// `tls` is `verify-full` or `off`, as the template's parameter says.
    pub fn new(resolver: Resolver, tls: &str) -> Result<Self, Fault> {
        let tls = match tls {
            "off" => None,
            "verify-full" => Some(MakeRustlsConnect::new(verified()?)),
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
        let address = match resolve {
            Ok(Ok(addresses)) => {
                addresses.into_iter().next().ok_or_else(|| unreachable(target, "no address"))?
            }
            Ok(Err(why)) => return Err(unreachable(target, &why)),
            Err(_) => return Err(unreachable(target, "its name did not resolve in time")),
        };
        let mut config = Config::new();
        config
            .host(target.host)
            .hostaddr(address)
            .port(target.port)
            .dbname(target.database)
            .user(login.user)
            .password(login.password)
            .application_name("understudy")
            .connect_timeout(CONNECT)
            .options(format!("-c statement_timeout={STATEMENT_MS}"));
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

fn unreachable(target: &Target<'_>, why: &str) -> Refusal {
    Refusal { class: FailureClass::Unreachable, detail: format!("{}:{}: {why}", target.host, target.port) }
}

/// The roots of RDS, put beside the binary when the package was made.
fn verified() -> Result<rustls::ClientConfig, Fault> {
    let folder = std::env::var("LAMBDA_TASK_ROOT").map_or_else(|_| PathBuf::from("."), PathBuf::from);
    let path = folder.join("rds-ca.pem");
    let wrong = |why: String| {
        Fault::invalid(format!("{}: {why}; `make package RDS_CA=…` puts it there", path.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
