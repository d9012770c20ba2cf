//! Events gone wrong: from one seed always the same mutations of an example event.
//!
//! A mutation is text, since a repeated key or a number beyond every type cannot be held as a value. Texts that
//! hold JSON, as the notifications of a topic do, are mutated inside.

mod events;
mod mutate;
mod random;
mod tree;

pub use events::{Example, examples, folder};
pub use mutate::{Mutation, mutations};
pub use tree::{names_a_field, paths};
