//! How a report's figures, instants and named ends read, for the page and the terminal alike. How any sentence says
//! a span stands in `crate::words`.

use super::{Attestation, Clock, Figure, Line, Met, Report, Rto};
use crate::checks::{CHECKS, Finding, Grade};
use crate::run::{End, Kind, Receipt};
use crate::steps::close::record_key;
pub use crate::words::{at_least, at_most, duration};
use jiff::Timestamp;

/// The segments of the clock in their order, each with what it lasts from and to.
pub const SEGMENTS: [(&str, &str); 6] = [
    ("detect", "first failed probe to accepted outage"),
    ("decide", "assess the standby, ask whoever must be asked"),
    ("fence", "close the lease, until a fence receipt stands"),
    ("promote", "until a row was written and read back"),
    ("switch", "to the first good answer by the public name"),
    ("confirm", "until success had lasted; beside the RTO, not in it"),
];

/// `2026-11-21`, in UTC as everything here.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// `04:25:31.619`; the date stands elsewhere, once.
pub fn time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// The two instants between which service stopped.
pub fn onset(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Failover => ("last good probe", "first failed probe"),
        Kind::Switchover | Kind::Drill | Kind::Failback => ("last good write", "no writer left"),
    }
}

/// Between what an outage of this kind began.
pub fn began(kind: Kind) -> &'static str {
    match kind {
        Kind::Failover => "between the last good and the first failed probe",
        Kind::Switchover | Kind::Drill | Kind::Failback => {
            "between the last write that it took and the first look that found no writer"
        }
    }
}

/// The instant that all others are counted from.
pub fn zero(report: &Report) -> &'static str {
    match (report.clock.first_bad, report.kind) {
        (None, _) => "the start",
        (Some(_), Kind::Failover) => "the first failed probe",
        (Some(_), Kind::Switchover | Kind::Drill | Kind::Failback) => "the first look that found no writer",
    }
}

/// Whether a new day has begun since the line before.
pub fn begins_day(report: &Report, line: &Line) -> bool {
    let before = report.timeline.iter().take_while(|earlier| earlier.seq < line.seq).last();
    before.is_some_and(|before| date(before.at) != date(line.at))
}

/// From where the clock counts to the last record.
pub fn when(report: &Report) -> String {
    let from = report.clock.zero();
    let to = report.timeline.last().map_or(from, |line| line.at);
    let seconds = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    if date(from) == date(to) {
        format!("{}, {} to {} UTC", date(from), seconds(from), seconds(to))
    } else {
        format!("{} {} to {} {} UTC", date(from), seconds(from), date(to), seconds(to))
    }
}

/// How long after the instant that the clock counts from, or before it.
pub fn since_outage(clock: &Clock, at: Timestamp) -> String {
    let ms = at.as_millisecond().saturating_sub(clock.zero().as_millisecond());
    let sign = if ms < 0 { "−" } else { "+" };
    format!("{sign}{}", duration(ms.unsigned_abs()))
}

/// The recovery time as far as it is known. Ends are rounded outward.
pub fn recovery(rto: &Rto) -> String {
    match (rto.at_least.ms, rto.at_most.ms) {
        (Some(least), Some(most)) => format!("{} to {}", at_least(least), at_most(most)),
        (Some(least), None) => format!("{} or more", at_least(least)),
        (None, Some(most)) => format!("at most {}", at_most(most)),
        (None, None) => "not measured".to_owned(),
    }
}

/// What was expected of a segment, or of the whole (`sum`), before it happened.
pub fn predicted(report: &Report, name: &str) -> Option<String> {
    let found = report.predicted.iter().find(|one| one.name == name)?;
    Some(format!("{} to {}", at_least(found.at_least_ms), at_most(found.at_most_ms)))
}

/// Why an end of the recovery time is missing; a reason that both ends share is told once.
pub fn recovery_unknown(rto: &Rto) -> Vec<&str> {
    let mut reasons = reason(&rto.at_least);
    reasons.extend(reason(&rto.at_most));
    reasons.dedup();
    reasons
}

