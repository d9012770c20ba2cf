//! A function's own binary in the environment that Lambda would give it, with nothing behind it.

// Each test binary compiles all of this and uses its part.
#![expect(dead_code, reason = "shared by three test binaries")]

pub mod endpoint;
pub mod image;
pub mod lambda;
pub mod runtime;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use understudy_invoke_tests::{Example, examples};

/// The binaries under test.
pub const FUNCTIONS: [&str; 12] = [
    "alarm-handler",
    "approver",
    "dns-switcher",
    "drill-runner",
    "preflight-verifier",
    "primary-guard",
    "report-writer",
    "route-prober",
    "sql-agent",
    "step-runner",
    "store-promoter",
    "switch-status",
];

/// The four errors that leave a function.
pub const FAULTS: [&str; 4] = ["Transient", "Fenced", "Invalid", "Bug"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the binaries lie; `None`, said aloud, where one of them is missing.
pub fn binaries() -> Option<PathBuf> {
    let folder =
        std::env::var("UNDERSTUDY_BINARIES").map_or_else(|_| root().join("target/debug"), PathBuf::from);
    let missing: Vec<&str> = FUNCTIONS.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Some(folder);
    }
    skipped(&format!("{} lacks {}: build the functions first", folder.display(), missing.join(", ")));
    None
}

/// The Lambda runtime interface emulator; `None`, said aloud, where there is none.
pub fn emulator() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("UNDERSTUDY_RIE") {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Some(path);
        }
        skipped(&format!("UNDERSTUDY_RIE names {}, which is no file", path.display()));
        return None;
    }
    let libraries = root().join(".local/venv/lib");
    let found = std::fs::read_dir(&libraries).into_iter().flatten().flatten().find_map(|python| {
        let path = python.path().join("site-packages/samcli/local/rapid/aws-lambda-rie-x86_64");
        path.is_file().then_some(path)
    });
    if found.is_none() {
        skipped(&format!("no aws-lambda-rie below {}, and UNDERSTUDY_RIE is not set", libraries.display()));
    }
    found
}

/// The SAM command line; `None`, said aloud, where it or an engine that runs its containers is missing.
pub fn sam() -> Option<PathBuf> {
    let sam =
        std::env::var("UNDERSTUDY_SAM").map_or_else(|_| root().join(".local/venv/bin/sam"), PathBuf::from);
    if !sam.is_file() {
        skipped(&format!("`sam local invoke`: {} is no file: `make python` first", sam.display()));
        return None;
    }
    let mut info = Command::new("docker");
    info.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
    if info.status().is_ok_and(|status| status.success()) {
        return Some(sam);
    }
    skipped("`sam local invoke`: no container engine answers to `docker info`");
    None
}

/// The function's tick, or else the first of its events.
pub fn event(function: &str) -> io::Result<Example> {
    let mut own = examples()?;
    own.retain(|example| example.function == function);
    let tick = own.iter().position(|example| example.name == "tick").unwrap_or(0);
    let missing = || io::Error::other(format!("{function} has no event"));
    own.into_iter().nth(tick).ok_or_else(missing)
}

/// Past the harness, which would keep it from whoever reads the run.
fn skipped(why: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
