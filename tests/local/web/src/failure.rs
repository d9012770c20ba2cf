//! Why the database did not do what was asked, in the few classes that a caller can act on.

use serde::Serialize;
use tokio_postgres::error::SqlState;

/// The reason class that a refused request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The server takes no writes: a standby that was not promoted.
    ReadOnly,
    /// No connection, or one that the server closed.
    Refused,
    /// The server is there and does not let the application in.
    Login,
    /// A gate on the table stopped the write.
    Fenced,
    /// The row is there already, or another one stands in its way.
    UniqueViolation,
    /// No answer in time. Whether the write happened is not known.
    Timeout,
    /// All connections are in use.
    Busy,
    /// Anything else that the server said.
    Sql,
}

/// The SQLSTATE that the statement gate raises.
const FENCED: &str = "US001";

/// A failure with what was said about it.
#[derive(Debug, thiserror::Error)]
#[error("{class:?}: {detail}")]
pub struct Failure {
    pub class: Class,
    pub detail: String,
}

impl Failure {
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) => {
                Self::new(classify(said.code()), format!("{}: {}", said.code().code(), said.message()))
            }
            // Without a word from the server the connection is gone: refused, reset, or closed in the middle.
            None => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                Self::new(Class::Refused, format!("{error}{}", cause.unwrap_or_default()))
            }
        }
    }
}

fn classify(code: &SqlState) -> Class {
    match code {
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Class::ReadOnly,
        code if *code == SqlState::UNIQUE_VIOLATION => Class::UniqueViolation,
        code if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE => Class::Timeout,
        code if code.code() == FENCED => Class::Fenced,
        // 28: not allowed to log in. 42501 on connecting: no CONNECT on the database.
        code if code.code().starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE => Class::Login,
        // 08: broken connection. 53300: no slot is free. 57P: shut down, starting up, dropped.
        code if ["08", "53300", "57P"].iter().any(|class| code.code().starts_with(class)) => Class::Refused,
        _ => Class::Sql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_told_by_its_state() {
        let of = |code: &str| classify(&SqlState::from_code(code));
        assert_eq!(of("25006"), Class::ReadOnly);
        assert_eq!(of("US001"), Class::Fenced);
        assert_eq!(of("23505"), Class::UniqueViolation);
        assert_eq!(of("28000"), Class::Login);
        assert_eq!(of("28P01"), Class::Login);
        assert_eq!(of("57014"), Class::Timeout);
        assert_eq!(of("57P01"), Class::Refused);
        assert_eq!(of("57P03"), Class::Refused);
        assert_eq!(of("42P01"), Class::Sql);
    }
}
