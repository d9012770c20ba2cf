//! The clock as a picture: one inline SVG, drawn in hundredths of a percent so that text never scales.
//!
//! Rows from the top: names and durations, each with a line to its segment; the gapless strip; the ticks; the
//! recovery time with its uncertain ends hatched; the objective. Nothing here depends on the page's width.

use super::words::{self, duration, open_segment, time};
use super::{Report, Segment};
use crate::time::{Millis, after};
use jiff::Timestamp;
use maud::{Markup, html};

/// A place on the time axis, or a width, in hundredths of a percent of the picture.
type Place = u64;
const WHOLE: Place = 10_000;

/// What a segment's name needs on the narrowest page, a phone.
const NAME_WIDTH: Place = 1_600;
/// Half of what a tick's name needs there.
const TICK_WIDTH: Place = 900;
/// Nothing is drawn narrower than this: 0.135 s beside 17 s must still be seen.
const THINNEST: Place = 60;
/// An objective that lies farther out than this many times the picture is told, not drawn to scale.
const REACH_PERCENT: u64 = 150;

/// Time axis: where instants lie.
struct Scale {
    from: Timestamp,
    span: Millis,
}

impl Scale {
    fn of(report: &Report) -> Self {
        let clock = &report.clock;
        let from = clock.last_good.unwrap_or(clock.zero()).min(clock.zero()).min(clock.accepted);
        let ends = [clock.settled, clock.confirmed, clock.segments.last().map(|segment| segment.to)];
        let reached = ends.into_iter().flatten().fold(clock.zero().max(clock.accepted), Timestamp::max);
        // Where the clock stopped midway, the picture goes on to the end of the record.
        let told = report.timeline.last().map(|line| line.at).filter(|_| open_segment(clock).is_some());
        let mut span = crate::time::elapsed(from, told.map_or(reached, |told| told.max(reached)));
        let objective = crate::time::elapsed(from, due(report).1);
        if objective.0 <= span.0.saturating_mul(REACH_PERCENT) / 100 {
            // A little room behind the mark.
            span = span.max(objective.saturating_add(Millis(objective.0 / 30)));
        }
        Self { from, span: span.max(Millis(1)) }
    }

    fn place(&self, at: Timestamp) -> Place {
        let behind = crate::time::elapsed(self.from, at).0.min(self.span.0);
        u64::try_from(u128::from(behind) * u128::from(WHOLE) / u128::from(self.span.0)).unwrap_or(WHOLE)
    }

    fn reaches(&self, at: Timestamp) -> bool {
        crate::time::elapsed(self.from, at) <= self.span
    }

    fn bar(&self, from: Timestamp, to: Timestamp) -> (Place, Place) {
        let (from, to) = (self.place(from), self.place(to));
        let width = to.saturating_sub(from).max(THINNEST);
        (from.min(WHOLE - width), width)
    }
}

/// Between which two instants the objective ran out: the outage began between two probes.
fn due(report: &Report) -> (Timestamp, Timestamp) {
    let clock = &report.clock;
    let objective = Millis(report.rto.objective_ms);
    (after(clock.last_good.unwrap_or(clock.zero()), objective), after(clock.zero(), objective))
}

fn percent(place: Place) -> String {
    format!("{}.{:02}%", place / 100, place % 100)
}

/// The picture and the table that says the same in words.
pub fn clock(report: &Report) -> Markup {
    html! {
        (drawing(report))
        (legend(report))
    }
}

fn drawing(report: &Report) -> Markup {
    let scale = &Scale::of(report);
    html! {
        svg.clock role="img" aria-labelledby="clock-title clock-desc" width="100%" height="196" {
            title id="clock-title" { "The clock of " (report.execution) }
            desc id="clock-desc" { (described(report)) }
            defs {
                pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect class="hatch-ground" width="6" height="6" {}
                    line class="hatch-line" x1="0" y1="0" x2="0" y2="6" {}
                }
            }
            (axis(report, scale))
            (strip(report, scale))
            (recovery(report, scale))
            (objective(report, scale))
        }
    }
}

