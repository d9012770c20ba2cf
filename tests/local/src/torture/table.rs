//! All rounds in one table: what was broken, how it ended, how it was fenced, and the worst figures.

use super::draw::{Fencing, Harm, Level, Open};
use super::judge::Judgement;
use super::{Ended, Played};
use crate::compare::seconds;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use understudy_core::run::End;

#[derive(Default)]
pub struct Table {
    rows: BTreeMap<Harm, Row>,
    fencing: BTreeMap<Fencing, u64>,
    opened: BTreeMap<Open, u64>,
    levels: BTreeMap<Level, u64>,
    stalls: u64,
    /// Acknowledged by the old primary behind its receipt, in rounds whose disk hung, and in all others.
    heard_late: (usize, usize),
    prepares: u64,
    back: u64,
    acknowledged: usize,
    /// Rounds in which the standby took over.
    recovered: u64,
    unplayed: Vec<u64>,
    disagreed: Vec<u64>,
}

#[derive(Default)]
struct Row {
    rounds: u64,
    ends: BTreeMap<String, u64>,
    fences: BTreeMap<&'static str, u64>,
    /// The least time between the two writers, where nobody took that risk.
    margin_ms: Option<i64>,
    missing: usize,
    /// The loss that came nearest to its bound.
    worst: Option<(i64, u64)>,
}

impl Table {
    pub fn rounds(&self) -> u64 {
        self.rows.values().map(|row| row.rounds).sum::<u64>()
            + u64::try_from(self.unplayed.len()).unwrap_or(0)
    }

    pub fn ended(&self) -> Ended {
        Ended::of(self.rounds(), self.recovered, &self.unplayed, &self.disagreed)
    }

    pub fn add(&mut self, played: &Played) {
        let round = &played.round;
        let Ok(judged) = &played.judged else { return self.unplayed.push(round.seed) };
        if !judged.holds() {
            self.disagreed.push(round.seed);
        }
        self.acknowledged += played.acknowledged;
        self.recovered += u64::from(judged.ends.contains(&End::Recovered));
        *self.fencing.entry(round.fencing).or_default() += 1;
        self.prepares += u64::from(round.prepares);
        self.back += u64::from(round.back_after.is_some());
        for opened in &round.opened {
            *self.opened.entry(opened.how).or_default() += 1;
            *self.levels.entry(opened.level).or_default() += 1;
        }
        self.stalls += u64::from(round.stall.is_some());
        let late = if round.stall.is_some() { &mut self.heard_late.0 } else { &mut self.heard_late.1 };
        *late += judged.heard_late;
        self.rows.entry(round.harm).or_default().add(judged);
    }

    pub fn text(&self, took: Duration) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n  {:<8} {:>6}  {:<44} {:<24} {:>12} {:>8}  worst loss of its bound",
            "harm", "rounds", "ends", "fences", "worst margin", "missing"
        );
        for (harm, row) in &self.rows {
            let _ = writeln!(text, "  {:<8} {}", harm.to_string(), row.text());
        }
        let opened =
            counted(self.opened.iter().map(|(how, count)| (format!("{how:?}").to_lowercase(), *count)));
        let levels =
            counted(self.levels.iter().map(|(level, count)| (format!("{level:?}").to_lowercase(), *count)));
        let fencing =
            counted(self.fencing.iter().map(|(how, count)| (format!("{how:?}").to_lowercase(), *count)));
        let _ = writeln!(
            text,
            "\n  {} writes acknowledged; fencing: {fencing}; {} rounds whose server takes prepared transactions; \
             {} in which the old primary came back; transactions left open: {opened}; isolation: {levels}",
            self.acknowledged, self.prepares, self.back
        );
        let _ = writeln!(
            text,
            "  {} rounds whose disk hung; told to clients behind an *expired* receipt, though committed before it: {} \
             there, {} elsewhere",
            self.stalls, self.heard_late.0, self.heard_late.1
        );
        if !self.unplayed.is_empty() {
            let _ = writeln!(text, "  NOT PLAYED: {}", numbers(&self.unplayed));
        }
        if !self.disagreed.is_empty() {
            let _ = writeln!(
                text,
                "  DISAGREED: {}; what is known of each is in .local/torture",
                numbers(&self.disagreed)
            );
        }
        text.push_str(&Ended::idle_text(self.rounds(), self.recovered));
        let _ = write!(
            text,
            "  {} rounds in {}, {} recovered, {} disagreed, {} not played",
            self.rounds(),
            seconds(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            self.recovered,
            self.disagreed.len(),
            self.unplayed.len()
        );
        text
    }
}