pub fn loss(bound: &Figure) -> String {
    match bound.ms {
        None => "not measured".to_owned(),
        Some(0) => "nothing".to_owned(),
        Some(ms) => format!("at most {}", at_most(ms)),
    }
}

pub fn reason(figure: &Figure) -> Vec<&str> {
    figure.why_null.as_deref().into_iter().collect()
}

/// A mark that reads without colour, and the word beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    pub mark: &'static str,
    pub word: &'static str,
    pub tone: Tone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Caution,
    Bad,
}

const fn sign(mark: &'static str, word: &'static str, tone: Tone) -> Sign {
    Sign { mark, word, tone }
}

pub fn met(met: Met) -> Sign {
    match met {
        Met::Met => sign("✓", "met", Tone::Good),
        Met::Missed => sign("✗", "missed", Tone::Bad),
        Met::NotShown => sign("?", "not shown", Tone::Caution),
    }
}

pub fn grade(grade: Grade) -> Sign {
    match grade {
        Grade::Pass => sign("✓", "pass", Tone::Good),
        Grade::Warn => sign("!", "warn", Tone::Caution),
        Grade::Block => sign("✗", "block", Tone::Bad),
        Grade::Unknown => sign("?", "unknown", Tone::Bad),
    }
}

/// The sign of a named end, and what the name means.
pub fn end(end: End) -> (Sign, &'static str) {
    match end {
        End::Recovered => (
            sign("✓", "Recovered", Tone::Good),
            "The standby serves by the public names, and success has lasted.",
        ),
        End::Rehearsed => (
            sign("✓", "Rehearsed", Tone::Good),
            "A drill: the rehearsal environment's standby serves by its own names, and success has lasted. Production \
             was not moved.",
        ),
        End::RolledBack => (
            sign("!", "RolledBack", Tone::Caution),
            "It stopped before the one-way door and took back what it had changed.",
        ),
        End::Refused => (
            sign("✗", "Refused", Tone::Caution),
            "The standby did not take over: a check or a person said no.",
        ),
        End::NeedsOperator => {
            (sign("!", "NeedsOperator", Tone::Bad), "It could not go on by itself. A person must take over.")
        }
        End::Unfinished => (
            sign("?", "Unfinished", Tone::Bad),
            "It ended without saying how, and was closed from outside. A person must look.",
        ),
    }
}

/// What kind of receipt it is, and what that kind rests on.
pub fn receipt(receipt: &Receipt) -> (Sign, &'static str) {
    match receipt {
        Receipt::Proved { .. } => (
            sign("✓", "proved", Tone::Good),
            "The primary was asked to give way: its writers may not log in, their sessions were ended, its lease row \
             is over, and two looks in a row found no writer left.",
        ),
        Receipt::Expired { .. } => (
            sign("✓", "expired", Tone::Good),
            "The old primary's lease ran out, and the dead-man in its database was seen armed with the last renewal. \
             A managed database cannot refuse an old writer by itself: this is safe in practice; it does not make a \
             second writer impossible. It speaks of the plan's tables, and of commits: a disk that hung, or a host that \
             stood still, may have told a client later of one that was made in time, and that one may be lost.",
        ),
        Receipt::Accepted { .. } => (
            sign("!", "accepted", Tone::Caution),
            "Nothing proves that the old primary had stopped writing. A named person took the stated risk.",
        ),
    }
}

/// The files that an exported journal has beside its records.
pub const PUBLIC_KEY: &str = "public-key.pem";
pub const HEAD_SIGNATURE: &str = "head.sig";

pub fn attestation(attestation: &Attestation) -> (&'static str, &'static str) {
    match attestation {
        Attestation::SelfAttested => (
            "self_attested",
            "No signing key was configured, so the product vouches for itself. A journal that ends in the head \
             below has had no record changed, removed or inserted since; that does not show who wrote it.",
        ),
        Attestation::Signed { .. } => (
            "signed",
            "The key below signed the last record, whose hash is the head. Whoever cannot use that key can make no \
             other journal that passes. It does not show that the records say the truth, nor when they were written, \
             and it covers the journal, not this rendering of it.",
        ),
    }
}

