//! The ledger: one JSON line for each thing that the client saw, flushed before the next.
//!
//! A line is written once and never changed. Reading takes every line or none: a ledger with a hole in it is
//! evidence of nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// One finished attempt to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// From 1, in the order of the schedule.
    pub seq: u64,
    pub tx: String,
    /// The address that the name stood for.
    pub resolved: Option<Ipv4Addr>,
    #[serde(serialize_with = "micros")]
    pub sent_at: Timestamp,
    #[serde(serialize_with = "micros")]
    pub done_at: Timestamp,
    /// Acknowledged as committed.
    pub ok: bool,
    pub status: Option<u16>,
    /// Who acknowledged, or refused.
    pub region: Option<String>,
    pub error: Option<String>,
}

/// What happened besides attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first line.
    Started {
        #[serde(serialize_with = "micros")]
        at: Timestamp,
        /// Milliseconds from one attempt to the next.
        period_ms: f64,
        timeout_ms: u64,
        /// The name and port, or the address, that is written to.
        target: String,
    },
    /// The resolver was asked and answered.
    Resolved {
        #[serde(serialize_with = "micros")]
        at: Timestamp,
        address: Ipv4Addr,
        /// Seconds.
        ttl: u32,
    },
    /// The last line: every attempt that was started is in the ledger.
    Stopped {
        #[serde(serialize_with = "micros")]
        at: Timestamp,
        attempts: u64,
    },
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    Event(Event),
    Attempt(Attempt),
}

/// Appends lines to a file of its own.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
}

/// Why a line is not in the ledger. The client stops then: what it would see could not be proved.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the ledger `{}`", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl Ledger {
    /// Makes the file; one that is there already is evidence of another run and stays untouched.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let file = File::create_new(path).map_err(|source| WriteError { path: path.into(), source })?;
        Ok(Self { file, path: path.into() })
    }

    pub fn write(&mut self, line: &Line) -> Result<(), WriteError> {
        let failed = |source| WriteError { path: self.path.clone(), source };
        let mut bytes = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        // One write for one line, straight to the file: nothing waits in a buffer of ours.
        self.file.write_all(&bytes).map_err(failed)
    }
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the ledger `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("line {line} of the ledger `{}` is not one of ours", path.display())]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
}

pub fn read(path: &Path) -> Result<Vec<Line>, ReadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ReadError::Read { path: path.into(), source })?;
    let parse = |(index, line): (usize, &str)| {
        parse(line).map_err(|source| ReadError::Line { path: path.into(), line: index + 1, source })
    };
    text.lines().enumerate().map(parse).collect()
}

/// Events and attempts are told apart by their `event` field, so that a broken line names its real fault.
fn parse(line: &str) -> Result<Line, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_str(line)?;
    if value.get("event").is_some() {
        serde_json::from_value(value).map(Line::Event)
    } else {
        serde_json::from_value(value).map(Line::Attempt)
    }
}

/// RFC 3339 in UTC, always with six digits.
pub fn micros<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written() {
        let at: Timestamp = "2026-11-21T03:00:00.5Z".parse().unwrap();
        let lines = [
            Line::Event(Event::Started { at, period_ms: 100.0, timeout_ms: 1000, target: "a:1".into() }),
            Line::Event(Event::Resolved { at, address: Ipv4Addr::LOCALHOST, ttl: 3 }),
            Line::Attempt(Attempt {
                seq: 1,
                tx: "t-1".into(),
                resolved: None,
                sent_at: at,
                done_at: at,
                ok: false,
                status: None,
                region: None,
                error: Some("refused".into()),
            }),
            Line::Event(Event::Stopped { at, attempts: 1 }),
        ];
        for line in lines {
            let text = serde_json::to_string(&line).unwrap();
            assert!(text.contains("2026-11-21T03:00:00.500000Z"), "{text}");
            assert_eq!(parse(&text).unwrap(), line);
        }
        assert!(parse(r#"{"event":"slept"}"#).is_err());
        assert!(parse(r#"{"seq":1,"tx":"#).is_err());
    }
}
