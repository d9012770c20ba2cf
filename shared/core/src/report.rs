//! The report: a rendering of one journal. It computes nothing that the journal does not hold.
//!
//! Figures that were not measured are null with a reason, never zero; a range is given where an instant is only
//! known to lie between two (L7).

pub mod html;
mod picture;
pub mod words;

use crate::budget::{Range, budget};
use crate::checks::{Finding, Verdict};
use crate::fault::Fault;
use crate::journal::{Entry, Record, Stopped, Whole};
use crate::lease::KeeperView;
use crate::observed::Observed;
use crate::overrides;
use crate::plan::Plan;
use crate::run::{End, Kind, Position, Receipt};
use crate::steps::Step;
use crate::steps::handover::behind;
use crate::time::{Millis, before, elapsed};
use crate::votes::Onset;
use crate::words::{count, instant, span};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The name of the published schema, `shared/core/report.schema.json`.
pub const SCHEMA: &str = "understudy/report/v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub schema: String,
    pub plan: String,
    pub plan_title: String,
    pub plan_digest: String,
    pub execution: String,
    pub incident: String,
    pub attempt: u32,
    pub kind: Kind,
    /// The ended execution that this one went on from, and the head of its journal: what came before stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continues>,
    pub end: End,
    /// Why it ended so, in one line.
    pub cause: String,
    pub clock: Clock,
    pub rto: Rto,
    pub rpo: Rpo,
    /// What the plan of this digest led to expect of an unplanned failover, phase by phase and as `sum`, before it
    /// happened; empty for a planned move, and for a plan in fast motion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicted: Vec<Predicted>,
    pub verdict: Option<Verdict>,
    pub findings: Vec<Finding>,
    pub receipt: Option<Receipt>,
    pub positions: Vec<Position>,
    /// The waiver of the shadow period, printed wherever it was used.
    pub shadow_waived: Option<String>,
    pub timeline: Vec<Line>,
    /// Everything above that is null, and why.
    pub not_measured: Vec<String>,
    pub attestation: Attestation,
    pub journal: JournalSummary,
}

/// The journal that one goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Continues {
    pub execution: String,
    pub head_sha256: String,
}

/// A span that was measured, or the reason why it was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    pub ms: Option<u64>,
    pub why_null: Option<String>,
}

impl Figure {
    fn measured(span: Millis) -> Self {
        Self { ms: Some(span.0), why_null: None }
    }

    fn null(why: impl Into<String>) -> Self {
        Self { ms: None, why_null: Some(why.into()) }
    }
}

/// Whether an objective was met. No evidence, no `met`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Met {
    Met,
    Missed,
    /// Part of the range lies on either side, or nothing was measured.
    NotShown,
}

/// The named instants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// The last good probe, or since when a planned move that was taken back had stopped the writers; of a planned move,
    /// one TTL before the last write that was taken by the public names.
    pub last_good: Option<Timestamp>,
    /// The first failed probe; of a planned move, the instant at which no writer was left. `None` when nothing
    /// stopped.
    pub first_bad: Option<Timestamp>,
    pub accepted: Timestamp,
    /// The standby was found fit and the lease about to be closed.
    pub decided: Option<Timestamp>,
    pub fenced: Option<Timestamp>,
    /// A row was written as the application and read back.
    pub promoted: Option<Timestamp>,
    /// The last look from outside that still failed.
    pub served_after: Option<Timestamp>,
    /// The first of the successes that then lasted.
    pub served: Option<Timestamp>,
    /// `served` plus one TTL: who resolved just before the switch has moved too.
    pub settled: Option<Timestamp>,
    pub confirmed: Option<Timestamp>,
    /// Gapless; `confirm` stands beside the RTO, not in it.
    pub segments: Vec<Segment>,
}

impl Clock {
    /// The instant that everything else is counted from: the first that was surely bad, or the start where nothing
    /// stopped.
    pub fn zero(&self) -> Timestamp {
        self.first_bad.unwrap_or(self.accepted)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    pub name: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub ms: u64,
}

/// A span that was expected of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predicted {
    /// The segment's name, or `sum`.
    pub name: String,
    pub at_least_ms: u64,
    pub at_most_ms: u64,
}

