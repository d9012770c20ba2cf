//! A function's own binary in the environment that Lambda would give it, with nothing behind it.

// Each test binary compiles all of this and uses its part.
#![expect(dead_code, reason = "shared by two test binaries")]

pub mod endpoint;
pub mod lambda;
pub mod runtime;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The binaries under test.
pub const FUNCTIONS: [&str; 11] = [
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
];

/// The four errors that leave a function.
pub const FAULTS: [&str; 4] = ["Transient", "Fenced", "Invalid", "Bug"];

fn root() -> PathBuf {
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

/// Past the harness, which would keep it from whoever reads the run.
fn skipped(why: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
