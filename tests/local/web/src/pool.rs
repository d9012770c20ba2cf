//! A small pool of connections that forgets any connection that has failed once.
//!
//! Nothing is tried again in here: whether a failed write may be repeated is the client's decision.

use crate::failure::{Class, Failure};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

/// Connections at most, idle ones included.
const SIZE: usize = 8;
/// How long a request waits for one of them, and how long a new one may take.
const WAIT_MAX: Duration = Duration::from_millis(500);
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// `HOST:PORT`, where the host may be a name.
#[derive(Clone, Debug)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `HOST:PORT`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

pub struct Pool {
    config: Config,
    room: Semaphore,
    idle: Mutex<Vec<(u64, Session)>>,
    /// Connections of an earlier generation are not used again.
    generation: AtomicU64,
}

impl Pool {
    pub fn new(at: &Endpoint, dbname: &str, user: &str, password: &str) -> Self {
        let mut config = Config::new();
        config.host(&at.host).port(at.port).dbname(dbname).user(user).password(password);
        config.application_name("understudy-local-web").connect_timeout(CONNECT_MAX);
        Self {
            config,
            room: Semaphore::new(SIZE),
            idle: Mutex::new(Vec::new()),
            generation: AtomicU64::new(0),
        }
    }

    /// A connection of one's own. Dropping it closes it; [`Lent::give_back`] keeps it for the next.
    pub async fn get(&self) -> Result<Lent<'_>, Failure> {
        let busy = || Failure::new(Class::Busy, format!("all {SIZE} connections are in use"));
        let permit = timeout(WAIT_MAX, self.room.acquire()).await.map_err(|_| busy())?;
        let permit = permit.map_err(|_| busy())?;
        let generation = self.generation.load(Ordering::Acquire);
        let session = match self.take_idle(generation) {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(Lent { pool: self, session, generation, _permit: permit })
    }

    /// Closes what is idle; what is in use is closed when it is given back.
    pub fn recycle(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.idle().clear();
    }

    /// How many connections wait, and how many times the pool was emptied.
    pub fn state(&self) -> (usize, u64) {
        (self.idle().len(), self.generation.load(Ordering::Acquire))
    }

    fn take_idle(&self, generation: u64) -> Option<Session> {
        let mut idle = self.idle();
        idle.retain(|(from, session)| *from == generation && !session.client.is_closed());
        idle.pop().map(|(_, session)| session)
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let late = |_| Failure::new(Class::Timeout, "the database did not accept a connection in time");
        let (client, connection) = timeout(CONNECT_MAX, self.config.connect(NoTls)).await.map_err(late)??;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        Ok(Session { client, connection })
    }

    /// No code panics while it holds the lock.
    fn idle(&self) -> MutexGuard<'_, Vec<(u64, Session)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection and the task that drives it.
struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    /// Left to itself the task would wait for answers to what nobody waits for any more, as long as a hanging
    /// network lets it.
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub struct Lent<'a> {
    pool: &'a Pool,
    session: Session,
    generation: u64,
    _permit: SemaphorePermit<'a>,
}

impl Lent<'_> {
    pub fn client(&mut self) -> &mut Client {
        &mut self.session.client
    }

    /// Only after all that was asked of it went well.
    pub fn give_back(self) {
        if self.generation == self.pool.generation.load(Ordering::Acquire) {
            self.pool.idle().push((self.generation, self.session));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        let endpoint = Endpoint::parse("db.example.com:5432").unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("db.example.com", 5432));
        for wrong in ["db.example.com", ":5432", "db:port", ""] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
