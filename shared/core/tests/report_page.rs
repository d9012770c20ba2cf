//! The page: what it shows of real ends, and that nothing in a report can break out of it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use serde_json::Value;
use understudy_core::report::html::page;
use understudy_core::report::words::SEGMENTS;
use understudy_core::report::{Report, Segment};

const RECOVERED: &str = include_str!("../../../tests/reports/recovered.json");
const REFUSED: &str = include_str!("../../../tests/reports/refused.json");
const NEEDS_OPERATOR: &str = include_str!("../../../tests/reports/needs-operator.json");
const ACCEPTED: &str = include_str!("../../../tests/reports/accepted.json");
const SWITCHOVER: &str = include_str!("../../../tests/reports/switchover.json");
const DRILL: &str = include_str!("../../../tests/reports/drill.json");
const SIGNED: &str = include_str!("../../../tests/reports/signed.json");
const STYLE: &str = include_str!("../src/report/page.css");

fn sample(text: &str) -> Report {
    serde_json::from_str(text).unwrap()
}

/// A tag a line, without the style sheet: what a reviewer wants to see change.
fn golden(text: &str) -> String {
    page(&sample(text)).replace(STYLE, "…").replace("><", ">\n<")
}

#[test]
fn a_recovered_execution_as_a_page() {
    insta::assert_snapshot!("page_recovered", golden(RECOVERED));
}

#[test]
fn a_refused_execution_as_a_page() {
    insta::assert_snapshot!("page_refused", golden(REFUSED));
}

#[test]
fn a_planned_move_as_a_page() {
    insta::assert_snapshot!("page_switchover", golden(SWITCHOVER));
}

/// A rehearsal reads like the planned move that it is, and cannot be taken for one of production.
#[test]
fn a_drill_says_that_it_was_one() {
    let page = golden(DRILL);
    for told in [
        "<title>Rehearsed: Financial RAG, hot standby (rehearsal)",
        "Production was not moved.",
        ", drill, attempt 1",
    ] {
        assert!(page.contains(told), "{told}");
    }
    assert!(!page.contains("Recovered"));
    assert!(page.contains("found no writer"), "from which instant it counts");
}

#[test]
fn a_signed_journal_shows_key_and_signature_and_how_to_check_them() {
    let page = golden(SIGNED);
    let attestation = page.split("<section aria-labelledby=\"attestation\">").nth(1).unwrap();
    insta::assert_snapshot!("page_signed_attestation", attestation);
}

#[test]
fn an_accepted_fence_as_a_page() {
    insta::assert_snapshot!("page_accepted", golden(ACCEPTED));
}

#[test]
fn an_execution_that_needs_a_person_as_a_page() {
    insta::assert_snapshot!("page_needs_operator", golden(NEEDS_OPERATOR));
}

#[test]
fn a_whole_clock_has_the_segments_that_the_words_name() {
    let report = sample(RECOVERED);
    let names: Vec<&str> = report.clock.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, SEGMENTS.map(|(name, _)| name));
}

/// Where in a document there is a text.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| texts(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| texts(field, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}

#[test]
fn no_text_of_a_report_becomes_markup() {
    const HOSTILE: &str = "</style></title>\"><script>alert(1)</script><img src=x onerror=alert(2)>`'&";
    for sample in [RECOVERED, REFUSED, ACCEPTED, NEEDS_OPERATOR] {
        let mut report: Value = serde_json::from_str(sample).unwrap();
        let mut places = Vec::new();
        texts(&report, "", &mut places);
        let mut planted = 0;
        for place in places {
            let kept = report.pointer(&place).unwrap().clone();
            *report.pointer_mut(&place).unwrap() = HOSTILE.into();
            // A named word or an instant cannot be anything else.
            if serde_json::from_value::<Report>(report.clone()).is_ok() {
                planted += 1;
            } else {
                *report.pointer_mut(&place).unwrap() = kept;
            }
        }
        assert!(planted > 30, "only {planted} texts were planted");
        let page = page(&serde_json::from_value(report).unwrap());
        for broken in ["<script", "<img", "</style></title>"] {
            assert!(!page.contains(broken), "{broken} got through");
        }
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.matches("&lt;script&gt;").count() > 30);
    }
}

#[test]
fn the_page_asks_for_nothing_outside_itself() {
    for sample in [RECOVERED, REFUSED, ACCEPTED, NEEDS_OPERATOR].map(sample) {
        let page = page(&sample);
        let links: Vec<&str> =
            page.match_indices("href=").map(|(at, _)| page.get(at..at + 14).unwrap()).collect();
        assert!(links.iter().all(|link| *link == "href=\"#waiver\""), "{links:?}");
        for outside in ["src=", "<link", "<script", "@import", "url(http", "url(//"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

#[test]
fn the_same_report_is_the_same_page() {
    assert_eq!(page(&sample(RECOVERED)), page(&sample(RECOVERED)));
}

#[test]
fn no_figure_is_too_odd_to_be_drawn() {
    let ends = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX];
    for (n, at) in ends.into_iter().enumerate() {
        for objective in [0, 1, u64::MAX] {
            let mut report = sample(RECOVERED);
            report.rto.objective_ms = objective;
            report.rpo.objective_ms = objective;
            report.rto.at_most.ms = Some(u64::MAX);
            report.clock.first_bad = Some(at);
            report.clock.last_good = ends.get(2 - n).copied();
            report.clock.settled = Some(Timestamp::MAX);
            let odd = Segment { name: "odd".to_owned(), from: Timestamp::MAX, to: Timestamp::MIN, ms: 0 };
            report.clock.segments = std::iter::repeat_n(odd, 300).collect();
            assert!(page(&report).ends_with("</html>"));
            report.clock.segments.clear();
            report.timeline.clear();
            report.findings.clear();
            report.receipt = None;
            assert!(page(&report).ends_with("</html>"));
        }
    }
}