/// Recovery time as a range: the outage began between the last good and the first failed probe, and service
/// came back between the last failed look and one TTL after the first good one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rto {
    pub objective_ms: u64,
    pub at_least: Figure,
    pub at_most: Figure,
    pub met: Met,
}

/// Data loss: what could be lost at most, and what is known to be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rpo {
    pub objective_ms: u64,
    /// Last instant at which the old writer could commit, minus the commit time of the last position received;
    /// the worst required store.
    pub bound: Figure,
    /// Commit time of the last transaction received, by the old primary's clock.
    pub last_received_commit_at: Option<Timestamp>,
    pub last_commit_possible_at: Option<Timestamp>,
    pub observed: Figure,
    pub met: Met,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub seq: u64,
    pub at: Timestamp,
    pub writer: String,
    pub text: String,
}

/// Who vouches for the journal's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// No key was configured: the product vouches for itself.
    SelfAttested,
    /// A key of KMS signed the bytes of the last record, whose SHA-256 is the head.
    Signed {
        /// The key's ARN.
        key: String,
        /// KMS's name for it.
        algorithm: String,
        /// DER, in base64.
        signature: String,
        /// When the signature was had: after the last record was written.
        signed_at: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalSummary {
    pub records: u64,
    pub head_sha256: String,
}

/// Renders a whole, closed chain. `attestation` is the one thing that the journal cannot hold: it is made of the
/// journal's last bytes.
pub fn build(plan: &Plan, whole: &Whole, attestation: Attestation) -> Result<Report, Fault> {
    let records = whole.records();
    let told = Told::of(records).ok_or_else(|| Fault::bug("the journal has no first or no last record"))?;
    let clock = told.clock(plan);
    let rto = rto(plan, &clock);
    let rpo = told.rpo(plan);
    Ok(Report {
        schema: SCHEMA.to_owned(),
        plan: plan.name.clone(),
        plan_title: plan.title.clone(),
        plan_digest: told.plan_digest.clone(),
        execution: told.execution.clone(),
        incident: told.incident.clone(),
        attempt: told.attempt,
        kind: told.kind,
        continues: told.continues.clone(),
        end: told.end,
        cause: told.cause.clone(),
        not_measured: not_measured(&rto, &rpo),
        clock,
        rto,
        rpo,
        predicted: predicted(plan, told.kind),
        verdict: told.verdict,
        findings: told.findings.clone(),
        receipt: told.receipt.clone(),
        positions: told.positions.clone(),
        shadow_waived: shadow_waived(plan),
        timeline: records.iter().map(line).collect(),
        attestation,
        journal: JournalSummary {
            records: records.last().map_or(0, |record| record.seq),
            head_sha256: whole.head_sha256().to_owned(),
        },
    })
}

/// EventBridge Scheduler fires no more often: a plan whose tick is shorter is in fast motion, and what AWS takes is not.
const SHORTEST_TICK: Millis = Millis::from_secs(60);

fn predicted(plan: &Plan, kind: Kind) -> Vec<Predicted> {
    if kind != Kind::Failover || plan.tick < SHORTEST_TICK {
        return Vec::new();
    }
    let budget = budget(plan, &[]);
    let one = |name: &str, takes: Range| Predicted {
        name: name.to_owned(),
        at_least_ms: takes.least.0,
        at_most_ms: takes.most.0,
    };
    let phases = budget.phases.iter().map(|phase| one(phase.name, phase.takes));
    phases.chain([one("sum", budget.rto)]).collect()
}

fn shadow_waived(plan: &Plan) -> Option<String> {
    plan.lease.arming.as_ref()?.shadow_waived.clone()
}

/// Why an execution ended as it did: the last thing it recorded that was not plain success.
pub fn cause(records: &[Record], end: End) -> String {
    match end {
        End::Recovered => succeeded(records, "success has lasted, seen by the public names"),
        End::Rehearsed => succeeded(
            records,
            "success has lasted, seen by the rehearsal's own names; production was not moved",
        ),
        End::Unfinished => {
            let last = records.last().map_or_else(|| "nothing".to_owned(), |record| line(record).text);
            format!("it stopped without an end of its own; the last thing on record: {last}")
        }
        End::Refused => people(records)
            .or_else(|| not_asked(records))
            .or_else(|| records.iter().rev().find_map(refusal))
            .or_else(|| trouble(records).map(|(_, text)| text))
            .unwrap_or_else(|| "refused".to_owned()),
        End::RolledBack | End::NeedsOperator => {
            let left = unanswered(records);
            let trouble = trouble(records).filter(|(seq, _)| {
                // What it stopped in is newer than what went wrong on the way.
                end == End::RolledBack || left.as_ref().is_none_or(|(begun, _)| begun < seq)
            });
            let went_back = || (end == End::RolledBack).then(|| records.iter().find_map(goes_on)).flatten();
            trouble.or(left).map(|(_, text)| text).or_else(went_back).unwrap_or_else(|| {
                let known = records.last().map_or_else(|| "nothing".to_owned(), |record| line(record).text);
                format!(
                    "a step failed before it recorded anything; its function's log has the error, and the workflow's console \
                     names it. The last thing on record: {known}"
                )
            })
        }
    }
}

/// What a success adds to its cause that left pipelines standing still.
pub const LEFT_FROZEN: &str = "the freeze flag may still be up, so that pipelines stand still: `Thaw` did not end (runbook, Afterwards)";

fn succeeded(records: &[Record], how: &str) -> String {
    let done = |wanted: Step| {
        records.iter().any(|record| {
            matches!(&record.entry, Entry::Outcome { step, outcome, .. } if *step == wanted && outcome == "done")
        })
    };
    let froze = done(Step::Freeze) || records.iter().any(|r| matches!(r.entry, Entry::Continued { .. }));
    if froze && !done(Step::Thaw) { format!("{how}; {LEFT_FROZEN}") } else { how.to_owned() }
}

/// What people said to the last question, if it was no, or too little in time.
fn people(records: &[Record]) -> Option<String> {
    let mut yeses: u32 = 0;
    for record in records.iter().rev() {
        match &record.entry {
            Entry::Answered { yes: true, .. } => yeses = yeses.saturating_add(1),
            Entry::Answered { by, .. } => return Some(format!("`{by}` said no")),
            Entry::Asked { question, .. } if yeses >= question.approvals => return None,
            Entry::Asked { question, .. } => {
                let said = match yeses {
                    0 => "nobody answered".to_owned(),
                    _ => format!("{yeses} of {} said yes", question.approvals),
                };
                return Some(format!("{said} until {}: silence is a no", question.expires_at));
            }
            _ => {}
        }
    }
    None
}

/// People were to be asked, and the question never got on record: that is no silence of theirs.
fn not_asked(records: &[Record]) -> Option<String> {
    let last = records.iter().rev().find_map(|record| match &record.entry {
        Entry::Assessed { verdict, .. } => Some(*verdict == Verdict::Ready),
        Entry::Asked { .. } | Entry::Intent { step: Step::Freeze, .. } => Some(false),
        _ => None,
    });
    (last == Some(true))
        .then(|| "people were to be asked, and could not be: the log of `approver` has the error".to_owned())
}

fn refusal(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Assessed { findings, .. } => {
            Some(crate::steps::assess::refusal(findings)).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

/// From what it went on: of one that took everything back that is the reason.
fn goes_on(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Outcome { step: Step::Continue, detail, .. } => Some(detail.clone()),
        _ => None,
    }
}

/// The newest outcome that was no success, with its number.
fn trouble(records: &[Record]) -> Option<(u64, String)> {
    let fenced =
        records.iter().filter(|record| matches!(record.entry, Entry::Fenced { .. })).map(|r| r.seq).max();
    records.iter().rev().find_map(|record| match &record.entry {
        // Which way it was to go is no trouble of its own; nor is what a receipt came of all the same.
        Entry::Outcome { step: Step::Continue, outcome, .. } if outcome == "back" || outcome == "forward" => {
            None
        }
        Entry::Outcome { outcome, .. }
            if outcome == "unproven" && fenced.is_some_and(|at| at > record.seq) =>
        {
            None
        }
        Entry::Outcome { step, outcome, detail } if outcome != "done" && outcome != "fenced" => {
            Some((record.seq, format!("{step:?}: {outcome}: {detail}")))
        }
        _ => None,
    })
}

/// The newest step that was begun and left no outcome of its own, whatever was taken back since; with the number of its
/// beginning.
fn unanswered(records: &[Record]) -> Option<(u64, String)> {
    let mut known = BTreeSet::new();
    let (seq, step) = records.iter().rev().find_map(|record| match &record.entry {
        Entry::Intent { step, .. } if !known.contains(step) => Some((record.seq, *step)),
        Entry::Outcome { step, .. } => {
            known.insert(*step);
            // That a promotion was asked for is known once it came.
            known.extend((*step == Step::AwaitPromotion).then_some(Step::Promote));
            None
        }
        Entry::Assessed { .. } => {
            known.extend([Step::Assess, Step::LookAgain]);
            None
        }
        _ => None,
    })?;
    Some((seq, format!("{step:?} was begun and left no outcome; its function's log has the error")))
}

/// What the records tell, collected in one pass.
struct Told {
    plan_digest: String,
    execution: String,
    incident: String,
    attempt: u32,
    kind: Kind,
    continues: Option<Continues>,
    onset: Option<Onset>,
    accepted: Timestamp,
    /// When the side that gives way last took a write, before its lease was closed.
    served: Option<Timestamp>,
    decided: Option<Timestamp>,
    verdict: Option<Verdict>,
    findings: Vec<Finding>,
    receipt: Option<Receipt>,
    fenced: Option<Timestamp>,
    positions: Vec<Position>,
    /// A promotion was about to be asked for: the one-way door.
    promotes: bool,
    /// A hand promoted it.
    by_hand: bool,
    verified: Option<Timestamp>,
    moved: Option<Timestamp>,
    /// The last look from outside that failed, of the one that it goes on from.
    last_bad: Option<Timestamp>,
    confirmed: Option<Confirmed>,
    end: End,
    cause: String,
}

struct Confirmed {
    at: Timestamp,
    last_bad: Option<Timestamp>,
    first_good: Timestamp,
    settled_at: Timestamp,
}

impl Told {
    fn of(records: &[Record]) -> Option<Self> {
        let first = records.first()?;
        let Entry::Accepted { incident, attempt, kind, accepted_at, onset, .. } = &first.entry else {
            return None;
        };
        let mut told = Self {
            plan_digest: first.plan_digest.clone(),
            execution: first.execution.clone(),
            incident: incident.clone(),
            attempt: *attempt,
            kind: *kind,
            continues: None,
            onset: onset.filter(|_| *kind == Kind::Failover),
            accepted: *accepted_at,
            served: None,
            decided: None,
            verdict: None,
            findings: Vec::new(),
            receipt: None,
            fenced: None,
            positions: Vec::new(),
            promotes: false,
            by_hand: false,
            verified: None,
            moved: None,
            last_bad: None,
            confirmed: None,
            end: End::Unfinished,
            cause: String::new(),
        };
        let mut closed = false;
        for record in records {
            closed |= matches!(record.entry, Entry::Closed { .. });
            told.take(record);
        }
        closed.then_some(told)
    }

    fn take(&mut self, record: &Record) {
        match &record.entry {
            Entry::Continued { from } => self.go_on(from),
            Entry::Assessed { verdict, findings, served_at, .. } => {
                self.verdict = Some(*verdict);
                self.findings.clone_from(findings);
                if self.decided.is_none() {
                    self.served = (*served_at).max(self.served);
                }
            }
            Entry::Intent { step: Step::CloseLease, .. } => self.decided = self.decided.or(Some(record.at)),
            Entry::Fenced { receipt } => {
                self.receipt = Some(receipt.clone());
                self.fenced = self.fenced.or(Some(record.at));
            }
            Entry::Captured { positions } => self.positions.clone_from(positions),
            Entry::Intent { step: Step::Promote, .. } => self.promotes = true,
            Entry::Verified { .. } => self.verified = Some(record.at),
            Entry::Intent { step: Step::MoveTraffic, .. } => self.moved = self.moved.or(Some(record.at)),
            Entry::Confirmed { last_bad, first_good, settled_at, .. } => {
                self.confirmed = Some(Confirmed {
                    at: record.at,
                    last_bad: *last_bad,
                    first_good: *first_good,
                    settled_at: *settled_at,
                });
            }
            Entry::Closed { end, cause } => {
                self.end = *end;
                self.cause.clone_from(cause);
            }
            Entry::Accepted { .. }
            | Entry::LeaseClosed { .. }
            | Entry::Asked { .. }
            | Entry::Answered { .. }
            | Entry::Intent { .. }
            | Entry::Outcome { .. }
            | Entry::Probed { .. } => {}
        }
    }

    /// What the journal of the one that stopped says: its instants are the first of this one's clock.
    fn go_on(&mut self, from: &Stopped) {
        let Stopped { execution, head_sha256, .. } = from;
        self.continues = Some(Continues { execution: execution.clone(), head_sha256: head_sha256.clone() });
        self.accepted = from.accepted_at;
        self.served = from.served_at;
        self.decided = from.decided_at;
        self.fenced = from.fenced_at;
        self.receipt.clone_from(&from.receipt);
        self.positions.clone_from(&from.positions);
        self.promotes = from.promotes;
        self.by_hand = from.by_hand;
        self.moved = from.moved_at;
        self.last_bad = from.last_bad;
    }

    /// Of a planned move: a write was taken when one was last tried, and no writer was left when the first quiet
    /// look came back. The closing of the lease between the two stops the writers, unless they had failed before. The
    /// write resolved the name afresh; who had resolved it within one TTL before may have been led elsewhere.
    fn stopped(&self, plan: &Plan) -> Option<Onset> {
        let Some(Receipt::Proved { quiet_since, .. }) = &self.receipt else { return None };
        let ttl = plan.routes.iter().map(|route| route.ttl).max().unwrap_or_default();
        Some(Onset { last_good: self.served.map(|at| before(at, ttl)), first_bad: *quiet_since })
    }

    fn clock(&self, plan: &Plan) -> Clock {
        let confirmed = self.confirmed.as_ref();
        let onset = self.onset.or_else(|| self.stopped(plan));
        let begin = self.onset.map_or(self.accepted, |onset| onset.first_bad);
        // A planned move was asked for, not detected.
        let detect = self.onset.map(|_| ("detect", Some(self.accepted)));
        let marks = detect.into_iter().chain([
            ("decide", self.decided),
            ("fence", self.fenced),
            ("promote", self.verified),
            ("switch", confirmed.map(|c| c.first_good)),
            ("confirm", confirmed.map(|c| c.at)),
        ]);
        Clock {
            last_good: onset.and_then(|onset| onset.last_good),
            first_bad: onset.map(|onset| onset.first_bad),
            accepted: self.accepted,
            decided: self.decided,
            fenced: self.fenced,
            promoted: self.verified,
            served_after: confirmed.and_then(|c| c.last_bad).or(self.last_bad).or(self.moved),
            served: confirmed.map(|c| c.first_good),
            settled: confirmed.map(|c| c.settled_at),
            confirmed: confirmed.map(|c| c.at),
            segments: segments(begin, marks),
        }
    }

    fn rpo(&self, plan: &Plan) -> Rpo {
        let objective = plan.objectives.rpo;
        let possible = self.receipt.as_ref().and_then(Receipt::last_commit_possible_at);
        let received = self.worst_received();
        let nothing = "this execution asked for no promotion, and lost nothing by itself";
        let bound = match (possible, &received) {
            _ if !self.promotes => Figure::null(nothing),
            _ if self.all_arrived() => Figure::measured(Millis::ZERO),
            (Some(possible), Ok(received)) => Figure::measured(elapsed(*received, possible)),
            (None, _) if self.receipt.is_some() => Figure::null(
                "the fence was accepted, not proved: when the old primary wrote last is not known",
            ),
            (None, _) => Figure::null("the old primary was not fenced"),
            (_, Err(why)) => Figure::null(why.clone()),
        };
        let met = met(None, bound.ms, objective);
        Rpo {
            objective_ms: objective.0,
            bound,
            last_received_commit_at: received.ok(),
            last_commit_possible_at: possible,
            observed: if !self.promotes {
                Figure::null(nothing)
            } else if self.all_arrived() {
                Figure::measured(Millis::ZERO)
            } else {
                Figure::null("what the old primary wrote last can only be compared once it is back")
            },
            met,
        }
    }

    /// The old primary said what it wrote last, and every store had replayed that before it was promoted.
    fn all_arrived(&self) -> bool {
        let last_written = self.receipt.as_ref().and_then(Receipt::last_written);
        last_written.is_some_and(|last| !self.positions.is_empty() && behind(last, &self.positions).is_none())
    }

    /// The oldest commit time among the required stores: the worst one counts.
    fn worst_received(&self) -> Result<Timestamp, String> {
        let required = self.positions.iter().filter(|position| position.required);
        let mut worst: Option<Timestamp> = None;
        for position in required {
            let at = position.commit_at.ok_or_else(|| format!("`{}` told no commit time", position.store))?;
            worst = Some(worst.map_or(at, |worst| worst.min(at)));
        }
        worst.ok_or_else(|| {
            if self.by_hand {
                "a hand promoted it before its position was captured: what it lacks is not known".to_owned()
            } else {
                "no position was captured".to_owned()
            }
        })
    }
}

fn rto(plan: &Plan, clock: &Clock) -> Rto {
    let objective = plan.objectives.rto;
    let never = "service was not confirmed from outside";
    let at_least = clock.served.and(clock.served_after).zip(clock.first_bad).map_or_else(
        || Figure::null(never),
        |(after, first_bad)| Figure::measured(elapsed(first_bad, after)),
    );
    let at_most = match (clock.settled, clock.last_good) {
        (Some(settled), Some(last_good)) => Figure::measured(elapsed(last_good, settled)),
        (None, _) => Figure::null(never),
        (_, None) => Figure::null("no good probe is on record before the outage"),
    };
    let met = met(at_least.ms, at_most.ms, objective);
    Rto { objective_ms: objective.0, at_least, at_most, met }
}

/// Met only when even the worst case lies within; missed only when even the best lies outside.
fn met(at_least: Option<u64>, at_most: Option<u64>, objective: Millis) -> Met {
    match (at_least, at_most) {
        (_, Some(most)) if most <= objective.0 => Met::Met,
        (Some(least), _) if least > objective.0 => Met::Missed,
        _ => Met::NotShown,
    }
}

/// The segments up to the first instant that was not reached: gapless as far as they go.
fn segments<'a>(start: Timestamp, marks: impl Iterator<Item = (&'a str, Option<Timestamp>)>) -> Vec<Segment> {
    let mut from = start;
    let reached = marks.map_while(|(name, at)| at.map(|at| (name, at)));
    reached
        .map(|(name, to)| {
            let segment = Segment { name: name.to_owned(), from, to, ms: elapsed(from, to).0 };
            from = to;
            segment
        })
        .collect()
}

