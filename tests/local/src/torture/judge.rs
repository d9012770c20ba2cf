//! What a round must show. Pure: what clients were told, what both servers hold, and what was written down.
//!
//! Instants of commits are the servers' own; those of acknowledgements the clients'. All are of one machine. A figure
//! that is not there fails its line: nothing unknown counts as good (L4).

use super::load::Acknowledged;
use super::pair::Rows;
use crate::compare::{Line, line, seconds};
use crate::config::Place;
use jiff::Timestamp;
use understudy_core::journal::rules;
use understudy_core::journal::{Entry, Record, Stored, verify_chain};
use understudy_core::plan::Plan;
use understudy_core::report::{Figure, Report};
use understudy_core::run::{End, Receipt};

/// What is left of a round.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub told: Vec<Acknowledged>,
    /// What the old primary has committed.
    pub old: Rows,
    /// What the standby has, promoted or not.
    pub new: Rows,
    /// The standby left recovery.
    pub promoted: bool,
    /// Promotions that RDS took on.
    pub promotions: u32,
    pub executions: Vec<Written>,
    /// What the product says of the move, where one of its executions has a report.
    pub report: Option<Told>,
    /// The primary was lost for good: somebody must have taken over, or said why not.
    pub must_end: bool,
}

/// What one execution left.
#[derive(Clone, Debug)]
pub struct Written {
    pub name: String,
    pub chain: Vec<Stored>,
    pub report: Option<Report>,
}

/// What a report says, as far as it is judged.
#[derive(Clone, Debug)]
pub struct Told {
    pub end: End,
    pub cause: String,
    pub receipt: Option<Receipt>,
    pub bound: Figure,
    pub received: Option<Timestamp>,
    pub possible: Option<Timestamp>,
}

impl Told {
    /// Of several reports the one of the move, or else the last.
    pub fn of(executions: &[Written]) -> Option<Self> {
        let reports = || executions.iter().rev().filter_map(|written| written.report.as_ref());
        let report = reports().find(|report| report.receipt.is_some()).or_else(|| reports().next())?;
        Some(Self {
            end: report.end,
            cause: report.cause.clone(),
            receipt: report.receipt.clone(),
            bound: report.rpo.bound.clone(),
            received: report.rpo.last_received_commit_at,
            possible: report.rpo.last_commit_possible_at,
        })
    }
}

/// What a round comes to.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    pub lines: Vec<Line>,
    /// From the last commit of the old primary to the first of the new one.
    pub margin_ms: Option<i64>,
    /// Acknowledged and gone.
    pub missing: usize,
    /// How far behind the last commit received the last missing one lies, and the bound that was given.
    pub loss_ms: Option<i64>,
    pub bound_ms: Option<u64>,
    pub ends: Vec<End>,
    /// Why the last one ended so, where that is no recovery.
    pub cause: Option<String>,
    /// Commits of the old primary that a client heard of behind the receipt: what a hanging disk does to a commit that
    /// passed its gate in time. The receipt says so; nothing here can prevent it.
    pub heard_late: usize,
    /// How the old primary was fenced, where it was.
    pub fence: Option<&'static str>,
}

impl Judgement {
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.holds)
    }
}

pub fn judge(plan: &Plan, evidence: &Evidence) -> Judgement {
    let mut judged = Judgement::default();
    for written in &evidence.executions {
        journal(plan, written, &mut judged);
    }
    judged.lines.push(ended(evidence, &judged.ends));
    judged.lines.push(promoted_once(evidence));
    let report = evidence.report.as_ref();
    let receipt = report.and_then(|report| report.receipt.as_ref());
    judged.cause = report.filter(|report| report.end != End::Recovered).map(|report| report.cause.clone());
    judged.fence = receipt.map(|receipt| match receipt {
        Receipt::Proved { .. } => "proved",
        Receipt::Expired { .. } => "expired",
        Receipt::Accepted { .. } => "accepted",
    });
    if let Some(Receipt::Expired { lapsed_at, .. }) = receipt {
        judged.lines.push(stopped(evidence, *lapsed_at));
        let late = evidence.told.iter().filter(|told| told.by == Place::Primary && told.done_at > *lapsed_at);
        judged.heard_late = late.count();
    }
    if evidence.promoted {
        one_writer(evidence, receipt, &mut judged);
        lost(evidence, report, &mut judged);
        judged.lines.push(kept(evidence));
    }
    judged
}

/// The journal is whole, closed, lawful, and told by a report.
pub(super) fn journal(plan: &Plan, written: &Written, judged: &mut Judgement) {
    let name = &written.name;
    let what = format!("the journal of `{name}` is whole, closed and lawful, and a report tells it");
    let records = match verify_chain(&written.chain) {
        Ok(records) => records,
        Err(error) => return judged.lines.push(line(false, &what, error.to_string())),
    };
    let Some(end) = end_of(&records) else {
        let last = records.last().map(|record| format!("{:?}", record.entry)).unwrap_or_default();
        return judged.lines.push(line(false, &what, format!("it has no end; last: {last}")));
    };
    judged.ends.push(end);
    let breaches = rules::check(&records, Some(plan));
    let told = breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let reported = written.report.as_ref().is_some_and(|report| report.end == end);
    let holds = breaches.is_empty() && reported;
    let told = if reported { told } else { format!("no report of `{end}`; {told}") };
    judged.lines.push(line(holds, &what, format!("{end}, {} records. {told}", records.len())));
}

