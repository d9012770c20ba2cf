//! L2: one writer, as far as records show it.

use super::{Breach, Chain, breach, is_intent};
use crate::approval::Matter;
use crate::journal::{Entry, Record};
use crate::lease::Sighting;
use crate::plan::{OnLeaseLoss, Plan};
use crate::run::{Kind, LastWritten, Receipt};
use crate::steps::Step;
use crate::time::{Millis, after, elapsed};
use jiff::Timestamp;

fn receipt(record: &Record) -> Option<&Receipt> {
    match &record.entry {
        Entry::Fenced { receipt } => Some(receipt),
        // What it proves is judged where it was given: in the journal that the record names.
        Entry::Continued { from } => from.receipt.as_ref(),
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
        Entry::Continued { from } => from.epoch,
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
    let here = |record: &&Record| matches!(record.entry, Entry::Fenced { .. });
    let fenced = chain.records.iter().filter(here).filter_map(|record| Some((record, receipt(record)?)));
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
            if record.at <= *lapsed_at {
                return Some(format!("called expired at {}, and it lapses at {lapsed_at}", record.at));
            }
            if chain.plan.is_some_and(|plan| plan.lease.on_loss == OnLeaseLoss::Stay) {
                return Some("called expired, and the plan arms no dead-man".to_owned());
            }
            unexpired(chain, record, *last_renewal_seen_at, *lapsed_at)
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

/// Why a writer may still commit behind a receipt that was waited for: each keeper of the plan was closed, and what the last
/// renewal at each says of its dead-man is over. Said here once more: a rule does not borrow from what it watches.
fn unexpired(
    chain: &Chain<'_>,
    record: &Record,
    last_renewal_seen_at: Timestamp,
    lapsed_at: Timestamp,
) -> Option<String> {
    let closed = chain.before(record).find_map(|earlier| match &earlier.entry {
        Entry::LeaseClosed { keepers, .. } => Some(keepers),
        _ => None,
    });
    let Some(keepers) = closed else {
        return Some("called expired, and no keeper is on record as closed".to_owned());
    };
    let of_the_plan = chain.plan.map_or(1, |plan| if plan.regions.witness.is_some() { 2 } else { 1 });
    if keepers.len() < of_the_plan {
        return Some(format!("called expired, and {} of {of_the_plan} keepers were closed", keepers.len()));
    }
    if let Some(open) = keepers.iter().find(|view| view.sighting.value().is_none()) {
        return Some(format!("called expired, and keeper `{}` was not closed", open.keeper));
    }
    let seen = || keepers.iter().filter_map(|view| Some((view.keeper.as_str(), view.sighting.value()?)));
    if seen().any(|(_, seen)| counts_from(seen) > last_renewal_seen_at) {
        return Some("called expired by a renewal that was not the last".to_owned());
    }
    let newest = seen().map(|(_, seen)| (seen.lease.renewed_at, seen.first_seen_at)).max()?;
    seen().find_map(|(keeper, seen)| {
        let good_for = good_for(seen, chain.plan);
        let since = |one: Option<Timestamp>, two: Option<Timestamp>| {
            one.zip(two).is_some_and(|(one, two)| elapsed(one, two) > good_for)
        };
        // Of one that was made so long before the newest, by both clocks, nothing holds any more.
        let outlived =
            since(seen.lease.renewed_at, newest.0) && since(Some(seen.first_seen_at), Some(newest.1));
        if let Some(why) = unarmed(seen, record).filter(|_| !outlived) {
            return Some(format!("called expired, and the last renewal at `{keeper}` {why}"));
        }
        let due = after(counts_from(seen), good_for);
        (lapsed_at < due)
            .then(|| format!("called expired from {lapsed_at} on, and a commit is possible until {due}"))
    })
}

/// No earlier than it was seen, nor than the primary says that it was made.
fn counts_from(seen: &Sighting) -> Timestamp {
    seen.lease.renewed_at.map_or(seen.first_seen_at, |made| made.max(seen.first_seen_at))
}

/// How long its holder may commit behind a renewal: by what its guard enforces, and by the plan at hand.
fn good_for(seen: &Sighting, plan: Option<&Plan>) -> Millis {
    let theirs = seen.lease.enforced.as_ref();
    let ours = plan.map(|plan| &plan.lease);
    let longest = |spans: [Option<Millis>; 3]| spans.into_iter().flatten().max().unwrap_or(Millis::ZERO);
    let ttl = longest([
        theirs.map(|their| their.ttl),
        theirs.and_then(|their| their.within),
        ours.map(|our| our.ttl),
    ]);
    let margin = longest([theirs.map(|their| their.commit_margin), ours.map(|our| our.commit_margin), None]);
    let drift = longest([theirs.map(|their| their.drift), ours.map(|our| our.drift), None]);
    ttl.saturating_add(margin).saturating_add(drift)
}

/// Why a renewal is no proof that a dead-man would stop its holder.
fn unarmed(seen: &Sighting, record: &Record) -> Option<&'static str> {
    match &seen.lease.enforced {
        _ if !seen.lease.armed => Some("came with no dead-man armed"),
        None => Some("does not say what it enforces"),
        Some(theirs) if theirs.plan != record.plan_digest => {
            Some("was made under another version of the plan")
        }
        Some(theirs) if theirs.within.is_none() => Some("lets writers in without end"),
        Some(_) => None,
    }
}

/// A planned move loses nothing: whatever the primary had written is there before the promotion is asked for.
pub(super) fn arrived(chain: &Chain<'_>) -> Vec<Breach> {
    let through = |entry: &Entry| matches!(entry, Entry::Continued { from } if from.promotes);
    let Some(promotion) = chain.find(|entry| is_intent(entry, Step::Promote) || through(entry)) else {
        return Vec::new();
    };
    // What a hand promoted may lack some of it: the report says that this is not known.
    if chain.find(|entry| matches!(entry, Entry::Continued { from } if from.by_hand)).is_some() {
        return Vec::new();
    }
    let earlier = || chain.records.iter().filter(|record| record.seq <= promotion.seq);
    let written = earlier().rev().find_map(|record| receipt(record)?.last_written());
    let mut captured = earlier().rev().filter_map(|record| match &record.entry {
        Entry::Captured { positions } => Some(positions.as_slice()),
        Entry::Continued { from } => Some(from.positions.as_slice()),
        _ => None,
    });
    let captured = captured.next().unwrap_or_default();
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
    let through = |entry: &Entry| match entry {
        Entry::Continued { from } => from.promotes,
        entry => is_intent(entry, Step::Promote),
    };
    if let Some(through) = chain.before(back).find(|record| through(&record.entry)) {
        broken.push(breach("L2", through, "the lease was given back behind the one-way door"));
    }
    broken
}
