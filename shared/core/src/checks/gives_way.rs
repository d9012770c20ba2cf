//! The side that serves: is it down, or there to give way, and would a fence hold all of it?

use super::takes_over::{current_watermark, each_store};
use super::{Finding, Grade, finding, pass};
use crate::lease::{Sighting, Standing, last_renewals, made_ahead, standing};
use crate::observed::Observed;
use crate::plan::{OnLeaseLoss, Plan, Store};
use crate::situation::{RouteSituation, Situation, StoreSituation};
use crate::sql::Written;
use crate::time::{Millis, elapsed};
use crate::votes::{Observer, Vote};
use crate::words::{count, instant};

/// Looks again: between the alarm and now the primary may have come back.
pub(super) fn primary_down(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let down = s.votes.judged(&plan.detection, s.at);
    let bad = down.iter().filter(|(_, vote)| matches!(vote, Vote::Down { .. })).count();
    let needed = usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX);
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("{bad} of {needed} needed votes say down; lease: {}", describe_lease(&lease));
    let judgeable = s.keepers.iter().any(|view| view.sighting.value().is_some());
    let one = match (bad >= needed, lease) {
        (true, Standing::Stale { .. }) => pass("PF-01", &plan.name, evidence),
        (false, Standing::Stale { .. }) if s.asked => finding(
            "PF-01",
            &plan.name,
            Grade::Warn,
            format!("{evidence}; it answers, and renews no longer"),
            "look at it if there is time: what takes no write may take one again until it is fenced",
        ),
        (true, Standing::Unknown { .. }) if s.asked && judgeable => finding(
            "PF-01",
            &plan.name,
            Grade::Warn,
            format!("{evidence}; where it cannot be read it cannot be closed, and only an acceptance fences"),
            "make every keeper of the lease readable, or fence the primary by hand before you accept",
        ),
        (_, Standing::Unknown { .. }) => finding(
            "PF-01",
            &plan.name,
            Grade::Unknown,
            evidence,
            "make every keeper of the lease readable, or fence the primary by hand and ask for an accepted fence",
        ),
        _ => finding(
            "PF-01",
            &plan.name,
            Grade::Block,
            evidence,
            "the primary is not down: nothing to do. To move away from a living primary, start a switchover",
        ),
    };
    vec![one]
}

/// What a failover by itself needs before anything fails: every keeper, and as many observers as must agree.
pub(super) fn could_be_declared(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-16";
    let unread = s.keepers.iter().find_map(|view| match &view.sighting {
        Observed::Unknown { reason } => Some(format!("keeper `{}` of the lease: {reason}", view.keeper)),
        Observed::Known { .. } => None,
    });
    let votes = s.votes.judged(&plan.detection, s.at);
    let blind: Vec<String> = votes
        .iter()
        .filter_map(|(observer, vote)| match vote {
            Vote::Unknown { reason } => Some(format!("{}: {reason}", observer.name())),
            _ => None,
        })
        .collect();
    let see = votes.len().saturating_sub(blind.len());
    let needed = usize::try_from(plan.detection.quorum).unwrap_or(usize::MAX);
    vec![match unread {
        Some(reason) => finding(
            id,
            &plan.name,
            Grade::Unknown,
            reason,
            "make it readable from the standby's Region. Until then no failover starts by itself: `understudy failover` \
             asks for one that people accept the fence of",
        ),
        None if see < needed => finding(
            id,
            &plan.name,
            Grade::Block,
            format!("{see} of {needed} needed observers see the primary; not {}", blind.join("; ")),
            "see that the probers of standby and witness run, and that they can reach the route's health path",
        ),
        None => match alone(&votes) {
            Some(observer) => finding(
                id,
                &plan.name,
                Grade::Warn,
                format!("{observer} says that the primary is down, and everybody else sees it"),
                "see what keeps it out: a firewall that does not let Route 53's checkers through, for one. Its vote is wrong",
            ),
            None => pass(id, &plan.name, format!("every keeper is readable, {} see", count(see, "observer"))),
        },
    }]
}

/// The one observer that says down for the whole window while all others see the primary.
fn alone(votes: &[(Observer, Vote)]) -> Option<&'static str> {
    let down: Vec<_> = votes.iter().filter(|(_, vote)| matches!(vote, Vote::Down { .. })).collect();
    let up = votes.iter().filter(|(_, vote)| matches!(vote, Vote::Up { .. })).count();
    match down.as_slice() {
        [(observer, _)] if up > 0 && up.saturating_add(1) == votes.len() => Some(observer.name()),
        _ => None,
    }
}

fn describe_lease(lease: &Standing) -> String {
    match lease {
        Standing::Renewed { keeper, seen_at, .. } => {
            format!("renewed at `{keeper}`, seen {}", instant(*seen_at))
        }
        Standing::Stale { since } => format!("stale, last renewal seen {}", instant(*since)),
        Standing::Moved { epoch } => format!("moved, epoch {epoch}"),
        Standing::Unknown { reason } => format!("unknown ({reason})"),
    }
}

