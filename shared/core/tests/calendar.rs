//! Sessions at the minutes at which calendars go wrong, and what they decide.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use understudy_core::drill::may_rehearse;
use understudy_core::plan::{Mode, Plan, Session, read};

const EXAMPLE: &str = include_str!("../../../infra/plans/financial-rag.yaml");

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn plan(calendar: &str) -> Plan {
    let begin = EXAMPLE.find("calendar:").expect("a calendar");
    let end = EXAMPLE.find("\ntick:").expect("a tick");
    let text = format!("{}calendar: {calendar}\n{}", &EXAMPLE[..begin], &EXAMPLE[end..]);
    let text = text.replace("failover: approval", "failover: automatic\n  in_session: approval");
    read("plan.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"))
}

const NEW_YORK: &str = "{time_zone: America/New_York, sessions: [{days: [mon, tue, wed, thu, fri], open: \"09:30\", close: \"16:00\"}], \
    holidays: [2026-11-26, 2026-12-25, 2027-01-01], half_days: [{day: 2026-11-27, close: \"13:00\"}, {day: 2026-12-24, close: \"13:00\"}]}";

fn open(calendar: &str, instants: &[(&str, bool)]) {
    let plan = plan(calendar);
    for (instant, open) in instants {
        let session = plan.calendar.as_ref().and_then(|calendar| calendar.session(at(instant)));
        assert_eq!(matches!(session, Some(Session::Open { .. })), *open, "{instant}: {session:?}");
        let mode = if *open { Mode::Approval } else { Mode::Automatic };
        assert_eq!(plan.mode_at(at(instant)), mode, "{instant}");
    }
}

#[test]
fn a_session_opens_with_its_first_millisecond_and_closes_with_its_last() {
    open(
        NEW_YORK,
        &[
            ("2026-11-24T14:29:59.999Z", false),
            ("2026-11-24T14:30:00Z", true),
            ("2026-11-24T20:59:59.999Z", true),
            ("2026-11-24T21:00:00Z", false),
            ("2026-11-22T15:00:00Z", false),
        ],
    );
}

/// The clocks of New York go forward on 8 March 2026 and back on 1 November: the same wall time, another instant.
#[test]
fn daylight_saving_moves_the_session() {
    open(
        NEW_YORK,
        &[
            ("2026-03-06T14:29:59Z", false),
            ("2026-03-06T14:30:00Z", true),
            ("2026-03-09T13:29:59Z", false),
            ("2026-03-09T13:30:00Z", true),
            ("2026-03-09T20:00:00Z", false),
            ("2026-10-30T13:30:00Z", true),
            ("2026-10-30T20:00:00Z", false),
            ("2026-11-02T13:30:00Z", false),
            ("2026-11-02T14:30:00Z", true),
            ("2026-11-02T20:59:59Z", true),
        ],
    );
}

/// A session through the night of the change: the hour that is skipped is not missed, the one that is repeated counts
/// twice, and the session is rather open too long.
#[test]
fn a_session_through_the_night_of_the_change() {
    let nightly =
        "{time_zone: America/New_York, sessions: [{days: [sat, sun], open: \"01:30\", close: \"02:30\"}]}";
    open(
        nightly,
        &[
            // Forward: 02:30 does not exist on 8 March; the session ends with what it would have been, 03:30 EDT.
            ("2026-03-08T06:29:59Z", false),
            ("2026-03-08T06:30:00Z", true),
            ("2026-03-08T07:29:59Z", true),
            ("2026-03-08T07:30:00Z", false),
            // Back: 01:30 comes twice on 1 November; the session opens with the first.
            ("2026-11-01T05:29:59Z", false),
            ("2026-11-01T05:30:00Z", true),
            ("2026-11-01T06:45:00Z", true),
            ("2026-11-01T07:29:59Z", true),
            ("2026-11-01T07:30:00Z", false),
        ],
    );
}

