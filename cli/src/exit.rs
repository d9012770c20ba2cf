//! How every command ends: one table of exit codes.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub const TABLE: &str = "Exit codes:
  0  done, nothing to object to
  1  a finding or a refusal
  2  bad input: the plan, the arguments
  3  not available: a file, a service, a permission
  4  disagreement: evidence does not fit together";

/// Writes to standard output, in colour on a terminal alone. Who stops listening (`| head`) is no error.
pub fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// A line of [`print`].
macro_rules! say {
    ($($text:tt)*) => { $crate::exit::print(&format!("{}\n", format_args!($($text)*))) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    Ok = 0,
    Refused = 1,
    BadInput = 2,
    NotAvailable = 3,
    Disagreement = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub fn file(path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::new(Code::NotAvailable, format!("error: {}: {error}", path.into().display()))
    }

    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