fn not_measured(rto: &Rto, rpo: &Rpo) -> Vec<String> {
    let figures = [
        ("rto.at_least", &rto.at_least),
        ("rto.at_most", &rto.at_most),
        ("rpo.bound", &rpo.bound),
        ("rpo.observed", &rpo.observed),
    ];
    figures
        .iter()
        .filter_map(|(name, figure)| figure.why_null.as_ref().map(|why| format!("{name}: {why}")))
        .collect()
}

/// What the last renewal at a keeper proves of the old writer, in words.
fn last_renewal(view: &KeeperView) -> String {
    let keeper = &view.keeper;
    let seen = match &view.sighting {
        Observed::Known { value, .. } => value,
        Observed::Unknown { reason } => return format!("`{keeper}` NOT: {reason}"),
    };
    let (at, lease) = (instant(seen.counts_from()), &seen.lease);
    let within = lease.enforced.as_ref().and_then(|enforced| enforced.within);
    match within.filter(|_| lease.armed) {
        Some(within) => format!("`{keeper}`, last renewed at {at}, good for {}", span(within)),
        None => format!("`{keeper}`, last renewed at {at}, with no dead-man armed"),
    }
}

/// One record as people read it.
pub fn line(record: &Record) -> Line {
    let text = match &record.entry {
        Entry::Accepted { incident, attempt, continues: Some(stopped), hint, .. } => {
            format!("going on from `{stopped}`: {incident}, attempt {attempt}, {hint}")
        }
        Entry::Continued { from } => {
            let Stopped { execution, head_sha256, .. } = from;
            let receipt = match &from.receipt {
                None => "no fence",
                Some(Receipt::Proved { .. }) => "its fence proved",
                Some(Receipt::Expired { .. }) => "its fence expired",
                Some(Receipt::Accepted { .. }) => "its fence accepted, not proved",
            };
            let epoch = from.epoch.map_or_else(|| "no epoch".to_owned(), |epoch| format!("epoch {epoch}"));
            format!(
                "took up what `{execution}` held: {epoch}, {receipt}; its journal's head is {head_sha256}"
            )
        }
        Entry::Accepted { incident, attempt, kind: Kind::Failover, hint, .. } => {
            format!("outage accepted: {incident}, attempt {attempt}, woken by {hint}")
        }
        Entry::Accepted { incident, attempt, kind: Kind::Switchover, hint, .. } => {
            format!("move accepted: {incident}, attempt {attempt}, {hint}")
        }
        Entry::Accepted { incident, attempt, kind: Kind::Drill, hint, .. } => {
            format!("drill accepted: {incident}, attempt {attempt}, {hint}")
        }
        Entry::Accepted { incident, attempt, kind: Kind::Failback, hint, .. } => {
            format!("way back accepted: {incident}, attempt {attempt}, {hint}")
        }
        Entry::Assessed { verdict, findings, .. } => {
            let blocking = findings.iter().filter(|finding| finding.blocks()).count();
            let overridden = overrides::shown(findings);
            let fit = if *verdict == Verdict::Ready { "fit" } else { "not fit" };
            format!(
                "standby assessed: {fit}, {}, {blocking} blocking{}{overridden}",
                count(findings.len(), "finding"),
                if overridden.is_empty() { "" } else { "; " },
            )
        }
        Entry::Intent { step, what } => format!("{step:?}: about to {what}"),
        Entry::Outcome { step, outcome, detail } => format!("{step:?}: {outcome}: {detail}"),
        Entry::Fenced { receipt: Receipt::Proved { quiet_since, .. } } => {
            format!("fenced: proved, no writer was left at {quiet_since}")
        }
        Entry::Fenced { receipt: Receipt::Expired { lapsed_at, .. } } => {
            format!("fenced: expired, no commit passes the gates after {}", instant(*lapsed_at))
        }
        Entry::Fenced { receipt: Receipt::Accepted { by, risk, .. } } => {
            format!("fenced: accepted by {by}: {risk}")
        }
        Entry::Asked { question, .. } => {
            format!(
                "asked people ({:?}), silence until {} is a no: {}",
                question.matter,
                instant(question.expires_at),
                question.shown
            )
        }
        Entry::Answered { matter, yes, by, .. } => {
            format!("{:?}: {} by {by}", matter, if *yes { "yes" } else { "no" })
        }
        Entry::LeaseClosed { keepers, .. } => {
            format!("lease closed: {}", keepers.iter().map(last_renewal).collect::<Vec<_>>().join("; "))
        }
        Entry::Captured { positions } => {
            let one = |p: &Position| match p.received {
                Some(received) => format!("{} at {received}", p.store),
                None => format!("{} unknown", p.store),
            };
            format!("last received: {}", positions.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Entry::Verified { store, .. } => format!("`{store}` written and read back as the application"),
        Entry::Probed { route, good, detail } => {
            format!("`{route}` from outside: {}: {detail}", if *good { "good" } else { "failed" })
        }
        Entry::Confirmed { first_good, probes, .. } => {
            format!("confirmed: good since {}, {}", instant(*first_good), count(*probes as usize, "look"))
        }
        Entry::Closed { end, cause } => format!("{end}: {cause}"),
    };
    Line { seq: record.seq, at: record.at, writer: record.writer.clone(), text }
}
