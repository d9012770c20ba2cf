//! Named statements on PostgreSQL, inside the VPC, without a single AWS call.
//!
//! A library beside the binary, so that the very statements can be put to a real server without a Lambda around them.

pub mod agent;
pub mod connect;
pub mod statements;
pub mod token;