/// The picture in one breath, for who cannot see it.
fn described(report: &Report) -> String {
    let segments: Vec<String> = report
        .clock
        .segments
        .iter()
        .map(|segment| format!("{} {}", segment.name, duration(segment.ms)))
        .collect();
    let stopped =
        open_segment(&report.clock).map_or_else(String::new, |name| format!("; {name} did not end"));
    format!(
        "From {}: {}{stopped}. Recovery time: {}. Objective: {}.",
        words::zero(report),
        segments.join(", "),
        words::recovery(&report.rto),
        duration(report.rto.objective_ms)
    )
}

/// The fill of a segment; a name that is not the clock's own gets a plain one.
fn fill(name: &str) -> &'static str {
    match name {
        "detect" => "seg detect",
        "decide" => "seg decide",
        "fence" => "seg fence",
        "promote" => "seg promote",
        "switch" => "seg switch",
        "confirm" => "seg confirm",
        _ => "seg",
    }
}

/// A box of the strip with what is written above it.
struct Piece<'a> {
    name: &'a str,
    note: String,
    class: &'static str,
    at: (Place, Place),
}

/// The segments side by side. One that is too thin to be seen is drawn wider, at the cost of the next.
fn pieces<'a>(report: &'a Report, scale: &Scale) -> Vec<Piece<'a>> {
    let clock = &report.clock;
    let mut free = 0;
    let mut between = |from: Timestamp, to: Timestamp| {
        let start = scale.place(from).max(free).min(WHOLE - THINNEST);
        free = scale.place(to).max(start + THINNEST);
        (start, free - start)
    };
    let mut pieces: Vec<Piece<'_>> = clock
        .segments
        .iter()
        .map(|segment| Piece {
            name: &segment.name,
            note: duration(segment.ms),
            class: fill(&segment.name),
            at: between(segment.from, segment.to),
        })
        .collect();
    let reached = clock.segments.last().map_or(clock.zero(), |segment| segment.to);
    if let (Some(name), Some(last)) = (open_segment(clock), report.timeline.last()) {
        let at = between(reached, last.at);
        pieces.push(Piece { name, note: "did not end".to_owned(), class: "seg open", at });
    }
    pieces
}

fn strip(report: &Report, scale: &Scale) -> Markup {
    let pieces = pieces(report, scale);
    let middles: Vec<Place> = pieces.iter().map(|piece| piece.at.0 + piece.at.1 / 2).collect();
    let labels = spread(&middles);
    let onset = report.clock.last_good.map(|last_good| scale.bar(last_good, report.clock.zero()));
    html! {
        @if let Some((x, width)) = onset {
            rect class="uncertain" x=(percent(x)) y="46" width=(percent(width)) height="36" fill="url(#hatch)" {}
        }
        @for piece in &pieces {
            rect class=(piece.class) x=(percent(piece.at.0)) y="46" width=(percent(piece.at.1)) height="36" {}
        }
        @for ((piece, label), middle) in pieces.iter().zip(&labels).zip(&middles) {
            text class="name" x=(percent(*label)) y="12" text-anchor="middle" { (piece.name) }
            text class="note" x=(percent(*label)) y="26" text-anchor="middle" { (piece.note) }
            line class="lead" x1=(percent(*label)) y1="31" x2=(percent(*middle)) y2="46" {}
        }
    }
}

/// Moves labels apart so that none touches the next and none leaves the picture, each as near to its segment
/// as the others allow: labels that would touch form a group, and a group stands over its own middle.
fn spread(middles: &[Place]) -> Vec<Place> {
    let count = u64::try_from(middles.len()).unwrap_or(WHOLE).max(1);
    let gap = NAME_WIDTH.min(WHOLE / count);
    // The sum of where a group's first label would like to stand, and how many labels it has. All that is
    // subtracted from a middle is less than `room`, so nothing falls below zero.
    let room = gap * count;
    let mut groups: Vec<(u64, u64)> = Vec::new();
    for (offset, middle) in (0..).step_by(usize::try_from(gap).unwrap_or(1).max(1)).zip(middles) {
        let mut group = (middle + room - offset, 1);
        while let Some(left) = groups.pop_if(|left| left.0 / left.1 >= group.0 / group.1) {
            group = (left.0 + group.0, left.1 + group.1);
        }
        groups.push(group);
    }
    let (first, last) = (room + gap / 2, room + WHOLE - gap / 2 - (count - 1) * gap);
    let starts = groups.iter().flat_map(|(sum, size)| (0..*size).map(move |_| sum / size));
    (0..count).zip(starts).map(|(n, start)| start.clamp(first, last.max(first)) + n * gap - room).collect()
}

