//! The one file that describes a running local cloud, and the addresses that follow from it.
//!
//! Every process of the cloud reads the same `cloud.json`; nobody computes an address in any other way. No
//! state is kept here: what a link or a database does right now is known by the one who carries it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Where somebody is: one of the three Regions, or the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Primary,
    Standby,
    Witness,
    Outside,
}

impl Place {
    pub const ALL: [Self; 4] = [Self::Primary, Self::Standby, Self::Witness, Self::Outside];

    /// The octet that stands for the place in every address.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Primary => 1,
            Self::Standby => 2,
            Self::Witness => 3,
            Self::Outside => 4,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Witness => "witness",
            Self::Outside => "outside",
        }
    }

    /// Every ordered pair of places, each place with itself included.
    pub fn pairs() -> impl Iterator<Item = (Self, Self)> {
        Self::ALL.into_iter().flat_map(|from| Self::ALL.into_iter().map(move |to| (from, to)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `cloud.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cloud {
    /// The second octet of every address of this cloud.
    pub block: u8,
    /// Every period of AWS is divided by this.
    pub speed: f64,
    pub state_dir: PathBuf,
    pub emulator_port: u16,
    pub aws_port: u16,
    pub web_port: u16,
    pub db_port: u16,
    pub dns_port: u16,
    pub control_port: u16,
    pub regions: BTreeMap<String, Place>,
    /// The hosted zone; empty until the emulator has made it.
    #[serde(default)]
    pub zone_id: String,
    /// Names that stand for a place's own address.
    #[serde(default)]
    pub hosts: BTreeMap<String, Place>,
    #[serde(default)]
    pub databases: Vec<Database>,
    /// The folder of `postgres`, `initdb`, `pg_ctl` and `pg_basebackup`.
    pub pg_bin: PathBuf,
    /// Whom to run PostgreSQL as; `None` runs it as ourselves, which it refuses when we are root.
    pub pg_user: Option<String>,
}

/// One PostgreSQL server, as RDS would call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub id: String,
    pub place: Place,
    pub data_dir: PathBuf,
    /// The instance that it was made a replica of.
    pub source: Option<String>,
    /// The name that RDS gives as the endpoint; without one it gives the asker's link address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default = "a_week")]
    pub backup_retention_days: u8,
}

const fn a_week() -> u8 {
    7
}

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read `{}`; is the local cloud up?", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{}` is not a description of a local cloud; bring the cloud down and up again", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("`{field}` in the description of the local cloud {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(
        "every loopback block from 127.{FIRST_BLOCK}.0.0 to 127.{LAST_BLOCK}.0.0 is taken; bring an unused local cloud down"
    )]
    NoBlock,
}

impl Cloud {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let cloud: Self = serde_json::from_slice(&text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        cloud.checked()
    }

    /// Writes the file whole or not at all: a process that starts now must not read half of it.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        let failed = |source| ConfigError::Write { path: path.into(), source };
        let text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        let draft = path.with_extension("json.new");
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, path)).map_err(failed)
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if !(FIRST_BLOCK..=LAST_BLOCK).contains(&self.block) {
            let problem = format!("is {}, and must be {FIRST_BLOCK} to {LAST_BLOCK}", self.block);
            return Err(ConfigError::Invalid { field: "block", problem });
        }
        if !(self.speed.is_finite() && self.speed > 0.0) {
            let problem = format!("is {}, and must be more than 0", self.speed);
            return Err(ConfigError::Invalid { field: "speed", problem });
        }
        Ok(self)
    }

    /// Where the services of `place` really listen.
    pub const fn own(&self, place: Place) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block, 0, place.octet())
    }

    /// How somebody in `from` calls the services of `to`.
    pub const fn link(&self, from: Place, to: Place) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block, from.octet(), to.octet())
    }

    /// The web service of `to` as seen from `from`.
    pub const fn web(&self, from: Place, to: Place) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.link(from, to)), self.web_port)
    }

    /// The database of `to` as seen from `from`.
    pub const fn db(&self, from: Place, to: Place) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.link(from, to)), self.db_port)
    }

    /// The resolver of `place`.
    pub const fn dns(&self, place: Place) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, self.block, place.octet(), 53)), self.dns_port)
    }

    /// All of AWS, as seen from `place`.
    pub const fn aws(&self, place: Place) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, self.block, place.octet(), 250)), self.aws_port)
    }

    pub const fn emulator(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.emulator_port)
    }

    pub const fn control(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.control_port)
    }

    /// The Region of `place`; the world outside has none.
    pub fn region_of(&self, place: Place) -> Option<&str> {
        self.regions.iter().find(|(_, at)| **at == place).map(|(region, _)| region.as_str())
    }

    pub fn place_of(&self, region: &str) -> Option<Place> {
        self.regions.get(region).copied()
    }

    pub fn database_at(&self, place: Place) -> Option<&Database> {
        self.databases.iter().find(|database| database.place == place)
    }

    /// A period of AWS as it passes here.
    pub fn scaled(&self, period: std::time::Duration) -> std::time::Duration {
        period.div_f64(self.speed)
    }
}

