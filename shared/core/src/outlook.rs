//! What people want to know while votes gather: since when the primary has not answered, and by when something is done
//! about it without them.
//!
//! For people only: no decision reads it.

use crate::lease::Standing;
use crate::plan::{Mode, Plan};
use crate::time::after;
use crate::votes::{Observer, Vote};
use jiff::Timestamp;
use serde::Serialize;

/// An outage that is not accepted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// The first look that failed and was followed by no good one.
    pub since: Timestamp,
    /// Who has not seen it since.
    pub observers: Vec<Observer>,
    /// When a keeper last saw a renewal, where one did within its time to live.
    pub last_renewal: Option<Timestamp>,
    /// By when a failover starts if this lasts, or people are asked for one: the window and the lease are over by then, and
    /// two looks have seen it.
    pub by: Timestamp,
    /// The plan asks people at that time.
    pub asks: bool,
}

/// What the votes and the lease come to; `None`: everybody sees the primary, or nothing starts by itself however long it
/// lasts.
pub fn outlook(plan: &Plan, votes: &[(Observer, Vote)], lease: &Standing) -> Option<Outlook> {
    let away = |(observer, vote): &(Observer, Vote)| match vote {
        Vote::Failing { since } | Vote::Down { since } => Some((*since, *observer)),
        Vote::Up { .. } | Vote::Unknown { .. } => None,
    };
    let away: Vec<(Timestamp, Observer)> = votes.iter().filter_map(away).collect();
    let needed = usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX);
    if away.len() < needed {
        return None;
    }
    let since = away.iter().map(|(since, _)| *since).min()?;
    // The quorum is as old as the youngest of the votes that make it.
    let mut begun: Vec<Timestamp> = away.iter().map(|(since, _)| *since).collect();
    begun.sort_unstable();
    let quorum = begun.get(needed.saturating_sub(1)).copied().unwrap_or(since);
    let (last_renewal, lease_over) = match lease {
        Standing::Renewed { seen_at, ttl, .. } => (Some(*seen_at), after(*seen_at, *ttl)),
        Standing::Stale { since } => (Some(*since), *since),
        Standing::Moved { .. } | Standing::Unknown { .. } => return None,
    };
    let by = after(after(quorum, plan.detection.window).max(lease_over), plan.pace().times(2));
    let observers = away.into_iter().map(|(_, observer)| observer).collect();
    Some(Outlook { since, observers, last_renewal, by, asks: plan.mode_at(by) != Mode::Automatic })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::plan::read;
    use crate::time::{Millis, before};

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn ago(seconds: u64) -> Timestamp {
        before(NOW, Millis::from_secs(seconds))
    }

    fn plan() -> Plan {
        let text = include_str!("../../../tests/plans/minute-ticks.yaml");
        read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn renewed(seconds: u64) -> Standing {
        Standing::Renewed { keeper: "standby".to_owned(), seen_at: ago(seconds), ttl: Millis::from_secs(240) }
    }

    #[test]
    fn an_outage_in_the_making_says_by_when_it_is_acted_on() {
        let plan = plan();
        let failing = |seconds| Vote::Failing { since: ago(seconds) };
        let votes = [(Observer::Standby, failing(130)), (Observer::Route53, failing(100))];
        let told = outlook(&plan, &votes, &renewed(160)).expect("a quorum");
        assert_eq!((told.since, told.last_renewal), (ago(130), Some(ago(160))));
        // The lease runs out 80 s from now, the window may end later; and two ticks of a minute see it.
        let window = after(ago(100), plan.detection.window);
        assert_eq!(told.by, after(window.max(after(NOW, Millis::from_secs(80))), Millis::from_secs(120)));
        assert_eq!(told.asks, plan.mode_at(told.by) != Mode::Automatic);
    }

    #[test]
    fn what_starts_nothing_promises_nothing() {
        let plan = plan();
        let failing = (Observer::Standby, Vote::Failing { since: ago(60) });
        let up = (Observer::Route53, Vote::Up { at: NOW });
        assert_eq!(outlook(&plan, &[failing.clone(), up], &renewed(60)), None, "one observer alone");
        let two = [failing.clone(), (Observer::Route53, failing.1)];
        assert_eq!(outlook(&plan, &two, &Standing::Moved { epoch: 2 }), None);
        let unknown = Standing::Unknown { reason: "unread".to_owned() };
        assert_eq!(outlook(&plan, &two, &unknown), None, "a lease that cannot be judged starts nothing");
    }
}