pub fn end_of(records: &[Record]) -> Option<End> {
    records.iter().find_map(|record| match &record.entry {
        Entry::Closed { end, .. } => Some(*end),
        _ => None,
    })
}

fn ended(evidence: &Evidence, ends: &[End]) -> Line {
    let what = "a lost primary leads to an execution, and every execution to an end";
    let holds = ends.len() == evidence.executions.len() && (!evidence.must_end || !ends.is_empty());
    line(holds, what, format!("{ends:?}"))
}

fn promoted_once(evidence: &Evidence) -> Line {
    let what = "RDS took on one promotion at most, and none of it was forgotten";
    let holds = evidence.promotions <= 1 && evidence.promoted == (evidence.promotions == 1);
    line(holds, what, format!("{} taken on, promoted: {}", evidence.promotions, evidence.promoted))
}

/// What an *expired* receipt says, whether anybody was told of the commit or not.
fn stopped(evidence: &Evidence, lapsed_at: Timestamp) -> Line {
    let what = "the old primary committed nothing after its receipt says that it could";
    let late: Vec<&str> =
        evidence.old.iter().filter(|(_, at)| **at > lapsed_at).map(|(tx, _)| tx.as_str()).collect();
    line(late.is_empty(), what, format!("lapsed {lapsed_at}, {} late: {}", late.len(), shown(&late)))
}

/// By the instants of commits: a client may hear late of what was committed in time.
fn one_writer(evidence: &Evidence, receipt: Option<&Receipt>, judged: &mut Judgement) {
    let what = "the old primary committed nothing after the new one's first";
    // Whatever only the old one has was never received: but it was committed there, and so may the rest have been.
    let last_old = evidence.old.values().max().copied();
    let told = evidence.told.iter().filter(|told| told.by == Place::Standby);
    let first_new = told.filter_map(|told| evidence.new.get(&told.tx)).min().copied();
    let (Some(last), Some(first)) = (last_old, first_new) else {
        // A standby that was promoted and takes no writes has no second writer.
        let told = format!("old: {last_old:?}, new: {first_new:?}");
        return judged.lines.push(line(last_old.is_some(), what, told));
    };
    judged.margin_ms = Some(first.as_millisecond() - last.as_millisecond());
    if let Some(Receipt::Accepted { by, .. }) = receipt {
        let told = format!("`{by}` took the risk: last {last}, first {first}");
        return judged.lines.push(line(true, "that both write was accepted by somebody", told));
    }
    let late: Vec<&str> =
        evidence.old.iter().filter(|(_, at)| **at >= first).map(|(tx, _)| tx.as_str()).collect();
    let told = format!("last {last}, first {first}, {} late: {}", late.len(), shown(&late));
    judged.lines.push(line(late.is_empty(), what, told));
}

/// What is missing was committed after the last commit received, and no later than the report says.
fn lost(evidence: &Evidence, report: Option<&Told>, judged: &mut Judgement) {
    let what = "what is missing lies within the bound of the report";
    let missing: Vec<&Acknowledged> = evidence
        .told
        .iter()
        .filter(|told| told.by == Place::Primary && !evidence.new.contains_key(&told.tx))
        .collect();
    judged.missing = missing.len();
    let Some(report) = report else {
        return judged.lines.push(line(false, what, "the promotion has no report".to_owned()));
    };
    judged.bound_ms = report.bound.ms;
    if let Some(Receipt::Accepted { .. }) = &report.receipt {
        let why = report.bound.why_null.clone().unwrap_or_default();
        let holds = report.bound.ms.is_none() && !why.is_empty();
        return judged.lines.push(line(holds, "an accepted fence gives no bound, and says so", why));
    }
    let (Some(bound), Some(received), Some(possible)) = (report.bound.ms, report.received, report.possible)
    else {
        let why = report.bound.why_null.clone().unwrap_or_default();
        return judged.lines.push(line(!why.is_empty(), "no bound, and the report says why", why));
    };
    let Some((first_heard, last)) = extent(&missing, &evidence.old) else {
        let holds = missing.is_empty();
        let told = format!("{} missing; some are on no server", missing.len());
        return judged.lines.push(line(holds, what, told));
    };
    let loss = last.as_millisecond() - received.as_millisecond();
    judged.loss_ms = Some(loss);
    let within =
        received <= first_heard && last <= possible && loss <= i64::try_from(bound).unwrap_or(i64::MAX);
    let told = format!(
        "{} missing, heard from {first_heard}, committed until {last}; received {received}, possible {possible}, bound {}",
        missing.len(),
        seconds(bound)
    );
    judged.lines.push(line(within, what, told));
}

