//! The rules over records that every journal is held to, real ones too: `understudy_core::journal::rules`.

use super::Violation;
use understudy_core::journal::rules::check;
use understudy_core::journal::{Stored, verify_chain};
use understudy_core::plan::Plan;

/// A chain that is not whole is told by [`super::ends`].
pub fn records(execution: &str, chain: &[Stored], plan: Option<&Plan>) -> Vec<Violation> {
    let Ok(records) = verify_chain(chain) else { return Vec::new() };
    let told = check(&records, plan).into_iter();
    told.map(|breach| Violation::new(breach.law, format!("{execution}: {breach}"))).collect()
}
