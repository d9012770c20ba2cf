//! Each checker of a night finds the violation that it is there for; on a lawful run it is silent.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "some of it is for the rules over records")]
mod planted;
#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use planted::{answered, broken_after, is_record, position, rewrite, rewritten};
use std::sync::Arc;
use understudy_core::journal::{Entry, Stored};
use understudy_core::plan::{Mode, Region};
use understudy_core::report::{Met, Report};
use understudy_core::run::{End, Receipt};
use understudy_core::steps::Step;
use understudy_core::switch::Side;
use understudy_core::time::{Millis, after, before};
use understudy_sim::checkers::all;
use understudy_sim::trace::{Event, What};
use understudy_sim::world::Place;

#[test]
fn two_writers_are_found() {
    let broken = broken_after(|case| {
        let at = case.trace.last().expect("an event").at;
        let what = What::Acknowledged { side: Side::Primary, client: "local", position: 1 };
        case.trace.push(Event { at, what });
    });
    assert!(broken.contains("L2") && broken.contains("after the new one had written"), "{broken}");
}

/// What a person accepted of an earlier attempt excuses no second writer of a later one.
#[test]
fn a_risk_that_was_taken_for_an_earlier_attempt_excuses_nothing() {
    let broken = broken_after(|case| {
        let fenced = position(case, |what| is_record(what, |entry| matches!(entry, Entry::Fenced { .. })));
        let mut earlier = case.trace.get(fenced).expect("an event").clone();
        if let What::Journaled(record) = &mut earlier.what {
            let (epoch, by) = (1, "sre-lead".to_owned());
            let (risk, at) = ("planted".to_owned(), record.at);
            Arc::make_mut(record).entry =
                Entry::Fenced { receipt: Receipt::Accepted { epoch, by, risk, at } };
        }
        case.trace.insert(fenced, earlier);
        let at = case.trace.last().expect("an event").at;
        let what = What::Acknowledged { side: Side::Primary, client: "local", position: 1 };
        case.trace.push(Event { at, what });
    });
    assert!(broken.contains("after the new one had written"), "{broken}");
}

#[test]
fn an_outage_that_nobody_is_told_of_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !matches!(event.what, What::Paged(_)));
        let ended = case.trace.last().expect("an event").at;
        for minute in 0..40 {
            let at = after(ended, Millis::from_secs(60 * minute));
            case.trace.push(Event { at, what: What::Failed { client: "outside" } });
        }
    });
    assert!(broken.contains("nobody was told"), "{broken}");
}

#[test]
fn a_product_that_never_moves_is_found() {
    let never = broken_after(|case| {
        case.trace.retain(|event| !matches!(event.what, What::Started { .. } | What::Ended { .. }));
    });
    assert!(never.contains("L5 not never") && never.contains("nothing started until"), "{never}");
    let in_vain = broken_after(|case| case.reports.clear());
    assert!(in_vain.contains("nobody recovered it"), "{in_vain}");
    let slow = broken_after(|case| {
        for phase in case.reports.iter_mut().flat_map(|report| &mut report.predicted) {
            phase.at_most_ms = 1000;
        }
    });
    assert!(slow.contains("against what was predicted"), "{slow}");
}

#[test]
fn what_is_not_sealed_or_sealed_otherwise_is_found() {
    let missing = broken_after(|case| case.reports.clear());
    assert!(missing.contains("has no report"), "{missing}");
    let lost = broken_after(|case| {
        for (_, objects) in &mut case.sealed {
            objects.pop();
        }
    });
    assert!(lost.contains("in the bucket"), "{lost}");
    let changed = broken_after(|case| {
        for byte in case.sealed.iter_mut().filter_map(|(_, objects)| objects.get_mut(3)?.get_mut(20)) {
            *byte ^= 1;
        }
    });
    assert!(changed.contains("record 4 is another in the bucket"), "{changed}");
    let flattered = broken_after(|case| {
        for report in &mut case.reports {
            report.end = End::Rehearsed;
        }
    });
    assert!(flattered.contains("its report tells of another journal"), "{flattered}");
}

#[test]
fn a_freeze_that_a_success_hides_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !matches!(&event.what, What::Flag { raised: false, .. }));
    });
    assert!(broken.contains("left the freeze and does not say so"), "{broken}");
}