/// Ticks count from the first instant that was surely bad.
fn axis(report: &Report, scale: &Scale) -> Markup {
    let step = step(scale.span);
    let (from, to) = due(report);
    let (from, to) = (scale.place(from).saturating_sub(TICK_WIDTH), scale.place(to) + TICK_WIDTH);
    let ticks = (0..=6_u64)
        .map(|n| Millis(step.0.saturating_mul(n)))
        .map(|span| (span, after(report.clock.zero(), span)))
        .filter(|(_, at)| scale.reaches(*at))
        // The objective's mark goes through this row: where it stands, no tick does.
        .filter(|(_, at)| !scale.reaches(due(report).1) || !(from..=to).contains(&scale.place(*at)));
    html! {
        @for (span, at) in ticks {
            @let x = scale.place(at);
            line class="tick" x1=(percent(x)) y1="82" x2=(percent(x)) y2="87" {}
            text class="tick-name" x=(percent(x)) y="99" text-anchor=(tick_anchor(x)) { (duration(span.0)) }
        }
    }
}

/// A name at an edge stands inside the picture.
fn tick_anchor(x: Place) -> &'static str {
    match x {
        0..=400 => "start",
        9_600.. => "end",
        _ => "middle",
    }
}

/// The smallest round step that gives at most five ticks.
fn step(span: Millis) -> Millis {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const STEPS: [u64; 22] = [
        100,
        200,
        500,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        20 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        20 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        7 * DAY,
        30 * DAY,
    ];
    let fits = STEPS.iter().find(|step| span.0 / **step <= 5);
    Millis(fits.copied().unwrap_or(span.0 / 5 + 1))
}

/// The recovery time: sure in the middle, hatched where it may have been longer.
fn recovery(report: &Report, scale: &Scale) -> Markup {
    let clock = &report.clock;
    let sure = clock.served.and(clock.served_after).map(|served_after| (clock.zero(), served_after));
    let began = clock.last_good.map(|last_good| (last_good, clock.zero()));
    let back = clock.served_after.zip(clock.settled);
    html! {
        text class="row" x="0" y="126" {
            "Recovery time " tspan class="strong" { (words::recovery(&report.rto)) }
        }
        @if let Some((from, to)) = sure {
            @for (from, to) in [began, back].into_iter().flatten() {
                @let (x, width) = scale.bar(from, to);
                rect class="uncertain" x=(percent(x)) y="134" width=(percent(width)) height="14" fill="url(#hatch)" {}
            }
            @let (x, width) = scale.bar(from, to);
            rect class="sure" x=(percent(x)) y="134" width=(percent(width)) height="14" {}
        }
    }
}

/// The objective as a mark: as wide as the beginning is uncertain.
fn objective(report: &Report, scale: &Scale) -> Markup {
    let (from, to) = due(report);
    let objective = duration(report.rto.objective_ms);
    if !scale.reaches(to) {
        return html! {
            text class="row" x="100%" y="176" text-anchor="end" {
                "objective " tspan class="strong" { (objective) } ", beyond the right edge →"
            }
        };
    }
    let (x, width) = scale.bar(from, to);
    let far = x > WHOLE / 2;
    html! {
        rect class="due-band" x=(percent(x)) y="40" width=(percent(width)) height="140" {}
        @for edge in [x, x + width] { line class="due" x1=(percent(edge)) y1="40" x2=(percent(edge)) y2="180" {} }
        text class="row" x=(percent(if far { x } else { x + width })) y="176" dx=(if far { "-6" } else { "6" })
            text-anchor=(if far { "end" } else { "start" }) {
            "objective " tspan class="strong" { (objective) }
        }
    }
}

