//! The wires between places: one TCP forwarder for each ordered pair and each service, whose state can be
//! changed while it runs.
//!
//! A wire knows bytes and nothing else: no protocol, no Region, no reason why it is broken. The gateway asks
//! [`Links`] for the same states, so that a broken pair cuts AWS calls and TCP alike.

use crate::config::{Cloud, Place};
use crate::tls::{Front, Stream, TlsError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a link does with connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    #[default]
    Open,
    /// Running connections are reset, and new ones at once.
    Refuse,
    /// Running connections stall both ways; new ones are accepted and never answered.
    Hang,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
        })
    }
}

/// The state of one ordered pair, as shown and as set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    pub from: Place,
    pub to: Place,
    pub state: LinkState,
}

/// All links; every clone is a handle on the same ones.
#[derive(Clone, Debug)]
pub struct Links(Arc<BTreeMap<(Place, Place), watch::Sender<LinkState>>>);

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Links {
    /// All links, open.
    pub fn new() -> Self {
        Self(Arc::new(Place::pairs().map(|pair| (pair, watch::Sender::new(LinkState::Open))).collect()))
    }

    pub fn state(&self, from: Place, to: Place) -> LinkState {
        self.0.get(&(from, to)).map_or(LinkState::Open, |link| *link.borrow())
    }

    /// Sets one link, `from == to` included.
    pub fn set(&self, from: Place, to: Place, state: LinkState) {
        if let Some(link) = self.0.get(&(from, to)) {
            tracing::info!(%from, %to, %state, "link set");
            link.send_replace(state);
        }
    }

    pub fn all(&self) -> Vec<Link> {
        self.0.iter().map(|((from, to), link)| Link { from: *from, to: *to, state: *link.borrow() }).collect()
    }

    /// One link to follow.
    pub fn follow(&self, from: Place, to: Place) -> Gate {
        let receiver = self.0.get(&(from, to)).map(watch::Sender::subscribe);
        Gate(receiver.unwrap_or_else(|| watch::channel(LinkState::Open).1))
    }
}

/// The link was set to `refuse` while somebody waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link refuses connections")]
pub struct Refused;

/// One link as its user sees it.
#[derive(Clone, Debug)]
pub struct Gate(watch::Receiver<LinkState>);

impl Gate {
    pub fn state(&self) -> LinkState {
        *self.0.borrow()
    }

    /// Returns when the link is open, at once if it is; stays while it hangs.
    pub async fn pass(&mut self) -> Result<(), Refused> {
        match self.0.wait_for(|state| *state != LinkState::Hang).await.as_deref() {
            Ok(LinkState::Open) => Ok(()),
            Ok(_) | Err(_) => Err(Refused),
        }
    }

    /// Returns when the link refuses, whatever it did until then.
    pub async fn refused(&mut self) -> Refused {
        // An error means that the last handle is gone and the cloud with it: everything is cut.
        let _ = self.0.wait_for(|state| *state == LinkState::Refuse).await;
        Refused
    }
}

/// Why the forwarders cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address} for the link {from} -> {to}; another local cloud may use this block")]
    Address { address: SocketAddr, from: Place, to: Place, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The forwarders, bound and not yet running.
#[derive(Debug)]
pub struct Forwarders(Vec<Forwarder>);

#[derive(Debug)]
struct Forwarder {
    listener: TcpListener,
    target: SocketAddr,
    gate: Gate,
    /// In front of databases.
    front: Option<Front>,
}

impl Forwarders {
    /// Binds the web and the database port of every link.
    pub async fn bind(cloud: &Cloud, links: &Links) -> Result<Self, BindError> {
        let mut forwarders = Vec::new();
        for (from, to) in Place::pairs() {
            for (port, front) in [(cloud.web_port, None), (cloud.db_port, Front::of(cloud, to)?)] {
                let address = SocketAddr::from((cloud.link(from, to), port));
                let listener = TcpListener::bind(address).await.map_err(|source| BindError::Address {
                    address,
                    from,
                    to,
                    source,
                })?;
                let target = SocketAddr::from((cloud.own(to), port));
                forwarders.push(Forwarder { listener, target, gate: links.follow(from, to), front });
            }
        }
        Ok(Self(forwarders))
    }

    /// Carries connections for as long as it is awaited.
    pub async fn run(self) {
        let mut running: JoinSet<()> = self.0.into_iter().map(Forwarder::run).collect();
        while running.join_next().await.is_some() {}
    }
}

impl Forwarder {
    async fn run(self) {
        let carried = |client| carry(client, self.target, self.gate.clone(), self.front.clone());
        accept_each(&self.listener, carried).await;
    }
}

/// Serves every connection of `listener` in a task of its own; all of them end with this future.
pub(crate) async fn accept_each<F>(listener: &TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    /// Long enough for another connection to end and give its descriptor back.
    const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Only latency would suffer if this failed.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection from its first byte to its last.
async fn carry(client: TcpStream, target: SocketAddr, mut gate: Gate, front: Option<Front>) {
    if admitted(&client, &mut gate).await.is_err() {
        return reset(&client);
    }
    // As a host without a listener would answer: refused.
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    let _ = server.set_nodelay(true);
    let mut client: Box<dyn Stream> = match front {
        None => Box::new(client),
        Some(front) => match met(&front, client, &mut server, &gate).await {
            Ok(client) => client,
            Err(_) => return reset(&server),
        },
    };
    let ended = tokio::select! {
        ended = exchange(client.as_mut(), &mut server, &gate) => ended,
        refused = async { gate.clone().refused().await } => Err(io::Error::other(refused)),
    };
    if ended.is_err() {
        reset(client.tcp());
        reset(&server);
    }
}

/// The stream of a client whose first message was answered, or passed on.
async fn met(
    front: &Front,
    client: TcpStream,
    server: &mut TcpStream,
    gate: &Gate,
) -> io::Result<Box<dyn Stream>> {
    let (client, first) = tokio::select! {
        met = front.meet(client) => met?,
        refused = async { gate.clone().refused().await } => return Err(io::Error::other(refused)),
    };
    server.write_all(&first).await?;
    Ok(client)
}

/// Waits until the link lets a new connection in, or until its client has given up.
async fn admitted(client: &TcpStream, gate: &mut Gate) -> io::Result<()> {
    tokio::select! {
        biased;
        passed = gate.pass() => passed.map_err(io::Error::other),
        // Ready when the other side has closed, and unlike READABLE not already when it has sent something.
        _ = client.ready(Interest::PRIORITY) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Both directions, until both have ended or one has failed.
async fn exchange(client: &mut dyn Stream, server: &mut TcpStream, gate: &Gate) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = server.split();
    let there = pin!(pump(from_client, to_server, gate.clone()));
    let back = pin!(pump(from_server, to_client, gate.clone()));
    tokio::try_join!(there, back).map(|_| ())
}

/// One direction. What was read before the link stalled is held, and delivered when it opens again.
async fn pump(
    mut source: impl AsyncReadExt + Unpin,
    mut sink: impl AsyncWriteExt + Unpin,
    mut gate: Gate,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        gate.pass().await.map_err(io::Error::other)?;
        let read = source.read(&mut buffer).await?;
        gate.pass().await.map_err(io::Error::other)?;
        match buffer.get(..read) {
            None | Some([]) => return sink.shutdown().await,
            Some(bytes) => sink.write_all(bytes).await?,
        }
    }
}

/// Makes the coming close a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    // Fails only on a socket that is gone already.
    let _ = stream.set_zero_linger();
}
