//! The time that a failover takes and the loss that it may bring, phase by phase, before any has been run.
//!
//! The same arithmetic serves the linter and `understudy plan predict`. A part comes from the plan, from what is known
//! of the AWS service, or from past runs, and says so; nothing here is a promise, and nothing here reads a clock.

use crate::looks::{proved_after, unproved_ttl};
use crate::plan::{Mode, OnLeaseLoss, Plan, Store};
use crate::report::Report;
use crate::run::End;
use crate::time::Millis;
use crate::words::{count, span};
use serde::Serialize;

/// One look at the standby ends within this: the budget of `preflight-verifier`.
const ASSESS: Millis = Millis::from_secs(10);
/// RDS says "several minutes or longer" of promoting a replica, a reboot included; operators see this.
const PROMOTE_RDS: Range = Range { least: Millis::from_secs(180), most: Millis::from_secs(600) };
/// An alarm's standard period, one for the datapoint and one for its evaluation: Route 53 follows no shorter one.
const ALARM_PERIOD: Millis = Millis::from_secs(60);
/// Route 53's checkers ask a fast endpoint this often; one to see it and as long for its name servers to follow. The
/// service says "10 seconds" of the first, and nothing of the second.
const CHECK_PERIOD: Millis = Millis::from_secs(10);

/// From, to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    pub least: Millis,
    pub most: Millis,
}

impl Range {
    const fn new(least: Millis, most: Millis) -> Self {
        Self { least, most }
    }

    const fn exactly(span: Millis) -> Self {
        Self::new(span, span)
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.least.saturating_add(other.least), self.most.saturating_add(other.most))
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.least == self.most {
            write!(f, "{}", span(self.least))
        } else {
            write!(f, "{} … {}", span(self.least), span(self.most))
        }
    }
}

/// Where a part of the budget is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Arithmetic over the plan's own fields.
    Plan,
    /// What is known of the service; measured by nobody here.
    Service,
    /// The shortest and the longest of past runs of this plan.
    Runs,
}

/// One phase of the way, named as in the report's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Phase {
    pub name: &'static str,
    pub takes: Range,
    pub source: Source,
    /// How it comes about, in words.
    pub because: String,
    /// The plan's fields that it hangs on.
    pub fields: Vec<String>,
}

/// What an unplanned failover is expected to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// In order; gapless.
    pub phases: Vec<Phase>,
    /// Their sum: the recovery time.
    pub rto: Range,
    /// What the report will be able to show at most as lost; `None` where no receipt bounds it.
    pub rpo_bound: Option<Range>,
    /// Why the bound is so, or why there is none.
    pub rpo_because: String,
    /// How long success must last before it is believed: beside the recovery time, not in it.
    pub hold: Millis,
    /// How many past runs were used.
    pub runs: usize,
}

impl Budget {
    /// What may be lost, in one sentence.
    #[must_use]
    pub fn loss(&self) -> String {
        match self.rpo_bound {
            Some(bound) => format!("loss shown at most {bound}: {}", self.rpo_because),
            None => format!("loss: no figure; {}", self.rpo_because),
        }
    }
}

/// The plan's budget, with what past runs of it (or of its rehearsal) measured where they did.
#[must_use]
pub fn budget(plan: &Plan, past: &[Report]) -> Budget {
    let past: Vec<&Report> = past.iter().filter(|report| counts(plan, report)).collect();
    let detect = detect(plan);
    let decide = decide(plan);
    let fence = fence(plan, detect.takes.plus(decide.takes));
    let phases = vec![detect, decide, fence, promote(plan, &past), switch(plan, &past)];
    let rto = phases.iter().fold(Range::exactly(Millis::ZERO), |sum, phase| sum.plus(phase.takes));
    let (rpo_bound, rpo_because) = loss(plan);
    let hold = plan.routes.iter().map(|route| route.hold).max().unwrap_or(Millis::ZERO);
    Budget { phases, rto, rpo_bound, rpo_because, hold, runs: past.len() }
}

/// A run that came to its success, of this plan or of its rehearsal, under the same promise: a run in fast motion has
/// another, and would flatter (L7).
fn counts(plan: &Plan, report: &Report) -> bool {
    let ours = report.plan == plan.name || report.plan == crate::plan::rehearsal_name(&plan.name);
    let alike = Millis(report.rto.objective_ms) == plan.objectives.rto;
    ours && alike && matches!(report.end, End::Recovered | End::Rehearsed)
}

