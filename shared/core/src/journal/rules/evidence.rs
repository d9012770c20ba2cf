//! L4, L7, L11: what counts as known, when it was seen, and what a refusal says.

use super::{Breach, Chain, breach};
use crate::checks::{Finding, Grade, Verdict};
use crate::journal::{Entry, Record};
use crate::lease::KeeperView;
use crate::plan::Plan;
use crate::run::{End, Kind};
use crate::steps::Step;
use crate::time::{Millis, after, elapsed};
use crate::votes::Vote;
use jiff::Timestamp;

pub(super) fn unknown(chain: &Chain<'_>) -> Vec<Breach> {
    let assessed = chain.records.iter().filter_map(|record| match &record.entry {
        Entry::Assessed { verdict: Verdict::Ready, findings, epoch, .. } => Some((record, findings, epoch)),
        _ => None,
    });
    assessed
        .filter_map(|(record, findings, epoch)| {
            if findings.is_empty() {
                return Some(breach("L4", record, "called fit without a finding"));
            }
            if epoch.is_none() {
                return Some(breach("L4", record, "called fit without an epoch to claim"));
            }
            let bad = findings.iter().find(|finding| blocking(finding, record.at))?;
            Some(breach(
                "L4",
                record,
                format!("called fit, and {} says {:?}: {}", bad.id, bad.grade, bad.evidence),
            ))
        })
        .collect()
}

/// Said here once more: a rule does not borrow from what it watches.
fn blocking(finding: &Finding, at: Timestamp) -> bool {
    bad(finding) && !taken(finding, at)
}

fn bad(finding: &Finding) -> bool {
    matches!(finding.grade, Grade::Block | Grade::Unknown)
}

/// The checks that a person may override, of all.
const SPARED: [&str; 5] = ["PF-04", "PF-05", "PF-08", "PF-09", "PF-10"];

/// What was looked at is put on record within the life of a function.
const ON_RECORD_WITHIN: Millis = Millis::from_secs(30);

/// A person overrides this very check, by name and with a reason, and still did when it was looked at.
fn taken(finding: &Finding, at: Timestamp) -> bool {
    finding.overridden.as_ref().is_some_and(|given| {
        SPARED.contains(&finding.id.as_str())
            && given.check == format!("{}:{}", finding.id, finding.subject)
            && !given.by.is_empty()
            && !given.why.is_empty()
            && given.given_at <= at
            && at < after(given.until, ON_RECORD_WITHIN)
    })
}

/// The gate on data stands before the fence: whatever goes on does so on a good look, and after an answer on one that
/// was taken since. A late delivery may look once more beside it.
pub(super) fn gated(chain: &Chain<'_>) -> Option<Breach> {
    let going_on = chain.intends(Step::Freeze)?;
    let answered =
        chain.before(going_on).filter(|record| matches!(record.entry, Entry::Answered { .. })).last();
    let since = answered.map_or(0, |record| record.seq);
    let ready = |record: &Record| matches!(record.entry, Entry::Assessed { verdict: Verdict::Ready, .. });
    let fit = chain.before(going_on).any(|record| record.seq > since && ready(record));
    (!fit).then(|| breach("L3", going_on, "went on from a standby that was refused"))
}

/// An unplanned move needs a lease that was renewed nowhere; by itself it needs votes that say down, and every keeper, too.
pub(super) fn declared(chain: &Chain<'_>) -> Vec<Breach> {
    let accepted = chain.records.iter().filter_map(|record| match &record.entry {
        // Whoever goes on from one that stopped declares nothing anew.
        Entry::Accepted {
            kind: Kind::Failover,
            continues: None,
            asked,
            accepted_at,
            onset,
            votes,
            keepers,
            ..
        } => Some((record, *asked, *accepted_at, onset.is_some(), votes, keepers)),
        _ => None,
    });
    let mut broken = Vec::new();
    for (record, asked, at, onset, votes, keepers) in accepted {
        let stale = keepers.iter().all(|view| view.sighting.value().is_some());
        let down = votes.iter().filter(|(_, vote)| matches!(vote, Vote::Down { .. })).count();
        let needed =
            chain.plan.map_or(2, |plan| usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX));
        // Of who asks, one of the two may lack: never both.
        if down < needed && !(asked && stale) {
            broken.push(breach("L4", record, format!("{down} of {needed} votes say down")));
        }
        if !onset {
            broken.push(breach("L4", record, "no instant at which it began"));
        }
        broken.extend(chain.plan.and_then(|plan| too_short(record, at, votes, plan)));
        let known = |view: &&KeeperView| view.sighting.value().is_some() || !asked || down < needed;
        broken.extend(keepers.iter().filter(known).filter_map(|view| alive(record, at, view, chain.plan)));
    }
    broken
}

