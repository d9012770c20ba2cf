//! A report, findings or a plan as text for a terminal of a hundred columns. Colours are only ever a second sign beside a first.

mod plan;

pub use plan::{explained, predicted};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use understudy_core::checks::{Finding, Grade};
use understudy_core::overrides;
use understudy_core::report::Report;
use understudy_core::report::words::{self, Sign, Tone, time};
use understudy_core::run::Receipt;
use understudy_core::steps::close::record_key;
use understudy_core::time::elapsed;

const WIDTH: usize = 100;
/// The columns of the clock's drawing.
const DRAWN: u64 = 56;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The whole report, with colours.
pub fn text(report: &Report) -> String {
    let mut out = Out::default();
    glance(&mut out, report);
    clock(&mut out, report);
    timeline(&mut out, report);
    findings(&mut out, report);
    fence(&mut out, report);
    not_measured(&mut out, report);
    waiver(&mut out, report);
    attestation(&mut out, report);
    out.text
}

/// Findings of a look at a deployment: all of them, then how many need somebody.
pub fn checked(plan: &str, at: Timestamp, findings: &[Finding]) -> String {
    let mut out = Out::default();
    out.line(&paint(BOLD, &format!("plan {}, {} {} UTC", tame(plan), words::date(at), time(at))));
    for finding in findings {
        one_finding(&mut out, finding);
    }
    let needing = findings.iter().filter(|finding| finding.blocks()).count();
    out.line(&format!("{}; {needing} need somebody", words::tally(findings)));
    out.text
}

fn one_finding(out: &mut Out, finding: &Finding) {
    let head = format!("  {} ", signed(words::grade(finding.grade)));
    out.beside(&head, 12, &format!("{} {}: {}", finding.id, finding.subject, finding.evidence));
    if !finding.fix.is_empty() {
        out.beside("", 12, &format!("fix: {}", finding.fix));
    }
    if let Some(given) = &finding.overridden {
        out.beside("", 12, &given.told());
    }
}

#[derive(Default)]
struct Out {
    text: String,
}

impl Out {
    /// One line as it is.
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.line("");
        self.line(&paint(BOLD, text));
    }

    /// `head`, then `text` beside it, wrapped where the line ends.
    fn beside(&mut self, head: &str, indent: usize, text: &str) {
        let lines = wrapped(text, WIDTH.saturating_sub(indent));
        for (n, line) in lines.iter().enumerate() {
            let before = if n == 0 { pad(head, indent) } else { " ".repeat(indent) };
            self.line(&format!("{before}{line}"));
        }
        if lines.is_empty() {
            self.line(head);
        }
    }
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn signed(sign: Sign) -> String {
    let color = match sign.tone {
        Tone::Good => AnsiColor::Green,
        Tone::Caution => AnsiColor::Yellow,
        Tone::Bad => AnsiColor::Red,
    };
    paint(Style::new().bold().fg_color(Some(color.into())), &format!("{} {}", sign.mark, sign.word))
}

/// `text` filled up to `width` columns; colours take no room.
fn pad(text: &str, width: usize) -> String {
    let plain = anstream::adapter::strip_str(text).to_string().chars().count();
    format!("{text}{}", " ".repeat(width.saturating_sub(plain)))
}

/// Text from a report: what could steer a terminal is spelled out instead.
pub fn tame(text: &str) -> String {
    let spelled = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(spelled).collect()
}

/// Words in lines of at most `width` columns; a longer word is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = tame(word).chars().collect();
        for piece in letters.chunks(width) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.len() <= width => {
                    line.push(' ');
                    line.extend(piece);
                }
                _ => lines.push(piece.iter().collect()),
            }
        }
    }
    lines
}

