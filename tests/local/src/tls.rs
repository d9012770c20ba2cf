//! TLS in front of the databases: a certificate authority of this cloud alone, and the front that speaks TLS with whoever
//! asks for it.
//!
//! PostgreSQL as it is installed here has no TLS of its own. What the front changes is the wire of one connection, and only
//! if its first message asks for it, as PostgreSQL's protocol does: the application beside its database asks for none.

use crate::config::{Cloud, Place};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first message of a client that wants TLS: eight bytes long, and this number in the place of a version.
const TLS_ASKED: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error("`{}` is no certificate, or no key to one", path.display())]
    Unusable { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

/// The authority that `sql-agent` trusts, in the folder of a cloud's state.
pub fn roots(cloud: &Cloud) -> PathBuf {
    folder(cloud).join("ca.pem")
}

fn folder(cloud: &Cloud) -> PathBuf {
    cloud.state_dir.join("tls")
}

/// Makes the authority, and a certificate for the hosts of each place that has some.
pub fn make(cloud: &Cloud) -> Result<(), TlsError> {
    let folder = folder(cloud);
    fs::create_dir_all(&folder).map_err(|source| TlsError::File { path: folder.clone(), source })?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    write(&folder.join("ca.pem"), &params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);
    for place in Place::ALL {
        let hosts: Vec<String> =
            cloud.hosts.iter().filter(|(_, at)| **at == place).map(|(host, _)| host.clone()).collect();
        if hosts.is_empty() {
            continue;
        }
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(hosts)?.signed_by(&key, &authority)?;
        write(&folder.join(format!("{place}.pem")), &certificate.pem())?;
        write(&folder.join(format!("{place}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

fn write(path: &Path, pem: &str) -> Result<(), TlsError> {
    fs::write(path, pem).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// How the databases of one place speak TLS.
#[derive(Clone)]
pub struct Front(TlsAcceptor);

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Front")
    }
}

impl Front {
    /// The front of `place`; `None` where no certificate was made for it.
    pub fn of(cloud: &Cloud, place: Place) -> Result<Option<Self>, TlsError> {
        let (certificate, key) =
            (folder(cloud).join(format!("{place}.pem")), folder(cloud).join(format!("{place}.key")));
        if !certificate.exists() {
            return Ok(None);
        }
        let unusable = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| TlsError::Unusable {
            path: path.to_owned(),
            source,
        };
        let chain = CertificateDer::from_pem_file(&certificate)
            .map_err(|error| unusable(&certificate, Box::new(error)))?;
        let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, Box::new(error)))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], private))
            .map_err(|error| unusable(&key, Box::new(error)))?;
        Ok(Some(Self(TlsAcceptor::from(Arc::new(config)))))
    }

    /// Reads the first message: the stream to go on with, and what of it was read already.
    pub async fn meet(&self, mut client: TcpStream) -> io::Result<(Box<dyn Stream>, Vec<u8>)> {
        let mut first = [0; TLS_ASKED.len()];
        client.read_exact(&mut first).await?;
        if first != TLS_ASKED {
            return Ok((Box::new(client), first.to_vec()));
        }
        client.write_all(b"S").await?;
        Ok((Box::new(self.0.accept(client).await?), Vec::new()))
    }
}

/// Bytes both ways, over one connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
