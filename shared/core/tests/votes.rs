//! Votes: what a run of probes proves, at every boundary.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;
use understudy_core::observed::Observed;
use understudy_core::plan::{Detection, read};
use understudy_core::time::{Millis, after, elapsed};
use understudy_core::votes::{DISAGREE, History, Observer, Probe, Seen, Vote, Votes, vote};

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn detection() -> Detection {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    let plan = read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    plan.detection
}

fn at(ms: u64) -> Timestamp {
    after(START, Millis(ms))
}

fn up(ms: u64) -> Probe {
    Probe { at: at(ms), seen: Seen::Up }
}

fn down(ms: u64) -> Probe {
    Probe { at: at(ms), seen: Seen::Down { reason: "timed out".to_owned() } }
}

fn unknown(ms: u64) -> Probe {
    Probe { at: at(ms), seen: Seen::Unknown { reason: "no control answered".to_owned() } }
}

fn history(probes: impl IntoIterator<Item = Probe>) -> History {
    probes.into_iter().fold(History::default(), |history, probe| history.with(probe))
}

fn judged(probes: impl IntoIterator<Item = Probe>, now: u64) -> Vote {
    vote(&Observed::known(Arc::new(history(probes)), "table", at(now)), &detection(), at(now))
}

#[test]
fn down_begins_exactly_at_the_window() {
    let window = detection().window.0;
    assert_eq!(judged([down(0), down(window - 1)], window), Vote::Failing { since: at(0) });
    assert_eq!(judged([down(0), down(window)], window), Vote::Down { since: at(0) });
}

#[test]
fn time_in_which_nobody_looked_does_not_count() {
    let Detection { window, vote_max_age, .. } = detection();
    let last = window.0 - 1;
    assert_eq!(judged([down(0), down(last)], last + vote_max_age.0), Vote::Failing { since: at(0) });
}

#[test]
fn a_vote_is_unknown_once_it_is_older_than_its_age() {
    let age = detection().vote_max_age.0;
    assert_eq!(judged([up(0)], age), Vote::Up { at: at(0) });
    assert!(matches!(judged([up(0)], age + 1), Vote::Unknown { .. }));
    assert!(matches!(judged([down(0), down(120_000)], 120_000 + age + 1), Vote::Unknown { .. }));
}

#[test]
fn nothing_seen_is_unknown() {
    assert!(matches!(judged([], 0), Vote::Unknown { .. }));
    let unread = vote(&Observed::unknown("no answer"), &detection(), at(0));
    assert!(matches!(unread, Vote::Unknown { .. }));
}

#[test]
fn an_unknown_probe_or_a_good_one_breaks_the_run() {
    for broken in [unknown(60_000), up(60_000)] {
        let vote = judged([down(0), broken, down(120_000), down(180_000)], 180_000);
        assert_eq!(vote, Vote::Failing { since: at(120_000) });
    }
    assert!(matches!(judged([down(0), down(120_000), unknown(180_000)], 180_000), Vote::Unknown { .. }));
}

#[test]
fn the_onset_lies_between_the_last_good_and_the_first_bad_of_any_prober() {
    let standby = history([up(0), down(60_000), down(180_000)]);
    let witness = history([up(30_000), down(90_000), down(210_000)]);
    let route53 = history([up(100_000), down(150_000)]);
    let known = |history: History| Observed::known(Arc::new(history), "table", at(210_000));
    let votes = Votes {
        histories: vec![
            (Observer::Standby, known(standby)),
            (Observer::Witness, known(witness)),
            (Observer::Route53, known(route53)),
        ],
    };
    let onset = votes.onset(&detection(), at(210_000)).expect("two say down");
    assert_eq!((onset.last_good, onset.first_bad), (Some(at(30_000)), at(60_000)));
}

#[test]
fn an_observer_that_still_saw_it_up_widens_the_onset() {
    let standby = history([up(0), down(60_000), down(180_000)]);
    let witness = history([up(90_000), down(120_000), down(240_000)]);
    let known = |history: History| Observed::known(Arc::new(history), "table", at(240_000));
    let votes =
        Votes { histories: vec![(Observer::Standby, known(standby)), (Observer::Witness, known(witness))] };
    let onset = votes.onset(&detection(), at(240_000)).expect("two say down");
    assert_eq!((onset.last_good, onset.first_bad), (Some(at(0)), at(120_000)));
}

#[test]
fn no_vote_down_is_no_onset() {
    let histories = vec![(Observer::Standby, Observed::known(Arc::new(history([down(0)])), "table", at(0)))];
    assert_eq!(Votes { histories }.onset(&detection(), at(0)), None);
}

fn probes() -> impl Strategy<Value = Vec<Probe>> {
    let one = (0..600_u64, 0..3_u8).prop_map(|(second, kind)| match kind {
        0 => up(second * 1000),
        1 => down(second * 1000),
        _ => unknown(second * 1000),
    });
    proptest::collection::vec(one, 0..30)
}

/// A prober whose host was once ten minutes ahead must not say `up` for ten minutes, nor one that was behind `down`.
#[test]
fn probes_of_two_clocks_that_disagree_prove_nothing() {
    let minutes = |n: u64| n * 60_000;
    let late = DISAGREE.0;
    assert_eq!(history([up(late), down(0)]).probes, [up(late)], "as late as a delivery may be");
    let probes = history([up(minutes(10)), down(1)]).probes;
    assert!(matches!(probes.as_slice(), [Probe { seen: Seen::Unknown { .. }, .. }]), "{probes:?}");
    let now = minutes(2);
    assert!(matches!(judged([up(minutes(10)), down(1)], now), Vote::Unknown { .. }));
    assert!(
        matches!(judged([up(minutes(10)), down(1), down(now)], now), Vote::Failing { .. }),
        "it goes on from here"
    );
    assert!(matches!(judged([up(now + late + 1)], now), Vote::Unknown { .. }), "nobody corrected it yet");
    assert!(matches!(judged([up(now + late)], now), Vote::Up { .. }));
}

proptest! {
    #[test]
    fn late_and_repeated_probes_change_nothing(probes in probes(), pick in any::<prop::sample::Index>()) {
        let before = history(probes.clone());
        if !probes.is_empty() {
            let again = pick.get(&probes).clone();
            let (first, last) = (probes.iter().map(|p| p.at).min(), probes.iter().map(|p| p.at).max());
            let differ = first.zip(last).is_some_and(|(first, last)| elapsed(first, last) > DISAGREE);
            prop_assert!(differ || before.with(again) == before);
        }
        let ordered = before.probes.windows(2).all(|pair| matches!(pair, [a, b] if a.at < b.at));
        prop_assert!(ordered);
    }

    #[test]
    fn down_means_a_whole_window_of_nothing_but_failures(probes in probes(), now in 0..700_u64) {
        let detection = detection();
        let history = history(probes);
        if let Vote::Down { since } = vote(&Observed::known(Arc::new(history.clone()), "table", at(0)), &detection, at(now * 1000)) {
            let run: Vec<&Probe> = history.probes.iter().filter(|probe| probe.at >= since).collect();
            let all_bad = run.iter().all(|probe| matches!(probe.seen, Seen::Down { .. }));
            prop_assert!(all_bad);
            let last = run.last().expect("a run").at;
            prop_assert!(understudy_core::time::elapsed(since, last) >= detection.window);
        }
    }
}
