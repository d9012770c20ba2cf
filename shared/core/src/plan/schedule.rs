//! Schedules as EventBridge Scheduler writes them, and how far apart they ever fire.
//!
//! Gaps are counted on the calendar, in the schedule's own time zone: an hour of daylight saving does not make a drill
//! late; but a time that the clocks skip does not come, and Scheduler does not fire. Nothing here reads a clock.

use super::units::quote;
use crate::time::Millis;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// `rate(...)` or `cron(...)`, read and kept as it was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    text: String,
    when: When,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Every(Millis),
    Cron(Cron),
}

/// Six fields: minutes, hours, days of the month, months, days of the week, years.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cron {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    months: BTreeSet<u32>,
    days: Days,
    years: BTreeSet<u32>,
}

/// One of the two fields of days; the other one is `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    OfMonth(BTreeSet<u32>),
    /// `L`
    LastOfMonth,
    /// `15W`: the weekday nearest to it, in the same month.
    NearestWeekday(u32),
    OfWeek(BTreeSet<u32>),
    /// `7#1`: the first Saturday.
    NthOfWeek(u32, u32),
    /// `7L`: the last Saturday.
    LastOfWeek(u32),
}

/// Why a text is no schedule. `what` goes on after the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct NoSchedule {
    pub what: String,
    pub help: String,
}

fn no<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, NoSchedule> {
    Err(NoSchedule { what: what.into(), help: help.into() })
}

/// The years over which a gap is looked for: eight, so that both kinds of February are in it.
const FROM: Date = date(2026, 1, 1);
const TO: Date = date(2034, 1, 1);
const MINUTE: Millis = Millis(60_000);

impl Schedule {
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The longest time without a firing from 2026 to 2034, in `zone`; `None` for one that never fires. What begins late or
    /// ends has its longest time before or behind it.
    #[must_use]
    pub fn longest_gap(&self, zone: &TimeZone) -> Option<Millis> {
        let cron = match &self.when {
            When::Every(span) => return Some(*span),
            When::Cron(cron) => cron,
        };
        let (mut last, mut longest, mut fires) = (0_u64, 0_u64, false);
        let in_minutes = |day: Date| {
            u64::try_from(day.since(FROM).map_or(0, |span| span.get_days())).unwrap_or(0).saturating_mul(DAY)
        };
        for (day, (hour, minute)) in cron.firings(zone, FROM) {
            let at = in_minutes(day).saturating_add(u64::from(hour * 60 + minute));
            longest = longest.max(at.saturating_sub(last));
            (last, fires) = (at, true);
        }
        longest = longest.max(in_minutes(TO).saturating_sub(last));
        fires.then(|| MINUTE.times(longest))
    }

    /// When it fires in `zone` from `today` to the end of 2033. Nothing for a rate: it counts from whenever it was
    /// deployed.
    pub fn firings(&self, zone: &TimeZone, today: Date) -> Vec<Timestamp> {
        let When::Cron(cron) = &self.when else { return Vec::new() };
        let at = |(day, (hour, minute))| zone.to_timestamp(civil(day, hour, minute)).ok();
        cron.firings(zone, today.max(FROM)).filter_map(at).collect()
    }
}

/// In minutes.
const DAY: u64 = 1440;

/// What the clocks of a time zone skip from 2026 to 2034, by the calendar.
struct Skipped(Vec<(DateTime, DateTime)>);

impl Skipped {
    fn by(zone: &TimeZone) -> Self {
        let Ok(from) = FROM.to_zoned(zone.clone()) else { return Self(Vec::new()) };
        let changes = zone.following(from.timestamp());
        let changes = changes.map(|change| {
            let before = change.timestamp().checked_sub(1.second()).unwrap_or(change.timestamp());
            let begins = zone.to_offset(before).to_datetime(change.timestamp());
            (begins, change.offset().to_datetime(change.timestamp()))
        });
        Self(
            changes
                .take_while(|(begins, _)| begins.date() < TO)
                .filter(|(begins, ends)| begins < ends)
                .collect(),
        )
    }