#[test]
fn holidays_and_half_days_and_the_end_of_the_year() {
    open(
        NEW_YORK,
        &[
            ("2026-11-26T15:00:00Z", false),
            ("2026-11-27T17:59:59Z", true),
            ("2026-11-27T18:00:00Z", false),
            ("2026-12-24T17:59:59Z", true),
            ("2026-12-24T18:00:00Z", false),
            ("2026-12-31T20:59:59Z", true),
            ("2026-12-31T21:00:00Z", false),
            ("2027-01-01T15:00:00Z", false),
            ("2027-01-04T14:30:00Z", true),
        ],
    );
}

/// A holiday is the market's day, not the looker's: in Tokyo it is Friday morning while New York's Thursday closes.
#[test]
fn the_market_s_day_counts_in_whatever_region_one_looks() {
    let tokyo = "{time_zone: Asia/Tokyo, sessions: [{days: [mon, tue, wed, thu, fri], open: \"09:00\", close: \"15:30\"}], \
                 holidays: [2026-11-23]}";
    open(
        tokyo,
        &[
            // Sunday evening in New York is Monday in Tokyo, a holiday there.
            ("2026-11-23T00:30:00Z", false),
            ("2026-11-24T00:00:00Z", true),
            ("2026-11-23T23:59:59Z", false),
            ("2026-11-24T06:29:59Z", true),
            ("2026-11-24T06:30:00Z", false),
            // No daylight saving in Tokyo.
            ("2026-07-01T00:00:00Z", true),
        ],
    );
}

/// Sunday evening to Monday: the day that counts is the one on which it opened.
#[test]
fn a_session_over_midnight_belongs_to_the_day_it_opened() {
    let overnight = "{time_zone: America/Chicago, sessions: [{days: [sun, mon, tue, wed, thu], open: \"17:00\", close: \"16:00\"}], \
                     holidays: [2026-12-25], half_days: [{day: 2026-11-26, close: \"12:00\"}]}";
    open(
        overnight,
        &[
            ("2026-11-22T22:59:59Z", false),
            ("2026-11-22T23:00:00Z", true),
            ("2026-11-23T21:59:59Z", true),
            ("2026-11-23T22:00:00Z", false),
            ("2026-11-23T23:00:00Z", true),
            // Friday's holiday holds no session that opens then; Thursday's goes on into it.
            ("2026-12-25T12:00:00Z", true),
            // What is open at noon of the half-day ends then; the night that opens behind it is as ever.
            ("2026-11-26T17:59:59Z", true),
            ("2026-11-26T18:00:00Z", false),
            ("2026-11-26T22:59:59Z", false),
            ("2026-11-26T23:00:00Z", true),
            ("2026-11-27T21:59:59Z", true),
            ("2026-11-27T22:00:00Z", false),
        ],
    );
}

#[test]
fn planned_work_is_over_with_its_last_instant() {
    let text = EXAMPLE.replace(
        "\ntick:",
        "\nmaintenance: [{from: 2026-11-28T02:00:00Z, to: 2026-11-28T04:00:00Z, why: database patch}]\ntick:",
    );
    let plan = read("plan.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    for (instant, within) in [
        ("2026-11-28T01:59:59.999Z", false),
        ("2026-11-28T02:00:00Z", true),
        ("2026-11-28T03:59:59.999Z", true),
        ("2026-11-28T04:00:00Z", false),
    ] {
        assert_eq!(plan.maintenance_at(at(instant)).is_some(), within, "{instant}");
    }
}

#[test]
fn no_drill_starts_while_a_session_is_open() {
    let plan = read("plan.yaml", EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    let rehearsal = plan.rehearsal().expect("a rehearsal");
    let refused = may_rehearse(&rehearsal, at("2026-12-15T15:00:00Z")).expect_err("within the session");
    assert!(refused.contains("session is open until 2026-12-15T21:00:00Z"), "{refused}");
    assert_eq!(may_rehearse(&rehearsal, at("2026-12-15T22:00:00Z")), Ok(()));
    assert!(may_rehearse(&plan, at("2026-12-15T22:00:00Z")).is_err(), "production is never rehearsed on");
}
