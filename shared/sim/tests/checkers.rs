//! Each checker finds the violation that it is there for; on a lawful run it is silent.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use support::{machine, minutes, settled};
use understudy_core::approval::Matter;
use understudy_core::checks::{Grade, Verdict};
use understudy_core::journal::{Entry, GENESIS, Record, Stored, sha256_hex};
use understudy_core::observed::Observed;
use understudy_core::overrides::Override;
use understudy_core::plan::{Mode, Region};
use understudy_core::report::{Met, Report};
use understudy_core::run::{End, Kind, Receipt};
use understudy_core::steps::Step;
use understudy_core::switch::Side;
use understudy_core::time::{Millis, after, before};
use understudy_sim::checkers::{Case, all};
use understudy_sim::example;
use understudy_sim::simulation::{People, Simulation};
use understudy_sim::trace::{Event, What};
use understudy_sim::world::{Break, Place, Settings};

/// A lawful recovery from an isolated primary.
fn lawful() -> Case {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Isolate(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(5));
    simulation.case()
}

/// As if the stored bytes of every record had been changed by who also keeps the hashes: the chain is whole.
fn rewrite(case: &mut Case, change: impl Fn(&mut Vec<Record>)) {
    for (_, chain) in &mut case.journals {
        let mut records: Vec<Record> =
            chain.iter().map(|stored| stored.record().expect("a record")).collect();
        change(&mut records);
        let mut prev = GENESIS.to_owned();
        chain.clear();
        for (seq, mut record) in (1..).zip(records) {
            (record.seq, record.prev) = (seq, prev);
            let bytes = serde_json::to_string(&record).expect("it serialises");
            prev = sha256_hex(bytes.as_bytes());
            chain.push(Stored { bytes, sha256: prev.clone() });
        }
    }
}