    fn holds(&self, day: Date, (hour, minute): (u32, u32)) -> bool {
        let at = civil(day, hour, minute);
        self.0.iter().any(|(begins, ends)| *begins <= at && at < *ends)
    }
}

fn civil(day: Date, hour: u32, minute: u32) -> DateTime {
    let part = |part| i8::try_from(part).unwrap_or_default();
    day.at(part(hour), part(minute), 0, 0)
}

impl Cron {
    /// Days and times at which it fires from `from` to the end of 2033, but for what the clocks of `zone` skip.
    fn firings(&self, zone: &TimeZone, from: Date) -> impl Iterator<Item = (Date, (u32, u32))> + '_ {
        let skipped = Skipped::by(zone);
        let days = from.series(1.day()).take_while(|day| *day < TO).filter(|day| self.fires_on(*day));
        let all = days.flat_map(|day| self.times().map(move |time| (day, time)));
        all.filter(move |(day, time)| !skipped.holds(*day, *time))
    }

    fn times(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.hours.iter().flat_map(|hour| self.minutes.iter().map(|minute| (*hour, *minute)))
    }

    fn fires_on(&self, day: Date) -> bool {
        let (year, month) = (u32::from(day.year().unsigned_abs()), u32::from(day.month().unsigned_abs()));
        self.years.contains(&year) && self.months.contains(&month) && self.days.hold(day)
    }
}

impl Days {
    fn hold(&self, day: Date) -> bool {
        let of_month = u32::from(day.day().unsigned_abs());
        let last = u32::from(day.days_in_month().unsigned_abs());
        // Sunday is 1, as in the schedules.
        let of_week = u32::from(day.weekday().to_sunday_one_offset().unsigned_abs());
        match self {
            Self::OfMonth(days) => days.contains(&of_month),
            Self::LastOfMonth => of_month == last,
            Self::NearestWeekday(wanted) => nearest_weekday(day, *wanted) == Some(of_month),
            Self::OfWeek(days) => days.contains(&of_week),
            Self::NthOfWeek(wanted, nth) => of_week == *wanted && of_month.div_ceil(7) == *nth,
            Self::LastOfWeek(wanted) => of_week == *wanted && of_month + 7 > last,
        }
    }
}

fn nearest_weekday(within: Date, wanted: u32) -> Option<u32> {
    let last = within.days_in_month();
    let wanted = i8::try_from(wanted).ok().filter(|wanted| *wanted <= last)?;
    let day = Date::new(within.year(), within.month(), wanted).ok()?;
    let nearest = match day.weekday().to_monday_one_offset() {
        6 if wanted == 1 => wanted + 2,
        6 => wanted - 1,
        7 if wanted == last => wanted - 2,
        7 => wanted + 1,
        _ => wanted,
    };
    u32::try_from(nearest).ok()
}

impl FromStr for Schedule {
    type Err = NoSchedule;

    fn from_str(text: &str) -> Result<Self, NoSchedule> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let when = match (inner("rate"), inner("cron")) {
            (Some(rate), _) => When::Every(rate_of(rate)?),
            (_, Some(cron)) => When::Cron(cron_of(cron)?),
            _ => {
                return no(
                    "is neither `rate(...)` nor `cron(...)`",
                    "write `rate(1 day)` or `cron(0 6 15 * ? *)`",
                );
            }
        };
        Ok(Self { text: text.to_owned(), when })
    }
}

/// As it was written: what it was read to is sets of every year.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Schedule {
    type Error = NoSchedule;

    fn try_from(text: String) -> Result<Self, NoSchedule> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

fn rate_of(text: &str) -> Result<Millis, NoSchedule> {
    let unit = |unit: &str| match unit.strip_suffix('s').unwrap_or(unit) {
        "minute" => Some(1),
        "hour" => Some(60),
        "day" => Some(1440),
        _ => None,
    };
    let read =
        text.split_once(' ').and_then(|(number, word)| Some((number.parse::<u64>().ok()?, unit(word)?)));
    match read.filter(|(number, _)| (1..=3660).contains(number)) {
        Some((number, minutes)) => Ok(MINUTE.times(minutes).times(number)),
        None => {
            no("has no such rate", "write a number and `minutes`, `hours` or `days`, such as `rate(1 day)`")
        }
    }
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEK: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What one field may hold.
struct Range {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for the numbers from `least` on.
    words: &'static [&'static str],
    /// Behind the last one comes the first again.
    wraps: bool,
}

