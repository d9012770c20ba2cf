//! The local cloud: three Regions and the world outside, on loopback, so that Understudy's packages can be
//! run, broken and watched without an AWS account.
//!
//! Nothing here is part of the product: no crate of `shared/` or `functions/` may depend on it, and the
//! product must not be able to tell that it runs here, except by the two environment variables that name its
//! AWS endpoint and its resolver. It imitates networks, not decisions: nothing in here may know what a
//! failover is.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test ends at the first surprise"
    )
)]

pub mod adopt;
pub mod aws;
pub mod breaks;
pub mod compare;
pub mod config;
pub mod control;
pub mod deliveries;
pub mod demo;
pub mod deploy;
pub mod dns;
pub mod examine;
pub mod gateway;
pub mod ledger;
pub mod links;
pub mod logs;
pub mod postgres;
pub mod processes;
pub mod progress;
pub mod python;
pub mod rds;
pub mod ready;
pub mod serve;
pub mod tls;
pub mod torture;
pub mod up;
