//! The core of Understudy: what is decided, in which words, and how it is recorded.
//!
//! Pure: no AWS type, no clock, no environment, no async runtime. Whatever it needs of the world it asks
//! through the traits in [`ports`]; whoever runs it hands in the time. The functions and the simulator run this
//! very code.

pub mod approval;
pub mod attest;
pub mod budget;
pub mod call;
pub mod checks;
pub mod ddl;
pub mod decide;
pub mod drill;
pub mod explain;
pub mod fault;
pub mod guard;
pub mod handler;
pub mod hint;
pub mod incident;
pub mod journal;
pub mod keepers;
pub mod lease;
pub mod lint;
pub mod live;
pub mod looks;
pub mod observed;
pub mod outlook;
pub mod overrides;
pub mod paging;
pub mod parameters;
pub mod plan;
pub mod ports;
pub mod prober;
pub mod report;
pub mod returned;
pub mod rival;
pub mod run;
pub mod served;
pub mod shadow;
pub mod situation;
pub mod sql;
pub mod state;
pub mod steps;
pub mod switch;
pub mod time;
pub mod votes;
pub mod watched;
pub mod watermark;
pub mod wiring;
pub mod words;