/// A schedule fires anywhere within its tick, so that two looks of one function are up to this many apart; of looks
/// between two ticks one may be lost.
const APART: u64 = 2;

/// Route 53's own checkers find the primary bad after three looks, 30 s apart; their verdict is read by a name.
pub(crate) const CHECKERS_TAKE: Millis = Millis::from_secs(90);

/// How much later the votes complete where Route 53's own is among those that are needed.
fn checkers(plan: &Plan) -> Millis {
    let voters = if plan.regions.witness.is_some() { 3 } else { 2 };
    let ttl = plan.routes.iter().map(|route| route.ttl).max().unwrap_or(Millis::ZERO);
    if plan.detection.quorum >= voters { CHECKERS_TAKE.saturating_add(ttl) } else { Millis::ZERO }
}

/// From the last good probe to the accepted signal. At least: the first bad probe begins the window, and the last
/// renewal was made `APART` looks before it. At most, of the votes: the first bad probe comes `APART` looks late, the one
/// that completes the window a look behind it, and whoever decides looks `APART` looks later. Of the lease: a renewal in
/// the last moment is seen `APART` looks later, and so is its end.
fn detect(plan: &Plan) -> Phase {
    let (pace, detection, ttl) = (plan.pace(), &plan.detection, plan.lease.ttl);
    let apart = pace.times(APART);
    let least = detection.window.max(ttl.saturating_sub(apart));
    let votes =
        apart.saturating_add(detection.probe_timeout).saturating_add(detection.window).saturating_add(pace);
    let checkers = checkers(plan);
    let votes = votes.saturating_add(checkers);
    let stale = apart.saturating_add(ttl);
    let most = votes.max(stale).saturating_add(apart);
    let late = match plan.look {
        None => format!(
            "a schedule fires anywhere within its tick of {}, so that each of two looks in a row may come {} late",
            span(pace),
            span(apart)
        ),
        Some(_) => format!(
            "a look comes every {}, and one may be lost, so that each of two in a row may come {} late",
            span(pace),
            span(apart)
        ),
    };
    Phase {
        name: "detect",
        takes: Range::new(least, most),
        source: Source::Plan,
        because: format!(
            "votes bad for {} and the lease of {}{} stale; {late}, and a probe takes up to {}{}",
            span(detection.window),
            span(ttl),
            if plan.look.is_some() {
                format!(
                    " ({} until looks came for {} without a gap)",
                    span(unproved_ttl(plan)),
                    span(proved_after(plan))
                )
            } else {
                String::new()
            },
            span(detection.probe_timeout),
            if checkers == Millis::ZERO {
                String::new()
            } else {
                format!("; Route 53's own vote is needed, and comes {} later", span(checkers))
            }
        ),
        fields: fields(&["detection.window", "lease.ttl", pace_field(plan), "detection.probe_timeout"]),
    }
}

/// The field that says how often is looked.
pub(crate) fn pace_field(plan: &Plan) -> &'static str {
    if plan.look.is_some() { "look" } else { "tick" }
}

fn asks(plan: &Plan) -> bool {
    let modes = [Some(plan.policy.failover), plan.policy.in_session];
    modes.into_iter().flatten().any(|mode| mode == Mode::Approval)
}

fn decide(plan: &Plan) -> Phase {
    let timeout = plan.policy.approval_timeout;
    let (most, because) = if asks(plan) {
        let most = ASSESS.times(2).saturating_add(timeout);
        (
            most,
            format!("a look of at most {}, people within {}, and a second look", span(ASSESS), span(timeout)),
        )
    } else {
        (ASSESS, format!("a look of at most {}; nobody is asked", span(ASSESS)))
    };
    Phase {
        name: "decide",
        takes: Range::new(Millis::from_secs(1), most),
        source: Source::Plan,
        because,
        fields: fields(&["policy.failover", "policy.approval_timeout"]),
    }
}

