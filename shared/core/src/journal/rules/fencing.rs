//! L2: one writer, as far as records show it.

use super::{Breach, Chain, breach, is_intent};
use crate::approval::Matter;
use crate::journal::{Entry, Record};
use crate::plan::OnLeaseLoss;
use crate::run::{Kind, LastWritten, Receipt};
use crate::steps::Step;
use crate::time::after;

fn receipt(record: &Record) -> Option<&Receipt> {
    match &record.entry {
        Entry::Fenced { receipt } => Some(receipt),
        _ => None,
    }
}

pub(super) fn receipts(chain: &Chain<'_>) -> Vec<Breach> {
    let promotions = chain.records.iter().filter(|record| is_intent(&record.entry, Step::Promote));
    let mut broken: Vec<Breach> = promotions
        .filter(|record| chain.before(record).all(|earlier| receipt(earlier).is_none()))
        .map(|record| breach("L2", record, "a promotion without a receipt"))
        .collect();
    // The epoch is fixed when the standby is assessed first; every receipt is for that one.
    let epoch = chain.records.iter().find_map(|record| match &record.entry {
        Entry::Assessed { epoch, .. } => *epoch,
        _ => None,
    });
    for record in chain.records {
        if let Some(receipt) = receipt(record)
            && Some(receipt.epoch()) != epoch
        {
            let what = format!("a receipt for epoch {}, and {epoch:?} was to be claimed", receipt.epoch());
            broken.push(breach("L2", record, what));
        }
    }
    broken
}

pub(super) fn proofs(chain: &Chain<'_>) -> Vec<Breach> {
    let fenced = chain.records.iter().filter_map(|record| Some((record, receipt(record)?)));
    fenced
        .filter_map(|(record, receipt)| {
            unproved(chain, record, receipt).map(|what| breach("L2", record, what))
        })
        .collect()
}

fn unproved(chain: &Chain<'_>, record: &Record, receipt: &Receipt) -> Option<String> {
    let planned = chain.kind() != Some(Kind::Failover);
    match receipt {
        Receipt::Expired { .. } | Receipt::Accepted { .. } if planned => {
            Some("a living primary is proved to give way, not waited out".to_owned())
        }
        Receipt::Expired { last_renewal_seen_at, lapsed_at, .. } => {
            let lease = chain.plan.map(|plan| &plan.lease);
            if record.at <= *lapsed_at {
                return Some(format!("called expired at {}, and it lapses at {lapsed_at}", record.at));
            }
            if lease.is_some_and(|lease| lease.on_loss == OnLeaseLoss::Stay) {
                return Some("called expired, and the plan arms no dead-man".to_owned());
            }
            // Said here once more: a rule does not borrow from what it watches.
            let due = lease.map(|lease| {
                let span = lease.ttl.saturating_add(lease.drift).saturating_add(lease.commit_margin);
                after(*last_renewal_seen_at, span)
            });
            due.filter(|due| lapsed_at < due).map(|due| {
                format!("called expired from {lapsed_at} on, and a commit is possible until {due}")
            })
        }
        Receipt::Proved { quiet_since, proved_at, last_written, .. } => {
            if !planned {
                return Some("a lost primary proves nothing".to_owned());
            }
            if quiet_since >= proved_at {
                return Some("called proved by one look".to_owned());
            }
            let shown = |store: &str| last_written.iter().any(|last| last.store == store);
            let missing = chain.plan.and_then(|plan| plan.stores.iter().find(|store| !shown(&store.name)));
            missing.map(|store| format!("called proved without a look at `{}`", store.name))
        }
        Receipt::Accepted { by, .. } => {
            let yes = chain.before(record).filter_map(|earlier| match &earlier.entry {
                Entry::Answered { matter: Matter::Acceptance, yes: true, by: said, digest } => {
                    Some((digest, said.as_str()))
                }
                _ => None,
            });
            let yes: Vec<_> = yes.collect();
            // A question that was asked again, for its first asking got lost, may have been answered twice.
            let last = yes.last().map(|(digest, _)| *digest);
            let heard: Vec<_> =
                yes.iter().filter(|(digest, _)| Some(*digest) == last).map(|(_, said)| *said).collect();
            let yes = heard.join(" and ") == *by;
            (!yes).then(|| format!("called accepted by `{by}`, who was not heard to say so"))
        }
    }
}

/// A planned move loses nothing: whatever the primary had written is there before the promotion is asked for.
pub(super) fn arrived(chain: &Chain<'_>) -> Vec<Breach> {
    let Some(promotion) = chain.intends(Step::Promote) else { return Vec::new() };
    let earlier = || chain.before(promotion);
    let written = earlier().filter_map(|record| receipt(record)?.last_written()).last();
    let captured = earlier().filter_map(|record| match &record.entry {
        Entry::Captured { positions } => Some(positions.as_slice()),
        _ => None,
    });
    let captured = captured.last().unwrap_or_default();
    let there = |last: &LastWritten| {
        let replayed = captured.iter().filter(|here| here.store == last.store).find_map(|here| here.replayed);
        replayed.is_some_and(|replayed| replayed >= last.position)
    };
    let missing = written.and_then(|written| written.iter().find(|last| !there(last)));
    let told = missing.map(|last| {
        breach("L2", promotion, format!("`{}` had not replayed up to {}", last.store, last.position))
    });
    told.into_iter().collect()
}

/// Once the lease went back under a newer epoch, this execution has no right to anything but its end.
pub(super) fn given_back(chain: &Chain<'_>) -> Vec<Breach> {
    let Some(back) = chain.intends(Step::GrantBack) else { return Vec::new() };
    let crosses = |entry: &Entry| {
        let steps = [Step::Promote, Step::Unfence, Step::MoveTraffic];
        matches!(entry, Entry::Fenced { .. }) || steps.into_iter().any(|step| is_intent(entry, step))
    };
    let mut broken: Vec<Breach> = chain
        .records
        .iter()
        .filter(|record| record.seq > back.seq && crosses(&record.entry))
        .map(|record| breach("L2", record, "went on after the lease was given back"))
        .collect();
    if let Some(through) = chain.before(back).find(|record| is_intent(&record.entry, Step::Promote)) {
        broken.push(breach("L2", through, "the lease was given back behind the one-way door"));
    }
    broken
}