const FIRST_BLOCK: u8 = 2;
const LAST_BLOCK: u8 = 250;

/// Below the range from which Linux hands out source ports, so that no outgoing connection sits on one.
const FIRST_PORT: u16 = 15_000;
const PORTS_PER_BLOCK: u16 = 50;

/// A block that nobody uses and ports that are free in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    pub block: u8,
    pub emulator_port: u16,
    pub aws_port: u16,
    pub web_port: u16,
    pub db_port: u16,
    pub dns_port: u16,
    pub control_port: u16,
}

/// Finds room for one more local cloud on this machine.
///
/// Nothing is reserved: two clouds that start in the same instant may pick the same room, and the second
/// then fails to bind.
pub fn find_free() -> Result<Free, ConfigError> {
    let table = Path::new("/proc/net/tcp");
    let sockets =
        fs::read_to_string(table).map_err(|source| ConfigError::Read { path: table.into(), source })?;
    let taken = blocks_in_use(&sockets);
    (FIRST_BLOCK..=LAST_BLOCK)
        .filter(|block| !taken.contains(block))
        .find_map(ports_in)
        .ok_or(ConfigError::NoBlock)
}

/// The blocks in which any socket has its local address, read from `/proc/net/tcp`.
fn blocks_in_use(table: &str) -> BTreeSet<u8> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once(':'))
        .filter_map(|(address, _)| u32::from_str_radix(address, 16).ok())
        // The kernel prints the address as one number in the machine's own byte order.
        .map(u32::to_ne_bytes)
        .filter_map(|[first, block, _, _]| (first == 127).then_some(block))
        .collect()
}

fn ports_in(block: u8) -> Option<Free> {
    let first = FIRST_PORT + u16::from(block) * PORTS_PER_BLOCK;
    let mut free = (first..first + PORTS_PER_BLOCK).filter(|port| is_free(block, *port));
    Some(Free {
        block,
        emulator_port: free.next()?,
        aws_port: free.next()?,
        web_port: free.next()?,
        db_port: free.next()?,
        dns_port: free.next()?,
        control_port: free.next()?,
    })
}

fn is_free(block: u8, port: u16) -> bool {
    let inside = Ipv4Addr::new(127, block, 0, 1);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpListener::bind((inside, port)).is_ok()
        && UdpSocket::bind((inside, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = r#"{"block": 77, "speed": 20.0, "state_dir": "/abs/.local", "emulator_port": 4566,
        "aws_port": 40001, "web_port": 40002, "db_port": 40003, "dns_port": 40004, "control_port": 40005,
        "regions": {"us-east-1": "primary", "us-west-2": "standby", "us-east-2": "witness"},
        "zone_id": "Z1", "hosts": {"primary.rag.example.com": "primary"},
        "databases": [{"id": "financial-rag", "place": "primary", "data_dir": "/abs/.local/pg/primary",
                       "source": null}],
        "pg_bin": "/abs/bin", "pg_user": null}"#;

    #[test]
    fn the_contract_parses_and_every_address_follows() {
        let cloud: Cloud = serde_json::from_str(CONTRACT).unwrap();
        assert_eq!(cloud.own(Place::Standby).to_string(), "127.77.0.2");
        assert_eq!(cloud.web(Place::Standby, Place::Primary).to_string(), "127.77.2.1:40002");
        assert_eq!(cloud.db(Place::Outside, Place::Standby).to_string(), "127.77.4.2:40003");
        assert_eq!(cloud.dns(Place::Witness).to_string(), "127.77.3.53:40004");
        assert_eq!(cloud.aws(Place::Primary).to_string(), "127.77.1.250:40001");
        assert_eq!(cloud.region_of(Place::Witness), Some("us-east-2"));
        assert_eq!(cloud.region_of(Place::Outside), None);
        assert_eq!(cloud.place_of("us-west-2"), Some(Place::Standby));
        assert_eq!(cloud.database_at(Place::Primary).unwrap().backup_retention_days, 7);
    }

    #[test]
    fn a_file_survives_writing_and_reading_and_nonsense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cloud.json");
        let mut cloud: Cloud = serde_json::from_str(CONTRACT).unwrap();
        cloud.save(&path).unwrap();
        assert_eq!(Cloud::load(&path).unwrap(), cloud);
        cloud.speed = 0.0;
        cloud.save(&path).unwrap();
        let message = Cloud::load(&path).unwrap_err().to_string();
        assert_eq!(message, "`speed` in the description of the local cloud is 0, and must be more than 0");
    }

    #[test]
    fn a_block_with_a_socket_in_it_is_taken() {
        let block = find_free().unwrap().block;
        let listener = TcpListener::bind((Ipv4Addr::new(127, block, 3, 1), 0)).unwrap();
        let second = find_free().unwrap();
        assert_ne!(second.block, block);
        drop(listener);
    }
}
