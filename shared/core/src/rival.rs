//! A second writer that anybody can see: the old primary renews at a keeper that nobody closed when the standby took
//! over. A person may have accepted that risk; that it came true is told, and the keeper is closed at the first look at
//! which it can be.

use crate::fault::Fault;
use crate::keepers::Keeper;
use crate::lease::{KeeperView, Lease, Sighting};
use crate::plan::Plan;
use crate::ports::Cells;
use crate::state::{Change, keys, update};
use crate::time::elapsed;
use crate::words::{instant, span};
use jiff::Timestamp;

/// A keeper that the old primary holds, though the standby holds a newer epoch elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival<'a> {
    pub keeper: &'a str,
    pub sighting: &'a Sighting,
    /// The lease of the standby, as the keeper that holds it has it.
    pub newest: &'a Lease,
}

/// The keepers that are behind, as they were looked at.
pub fn rivals<'a>(plan: &Plan, views: &'a [KeeperView]) -> Vec<Rival<'a>> {
    let seen = || views.iter().filter_map(|view| Some((view.keeper.as_str(), view.sighting.value()?)));
    let newest = seen().map(|(_, sighting)| &sighting.lease).max_by_key(|lease| lease.epoch);
    let Some(newest) = newest.filter(|lease| lease.holder == plan.regions.standby) else { return Vec::new() };
    let behind = seen().filter(|(_, sighting)| {
        sighting.lease.epoch < newest.epoch && sighting.lease.holder == plan.regions.primary
    });
    behind.map(|(keeper, sighting)| Rival { keeper, sighting, newest }).collect()
}

impl Rival<'_> {
    /// Closes the keeper, as it was to be closed when the standby took over: what is renewed there from now on is refused,
    /// and a guard that reads it fences its side (L2).
    pub async fn close(&self, keepers: &[Keeper<'_, impl Cells>]) -> Result<(), Fault> {
        let Some(keeper) = keepers.iter().find(|keeper| keeper.name == self.keeper) else { return Ok(()) };
        update::<Lease, _>(keeper.cells, &keys::lease(), |lease| {
            Ok(match lease {
                Some(lease) if lease.epoch < self.newest.epoch => Change::Write(Lease {
                    epoch: self.newest.epoch,
                    holder: self.newest.holder.clone(),
                    closed_by: self.newest.closed_by.clone(),
                    ..lease.clone()
                }),
                _ => Change::Keep,
            })
        })
        .await
        .map(|_| ())
    }

    /// What people are told, where the renewal is so new that its holder may be writing now.
    pub fn told(&self, plan: &Plan, now: Timestamp) -> Option<String> {
        let Sighting { lease, first_seen_at } = self.sighting;
        let age = elapsed(*first_seen_at, now);
        (age <= lease.ttl(&plan.lease)).then(|| {
            let (primary, standby) = (&plan.regions.primary.0, &plan.regions.standby.0);
            format!(
                "{}: TWO WRITERS are possible. The old primary in {primary} renewed its lease at keeper `{}` under epoch {} \
                 ({} ago, at {}), and {standby} writes under epoch {}. Cut its application off, or stop its instances; what \
                 it wrote lies there alone",
                plan.title,
                self.keeper,
                lease.epoch,
                span(age),
                instant(*first_seen_at),
                self.newest.epoch
            )
        })
    }
}