fn legend(report: &Report) -> Markup {
    let clock = &report.clock;
    let expects = !report.predicted.is_empty();
    html! {
        table.legend {
            thead {
                tr { th scope="col" { "What" } th scope="col" { "From" } th scope="col" { "To" } th.number scope="col" { "Took" }
                    @if expects { th.number scope="col" { "Predicted" } }
                }
            }
            tbody {
                tr {
                    th scope="row" {
                        span.swatch.hatched aria-hidden="true" {} "outage began"
                        small { (words::began(report.kind)) }
                    }
                    td { @if let Some(last_good) = clock.last_good { (time(last_good)) } @else { "not on record" } }
                    td { @if let Some(first_bad) = clock.first_bad { (time(first_bad)) } @else { "nothing stopped" } }
                    td.number { @if let Some(last_good) = clock.last_good { "within " (within(last_good, clock.zero())) } }
                    @if expects { td {} }
                }
                @for segment in &clock.segments { (row(report, segment)) }
                @if let Some(name) = open_segment(clock) {
                    tr {
                        th scope="row" { span.swatch.open aria-hidden="true" {} (name) small { (meaning(name)) } }
                        td { (time(clock.segments.last().map_or(clock.zero(), |segment| segment.to))) }
                        td { "not reached" }
                        td.number { "did not end" }
                        @if expects { td.number { @if let Some(predicted) = words::predicted(report, name) { (predicted) } } }
                    }
                }
                @if let (Some(after), Some(settled)) = (clock.served_after, clock.settled) {
                    tr {
                        th scope="row" {
                            span.swatch.hatched aria-hidden="true" {} "service came back"
                            small { "between the last failed look and one TTL after the first good one" }
                        }
                        td { (time(after)) }
                        td { (time(settled)) }
                        td.number { "within " (within(after, settled)) }
                        @if expects { td {} }
                    }
                }
            }
        }
        p.aside {
            "Times are UTC; ticks count from " (words::zero(report)) ". Hatched: the instant lies somewhere within. \
             The objective's mark is as wide as the beginning of the outage is uncertain."
        }
    }
}

fn within(from: Timestamp, to: Timestamp) -> String {
    words::at_most(crate::time::elapsed(from, to).0)
}

fn row(report: &Report, segment: &Segment) -> Markup {
    let swatch = fill(&segment.name).trim_start_matches("seg").trim_start();
    html! {
        tr {
            th scope="row" {
                span class={ "swatch " (swatch) } aria-hidden="true" {} (segment.name)
                small { (meaning(&segment.name)) }
            }
            td { (time(segment.from)) }
            td { (time(segment.to)) }
            td.number { (duration(segment.ms)) }
            @if !report.predicted.is_empty() {
                td.number { @if let Some(predicted) = words::predicted(report, &segment.name) { (predicted) } }
            }
        }
    }
}

fn meaning(name: &str) -> &'static str {
    words::SEGMENTS.iter().find(|(known, _)| *known == name).map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_apart_and_inside_wherever_their_segments_lie() {
        let cases: [&[Place]; 6] = [
            &[],
            &[0],
            &[WHOLE],
            &[2000, 4100, 4110, 6000, 8800, 9800],
            &[0, 0, 0, 0, 0, 0],
            &[WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE],
        ];
        for middles in cases {
            let placed = spread(middles);
            assert_eq!(placed.len(), middles.len());
            for pair in placed.windows(2) {
                let [left, right] = pair else { continue };
                assert!(left + NAME_WIDTH <= *right, "{middles:?} gave {placed:?}");
            }
            assert!(placed.iter().all(|place| (NAME_WIDTH / 2..=WHOLE - NAME_WIDTH / 2).contains(place)));
        }
    }

    #[test]
    fn many_labels_still_fit_in_the_picture() {
        let placed = spread(&[5000; 40]);
        assert!(placed.iter().all(|place| *place <= WHOLE));
        assert!(placed.is_sorted());
    }

    #[test]
    fn there_are_at_most_six_ticks_whatever_the_span() {
        for ms in [1, 99, 100, 900, 35_774, 682_769, 3_600_000, 86_400_000, u64::MAX] {
            assert!(ms / step(Millis(ms)).0 <= 5, "{ms} ms");
        }
    }
}
