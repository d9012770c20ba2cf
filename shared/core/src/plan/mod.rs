//! The plan room: a plan file becomes a checked [`Plan`], or a list of all that is wrong with it.
//!
//! Everything downstream trusts a `Plan` and validates nothing again. Nothing in this room opens a file, reads a clock
//! or the environment, or knows an AWS type; and nothing in it ever repeats what looks like a secret.

mod addresses;
mod apart;
mod calendar;
pub mod codes;
mod import;
mod model;
mod node;
mod problem;
mod promise;
mod promises;
mod read;
mod record;
mod rehearsal;
mod rules;
mod scale;
mod schedule;
mod schema;
mod secrets;
mod tree;
mod units;
mod words;
mod write;

pub use calendar::{Calendar, Day, HalfDay, Maintenance, Session, SessionHours};
pub use import::{Import, NoImport, import};
pub use model::*;
pub use problem::{Places, Problem, Problems, Related, Span};
pub use promise::*;
pub use read::{read, read_placed};
pub use rehearsal::{SUFFIX, rehearsal_name};
pub use schedule::Schedule;
pub use schema::schema;

impl Plan {
    /// The longest time between two looks of one function that are due one after the other.
    #[must_use]
    pub fn pace(&self) -> crate::time::Millis {
        self.look.unwrap_or(self.tick)
    }

    /// SHA-256 over the plan's canonical JSON (its fields in declared order), in hex: what every record names.
    ///
    /// Comments and layout of the file do not count; every value does.
    #[must_use]
    pub fn digest(&self) -> String {
        // Writing to memory a structure whose keys are all strings cannot fail.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        crate::journal::sha256_hex(&canonical)
    }
}
