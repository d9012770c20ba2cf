//! The log of calls: one JSON line for each request that reached the gateway.
//!
//! It proves who asked what of whom, and what a broken link did to it. Bodies and secrets never go in.

use super::scope::Scope;
use crate::config::Place;
use crate::links::{Gate, LinkState};
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Why there is no log of calls.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log of calls `{}`", path.display())]
pub struct CallsError {
    path: PathBuf,
    source: io::Error,
}

/// `calls.jsonl`, appended to; every clone writes to the same file.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Mutex<File>>);

impl Calls {
    pub fn open(state_dir: &Path) -> Result<Self, CallsError> {
        let path = state_dir.join("calls.jsonl");
        let open = || {
            fs::create_dir_all(state_dir)?;
            OpenOptions::new().create(true).append(true).open(&path)
        };
        match open() {
            Ok(file) => Ok(Self(Arc::new(Mutex::new(file)))),
            Err(source) => Err(CallsError { path, source }),
        }
    }

    /// A line is one small write into the page cache, so it is made in place, in the order of events.
    fn write(&self, line: &Line<'_>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text);
        if let Err(error) = written {
            tracing::warn!(%error, "a call could not be logged");
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    from: Place,
    to: Option<Place>,
    region: Option<&'a str>,
    service: Option<&'a str>,
    operation: &'a str,
    /// What a request to the RDS endpoint concerns; of all others the emulator's log says it.
    resource: Option<&'a str>,
    access_key_id: Option<&'a str>,
    /// Absent when the caller got no answer.
    status: Option<u16>,
    /// Without a status: what the link did at the end; `open` says that the caller went away by itself.
    link: Option<LinkState>,
    millis: u128,
}

/// One request under way; dropping it writes its line.
pub(super) struct Call<'a> {
    calls: &'a Calls,
    time: Timestamp,
    started: Instant,
    from: Place,
    to: Option<Place>,
    scope: Option<Scope>,
    operation: String,
    resource: Option<String>,
    gate: Option<Gate>,
    status: Option<StatusCode>,
    cut: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        calls: &'a Calls,
        from: Place,
        to: Option<Place>,
        scope: Option<Scope>,
        gate: Option<Gate>,
    ) -> Self {
        let (time, started) = (Timestamp::now(), Instant::now());
        Self {
            calls,
            time,
            started,
            from,
            to,
            scope,
            operation: String::new(),
            resource: None,
            gate,
            status: None,
            cut: false,
        }
    }

    pub(super) fn operation(&mut self, operation: String) {
        self.operation = operation;
    }

    pub(super) fn resource(&mut self, arn: String) {
        self.resource = Some(arn);
    }

    pub(super) fn answered<B>(mut self, response: Response<B>) -> Response<B> {
        self.status = Some(response.status());
        response
    }

    pub(super) fn cut<E>(mut self, error: E) -> E {
        self.cut = true;
        error
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let scope = self.scope.as_ref();
        // A link may have been mended since it cut this call.
        let link = if self.cut { Some(LinkState::Refuse) } else { self.gate.as_ref().map(Gate::state) };
        self.calls.write(&Line {
            time: self.time,
            from: self.from,
            to: self.to,
            region: scope.map(|scope| scope.region.as_str()),
            service: scope.map(|scope| scope.service.as_str()),
            operation: &self.operation,
            resource: self.resource.as_deref(),
            access_key_id: scope.map(|scope| scope.access_key_id.as_str()),
            status: self.status.map(|status| status.as_u16()),
            link: if self.status.is_some() { None } else { link },
            millis: self.started.elapsed().as_millis(),
        });
    }
}
