//! The adapters that several functions share, one service a file, and the scaffold around a Lambda.
//!
//! Nothing here decides: each adapter says what one port of the core wants in one service's words, and turns
//! that service's errors into the four faults. SQL is not here, since one function alone speaks it. Route 53 is asked by
//! an operator's check and by the switcher's tick, and changed by nobody.

#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod fault;
#[cfg(feature = "lambda")]
pub mod function;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kms")]
pub mod kms;
#[cfg(feature = "lambda")]
pub mod primary_guard;
#[cfg(feature = "rds")]
pub mod rds;
#[cfg(feature = "route53")]
pub mod route53;
#[cfg(feature = "s3")]
pub mod s3;
pub mod scaffold;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "sfn")]
pub mod sfn;
#[cfg(feature = "sns")]
pub mod sns;
#[cfg(feature = "lambda")]
pub mod sql_agent;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(all(feature = "dynamodb", feature = "sns"))]
pub mod watch;

pub use fault::fault;
pub use scaffold::{Environment, serve, serve_looking};
