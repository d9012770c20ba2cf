//! Each checker finds the violation that it is there for; on a lawful run it is silent.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use support::{machine, minutes, settled};
use understudy_core::journal::Entry;
use understudy_core::report::{Met, Report};
use understudy_core::run::End;
use understudy_core::steps::Step;
use understudy_core::switch::Side;
use understudy_sim::checkers::{Case, all};
use understudy_sim::trace::{Event, What};
use understudy_sim::world::{Break, Place};

/// A lawful recovery from an isolated primary.
fn lawful() -> Case {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Isolate(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(5));
    simulation.case()
}

fn broken_after(change: impl FnOnce(&mut Case)) -> String {
    let mut case = lawful();
    assert_eq!(all(&case), Vec::new());
    change(&mut case);
    let broken: Vec<String> = all(&case).iter().map(ToString::to_string).collect();
    broken.join("\n")
}

fn position(case: &Case, is: impl Fn(&What) -> bool) -> usize {
    case.trace.iter().position(|event| is(&event.what)).expect("it happened")
}

fn is_record(what: &What, is: impl Fn(&Entry) -> bool) -> bool {
    matches!(what, What::Journaled(record) if is(&record.entry))
}

#[test]
fn two_writers_are_found() {
    let broken = broken_after(|case| {
        let at = case.trace.last().expect("an event").at;
        let what = What::Acknowledged { side: Side::Primary, client: "local", position: 1 };
        case.trace.push(Event { at, what });
    });
    assert!(broken.contains("L2") && broken.contains("after the new one had written"), "{broken}");
}

#[test]
fn a_promotion_without_a_receipt_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !is_record(&event.what, |entry| matches!(entry, Entry::Fenced { .. })));
    });
    assert!(broken.contains("promoted without a receipt"), "{broken}");
}

#[test]
fn traffic_that_moves_before_the_fence_is_found() {
    let broken = broken_after(|case| {
        for (_, chain) in &mut case.journals {
            chain
                .retain(|stored| !matches!(stored.record().expect("a record").entry, Entry::Verified { .. }));
        }
    });
    assert!(broken.contains("`move traffic` before `verify`"), "{broken}");
}

#[test]
fn steps_after_the_return_of_the_lease_are_found() {
    let broken = broken_after(|case| {
        for (_, chain) in &mut case.journals {
            for stored in chain.iter_mut() {
                let from = r#""step":"Freeze""#;
                stored.bytes = stored.bytes.replace(from, r#""step":"GrantBack""#);
            }
        }
    });
    assert!(broken.contains("went on after the lease was given back"), "{broken}");
}

#[test]
fn a_second_execution_and_a_second_promotion_are_found() {
    let broken = broken_after(|case| {
        let at = position(case, |what| matches!(what, What::Started { .. }));
        let twice = case.trace.get(at).expect("an event").clone();
        case.trace.insert(at, twice);
    });
    assert!(broken.contains("started twice"), "{broken}");
    let broken = broken_after(|case| {
        let at = position(case, |what| matches!(what, What::PromoteTaken { .. }));
        let twice = case.trace.get(at).expect("an event").clone();
        case.trace.insert(at, twice);
    });
    assert!(broken.contains("promoted twice"), "{broken}");
}

#[test]
fn an_execution_without_its_end_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !matches!(event.what, What::Ended { .. }));
    });
    assert!(broken.contains("never ended"), "{broken}");
    let broken = broken_after(|case| {
        for (_, chain) in &mut case.journals {
            chain.pop();
        }
    });
    assert!(broken.contains("closed 0 times"), "{broken}");
    let broken = broken_after(|case| {
        case.trace.retain(|event| !matches!(event.what, What::Paged(_)));
    });
    assert!(broken.contains("nobody was told"), "{broken}");
}

#[test]
fn a_changed_record_and_another_end_are_found() {
    let broken = broken_after(|case| {
        for (_, chain) in &mut case.journals {
            let stored = chain.first_mut().expect("a record");
            stored.bytes = stored.bytes.replace("attempt\":1", "attempt\":7");
        }
    });
    assert!(broken.contains("broken journal: record 1 was changed"), "{broken}");
    let broken = broken_after(|case| {
        for event in &mut case.trace {
            if let What::Ended { state, .. } = &mut event.what {
                "NeedsOperator".clone_into(state);
            }
        }
    });
    assert!(broken.contains("says `Recovered`, but the workflow ended in `NeedsOperator`"), "{broken}");
}

/// Makes one figure of a report better than it is.
type Plant = fn(&mut Report);

#[test]
fn figures_that_flatter_are_found() {
    let planted: [(&str, Plant); 6] = [
        ("`rpo.observed`", |report| report.rpo.observed.why_null = None),
        ("`rto.at_most`", |report| report.rto.at_most.ms = None),
        ("called met", |report| {
            report.rto.objective_ms = 1;
            report.rto.met = Met::Met;
        }),
        ("without receipt", |report| report.receipt = None),
        ("the report says at most 1000", |report| report.rto.at_most.ms = Some(1000)),
        ("is lost, more than 0 ms", |report| report.rpo.bound.ms = Some(0)),
    ];
    for (said, change) in planted {
        let broken = broken_after(|case| case.reports.iter_mut().for_each(change));
        assert!(broken.contains("L7") && broken.contains(said), "{said}: {broken}");
    }
}

#[test]
fn a_recovery_without_a_confirmation_is_found() {
    let broken = broken_after(|case| {
        for report in &mut case.reports {
            assert_eq!(report.end, End::Recovered);
            report.clock.confirmed = None;
        }
        for (_, chain) in &mut case.journals {
            chain.retain(|stored| {
                let entry = stored.record().expect("a record").entry;
                !matches!(entry, Entry::Confirmed { .. } | Entry::Intent { step: Step::MoveTraffic, .. })
            });
        }
    });
    assert!(broken.contains("recovered without a confirmation"), "{broken}");
    assert!(
        broken.contains("`confirm from outside`") || broken.contains("before `move traffic`"),
        "{broken}"
    );
}