/// A planned move needs a primary that renews: only such a one can say what it wrote last.
pub(super) fn primary_lives(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-11";
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("lease: {}", describe_lease(&lease));
    vec![match lease {
        Standing::Renewed { .. } => gives_way_serving(plan, s, id, &evidence),
        Standing::Unknown { .. } => {
            finding(id, &plan.name, Grade::Unknown, evidence, "make every keeper of the lease readable")
        }
        Standing::Stale { .. } | Standing::Moved { .. } => finding(
            id,
            &plan.name,
            Grade::Block,
            evidence,
            "start the guard in the primary, or let the votes decide on a failover",
        ),
    }]
}

/// Who holds the lease may serve nobody: that bars no move, and who is asked should know.
fn gives_way_serving(plan: &Plan, s: &Situation, id: &str, lease: &str) -> Finding {
    let mut dark = s.gives_way.iter().filter_map(|RouteSituation { route, answer }| match answer {
        Observed::Known { value, .. } if value.is_good() => None,
        Observed::Known { value, source, .. } => Some(format!("`{route}`, a write to {source}: {value}")),
        Observed::Unknown { reason } => Some(format!("`{route}`: {reason}")),
    });
    match dark.next() {
        None => pass(id, &plan.name, lease),
        Some(dark) => finding(
            id,
            &plan.name,
            Grade::Warn,
            format!("{lease}; it does not serve by {dark}"),
            "find out whether the name leads elsewhere, or the side is lost: a lost side cannot prove that it gave way, and \
             the move waits for that proof until it gives up",
        ),
    }
}

/// Going back needs a standby that serves, by the newest lease, and says what it wrote last.
pub(super) fn standby_lives(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-13";
    let lease = standing(&s.keepers, &plan.lease, &plan.regions.standby, s.at);
    let evidence = format!("lease: {}", describe_lease(&lease));
    let unreadable = s.keepers.iter().find_map(|view| match &view.sighting {
        Observed::Unknown { reason } => Some(format!("keeper `{}`: {reason}", view.keeper)),
        Observed::Known { .. } => None,
    });
    vec![match (lease, unreadable) {
        (_, Some(reason)) | (Standing::Unknown { reason }, None) => {
            finding(id, &plan.name, Grade::Unknown, reason, "make every keeper of the lease readable")
        }
        (Standing::Moved { .. }, None) => gives_way_serving(plan, s, id, &evidence),
        (Standing::Renewed { .. } | Standing::Stale { .. }, None) => finding(
            id,
            &plan.name,
            Grade::Block,
            evidence,
            "nothing to do: the standby holds no lease, so there is nothing to come back from",
        ),
    }]
}

pub(super) fn fence_possible(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-10";
    if plan.lease.on_loss == OnLeaseLoss::Stay {
        return vec![finding(
            id,
            &plan.name,
            Grade::Warn,
            "`on_loss: stay`: no dead-man is armed, so only a living primary's proof or a named person's acceptance fences it",
            "arm the dead-man: `lease.on_loss: fence` with an `arming` block",
        )];
    }
    // What nobody renewed at, or cannot be read, could not be closed with a proof either.
    let unseen = s.keepers.iter().find_map(|view| match &view.sighting {
        Observed::Unknown { reason } => Some(format!("keeper `{}`: {reason}", view.keeper)),
        Observed::Known { .. } => None,
    });
    if let Some(reason) = unseen {
        let fix = "make every keeper of the lease readable for both Regions";
        return vec![finding(id, &plan.name, Grade::Unknown, reason, fix)];
    }
    let seen: Vec<Sighting> = s.keepers.iter().filter_map(|view| view.sighting.value().cloned()).collect();
    if seen.is_empty() {
        let fix = "start the guard in the primary";
        return vec![finding(id, &plan.name, Grade::Unknown, "no renewal was ever seen", fix)];
    }
    let last = last_renewals(&seen, &plan.lease, &s.plan_digest);
    let ahead = seen.iter().find_map(|keeper| made_ahead(keeper, s.at, &plan.lease));
    vec![match (last.unarmed, outlasts(s)) {
        _ if let Some(why) = ahead => finding(
            id,
            &plan.name,
            Grade::Block,
            why,
            "reboot the instance; where that does not mend its clock, open a case: on RDS the clock is the service's",
        ),
        (Some(why), _) => finding(
            id,
            &plan.name,
            Grade::Block,
            [why].into_iter().chain(unarmed(s)).collect::<Vec<_>>().join("; "),
            "deploy the same plan in both Regions, and run the script of `understudy plan sql` again: it puts the gate on \
             every table of the plan and on what was added to it since. Transactions from before the lease had an end have to be \
             over",
        ),
        (None, Some(longer)) => finding(
            id,
            &plan.name,
            Grade::Warn,
            format!("the dead-man is armed{}; {longer}", sessions_end(s)),
            "let the pool open its sessions anew, and take longer time-outs out of the application: what such a session \
             has passed through the gate may be committed later than the margin allows for",
        ),
        (None, None) => {
            pass(id, &plan.name, format!("the dead-man was armed with the last renewal{}", sessions_end(s)))
        }
    }]
}

