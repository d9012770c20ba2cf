//! What a ledger proves. Pure: lines in, figures out.
//!
//! Every instant is one of the client's own clock. A figure that the ledger does not hold is null with its
//! reason, and a ledger with a hole in it is an error: nothing here may ever turn into a zero.

use crate::ledger::{Attempt, Event, Line, micros};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

/// So many successes in a row, up to the end of the ledger, make the first of them lasting.
const LASTING: usize = 10;
/// How many missing transactions are listed by name.
const LISTED_MAX: usize = 100;

/// The whole judgement.
#[derive(Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub outside: Summary,
    /// The writer inside the primary, if there was one.
    pub inside: Option<Summary>,
    /// What the client outside suffered; `None` if none of its attempts failed.
    pub outage: Option<Outage>,
    /// Of both ledgers: acknowledged, and not in the surviving database.
    pub missing: Missing,
    pub regions: Regions,
}

/// One ledger in figures.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub attempts: usize,
    pub acknowledged: usize,
    pub failures: usize,
    /// Unbroken runs of failures.
    pub interruptions: usize,
    pub acknowledged_but_missing: usize,
}

/// From the first failure to the success that lasted.
#[derive(Debug, PartialEq, Serialize)]
pub struct Outage {
    pub last_success_before: Instant,
    pub first_failure: Instant,
    pub last_failure: Instant,
    /// `None`: service did not come back for good.
    pub first_lasting_success: Option<Instant>,
    /// From when the first failed attempt was sent to when the first lasting success was acknowledged.
    pub seconds_min: Option<f64>,
    /// The same from the acknowledgement of the last success before: the outage began between the two.
    pub seconds_max: Option<f64>,
    /// Why the seconds are null.
    pub reason: Option<String>,
}

/// An attempt as a point in time.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Instant {
    pub seq: u64,
    #[serde(serialize_with = "micros")]
    pub sent_at: Timestamp,
    #[serde(serialize_with = "micros")]
    pub done_at: Timestamp,
    pub region: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    pub count: usize,
    /// When the first and the last of them were acknowledged.
    pub first_done_at: Option<Timestamp>,
    pub last_done_at: Option<Timestamp>,
    /// The first of them by name.
    pub transactions: Vec<String>,
}

/// Who acknowledged.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Regions {
    /// The one that acknowledged first.
    pub old: String,
    pub last_by_old: Instant,
    /// The one that came after it, if any did.
    pub new: Option<String>,
    pub first_by_new: Option<Instant>,
    /// Writes that the old Region acknowledged after the new one's first; null while there is no new one.
    pub overlap: Option<usize>,
}