/// The parts of a signature, each with its name; none without one.
pub fn signature(attestation: &Attestation) -> Vec<(&'static str, String)> {
    match attestation {
        Attestation::SelfAttested => Vec::new(),
        Attestation::Signed { key, algorithm, signature, signed_at } => vec![
            ("Key", key.clone()),
            ("Algorithm", algorithm.clone()),
            ("Signature", signature.clone()),
            ("Signed", format!("{} {} UTC", date(*signed_at), time(*signed_at))),
        ],
    }
}

/// How somebody checks the signature who has nothing of ours, in the folder of an exported journal.
pub fn openssl(report: &Report) -> Option<String> {
    let last = file_name(&record_key(&report.plan, &report.execution, report.journal.records)).to_owned();
    matches!(report.attestation, Attestation::Signed { .. })
        .then(|| format!("openssl dgst -sha256 -verify {PUBLIC_KEY} -signature {HEAD_SIGNATURE} {last}"))
}

fn file_name(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, name)| name)
}

/// The question that a finding answers, where this version knows its check.
pub fn question(finding: &Finding) -> Option<&'static str> {
    CHECKS.iter().find(|check| check.id == finding.id).map(|check| check.question)
}

/// `10 of 10 passed`, and what did not.
pub fn tally(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "none was made".to_owned();
    }
    let count = |grade: Grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let mut parts = vec![format!("{} of {} passed", count(Grade::Pass), findings.len())];
    for (grade, word) in [(Grade::Warn, "warn"), (Grade::Block, "block"), (Grade::Unknown, "unknown")] {
        if count(grade) > 0 {
            parts.push(format!("{} {word}", count(grade)));
        }
    }
    let overridden = findings.iter().filter(|finding| finding.is_bad() && !finding.blocks()).count();
    if overridden > 0 {
        parts.push(format!("{overridden} of them overridden"));
    }
    parts.join(", ")
}

/// The segment that was begun and did not end; `None` once the clock ran through.
pub fn open_segment(clock: &Clock) -> Option<&'static str> {
    let position = |name: &str| SEGMENTS.iter().position(|(known, _)| *known == name);
    // A planned move has nothing to detect and begins with the decision.
    let next = clock.segments.last().map_or(Some(1), |last| position(&last.name).map(|at| at + 1));
    SEGMENTS.get(next?).map(|(name, _)| *name)
}

/// The records of one segment of the clock.
#[derive(Clone, Debug)]
pub struct Phase<'a> {
    pub name: &'a str,
    /// How long the segment lasted; `None` where it did not end or is none.
    pub ms: Option<u64>,
    pub lines: Vec<&'a Line>,
}

/// The timeline cut at the clock's instants, in its own order. A record that ends a segment belongs to it.
pub fn phases(report: &Report) -> Vec<Phase<'_>> {
    let mut phases: Vec<Phase<'_>> = Vec::new();
    for line in &report.timeline {
        let segment = report.clock.segments.iter().find(|segment| line.at <= segment.to);
        let (name, ms) = match segment {
            Some(segment) => (segment.name.as_str(), Some(segment.ms)),
            None => (open_segment(&report.clock).unwrap_or("after"), None),
        };
        match phases.last_mut() {
            Some(phase) if phase.name == name => phase.lines.push(line),
            _ => phases.push(Phase { name, ms, lines: vec![line] }),
        }
    }
    phases
}

/// What follows a phase's name: how long it lasted, or that it did not end.
pub fn phase_note(phase: &Phase<'_>) -> String {
    match phase.ms {
        Some(ms) => duration(ms),
        None if phase.name == "after" => String::new(),
        None => "did not end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_milliseconds_and_lose_their_date() {
        let at: Timestamp = "2026-11-21T04:25:31.619790124Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        assert_eq!((date(at).as_str(), time(at).as_str()), ("2026-11-21", "04:25:31.619"));
        assert_eq!(time(Timestamp::UNIX_EPOCH), "00:00:00.000");
    }
}