fn cron_of(text: &str) -> Result<Cron, NoSchedule> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let &[minutes, hours, of_month, months, of_week, years] = fields.as_slice() else {
        return no(
            format!("has {} fields, not six", fields.len()),
            "write minutes, hours, days of the month, months, days of the week and years: `cron(0 6 15 * ? *)`",
        );
    };
    Ok(Cron {
        minutes: set(minutes, &Range { name: "minutes", least: 0, most: 59, words: &[], wraps: true })?,
        hours: set(hours, &Range { name: "hours", least: 0, most: 23, words: &[], wraps: true })?,
        months: set(months, &Range { name: "months", least: 1, most: 12, words: MONTHS, wraps: true })?,
        days: days(of_month, of_week)?,
        years: set(years, &Range { name: "years", least: 1970, most: 2199, words: &[], wraps: false })?,
    })
}

fn days(of_month: &str, of_week: &str) -> Result<Days, NoSchedule> {
    const MONTH: Range = Range { name: "days of the month", least: 1, most: 31, words: &[], wraps: false };
    const OF_WEEK: Range = Range { name: "days of the week", least: 1, most: 7, words: WEEK, wraps: true };
    let week = |text: &str| number(text, &OF_WEEK);
    match (of_month, of_week) {
        ("?", "?") => no("names no day", "write `*` in one of the two fields of days"),
        ("L", "?") => Ok(Days::LastOfMonth),
        // The last day of the week, which begins on Sunday.
        ("?", "L") => Ok(Days::OfWeek(BTreeSet::from([OF_WEEK.most]))),
        (days, "?") => match days.strip_suffix('W') {
            Some(day) => Ok(Days::NearestWeekday(number(day, &MONTH)?)),
            None => Ok(Days::OfMonth(set(days, &MONTH)?)),
        },
        ("?", days) => match (days.split_once('#'), days.strip_suffix('L').filter(|day| !day.is_empty())) {
            (Some((day, nth)), _) => {
                let nth =
                    Range { name: "the week of the month", least: 1, most: 5, words: &[], wraps: false }
                        .read(nth)?;
                Ok(Days::NthOfWeek(week(day)?, nth))
            }
            (None, Some(day)) => Ok(Days::LastOfWeek(week(day)?)),
            (None, None) => Ok(Days::OfWeek(set(days, &OF_WEEK)?)),
        },
        _ => no("names days of the month and days of the week", "write `?` in one of the two"),
    }
}

impl Range {
    fn read(&self, text: &str) -> Result<u32, NoSchedule> {
        number(text, self)
    }
}

fn number(text: &str, range: &Range) -> Result<u32, NoSchedule> {
    let word =
        range.words.iter().zip(range.least..).find(|(word, _)| **word == text).map(|(_, number)| number);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    match word.or(digits).filter(|number| (range.least..=range.most).contains(number)) {
        Some(number) => Ok(number),
        None => no(
            format!("has {} in the field for {}", quote(text), range.name),
            format!(
                "write {} to {}, `*`, a list `a,b`, a range `a-b` or a step `a/b`",
                range.least, range.most
            ),
        ),
    }
}