/// A vote that says down has said so for the whole window: by the observer's clock, from which the one that accepted
/// may be off by the drift.
fn too_short(
    record: &Record,
    at: Timestamp,
    votes: &[(crate::votes::Observer, Vote)],
    plan: &Plan,
) -> Option<Breach> {
    let window = plan.detection.window;
    let (observer, since) = votes.iter().find_map(|(observer, vote)| match vote {
        Vote::Down { since } if elapsed(*since, at).saturating_add(plan.lease.drift) < window => {
            Some((observer, since))
        }
        _ => None,
    })?;
    Some(breach(
        "L4",
        record,
        format!("{} says down since {since}, which is less than {window}", observer.name()),
    ))
}

fn alive(record: &Record, at: Timestamp, view: &KeeperView, plan: Option<&Plan>) -> Option<Breach> {
    let Some(seen) = view.sighting.value() else {
        return Some(breach("L4", record, format!("keeper `{}` is unknown", view.keeper)));
    };
    let plan = plan?;
    let given = seen.lease.enforced.as_ref().map_or(plan.lease.ttl, |theirs| theirs.ttl.max(plan.lease.ttl));
    let fresh = seen.lease.holder == plan.regions.primary && elapsed(seen.first_seen_at, at) <= given;
    fresh.then(|| {
        breach("L8", record, format!("keeper `{}` still gets renewals: the primary lives", view.keeper))
    })
}

pub(super) fn confirmed(chain: &Chain<'_>) -> Vec<Breach> {
    let confirmed = chain.records.iter().filter_map(|record| match &record.entry {
        Entry::Confirmed { last_bad, first_good, settled_at, probes } => {
            Some((record, *last_bad, *first_good, *settled_at, *probes))
        }
        _ => None,
    });
    let mut broken = Vec::new();
    for (record, last_bad, first_good, settled_at, probes) in confirmed {
        if last_bad.is_some_and(|bad| bad >= first_good) {
            broken.push(breach("L7", record, "the last failure is not before the success that lasted"));
        }
        if settled_at < first_good || probes == 0 {
            broken.push(breach("L7", record, "a success that settled before it was seen"));
        }
        let Some(plan) = chain.plan else { continue };
        if let Some(route) = plan.routes.iter().find(|route| elapsed(first_good, record.at) < route.hold) {
            broken.push(breach(
                "L7",
                record,
                format!("success of `{}` did not last {}", route.name, route.hold),
            ));
        }
        if let Some(route) = plan.routes.iter().find(|route| elapsed(first_good, settled_at) < route.ttl) {
            broken.push(breach("L7", record, format!("the TTL of `{}` is left out", route.name)));
        }
    }
    broken
}

pub(super) fn teaches(chain: &Chain<'_>) -> Vec<Breach> {
    let mute = |finding: &&Finding| bad(finding) && (finding.evidence.is_empty() || finding.fix.is_empty());
    chain
        .records
        .iter()
        .filter_map(|record| match &record.entry {
            Entry::Assessed { verdict: Verdict::Refused, findings, .. } => {
                if let Some(finding) = findings.iter().find(mute) {
                    let what = format!("{} refuses without evidence or fix", finding.id);
                    return Some(breach("L11", record, what));
                }
                let blocks = findings.iter().any(|finding| blocking(finding, record.at));
                (!blocks).then(|| breach("L11", record, "refused, and no finding says why"))
            }
            Entry::Closed { end: End::Refused | End::RolledBack | End::NeedsOperator, cause }
                if cause.is_empty() =>
            {
                Some(breach("L11", record, "it ended without a cause"))
            }
            _ => None,
        })
        .collect()
}