/// Why a ledger proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    #[error("the {ledger} ledger does not begin with one `started`: it is not whole")]
    NoStart { ledger: &'static str },
    #[error("the {ledger} ledger does not end with `stopped`: its client still runs or was killed")]
    NoStop { ledger: &'static str },
    #[error("the {ledger} ledger has no attempts")]
    Empty { ledger: &'static str },
    #[error("the {ledger} ledger has {found} attempts where its client made {made}, or counts one twice")]
    Hole { ledger: &'static str, found: usize, made: u64 },
    #[error("attempt {seq} of the {ledger} ledger was done before it was sent")]
    Backwards { ledger: &'static str, seq: u64 },
    #[error("attempt {seq} of the {ledger} ledger was acknowledged by nobody: it names no Region")]
    NoRegion { ledger: &'static str, seq: u64 },
    #[error("the outside ledger begins with a failure: when service stopped was not seen")]
    BeginsBad,
    #[error("no ledger holds an acknowledged write")]
    NothingAcknowledged,
    #[error("more than two Regions acknowledged writes: {regions}")]
    ThirdRegion { regions: String },
    #[error("transaction `{tx}` is in both ledgers: they are of one client")]
    Shared { tx: String },
}

/// Judges the ledger of the client outside, and that of a writer inside the primary, against what the
/// surviving database holds.
pub fn judge(
    outside: &[Line],
    inside: Option<&[Line]>,
    survivors: &HashSet<String>,
) -> Result<Judgement, JudgeError> {
    let outside = attempts("outside", outside)?;
    let inside = inside.map(|lines| attempts("inside", lines)).transpose()?;
    refuse_shared(&outside, inside.as_deref().unwrap_or_default())?;
    let both = outside.iter().chain(inside.iter().flatten()).copied();
    let mut acknowledged: Vec<&Attempt> = both.filter(|attempt| attempt.ok).collect();
    acknowledged.sort_by_key(|attempt| attempt.done_at);
    Ok(Judgement {
        outside: summary(&outside, survivors),
        inside: inside.as_deref().map(|attempts| summary(attempts, survivors)),
        outage: outage(&outside)?,
        missing: missing(&acknowledged, survivors),
        regions: regions(&acknowledged)?,
    })
}

/// The attempts of a whole ledger, in the order of the schedule.
fn attempts<'a>(ledger: &'static str, lines: &'a [Line]) -> Result<Vec<&'a Attempt>, JudgeError> {
    let is_start = |line: &&Line| matches!(line, Line::Event(Event::Started { .. }));
    if !lines.first().is_some_and(|line| is_start(&line)) || lines.iter().filter(is_start).count() != 1 {
        return Err(JudgeError::NoStart { ledger });
    }
    let Some(Line::Event(Event::Stopped { attempts: made, .. })) = lines.last() else {
        return Err(JudgeError::NoStop { ledger });
    };
    let mut attempts: Vec<&Attempt> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Attempt(attempt) => Some(attempt),
            Line::Event(_) => None,
        })
        .collect();
    attempts.sort_by_key(|attempt| attempt.seq);
    if attempts.is_empty() {
        return Err(JudgeError::Empty { ledger });
    }
    if !attempts.iter().map(|attempt| attempt.seq).eq(1..=*made) {
        return Err(JudgeError::Hole { ledger, found: attempts.len(), made: *made });
    }
    for attempt in &attempts {
        if attempt.done_at < attempt.sent_at {
            return Err(JudgeError::Backwards { ledger, seq: attempt.seq });
        }
        if attempt.ok && attempt.region.is_none() {
            return Err(JudgeError::NoRegion { ledger, seq: attempt.seq });
        }
    }
    Ok(attempts)
}

fn refuse_shared(outside: &[&Attempt], inside: &[&Attempt]) -> Result<(), JudgeError> {
    let known: HashSet<&str> = outside.iter().map(|attempt| attempt.tx.as_str()).collect();
    match inside.iter().find(|attempt| known.contains(attempt.tx.as_str())) {
        Some(shared) => Err(JudgeError::Shared { tx: shared.tx.clone() }),
        None => Ok(()),
    }
}

fn summary(attempts: &[&Attempt], survivors: &HashSet<String>) -> Summary {
    let acknowledged: Vec<&Attempt> = attempts.iter().copied().filter(|attempt| attempt.ok).collect();
    let runs = attempts.chunk_by(|one, next| one.ok == next.ok);
    Summary {
        attempts: attempts.len(),
        acknowledged: acknowledged.len(),
        failures: attempts.len() - acknowledged.len(),
        interruptions: runs.filter(|run| run.iter().all(|attempt| !attempt.ok)).count(),
        acknowledged_but_missing: missing(&acknowledged, survivors).count,
    }
}

/// The first failure opens the outage, however service flickered afterwards: no figure is made smaller by a
/// single success in the middle.
fn outage(attempts: &[&Attempt]) -> Result<Option<Outage>, JudgeError> {
    let Some(first) = attempts.iter().position(|attempt| !attempt.ok) else { return Ok(None) };
    let before = first.checked_sub(1).and_then(|index| attempts.get(index));
    let last = attempts.iter().rfind(|attempt| !attempt.ok);
    let (Some(before), Some(failure), Some(last)) = (before, attempts.get(first), last) else {
        return Err(JudgeError::BeginsBad);
    };
    let good = attempts.iter().rev().take_while(|attempt| attempt.ok).count();
    let back = attempts.get(attempts.len() - good).filter(|_| good >= LASTING);
    let since = |from: Timestamp| back.map(|back| back.done_at.duration_since(from).as_secs_f64());
    Ok(Some(Outage {
        last_success_before: instant(before),
        first_failure: instant(failure),
        last_failure: instant(last),
        first_lasting_success: back.map(|back| instant(back)),
        seconds_min: since(failure.sent_at),
        seconds_max: since(before.done_at),
        reason: back.is_none().then(|| {
            format!("service did not last: the ledger ends with {good} successes, and {LASTING} are asked")
        }),
    }))
}

/// `acknowledged` is in the order of `done_at`.
fn missing(acknowledged: &[&Attempt], survivors: &HashSet<String>) -> Missing {
    let lost = acknowledged.iter().filter(|attempt| !survivors.contains(&attempt.tx));
    Missing {
        count: lost.clone().count(),
        first_done_at: lost.clone().map(|attempt| attempt.done_at).min(),
        last_done_at: lost.clone().map(|attempt| attempt.done_at).max(),
        transactions: lost.take(LISTED_MAX).map(|attempt| attempt.tx.clone()).collect(),
    }
}

/// `acknowledged` is in the order of `done_at`.
fn regions(acknowledged: &[&Attempt]) -> Result<Regions, JudgeError> {
    let names: BTreeSet<&str> = acknowledged.iter().filter_map(|attempt| attempt.region.as_deref()).collect();
    if names.len() > 2 {
        let regions = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(JudgeError::ThirdRegion { regions });
    }
    let first = acknowledged.first().ok_or(JudgeError::NothingAcknowledged)?;
    let old = |attempt: &&&Attempt| attempt.region == first.region;
    let last_by_old = acknowledged.iter().rfind(old).unwrap_or(first);
    let first_by_new = acknowledged.iter().find(|attempt| !old(attempt));
    let overlap = first_by_new
        .map(|new| acknowledged.iter().filter(old).filter(|attempt| attempt.done_at > new.done_at).count());
    Ok(Regions {
        old: first.region.clone().unwrap_or_default(),
        last_by_old: instant(last_by_old),
        new: first_by_new.and_then(|attempt| attempt.region.clone()),
        first_by_new: first_by_new.map(|attempt| instant(attempt)),
        overlap,
    })
}

fn instant(attempt: &Attempt) -> Instant {
    Instant {
        seq: attempt.seq,
        sent_at: attempt.sent_at,
        done_at: attempt.done_at,
        region: attempt.region.clone(),
        error: attempt.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempt `seq` is sent at `seq` tenths of a second and done 50 ms later.
    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn attempt(seq: u64, region: Option<&str>) -> Attempt {
        let sent = i64::try_from(seq).unwrap() * 100;
        Attempt {
            seq,
            tx: format!("t-{seq}"),
            resolved: None,
            sent_at: at(sent),
            done_at: at(sent + 50),
            ok: region.is_some(),
            status: region.map(|_| 201),
            region: region.map(str::to_owned),
            error: region.is_none().then(|| "no answer".to_owned()),
        }
    }

    /// `o` acknowledged by the old Region, `n` by the new one, `.` failed.
    fn ledger(picture: &str) -> Vec<Line> {
        let region = |mark| match mark {
            'o' => Some("east"),
            'n' => Some("west"),
            't' => Some("third"),
            _ => None,
        };
        let attempts = picture.chars().zip(1..).map(|(mark, seq)| Line::Attempt(attempt(seq, region(mark))));
        whole(attempts.collect())
    }

    fn whole(attempts: Vec<Line>) -> Vec<Line> {
        let made = attempts.len() as u64;
        let start = Event::Started { at: at(0), period_ms: 100.0, timeout_ms: 1000, target: "rag:1".into() };
        let mut lines = vec![Line::Event(start)];
        lines.extend(attempts);
        lines.push(Line::Event(Event::Stopped { at: at(100_000), attempts: made }));
        lines
    }

    fn all(made: u64) -> HashSet<String> {
        (1..=made).map(|seq| format!("t-{seq}")).collect()
    }

    fn of(picture: &str) -> Result<Judgement, JudgeError> {
        judge(&ledger(picture), None, &all(picture.len() as u64))
    }

    #[test]
    fn an_outage_is_a_range_up_to_the_success_that_lasted() {
        let judgement = of("ooo..n.nnnnnnnnnn").unwrap();
        let outage = judgement.outage.unwrap();
        assert_eq!(outage.last_success_before.seq, 3);
        assert_eq!((outage.first_failure.seq, outage.last_failure.seq), (4, 7));
        assert_eq!(outage.first_lasting_success.unwrap().seq, 8);
        // Sent at 400, before it acknowledged at 350, back at 850.
        assert_eq!((outage.seconds_min, outage.seconds_max), (Some(0.45), Some(0.5)));
        assert_eq!(judgement.outside.interruptions, 2);
        assert_eq!((judgement.outside.acknowledged, judgement.outside.failures), (14, 3));
    }

    #[test]
    fn success_that_did_not_last_gives_null_and_says_why() {
        for picture in ["oo..", "oo...nnnnnnnnn"] {
            let outage = of(picture).unwrap().outage.unwrap();
            assert_eq!((outage.seconds_min, outage.seconds_max), (None, None), "{picture}");
            assert!(outage.reason.is_some());
        }
        assert_eq!(of("oooo").unwrap().outage, None);
    }

    #[test]
    fn missing_transactions_have_their_span() {
        let survivors = ["t-1", "t-4", "t-5"].map(str::to_owned).into();
        let missing = judge(&ledger("ooonn."), None, &survivors).unwrap().missing;
        assert_eq!(missing.transactions, ["t-2", "t-3"]);
        assert_eq!((missing.first_done_at, missing.last_done_at), (Some(at(250)), Some(at(350))));
    }

    #[test]
    fn two_writers_at_once_are_counted() {
        let regions = of("oo..nonoon").unwrap().regions;
        assert_eq!((regions.old.as_str(), regions.new.as_deref()), ("east", Some("west")));
        assert_eq!((regions.last_by_old.seq, regions.first_by_new.unwrap().seq), (9, 5));
        assert_eq!(regions.overlap, Some(3));
        assert_eq!(of("oo..nnnn").unwrap().regions.overlap, Some(0));
        assert_eq!(of("oo..").unwrap().regions.overlap, None);
    }

    #[test]
    fn a_writer_inside_counts_as_an_old_writer() {
        let rename = |line| match line {
            Line::Attempt(attempt) => {
                Line::Attempt(Attempt { tx: format!("inside-{}", attempt.seq), ..attempt })
            }
            event => event,
        };
        let inside: Vec<Line> = ledger("oooooooo").into_iter().map(rename).collect();
        let judgement = judge(&ledger("oo..nnnn"), Some(&inside), &all(8)).unwrap();
        // Attempts 6 to 8 of the writer inside come after attempt 5 of the one outside.
        assert_eq!(judgement.regions.overlap, Some(3));
        assert_eq!(judgement.inside.unwrap().acknowledged_but_missing, 8);
        assert_eq!(judgement.missing.count, 8);
        let shared = judge(&ledger("oo"), Some(&ledger("oo")), &all(2));
        assert_eq!(shared, Err(JudgeError::Shared { tx: "t-1".into() }));
    }

    #[test]
    fn a_ledger_that_proves_nothing_is_an_error() {
        let good = ledger("oonn");
        let without = |index: usize| {
            let mut lines = good.clone();
            lines.remove(index);
            judge(&lines, None, &all(4)).unwrap_err()
        };
        assert_eq!(without(0), JudgeError::NoStart { ledger: "outside" });
        assert_eq!(without(2), JudgeError::Hole { ledger: "outside", found: 3, made: 4 });
        assert_eq!(without(5), JudgeError::NoStop { ledger: "outside" });
        assert_eq!(of(""), Err(JudgeError::Empty { ledger: "outside" }));
        assert_eq!(of(".ooo"), Err(JudgeError::BeginsBad));
        assert_eq!(of("ont"), Err(JudgeError::ThirdRegion { regions: "east, third, west".into() }));
        assert_eq!(judge(&[], None, &all(0)), Err(JudgeError::NoStart { ledger: "outside" }));
    }

    #[test]
    fn an_acknowledgement_needs_a_region_and_time_runs_forwards() {
        let mut nobody = attempt(1, Some("east"));
        nobody.region = None;
        let lines = whole(vec![Line::Attempt(nobody)]);
        assert_eq!(judge(&lines, None, &all(1)), Err(JudgeError::NoRegion { ledger: "outside", seq: 1 }));
        let mut early = attempt(1, Some("east"));
        early.done_at = at(0);
        let lines = whole(vec![Line::Attempt(early)]);
        assert_eq!(judge(&lines, None, &all(1)), Err(JudgeError::Backwards { ledger: "outside", seq: 1 }));
    }
}
