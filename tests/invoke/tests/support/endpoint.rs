//! The outside world as a port that counts who comes and sends everybody away.
//!
//! AWS, the databases and every web address of the plan lead here, so a count of zero means: no effect.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Stands for everything in the standby and for AWS.
pub const NEAR: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Stands for everything in the primary: a plan's two sides must differ.
pub const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[derive(Clone)]
pub struct Endpoint {
    pub port: u16,
    listeners: Arc<[TcpListener; 2]>,
    count: Arc<AtomicUsize>,
}

impl Endpoint {
    /// Listens, and goes on turning callers away for as long as the runtime lives.
    pub fn open() -> io::Result<Self> {
        let near = TcpListener::bind((NEAR, 0))?;
        let port = near.local_addr()?.port();
        let far = TcpListener::bind((FAR, port))?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let endpoint = Self { port, listeners: Arc::new([near, far]), count: Arc::default() };
        let doorman = endpoint.clone();
        tokio::spawn(async move {
            loop {
                doorman.count();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Ok(endpoint)
    }

    /// How many have come so far. A connection stands in the listener's queue before its caller can go on, so
    /// none made before this call is missed.
    pub fn count(&self) -> usize {
        for listener in self.listeners.iter() {
            while listener.accept().is_ok() {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.load(Ordering::Relaxed)
    }
}
