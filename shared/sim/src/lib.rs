//! The simulator: the deployed workflow and the real step code, on virtual time, in a world that breaks.
//!
//! Everything here is decided by a seed: no wall clock, no thread, no socket, no SDK. The world implements the
//! ports of the core; [`asl`] interprets the workflow file that is deployed; [`checkers`] stand apart from both
//! and look only at what happened.

pub mod asl;
pub mod checkers;
pub mod example;
pub mod functions;
mod lambda;
pub mod matching;
pub mod mermaid;
pub mod night;
mod people;
pub mod queue;
pub mod seed;
pub mod shrink;
pub mod simulation;
pub mod story;
pub mod tally;
mod tasks;
pub mod trace;
pub mod world;