fn glance(out: &mut Out, report: &Report) {
    let (end, meaning) = words::end(report.end);
    out.line(&format!("{}  {}", signed(end), paint(BOLD, &tame(&report.plan_title))));
    out.beside("", 2, meaning);
    out.beside("", 2, &report.cause);
    out.line("");
    let (rto, rpo) = (&report.rto, &report.rpo);
    figure(out, "RTO", &words::recovery(rto), rto.objective_ms, words::met(rto.met));
    for why in words::recovery_unknown(rto) {
        out.beside("", 7, why);
    }
    figure(out, "RPO", &words::loss(&rpo.bound), rpo.objective_ms, words::met(rpo.met));
    for why in words::reason(&rpo.bound) {
        out.beside("", 7, why);
    }
    out.line("");
    let attempt = format!(
        "{}, {}, attempt {} of incident {}",
        report.execution,
        report.kind.name(),
        report.attempt,
        report.incident
    );
    out.beside("  when", 14, &words::when(report));
    out.beside("  plan", 14, &format!("{}, digest {}", report.plan, report.plan_digest));
    out.beside("  execution", 14, &attempt);
    let overridden = overrides::shown(&report.findings);
    if !overridden.is_empty() {
        out.beside("  overridden", 14, &overridden);
    }
    if report.shadow_waived.is_some() {
        out.beside("  waiver", 14, "the shadow period was waived, see below");
    }
}

fn figure(out: &mut Out, name: &str, value: &str, objective: u64, met: Sign) {
    let objective = format!("objective {}", words::duration(objective));
    let value = paint(BOLD, value);
    out.line(&format!("  {name}  {}  {}  {}", pad(&value, 26), pad(&objective, 22), signed(met)));
}

/// One row a segment, each drawn where it lies in time.
fn clock(out: &mut Out, report: &Report) {
    let clock = &report.clock;
    let (from, to) = drawn(report);
    out.heading("The clock");
    if let Some(last_good) = clock.last_good {
        let note = format!("within {}", words::at_most(elapsed(last_good, clock.zero()).0));
        row(out, "began", &bar(from, to, last_good, clock.zero(), '░'), &note);
    }
    for segment in &clock.segments {
        let note = words::duration(segment.ms);
        row(out, &segment.name, &bar(from, to, segment.from, segment.to, '█'), &note);
    }
    if let Some(name) = words::open_segment(clock) {
        let reached = clock.segments.last().map_or(clock.zero(), |segment| segment.to);
        row(out, name, &bar(from, to, reached, to, '·'), "did not end");
    }
    if let (Some(after), Some(settled)) = (clock.served_after, clock.settled) {
        let note = format!("within {}", words::at_most(elapsed(after, settled).0));
        row(out, "back", &bar(from, to, after, settled, '░'), &note);
    }
    let expected = report
        .predicted
        .iter()
        .filter_map(|one| words::predicted(report, &one.name).map(|span| format!("{} {span}", one.name)));
    let expected: Vec<String> = expected.collect();
    if !expected.is_empty() {
        out.beside("  predicted", 14, &expected.join(", "));
    }
    for (name, at) in instants(report) {
        let line = format!("{}  {}", time(at), words::since_outage(clock, at));
        out.line(&paint(DIM, &format!("  {name:<22} {line}")));
    }
}

/// Between which instants the clock is drawn.
fn drawn(report: &Report) -> (Timestamp, Timestamp) {
    let clock = &report.clock;
    let from = clock.last_good.unwrap_or(clock.zero()).min(clock.zero()).min(clock.accepted);
    let ends = [clock.settled, clock.confirmed, clock.segments.last().map(|segment| segment.to)];
    let reached = ends.into_iter().flatten().fold(clock.accepted.max(clock.zero()), Timestamp::max);
    let told = report.timeline.last().map(|line| line.at).filter(|_| words::open_segment(clock).is_some());
    (from, told.map_or(reached, |told| told.max(reached)))
}

fn instants(report: &Report) -> Vec<(&'static str, Timestamp)> {
    let clock = &report.clock;
    let (good, bad) = words::onset(report.kind);
    let named = [
        (good, clock.last_good),
        (bad, clock.first_bad),
        ("last failed look", clock.served_after),
        ("first good look", clock.served),
        ("one TTL later", clock.settled),
    ];
    named.into_iter().filter_map(|(name, at)| at.map(|at| (name, at))).collect()
}