#[test]
fn a_promotion_without_a_receipt_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !is_record(&event.what, |entry| matches!(entry, Entry::Fenced { .. })));
    });
    assert!(broken.contains("promoted without a receipt"), "{broken}");
}

#[test]
fn a_write_behind_the_receipt_is_found() {
    let broken = broken_after(|case| {
        let at = position(case, |what| is_record(what, |entry| matches!(entry, Entry::Captured { .. })));
        let event = case.trace.get(at).expect("an event").at;
        let what = What::Acknowledged { side: Side::Primary, client: "long", position: 1 };
        case.trace.insert(at, Event { at: event, what });
    });
    assert!(broken.contains("behind the receipt that it could write no more"), "{broken}");
}

#[test]
fn an_epoch_that_falls_and_one_of_two_holders_are_found() {
    let lease = |epoch, holder: &str| What::Lease {
        keeper: Place::Witness,
        epoch,
        holder: Region(holder.to_owned()),
    };
    let broken = broken_after(|case| {
        let at = case.trace.last().expect("an event").at;
        case.trace.push(Event { at, what: lease(1, "us-east-1") });
    });
    assert!(broken.contains("from epoch 2 to 1"), "{broken}");
    let broken = broken_after(|case| {
        let at = case.trace.last().expect("an event").at;
        case.trace.push(Event { at, what: lease(3, "us-east-1") });
        case.trace.push(Event { at, what: lease(4, "us-west-2") });
        case.trace.push(Event {
            at,
            what: What::Lease { keeper: Place::Standby, epoch: 4, holder: Region("us-east-1".to_owned()) },
        });
    });
    assert!(broken.contains("epoch 4 is `us-west-2`'s and `us-east-1`'s"), "{broken}");
}

#[test]
fn a_step_that_reaches_for_the_lost_region_is_found() {
    let broken = broken_after(|case| {
        let at = position(case, |what| matches!(what, What::PromoteTaken { .. }));
        let event = case.trace.get(at).expect("an event").at;
        let accepted = case.trace.iter().find_map(|event| match &event.what {
            What::Journaled(record) => Some(record.execution.clone()),
            _ => None,
        });
        let execution = accepted.expect("an execution");
        let what = What::ReachedForPrimary { step: Step::Fence, execution };
        case.trace.insert(at, Event { at: event, what });
    });
    assert!(broken.contains("L1") && broken.contains("reached for the Region that failed"), "{broken}");
}

#[test]
fn a_promotion_on_hold_is_found() {
    let broken = broken_after(|case| {
        let at = case.trace.first().expect("an event").at;
        let what = What::Flag { name: "hold".to_owned(), raised: true, by: "sre-1".to_owned() };
        case.trace.insert(0, Event { at, what });
    });
    assert!(broken.contains("L8") && broken.contains("on hold since"), "{broken}");
}

#[test]
fn a_promotion_of_what_was_aborted_is_found() {
    let aborts = |of: &str| {
        broken_after(|case| {
            let at = case.trace.first().expect("an event").at;
            let execution = case.journals.first().map(|(name, _)| name.clone()).expect("an execution");
            let name = format!("abort/{}", if of.is_empty() { &execution } else { of });
            let what = What::Flag { name, raised: true, by: "sre-2".to_owned() };
            case.trace.insert(0, Event { at, what });
        })
    };
    assert!(aborts("").contains("a promotion, on hold since"), "{}", aborts(""));
    assert_eq!(aborts("another"), "");
}

/// Whatever the records say of when it was asked for.
#[test]
fn a_promotion_that_comes_minutes_after_the_hold_is_found() {
    let broken = broken_after(|case| {
        let at = position(case, |what| matches!(what, What::PromoteTaken { .. }));
        let taken = case.trace.get(at).expect("an event").at;
        let what = What::Flag { name: "hold".to_owned(), raised: true, by: "sre-1".to_owned() };
        case.trace.insert(at, Event { at: before(taken, Millis::from_secs(125)), what });
    });
    assert!(broken.contains("was promoted, on hold since"), "{broken}");
}