fn rewritten(change: impl Fn(&mut Vec<Record>)) -> String {
    broken_after(|case| rewrite(case, change))
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
fn what_a_refusal_left_behind_is_found() {
    let broken = broken_after(|case| {
        for event in &mut case.trace {
            if let What::Journaled(record) = &mut event.what
                && let Entry::Closed { end, .. } = &mut record.entry
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
    for step in [Step::Promote, Step::MoveTraffic] {
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
fn every_rule_over_records_finds_its_breach() {
    let drop_first = |is: fn(&Entry) -> bool| {
        move |records: &mut Vec<Record>| {
            let at = records.iter().position(|record| is(&record.entry)).expect("it happened");
            records.remove(at);
        }
    };
    let verified = |entry: &Entry| matches!(entry, Entry::Verified { .. });
    assert!(rewritten(drop_first(verified)).contains("`move traffic` before `verify`"));
    let froze = |entry: &Entry| matches!(entry, Entry::Intent { step: Step::Freeze, .. });
    assert!(rewritten(drop_first(froze)).contains("`Freeze` was done and never intended"));
    let fenced = |entry: &Entry| matches!(entry, Entry::Fenced { .. });
    assert!(rewritten(drop_first(fenced)).contains("a promotion without a receipt"));
    let planted: [(&str, PlantRecord); 17] = [
        ("for epoch 7", |record| {
            if let Entry::Fenced { receipt: Receipt::Expired { epoch, .. } } = &mut record.entry {
                *epoch = 7;
            }
        }),
        ("a commit is possible until", |record| {
            if let Entry::Fenced { receipt: Receipt::Expired { lapsed_at, .. } } = &mut record.entry {
                *lapsed_at = before(*lapsed_at, Millis(1));
            }
        }),
        ("called expired at", |record| {
            if matches!(record.entry, Entry::Fenced { .. }) {
                record.at = before(record.at, Millis::from_secs(600));
            }
        }),
        ("went on after the lease was given back", |record| {
            if let Entry::Intent { step: step @ Step::CloseLease, .. } = &mut record.entry {
                *step = Step::GrantBack;
            }
        }),
        ("called fit without a finding", |record| {
            if let Entry::Assessed { findings, .. } = &mut record.entry {
                findings.clear();
            }
        }),
        ("called fit, and PF-", |record| {
            if let Entry::Assessed { findings, .. } = &mut record.entry {
                for finding in findings {
                    finding.grade = Grade::Unknown;
                }
            }
        }),
        ("called fit, and PF-04 says Block", |record| taken_on(record, "PF-04:metadata", -31, 0)),
        ("called fit, and PF-04 says Block", |record| taken_on(record, "PF-08:api", 60, 0)),
        ("called fit, and PF-04 says Block", |record| taken_on(record, "PF-04:metadata", 60, 1)),
        ("1 of 2 votes say down", |record| {
            if let Entry::Accepted { votes, .. } = &mut record.entry {
                votes.truncate(1);
            }
        }),
        ("is unknown", |record| {
            if let Entry::Accepted { keepers, .. } = &mut record.entry {
                for view in keepers {
                    view.sighting = Observed::unknown("planted");
                }
            }
        }),
        ("the primary lives", |record| {
            if let Entry::Accepted { accepted_at, keepers, .. } = &mut record.entry {
                for view in keepers {
                    if let Observed::Known { value, .. } = &mut view.sighting {
                        value.first_seen_at = *accepted_at;
                    }
                }
            }
        }),
        ("did not last", |record| {
            if let Entry::Confirmed { first_good, .. } = &mut record.entry {
                *first_good = record.at;
            }
        }),
        ("is left out", |record| {
            if let Entry::Confirmed { first_good, settled_at, .. } = &mut record.entry {
                *settled_at = *first_good;
            }
        }),
        ("rolled back, and a promotion was asked for", |record| {
            if let Entry::Closed { end, .. } = &mut record.entry {
                *end = End::RolledBack;
            }
        }),
        ("a drill under `financial-rag`", |record| {
            if let Entry::Accepted { kind, .. } = &mut record.entry {
                *kind = Kind::Drill;
            }
        }),
        ("refused, and no finding says why", |record| {
            if let Entry::Assessed { verdict, .. } = &mut record.entry {
                *verdict = Verdict::Refused;
            }
        }),
    ];
    for (said, change) in planted {
        let broken = rewritten(|records| records.iter_mut().for_each(change));
        assert!(broken.contains(said), "{said}: {broken}");
    }
}

/// Lag blocks, and somebody overrides a check from `begins` seconds after the look until `ends` seconds after it.
fn taken_on(record: &mut Record, check: &str, ends: i64, begins: i64) {
    let Entry::Assessed { findings, .. } = &mut record.entry else { return };
    let instant = |seconds| record.at + jiff::SignedDuration::from_secs(seconds);
    let (by, why) = ("sre-2".to_owned(), "planted".to_owned());
    let given =
        Override { check: check.to_owned(), by, why, given_at: instant(begins), until: instant(ends) };
    for finding in findings.iter_mut().filter(|finding| finding.id == "PF-04") {
        finding.grade = Grade::Block;
        finding.overridden = Some(given.clone());
    }
}

#[test]
fn an_override_in_its_time_is_no_breach() {
    let broken = rewritten(|records| {
        for record in records {
            taken_on(record, "PF-04:metadata", 60, 0);
        }
    });
    assert!(!broken.contains("called fit"), "{broken}");
}

/// As the plan ships: people are asked, and say yes.
fn approved() -> Case {
    let machine = machine();
    let mut plan = example::automatic().expect("a plan");
    plan.policy.failover = Mode::Approval;
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.people = People::Answer { after: Millis::from_secs(60), yes: true };
    simulation.run_for(minutes(5));
    simulation.break_now(Break::Kill(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(3));
    simulation.case()
}

#[test]
fn every_rule_on_people_finds_its_breach() {
    let planted: [(&str, PlantRecord); 5] = [
        ("other overrides than were shown", |record| taken_on(record, "PF-04:metadata", 60, 0)),
        ("without a yes to the question", |record| {
            if let Entry::Answered { yes, .. } = &mut record.entry {
                *yes = false;
            }
        }),
        ("a question that was not asked", |record| {
            if let Entry::Answered { digest, .. } = &mut record.entry {
                digest.push('0');
            }
        }),
        ("silence was a no", |record| {
            if let Entry::Answered { .. } = &record.entry {
                record.at = after(record.at, Millis::from_secs(3600));
            }
        }),
        ("the plan asks people, and nobody was asked", |record| {
            if let Entry::Asked { question } = &mut record.entry {
                question.matter = Matter::Acceptance;
            }
        }),
    ];
    let lawful = approved();
    assert_eq!(all(&lawful), Vec::new());
    for (said, change) in planted {
        let mut case = lawful.clone();
        rewrite(&mut case, |records| records.iter_mut().for_each(change));
        let broken: Vec<String> = all(&case).iter().map(ToString::to_string).collect();
        assert!(broken.join("\n").contains(said), "{said}: {broken:?}");
    }
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

/// Changes one record into what it must not be.
type PlantRecord = fn(&mut Record);

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