/// What the lease still runs after `before`, or what people take to accept the risk.
fn fence(plan: &Plan, before: Range) -> Phase {
    let lease = &plan.lease;
    match lease.on_loss {
        OnLeaseLoss::Fence => {
            let whole = lease_ends(plan);
            let takes = Range::new(whole.saturating_sub(before.most), whole.saturating_sub(before.least));
            Phase {
                name: "fence",
                takes,
                source: Source::Plan,
                because: format!(
                    "what is left of {} + {} + {} after detection and decision",
                    span(lease.ttl),
                    span(lease.commit_margin),
                    span(lease.drift)
                ),
                fields: fields(&["lease.ttl", "lease.commit_margin", "lease.drift"]),
            }
        }
        OnLeaseLoss::Stay => Phase {
            name: "fence",
            takes: Range::new(Millis::from_secs(1), plan.policy.approval_timeout),
            source: Source::Plan,
            because: format!(
                "`on_loss: stay` gives no *expired* receipt: a named person must accept the risk, within {}",
                span(plan.policy.approval_timeout)
            ),
            fields: fields(&["lease.on_loss", "policy.approval_timeout"]),
        },
    }
}

/// From a renewal to the last instant at which its holder could commit.
fn lease_ends(plan: &Plan) -> Millis {
    let lease = &plan.lease;
    lease.ttl.saturating_add(lease.commit_margin).saturating_add(lease.drift)
}

fn promote(plan: &Plan, past: &[&Report]) -> Phase {
    let timeouts = plan.stores.iter().map(|store| store.promote_timeout);
    let given_up = timeouts.max().unwrap_or(PROMOTE_RDS.most);
    let assumed = Range::new(PROMOTE_RDS.least.min(given_up), PROMOTE_RDS.most.min(given_up));
    let (takes, source, because) = match measured("promote", past) {
        Some(takes) => {
            (takes, Source::Runs, format!("promoted and verified in {}", count(past.len(), "past run")))
        }
        None => (assumed, Source::Service, "RDS: several minutes, a reboot included".to_owned()),
    };
    Phase { name: "promote", takes, source, because, fields: fields(&["stores[].promote_timeout"]) }
}

/// From the switch's metric to the last client that held the old answer.
fn switch(plan: &Plan, past: &[&Report]) -> Phase {
    let ttl = plan.routes.iter().map(|route| route.ttl).max().unwrap_or(Millis::ZERO);
    let (seen, source, because) = match measured("switch", past) {
        Some(seen) => (seen, Source::Runs, count(past.len(), "past run")),
        None if plan.routes.iter().all(|route| route.fast) => (
            Range::new(Millis::from_secs(1), CHECK_PERIOD.times(2)),
            Source::Service,
            format!(
                "checkers that ask every {}, and as long until the name servers follow",
                span(CHECK_PERIOD)
            ),
        ),
        None => (
            Range::new(Millis::from_secs(1), ALARM_PERIOD.times(2)),
            Source::Service,
            format!("an alarm's datapoint and its evaluation, {} each at most", span(ALARM_PERIOD)),
        ),
    };
    Phase {
        name: "switch",
        takes: seen.plus(Range::new(Millis::ZERO, ttl)),
        source,
        because: format!("{because}; then caches for up to {}", span(ttl)),
        fields: fields(&["routes[].ttl", "routes[].fast"]),
    }
}

fn measured(segment: &str, past: &[&Report]) -> Option<Range> {
    let spans = past.iter().flat_map(|report| &report.clock.segments).filter(|one| one.name == segment);
    let spans: Vec<Millis> = spans.map(|one| Millis(one.ms)).collect();
    Some(Range::new(*spans.iter().min()?, *spans.iter().max()?))
}

/// What an unplanned move may lose, as far as a report will be able to show it (L7).
fn loss(plan: &Plan) -> (Option<Range>, String) {
    let lag = |of: fn(&Store) -> Millis| required(plan).map(of).max().unwrap_or(Millis::ZERO);
    let typical = lag(|store| store.lag.typical);
    match plan.lease.on_loss {
        OnLeaseLoss::Fence => {
            let ends = lease_ends(plan);
            let most = ends.saturating_add(lag(|store| store.lag.block));
            let because = format!(
                "the old writer may commit until its lease ends, {} after its last renewal; the replica was {} behind, \
                 at most what blocks",
                span(ends),
                span(typical)
            );
            (Some(Range::new(ends.saturating_sub(plan.pace().times(APART)), most)), because)
        }
        OnLeaseLoss::Stay => (
            None,
            "`on_loss: stay`: nothing ends the old writer's right to write, so no figure bounds the loss"
                .to_owned(),
        ),
    }
}

/// The stores whose loss counts.
pub(crate) fn required(plan: &Plan) -> impl Iterator<Item = &Store> {
    plan.stores.iter().filter(|store| store.required)
}

fn fields(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}
