//! How spans, instants, counts and lists read in a sentence: in evidence, pages, refusals and reports alike.
//!
//! For people only. What a program reads back is a field of its own, never a word from here; and a plan's durations
//! are written by `Millis` itself, exactly.

use crate::time::Millis;
use jiff::Timestamp;

/// Which way a span that must lose digits loses them.
#[derive(Clone, Copy)]
enum Round {
    Nearest,
    Down,
    Up,
}

/// `135 ms`, `31.9 s`, `12 min 4 s`, `3 h 5 min`, `2 d 1 h`.
pub fn duration(ms: u64) -> String {
    spell(ms, Round::Nearest)
}

/// As [`duration`], for a span that it took at least: never more than it was.
pub fn at_least(ms: u64) -> String {
    spell(ms, Round::Down)
}

/// As [`duration`], for a span that it took at most: never less than it was (L7).
pub fn at_most(ms: u64) -> String {
    spell(ms, Round::Up)
}

fn spell(ms: u64, round: Round) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let units = |unit_ms: u64| match round {
        Round::Nearest => (ms.saturating_add(unit_ms / 2)) / unit_ms,
        Round::Down => ms / unit_ms,
        Round::Up => ms.div_ceil(unit_ms),
    };
    let (tenths, seconds) = (units(100), units(1000));
    let (minutes, hours) = (units(60_000), units(3_600_000));
    match ms {
        0 => "0 s".to_owned(),
        1..=999 => format!("{ms} ms"),
        _ if tenths < 10 * MINUTE && ms.is_multiple_of(1000) => format!("{seconds} s"),
        _ if tenths < 10 * MINUTE => format!("{}.{} s", tenths / 10, tenths % 10),
        _ if seconds < HOUR => two(seconds / 60, "min", seconds % 60, "s"),
        _ if minutes < DAY / 60 => two(minutes / 60, "h", minutes % 60, "min"),
        _ => two(hours / 24, "d", hours % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// A span as [`duration`] says it.
pub fn span(span: Millis) -> String {
    duration(span.0)
}

/// `2026-11-21T04:25:31.619Z`: no sentence needs nanoseconds.
pub fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// `1 hook`, `2 hooks`: for nouns that take an `s`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The values one after the other, each as it is.
pub fn list(values: &[String]) -> String {
    values.join(", ")
}

/// Whether two names mean one person or role: blanks around them and capitals make no second one.
pub fn same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::HttpAnswer;

    #[test]
    fn spans_read_as_people_say_them() {
        let spans = [
            (0, "0 s"),
            (1, "1 ms"),
            (135, "135 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (1049, "1.0 s"),
            (1050, "1.1 s"),
            (31_874, "31.9 s"),
            (59_000, "59 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min"),
            (60_000, "1 min"),
            (724_000, "12 min 4 s"),
            (724_499, "12 min 4 s"),
            (900_000, "15 min"),
            (3_599_499, "59 min 59 s"),
            (3_599_500, "1 h"),
            (11_100_000, "3 h 5 min"),
            (86_369_999, "23 h 59 min"),
            (86_370_000, "1 d"),
            (176_400_000, "2 d 1 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ];
        for (ms, text) in spans {
            assert_eq!(duration(ms), text, "{ms} ms");
        }
    }

    #[test]
    fn the_ends_of_a_range_are_rounded_outward() {
        for ms in [1_049, 1_051, 28_430, 35_774, 59_949, 59_951, 60_001, 724_501, 3_600_001, 86_400_001] {
            assert_ne!(at_least(ms), at_most(ms), "{ms} ms is not a round figure");
        }
        assert_eq!(at_least(59_999), "59.9 s");
        assert_eq!(at_most(59_901), "1 min");
        assert_eq!(at_most(900_001), "15 min 1 s", "a missed objective never reads like a met one");
        assert_eq!(at_least(900_000), at_most(900_000));
    }

    #[test]
    fn an_answer_reads_as_its_status_or_why_there_was_none() {
        let reset = HttpAnswer::Failed("Connection reset by peer".to_owned());
        assert_eq!(HttpAnswer::Status(503).to_string(), "503");
        assert_eq!(reset.to_string(), "no answer: Connection reset by peer");
    }

    #[test]
    fn instants_counts_and_lists_read_as_people_write_them() {
        let at: Timestamp = "2026-11-21T04:25:31.619790124Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        assert_eq!(instant(at), "2026-11-21T04:25:31.619Z");
        assert_eq!(instant(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            [count(0, "store"), count(1, "hook"), count(2, "look")],
            ["0 stores", "1 hook", "2 looks"]
        );
        assert_eq!(list(&["127.0.2.1".to_owned(), "127.0.2.2".to_owned()]), "127.0.2.1, 127.0.2.2");
    }
}