/// When the first of the missing was heard of, and when the last of them was committed; `None` where the old primary
/// does not have one that it acknowledged, or none is missing.
fn extent(missing: &[&Acknowledged], old: &Rows) -> Option<(Timestamp, Timestamp)> {
    let commits = missing.iter().map(|told| old.get(&told.tx).copied()).collect::<Option<Vec<_>>>()?;
    Some((missing.iter().map(|told| told.done_at).min()?, commits.into_iter().max()?))
}

fn kept(evidence: &Evidence) -> Line {
    let what = "whatever the new primary acknowledged is there";
    let told = evidence.told.iter().filter(|told| told.by == Place::Standby);
    let gone: Vec<&str> =
        told.filter(|told| !evidence.new.contains_key(&told.tx)).map(|told| told.tx.as_str()).collect();
    line(gone.is_empty(), what, format!("{} gone: {}", gone.len(), shown(&gone)))
}

fn shown(names: &[&str]) -> String {
    names.iter().take(5).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Ended;
    use super::super::table::Table;
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + ms).unwrap()
    }

    fn told(tx: &str, by: Place, done: i64) -> Acknowledged {
        Acknowledged { tx: tx.to_owned(), by, done_at: at(done) }
    }

    /// A move as it should be: `a` arrived, `b` was lost within the bound, `c` is the new one's first.
    fn good() -> Evidence {
        let lapsed_at = at(5_000);
        let receipt = Receipt::Expired { epoch: 2, last_renewal_seen_at: at(0), lapsed_at };
        Evidence {
            told: vec![
                told("a", Place::Primary, 1_001),
                told("b", Place::Primary, 3_002),
                told("c", Place::Standby, 8_001),
            ],
            old: Rows::from([("a".to_owned(), at(1_000)), ("b".to_owned(), at(3_000))]),
            new: Rows::from([("a".to_owned(), at(1_000)), ("c".to_owned(), at(8_000))]),
            promoted: true,
            promotions: 1,
            executions: Vec::new(),
            report: Some(Told {
                end: End::Recovered,
                cause: String::new(),
                receipt: Some(receipt),
                bound: Figure { ms: Some(3_000), why_null: None },
                received: Some(at(2_000)),
                possible: Some(lapsed_at),
            }),
            must_end: false,
        }
    }

    fn judged(evidence: &Evidence) -> Judgement {
        let plan = include_str!("../../../../infra/plans/financial-rag.yaml");
        judge(&understudy_core::plan::read("financial-rag.yaml", plan).unwrap(), evidence)
    }

    /// The lines that a spoiled round breaks, and the exit code that it leads to.
    fn broken(evidence: &Evidence) -> (Vec<String>, u8) {
        let judged = judged(evidence);
        let lines = judged.lines.iter().filter(|line| !line.holds).map(|line| line.what.clone()).collect();
        let mut table = Table::default();
        table.add(&super::super::Played::of_test(judged));
        (lines, table.ended().code())
    }

    #[test]
    fn a_good_move_is_called_good_with_its_figures() {
        let judged = judged(&good());
        assert!(judged.holds(), "{:?}", judged.lines);
        assert_eq!((judged.margin_ms, judged.missing, judged.loss_ms), (Some(5_000), 1, Some(1_000)));
        assert_eq!(broken(&good()), (Vec::new(), Ended::Agreed.code()));
    }

    #[test]
    fn a_write_of_the_old_primary_beside_the_new_one_is_a_disagreement() {
        let mut evidence = good();
        evidence.told.push(told("late", Place::Primary, 8_500));
        evidence.old.insert("late".to_owned(), at(8_400));
        let (lines, code) = broken(&evidence);
        assert!(lines.iter().any(|line| line.contains("after the new one's first")), "{lines:?}");
        assert_eq!(code, 4);
    }

    #[test]
    fn a_loss_beyond_the_bound_is_a_disagreement() {
        let mut evidence = good();
        evidence.told.push(told("late", Place::Primary, 5_600));
        evidence.old.insert("late".to_owned(), at(5_500));
        let (lines, code) = broken(&evidence);
        assert!(lines.iter().any(|line| line.contains("lies within the bound")), "{lines:?}");
        assert_eq!(code, 4);
    }

    #[test]
    fn a_write_that_was_received_and_is_gone_is_a_disagreement() {
        let mut evidence = good();
        evidence.new.remove("a");
        assert_eq!(broken(&evidence).1, 4);
        let mut evidence = good();
        evidence.new.remove("c");
        assert_eq!(broken(&evidence).1, 4);
    }

    #[test]
    fn two_promotions_are_a_disagreement() {
        let evidence = Evidence { promotions: 2, ..good() };
        assert_eq!(broken(&evidence).1, 4);
    }

    #[test]
    fn a_lost_primary_that_nobody_followed_is_a_disagreement() {
        let evidence = Evidence { promoted: false, promotions: 0, report: None, must_end: true, ..good() };
        assert_eq!(broken(&evidence).1, 4);
    }
}
