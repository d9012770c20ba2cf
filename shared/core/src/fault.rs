//! The four errors that leave a function, and no fifth.
//!
//! The names are what Step Functions matches in `Retry` and `Catch`. A refusal is not an error: it is an
//! outcome.

use std::fmt;

/// Why a step could not give an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// May succeed when asked again: throttled, timed out, unreachable. The only one that is retried.
    #[error("{0}")]
    Transient(String),
    /// A newer epoch exists: this execution lost its right to act. Never retried.
    #[error("{0}")]
    Fenced(String),
    /// The input or the plan is wrong; names the field.
    #[error("{0}")]
    Invalid(String),
    /// A state that the code holds to be impossible.
    #[error("{0}")]
    Bug(String),
}

impl Fault {
    /// The `errorType` at the Lambda edge.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Transient(_) => "Transient",
            Self::Fenced(_) => "Fenced",
            Self::Invalid(_) => "Invalid",
            Self::Bug(_) => "Bug",
        }
    }

    pub fn transient(what: impl fmt::Display) -> Self {
        Self::Transient(what.to_string())
    }

    pub fn invalid(what: impl fmt::Display) -> Self {
        Self::Invalid(what.to_string())
    }

    pub fn bug(what: impl fmt::Display) -> Self {
        Self::Bug(what.to_string())
    }
}