fn row(out: &mut Out, name: &str, drawing: &str, note: &str) {
    out.line(&format!("  {:<9} {}  {note:>14}", tame(name), pad(drawing, columns(DRAWN))));
}

/// At least one column wide: what happened is seen.
fn bar(from: Timestamp, to: Timestamp, begin: Timestamp, end: Timestamp, fill: char) -> String {
    let span = u128::from(elapsed(from, to).0.max(1));
    let column = |at: Timestamp| {
        let behind = u128::from(elapsed(from, at).0).min(span);
        u64::try_from(behind * u128::from(DRAWN) / span).unwrap_or(DRAWN)
    };
    let start = column(begin).min(DRAWN - 1);
    let width = column(end).saturating_sub(start).max(1);
    format!("{}{}", " ".repeat(columns(start)), fill.to_string().repeat(columns(width)))
}

fn columns(n: u64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn timeline(out: &mut Out, report: &Report) {
    let date =
        report.timeline.first().map_or_else(String::new, |first| format!(", {} UTC", words::date(first.at)));
    out.heading(&format!("What happened{date}"));
    for phase in words::phases(report) {
        let name = format!("  {} {}", tame(phase.name), words::phase_note(&phase));
        out.line(&paint(DIM, name.trim_end()));
        for line in phase.lines {
            if words::begins_day(report, line) {
                out.line(&paint(DIM, &format!("  {} UTC", words::date(line.at))));
            }
            let since = words::since_outage(&report.clock, line.at);
            let head = format!("  {:>3} {} {since:>10} {:<18} ", line.seq, time(line.at), tame(&line.writer));
            out.beside(&head, head.chars().count(), &line.text);
        }
    }
}

fn findings(out: &mut Out, report: &Report) {
    out.heading(&format!("The standby: {}", words::tally(&report.findings)));
    for finding in report.findings.iter().filter(|finding| finding.grade != Grade::Pass) {
        one_finding(out, finding);
    }
}

fn fence(out: &mut Out, report: &Report) {
    out.heading("The old primary, and the data");
    match &report.receipt {
        None => out.beside("", 2, "no fence receipt is on record"),
        Some(receipt) => {
            let (kind, meaning) = words::receipt(receipt);
            out.beside(
                "  receipt",
                14,
                &format!("{} {}, epoch {}: {meaning}", kind.mark, kind.word, receipt.epoch()),
            );
            if let Receipt::Accepted { by, risk, .. } = receipt {
                out.beside("  accepted", 14, &format!("by {by}: {risk}"));
            }
            if let Some(at) = receipt.last_commit_possible_at() {
                out.beside("  last commit", 14, &format!("possible until {}", time(at)));
            }
        }
    }
    for position in &report.positions {
        let told = |lsn: Option<String>| lsn.unwrap_or_else(|| "unknown".to_owned());
        let text = format!(
            "received {}, replayed {}, last commit of {}",
            told(position.received.map(|lsn| lsn.to_string())),
            told(position.replayed.map(|lsn| lsn.to_string())),
            told(position.commit_at.map(time)),
        );
        out.beside(
            &format!("  {}", tame(&position.store)),
            14.max(position.store.chars().count() + 4),
            &text,
        );
    }
}

fn not_measured(out: &mut Out, report: &Report) {
    if !report.not_measured.is_empty() {
        out.heading("Not measured");
        for line in &report.not_measured {
            out.beside("  -", 4, line);
        }
    }
}

fn waiver(out: &mut Out, report: &Report) {
    if let Some(reason) = &report.shadow_waived {
        out.line("");
        let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        out.line(&paint(style, "! The shadow period was waived"));
        out.beside("", 2, reason);
    }
}

fn attestation(out: &mut Out, report: &Report) {
    let (name, meaning) = words::attestation(&report.attestation);
    let (records, head) = (report.journal.records, &report.journal.head_sha256);
    out.heading(&format!("Attestation: {name}"));
    out.beside("", 2, meaning);
    out.beside("  head", 14, &format!("{head}, of {records} records"));
    out.beside("  record", 14, &record_key(&report.plan, &report.execution, records));
    for (name, value) in words::signature(&report.attestation) {
        out.beside(&format!("  {}", name.to_lowercase()), 14, &value);
    }
    out.beside("  check", 14, "understudy journal check FOLDER");
    if let Some(openssl) = words::openssl(report) {
        out.beside("  or", 14, &openssl);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const RECOVERED: &str = include_str!("../../tests/reports/recovered.json");
    const REFUSED: &str = include_str!("../../tests/reports/refused.json");
    const SWITCHOVER: &str = include_str!("../../tests/reports/switchover.json");
    const ACCEPTED: &str = include_str!("../../tests/reports/accepted.json");
    const NEEDS_OPERATOR: &str = include_str!("../../tests/reports/needs-operator.json");

    const SIGNED: &str = include_str!("../../tests/reports/signed.json");

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&text(report)).to_string()
    }

    fn sample(text: &str) -> Report {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_recovered_execution_as_text() {
        insta::assert_snapshot!("text_recovered", plain(&sample(RECOVERED)));
    }

    #[test]
    fn a_planned_move_as_text() {
        insta::assert_snapshot!("text_switchover", plain(&sample(SWITCHOVER)));
    }

    #[test]
    fn a_refused_execution_as_text() {
        insta::assert_snapshot!("text_refused", plain(&sample(REFUSED)));
    }

    #[test]
    fn an_accepted_fence_as_text() {
        insta::assert_snapshot!("text_accepted", plain(&sample(ACCEPTED)));
    }

    #[test]
    fn an_execution_that_needs_a_person_as_text() {
        insta::assert_snapshot!("text_needs_operator", plain(&sample(NEEDS_OPERATOR)));
    }

    #[test]
    fn who_overrode_a_check_stands_at_the_top_and_beside_it() {
        let mut report = sample(REFUSED);
        let finding = report.findings.iter_mut().find(|finding| finding.is_bad()).unwrap();
        let given = serde_json::json!({
            "check": finding.key(), "by": "sre-deputy", "why": "all that is left",
            "given_at": "2026-11-21T03:00:00Z", "until": "2026-11-21T05:00:00Z",
        });
        finding.overridden = serde_json::from_value(given).unwrap();
        let shown = plain(&report).split_whitespace().collect::<Vec<_>>().join(" ");
        let told = "overridden by `sre-deputy` until 2026-11-21T05:00:00.000Z: all that is left";
        assert_eq!(shown.matches(told).count(), 2, "{shown}");
        assert!(shown.contains("1 of them overridden"), "{shown}");
        let page = understudy_core::report::html::page(&report);
        assert!(page.contains("<dt>Overridden</dt>") && page.contains("Taken on: "), "the page says it too");
    }

    #[test]
    fn a_signature_as_text() {
        let text = plain(&sample(SIGNED));
        let (_, attestation) = text.split_once("\nAttestation").unwrap();
        insta::assert_snapshot!("text_signed_attestation", attestation);
    }

    #[test]
    fn a_hundred_columns_are_enough() {
        let mut long = sample(RECOVERED);
        long.cause = "x".repeat(1000);
        let samples = [RECOVERED, REFUSED, ACCEPTED, NEEDS_OPERATOR, SIGNED].map(sample);
        for report in std::iter::once(long).chain(samples) {
            for line in plain(&report).lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn no_text_of_a_report_steers_the_terminal() {
        let mut report = sample(RECOVERED);
        let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\r\u{9b}31mgone";
        report.plan_title = hostile.to_owned();
        report.cause = hostile.to_owned();
        report.not_measured = vec![hostile.to_owned()];
        for line in &mut report.timeline {
            line.text = hostile.to_owned();
            line.writer = hostile.to_owned();
        }
        let shown = plain(&report);
        assert!(shown.contains("\\u{1b}[2J"));
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
        assert!(!text(&report).contains("\u{1b}[2J"));
    }
}