impl Row {
    fn add(&mut self, judged: &Judgement) {
        self.rounds += 1;
        if judged.ends.is_empty() {
            *self.ends.entry("none".to_owned()).or_default() += 1;
        }
        for end in &judged.ends {
            *self.ends.entry(end.to_string()).or_default() += 1;
        }
        if let Some(fence) = judged.fence {
            *self.fences.entry(fence).or_default() += 1;
        }
        self.missing += judged.missing;
        let margin = judged.margin_ms.filter(|_| judged.fence != Some("accepted"));
        self.margin_ms = [self.margin_ms, margin].into_iter().flatten().min();
        if let (Some(loss), Some(bound)) = (judged.loss_ms, judged.bound_ms) {
            let left = |(loss, bound): (i64, u64)| i64::try_from(bound).unwrap_or(i64::MAX) - loss;
            if self.worst.is_none_or(|worst| left((loss, bound)) < left(worst)) {
                self.worst = Some((loss, bound));
            }
        }
    }

    fn text(&self) -> String {
        let ends = counted(self.ends.iter().map(|(end, count)| (end.clone(), *count)));
        let fences = counted(self.fences.iter().map(|(fence, count)| ((*fence).to_owned(), *count)));
        let margin = self.margin_ms.map_or_else(|| "-".to_owned(), signed);
        let worst = self.worst.map_or_else(|| "-".to_owned(), |(loss, bound)| within(loss, bound));
        format!("{:>6}  {ends:<44} {fences:<24} {margin:>12} {:>8}  {worst}", self.rounds, self.missing)
    }
}

/// One round in a line.
pub fn one(judged: &Judgement) -> String {
    let ends = judged.ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ends = if ends.is_empty() { "no execution".to_owned() } else { ends };
    let mut text = format!("{:<9} {ends}", judged.fence.unwrap_or("-"));
    if let Some(cause) = &judged.cause {
        let _ = write!(text, " ({cause})");
    }
    if let Some(margin) = judged.margin_ms {
        let _ = write!(text, ", margin {}", signed(margin));
    }
    if judged.missing > 0 {
        let _ = write!(text, ", {} missing", judged.missing);
    }
    if let (Some(loss), Some(bound)) = (judged.loss_ms, judged.bound_ms) {
        let _ = write!(text, ", loss {}", within(loss, bound));
    }
    text
}

fn within(loss: i64, bound: u64) -> String {
    format!("{} of {}", signed(loss), seconds(bound))
}

fn signed(ms: i64) -> String {
    format!("{}{}", if ms < 0 { "-" } else { "" }, seconds(ms.unsigned_abs()))
}

fn counted(all: impl Iterator<Item = (String, u64)>) -> String {
    let all: Vec<String> = all.map(|(what, count)| format!("{count} {what}")).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn numbers(seeds: &[u64]) -> String {
    seeds.iter().map(|seed| format!("SEED={seed}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ends: &[Option<End>]) -> (Ended, bool) {
        let mut table = Table::default();
        for end in ends {
            let ends = end.iter().copied().collect();
            table.add(&Played::of_test(Judgement { ends, ..Judgement::default() }));
        }
        (table.ended(), table.text(Duration::ZERO).contains("NOTHING SHOWN"))
    }

    #[test]
    fn many_rounds_that_moved_nothing_show_nothing() {
        assert_eq!(of(&[Some(End::Refused)]), (Ended::Agreed, false));
        let mut ends = vec![Some(End::Refused); 19];
        ends.push(None);
        assert_eq!(of(&ends), (Ended::Unplayed, true));
        ends.truncate(18);
        ends.extend([Some(End::Recovered); 2]);
        assert_eq!(of(&ends), (Ended::Agreed, false));
    }
}