/// It was written before the hold; the table took it long after.
#[test]
fn an_intent_that_came_late_is_no_promotion_on_hold() {
    let broken = broken_after(|case| {
        let promotes = |entry: &Entry| matches!(entry, Entry::Intent { step: Step::Promote, .. });
        let at = position(case, |what| is_record(what, promotes));
        let asked = case.trace.get(at).expect("an event").at;
        case.trace.get_mut(at).expect("an event").at = after(asked, Millis::from_secs(64));
        let what = What::Flag { name: "hold".to_owned(), raised: true, by: "sre-1".to_owned() };
        case.trace.insert(at, Event { at: after(asked, Millis::from_secs(1)), what });
    });
    assert!(!broken.contains("on hold since"), "{broken}");
}

#[test]
fn what_a_refusal_left_behind_is_found() {
    let broken = broken_after(|case| {
        for event in &mut case.trace {
            if let What::Journaled(record) = &mut event.what
                && let Entry::Closed { end, .. } = &mut Arc::make_mut(record).entry
            {
                *end = End::RolledBack;
            }
        }
        case.trace.retain(|event| !matches!(&event.what, What::Flag { raised: false, .. }));
    });
    assert!(broken.contains("left the freeze") && broken.contains("kept the lease"), "{broken}");
}

#[test]
fn an_effect_that_no_record_intends_is_found() {
    for step in [Step::Promote, Step::VerifyWrite, Step::MoveTraffic, Step::Confirm] {
        let broken = broken_after(|case| {
            case.trace.retain(|event| {
                !is_record(
                    &event.what,
                    |entry| matches!(entry, Entry::Intent { step: known, .. } if *known == step),
                )
            });
        });
        assert!(broken.contains("no record intends it"), "{step:?}: {broken}");
    }
}

#[test]
fn an_answer_that_was_given_too_late_and_taken_is_found() {
    let mut case = answered(|plan| plan.policy.failover = Mode::Approval);
    assert_eq!(all(&case), Vec::new());
    for event in &mut case.trace {
        if matches!(event.what, What::Said { .. }) {
            event.at = after(event.at, Millis::from_secs(600));
        }
    }
    let broken: Vec<String> = all(&case).iter().map(ToString::to_string).collect();
    assert!(broken.join("\n").contains("silence was a no"), "{broken:?}");
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
    let broken = broken_after(|case| {
        let at = position(case, |what| matches!(what, What::Started { .. }));
        let began = case.trace.get(at).expect("an event").at;
        let what = What::Started { execution: "another".to_owned() };
        case.trace.insert(at + 1, Event { at: began, what });
    });
    assert!(broken.contains("`another` started while"), "{broken}");
    assert!(broken.contains("`another` never ended"), "{broken}");
    let broken = broken_after(|case| {
        let at = position(case, |what| is_record(what, |entry| matches!(entry, Entry::Accepted { .. })));
        let twice = case.trace.get(at).expect("an event").clone();
        case.trace.insert(at, twice);
    });
    assert!(broken.contains("accepted twice"), "{broken}");
    let broken = broken_after(|case| case.journals.clear());
    assert!(broken.contains("has no journal"), "{broken}");
}

#[test]
fn an_execution_without_its_end_is_found() {
    let broken = broken_after(|case| {
        case.trace.retain(|event| !matches!(event.what, What::Ended { .. }));
    });
    assert!(broken.contains("never ended"), "{broken}");
    let broken = rewritten(|records| drop(records.pop()));
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
            let changed = stored.bytes().replace("attempt\":1", "attempt\":7");
            *stored = Stored::new(changed, stored.sha256().to_owned());
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
    let planted: [(&str, Plant); 9] = [
        ("the RTO has a figure without a confirmation", |report| report.clock.confirmed = None),
        ("the RPO is called met without a bound within it", |report| {
            report.rpo.objective_ms = 0;
            report.rpo.met = Met::Met;
            report.rpo.bound.ms = Some(1);
        }),
        ("ranges from", |report| report.rto.at_least.ms = Some(u64::MAX)),
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
        rewrite(case, |records| {
            records.retain(|record| {
                !matches!(
                    record.entry,
                    Entry::Confirmed { .. } | Entry::Intent { step: Step::MoveTraffic, .. }
                )
            });
        });
    });
    assert!(broken.contains("recovered without a confirmation"), "{broken}");
    assert!(
        broken.contains("`confirm from outside`") || broken.contains("before `move traffic`"),
        "{broken}"
    );
}
