//! The two places that acknowledge the lease, read and written together.
//!
//! An unreachable keeper is an answer of its own: it is neither fresh nor stale, neither open nor closed (L4).

use crate::fault::Fault;
use crate::lease::{KeeperView, Lease, Sighting, sight};
use crate::observed::Observed;
use crate::ports::{Cells, Clock};
use crate::state::{Change, keys, load, update_note};
use std::sync::Arc;

/// A keeper by name, with the table that holds its copy of the lease.
pub struct Keeper<'a, C> {
    pub name: &'static str,
    pub cells: &'a C,
}

pub const STANDBY: &str = "standby";
pub const WITNESS: &str = "witness";

/// The keepers of a plan: the standby's, and the witness's where there is one.
pub fn keepers<'a, C>(standby: &'a C, witness: Option<&'a C>) -> Vec<Keeper<'a, C>> {
    let mut all = vec![Keeper { name: STANDBY, cells: standby }];
    all.extend(witness.map(|cells| Keeper { name: WITNESS, cells }));
    all
}

/// Reads every keeper at the same time and notes in `local` since when its newest renewal has been seen.
pub async fn look<C: Cells>(keepers: &[Keeper<'_, C>], local: &C, clock: &impl Clock) -> Vec<KeeperView> {
    let looks =
        keepers.iter().map(|keeper| async move { view(keeper, look_at(keeper, local, clock).await, clock) });
    futures_util::future::join_all(looks).await
}

/// The same for who only reads: a renewal that nobody noted yet counts as first seen now, and is not noted.
pub async fn peek<C: Cells>(keepers: &[Keeper<'_, C>], local: &C, clock: &impl Clock) -> Vec<KeeperView> {
    let looks =
        keepers.iter().map(|keeper| async move { view(keeper, peek_at(keeper, local, clock).await, clock) });
    futures_util::future::join_all(looks).await
}

fn view<C>(keeper: &Keeper<'_, C>, seen: Result<Option<Sighting>, Fault>, clock: &impl Clock) -> KeeperView {
    let sighting = match seen {
        Ok(Some(sighting)) => Observed::known(sighting, format!("keeper {}", keeper.name), clock.now()),
        Ok(None) => Observed::unknown("no lease was ever taken here"),
        Err(fault) => Observed::unknown(fault.to_string()),
    };
    KeeperView { keeper: keeper.name.to_owned(), sighting }
}

async fn look_at<C: Cells>(
    keeper: &Keeper<'_, C>,
    local: &C,
    clock: &impl Clock,
) -> Result<Option<Sighting>, Fault> {
    let Some(lease) = load::<Lease>(keeper.cells, &keys::lease()).await? else { return Ok(None) };
    let now = clock.now();
    let key = keys::sighting(keeper.name);
    // One that does not read was first seen now: later is safer.
    let seen = update_note::<Sighting, _>(local, &key, |seen| Ok(sight(seen, &lease, now))).await?;
    Ok(seen.map(Arc::unwrap_or_clone))
}

async fn peek_at<C: Cells>(
    keeper: &Keeper<'_, C>,
    local: &C,
    clock: &impl Clock,
) -> Result<Option<Sighting>, Fault> {
    let Some(lease) = load::<Lease>(keeper.cells, &keys::lease()).await? else { return Ok(None) };
    let now = clock.now();
    let noted = load::<Sighting>(local, &keys::sighting(keeper.name)).await?;
    Ok(match sight(noted.as_ref(), &lease, now) {
        Change::Keep => noted,
        Change::Write(seen) => Some(seen),
    })
}