fn prepared(told: &Written) -> u64 {
    told.sessions.as_ref().and_then(|sessions| sessions.prepared).unwrap_or(0)
}

/// What the databases themselves gave as reasons.
fn unarmed(s: &Situation) -> Vec<String> {
    let told = |seen: &StoreSituation| {
        let why = seen.watermark.value().map(|written| written.unarmed.join(", "));
        why.filter(|why| !why.is_empty()).map(|why| format!("`{}`: {why}", seen.store))
    };
    s.stores.iter().filter_map(told).collect()
}

/// What a session did longer ago than this says nothing of those that are open.
const LATELY: Millis = Millis::from_secs(3600);

/// Sessions of writers that the commit margin does not bind.
fn outlasts(s: &Situation) -> Option<String> {
    s.stores.iter().find_map(|seen| {
        let sessions = seen.watermark.value()?.sessions.as_ref()?;
        let open = (sessions.unbounded > 0).then(|| {
            format!(
                "{} of its writers are older than their time-outs",
                count_of(sessions.unbounded, "session")
            )
        });
        let wrote = sessions
            .unbounded_wrote_at
            .filter(|at| elapsed(*at, seen.watermark.value().map_or(*at, |written| written.before)) <= LATELY)
            .map(|at| format!("a session with longer time-outs of its own wrote at {}", instant(at)));
        open.or(wrote).map(|why| format!("`{}`: {why}", seen.store))
    })
}

fn count_of(number: u64, of: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), of)
}

/// What becomes of idle sessions past the lease, as far as the heartbeats told: a note, no condition.
fn sessions_end(s: &Situation) -> &'static str {
    let told: Vec<bool> = s
        .stores
        .iter()
        .filter_map(|seen| seen.watermark.value().and_then(|written| written.job_runs))
        .collect();
    match (told.is_empty(), told.iter().all(|runs| *runs)) {
        (true, _) => "",
        (false, true) => "; a job of pg_cron ends the writers' sessions",
        (false, false) => {
            "; no job of pg_cron runs, so idle sessions stay open past the lease, and cannot write"
        }
    }
}

/// The order to stop reaches the plan's writer roles; anybody else is stopped by the gate, or by nobody.
pub(super) fn all_writers_known(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-12";
    let ask = |store: &Store, seen: &StoreSituation| match current_watermark(plan, s, seen) {
        Err(reason) => finding(
            id,
            &store.name,
            Grade::Unknown,
            format!("what the primary last told is not on record: {reason}"),
            "start the guard in the primary; it records a watermark every tick",
        ),
        Ok(told) if prepared(told) > 0 => finding(
            id,
            &store.name,
            Grade::Block,
            format!(
                "{} prepared: whoever commits it later writes past the fence",
                count_of(prepared(told), "transaction")
            ),
            "end each, by its `gid` of `pg_prepared_xacts`: `commit prepared` or `rollback prepared`. The next heartbeat \
             tells that none is left",
        ),
        Ok(told) if told.ungated_writers.is_empty() => {
            let writers = store.writer_roles.join(", ");
            pass(id, &store.name, format!("no writer beside {writers}, or the gate stops it"))
        }
        Ok(told) => finding(
            id,
            &store.name,
            Grade::Block,
            format!("no gate stops {}", told.ungated_writers.join(", ")),
            "name them among `writer_roles`, take their rights, or run `understudy plan sql` for the gate",
        ),
    };
    each_store(plan, s, ask, id)
}

/// Whoever arms the dead-man should know how often it would have stopped a writer. It never blocks.
pub(super) fn would_have_fenced(plan: &Plan, s: &Situation) -> Vec<Finding> {
    let id = "PF-15";
    vec![match &s.shadow {
        Observed::Unknown { reason } => {
            finding(id, &plan.name, Grade::Warn, reason, "make the state table readable")
        }
        Observed::Known { value: None, .. } => finding(
            id,
            &plan.name,
            Grade::Warn,
            "nothing was counted yet",
            "start the guard in the primary: it counts from its first renewal on",
        ),
        Observed::Known { value: Some(shadow), .. } => {
            let (times, since) = (count(shadow.times as usize, "time"), instant(shadow.since));
            let evidence = format!(
                "{times} since {since} no renewal was taken within the lease that the one before had given"
            );
            match shadow.last {
                None => pass(id, &plan.name, evidence),
                Some(gap) => finding(
                    id,
                    &plan.name,
                    Grade::Warn,
                    format!("{evidence}, last from {} to {}", instant(gap.from), instant(gap.to)),
                    "find out whether the primary was gone then: if it served, an armed dead-man would have been the outage",
                ),
            }
        }
    }]
}