/// `*`, `5`, `1,3`, `1-5`, `*/15`, `2/6`, and lists of these.
fn set(text: &str, range: &Range) -> Result<BTreeSet<u32>, NoSchedule> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (
                span,
                Some(
                    Range { name: "a step", least: 1, most: range.most, words: &[], wraps: false }
                        .read(step)?,
                ),
            ),
            None => (part, None),
        };
        let (least, most) = match (span, span.split_once('-')) {
            ("*", _) => (range.least, range.most),
            (_, Some((least, most))) => (number(least, range)?, number(most, range)?),
            (one, None) => {
                let one = number(one, range)?;
                (one, if step.is_some() { range.most } else { one })
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1);
        if least <= most {
            all.extend((least..=most).step_by(step));
        } else if range.wraps {
            // Over the end of the day, the week or the year: `20-2`.
            all.extend((least..=range.most).chain(range.least..=most).step_by(step));
        } else {
            return no(format!("has the range {} backwards", quote(span)), "write the smaller one first");
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn gap(text: &str) -> Option<String> {
        gap_in(text, &TimeZone::UTC)
    }

    fn gap_in(text: &str, zone: &TimeZone) -> Option<String> {
        text.parse::<Schedule>().unwrap().longest_gap(zone).map(|gap| gap.to_string())
    }

    #[test]
    fn the_longest_gap_is_the_calendar_s() {
        for (text, longest) in [
            ("rate(1 day)", "1d"),
            ("rate(5 minutes)", "5m"),
            ("cron(0 14 15 3,6,9,12 ? *)", "92d"),
            // Called quarterly where it was found; it is not.
            ("cron(0 6 15 1,5,9 ? *)", "123d"),
            ("cron(0 2 ? * 7#1 *)", "35d"),
            ("cron(0 2 ? 3,6,9,12 7L *)", "98d"),
            ("cron(0 6 L * ? *)", "31d"),
            ("cron(0 6 1W * ? *)", "33d"),
            ("cron(0 6 29 2 ? *)", "1461d"),
            ("cron(0 */6 * * ? *)", "6h"),
            ("cron(0 9,17 ? * MON-FRI *)", "64h"),
        ] {
            assert_eq!(gap(text).as_deref(), Some(longest), "{text}");
        }
        // What ends, begins late or comes once has its longest gap behind or before it.
        assert_eq!(gap("cron(0 6 1 * ? 2026-2027)").as_deref(), Some("53346h"));
        assert_eq!(gap("cron(0 0 1 * ? 2030-2040)").as_deref(), Some("1461d"));
        assert_eq!(gap("cron(0 6 1 1 ? 2027)").as_deref(), Some("61362h"));
        assert_eq!(gap("cron(0 6 31 2 ? *)"), None);
        assert_eq!(gap("cron(0 6 1 1 ? 2050)"), None);
    }

    #[test]
    fn a_time_that_the_clocks_skip_does_not_come() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        let second_sunday = "cron(30 2 ? * 1#2 *)";
        assert_eq!(gap(second_sunday).as_deref(), Some("35d"));
        assert_eq!(gap_in(second_sunday, &new_york).as_deref(), Some("63d"));
        assert_eq!(gap_in("cron(0 3 ? * 1#2 *)", &new_york).as_deref(), Some("35d"), "they go on at three");
        assert_eq!(gap_in("cron(59 1 ? * 1#2 *)", &new_york).as_deref(), Some("35d"));
        assert_eq!(gap_in("cron(30 1 ? * 1#1 *)", &new_york).as_deref(), Some("35d"), "set back, it comes");
    }

    #[test]
    fn ranges_go_over_the_end_as_the_service_s_own_examples_do() {
        assert_eq!(gap("cron(0/30 20-2 ? * MON-FRI *)").as_deref(), Some("2910m"));
        assert_eq!(gap("cron(0 12 ? * L *)"), gap("cron(0 12 ? * SAT *)"));
        assert_eq!(gap("cron(0 12 ? * FRI-MON *)").as_deref(), Some("4d"));
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for text in [
            "",
            "every day",
            "rate()",
            "rate(0 days)",
            "rate(1 fortnight)",
            "cron(0 6 15 * *)",
            "cron(0 6 15 * 1 *)",
            "cron(60 6 15 * ? *)",
            "cron(0 6 ? * 8 *)",
            "cron(0 6 ? * 1#6 *)",
            "cron(0 6 ? * ? *)",
            "cron(0 6 5-1 * ? *)",
            "cron(0 6 15 FOO ? *)",
            "cron(+1 6 15 * ? *)",
        ] {
            let fault = text.parse::<Schedule>().unwrap_err();
            assert!(!fault.what.is_empty() && !fault.help.is_empty(), "{text}");
        }
    }
}
