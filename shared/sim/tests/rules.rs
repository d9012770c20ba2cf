//! Each rule over records finds its breach in a journal that was lawful; whatever it forbids is planted once.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "some of it is for the checkers of a night")]
mod planted;
#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use planted::{PlantRecord, answered, finds, planned, rewritten};
use support::{machine, minutes, settled};
use understudy_core::approval::{Matter, Question};
use understudy_core::checks::{Grade, Verdict};
use understudy_core::journal::{Entry, Record};
use understudy_core::lease::Sighting;
use understudy_core::observed::Observed;
use understudy_core::overrides::Override;
use understudy_core::plan::{Mode, OnLeaseLoss};
use understudy_core::run::{End, Kind, Receipt};
use understudy_core::steps::Step;
use understudy_core::time::{Millis, after, before};
use understudy_core::votes::Vote;
use understudy_sim::world::{Break, Place};

/// Changes the last renewal that the witness was closed with.
fn closed_with(record: &mut Record, change: impl Fn(&mut Sighting)) {
    if let Entry::LeaseClosed { keepers, .. } = &mut record.entry
        && let Some(witness) = keepers.get_mut(1)
        && let Observed::Known { value, .. } = &mut witness.sighting
    {
        change(value);
    }
}

/// What is said of a record that was changed so.
const PLANTED: [(&str, PlantRecord); 46] = [
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
    ("no keeper is on record as closed", |record| {
        if matches!(record.entry, Entry::LeaseClosed { .. }) {
            record.entry = Entry::Probed { route: "api".to_owned(), good: false, detail: String::new() };
        }
    }),
    ("`fence` before `say what the close found`", |record| {
        if matches!(record.entry, Entry::LeaseClosed { .. }) {
            record.entry = Entry::Probed { route: "api".to_owned(), good: false, detail: String::new() };
        }
    }),
    ("1 of 2 keepers were closed", |record| {
        if let Entry::LeaseClosed { keepers, .. } = &mut record.entry {
            keepers.truncate(1);
        }
    }),
    ("keeper `witness` was not closed", |record| {
        if let Entry::LeaseClosed { keepers, .. } = &mut record.entry
            && let Some(witness) = keepers.get_mut(1)
        {
            witness.sighting = Observed::unknown("it does not answer");
        }
    }),
    ("by a renewal that was not the last", |record| {
        closed_with(record, |seen| seen.first_seen_at = after(seen.first_seen_at, Millis::from_secs(1)));
    }),
    ("came with no dead-man armed", |record| closed_with(record, |seen| seen.lease.armed = false)),
    ("does not say what it enforces", |record| closed_with(record, |seen| seen.lease.enforced = None)),
    ("under another version of the plan", |record| {
        closed_with(record, |seen| {
            if let Some(enforced) = &mut seen.lease.enforced {
                "another".clone_into(&mut enforced.plan);
            }
        });
    }),
    ("lets writers in without end", |record| {
        closed_with(record, |seen| {
            if let Some(enforced) = &mut seen.lease.enforced {
                enforced.within = None;
            }
        });
    }),
    ("a commit is possible until", |record| {
        closed_with(record, |seen| {
            if let Some(enforced) = &mut seen.lease.enforced {
                enforced.within = Some(Millis::from_secs(900));
            }
        });
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
    ("a write was tried and never intended", |record| {
        if let Entry::Accepted { kind, .. } = &mut record.entry {
            *kind = Kind::Switchover;
        }
    }),
    ("which takes back `CloseLease`", |record| {
        if let Entry::Closed { end, .. } = &mut record.entry {
            *end = End::Refused;
        }
    }),
    ("`Confirm` was done and never intended", |record| {
        if let Entry::Intent { step: step @ Step::Confirm, .. } = &mut record.entry {
            *step = Step::VerifyWrite;
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
    ("went on from a standby that was refused", |record| {
        if let Entry::Assessed { verdict, .. } = &mut record.entry {
            *verdict = Verdict::Refused;
        }
    }),
    ("PF-04 refuses without evidence or fix", |record| {
        if let Entry::Assessed { verdict, findings, .. } = &mut record.entry {
            *verdict = Verdict::Refused;
            for finding in findings.iter_mut().filter(|finding| finding.id == "PF-04") {
                finding.grade = Grade::Block;
                finding.fix.clear();
            }
        }
    }),
    ("called fit without an epoch to claim", |record| {
        if let Entry::Assessed { epoch, .. } = &mut record.entry {
            *epoch = None;
        }
    }),
    ("no instant at which it began", |record| {
        if let Entry::Accepted { onset, .. } = &mut record.entry {
            *onset = None;
        }
    }),
    ("which is less than", |record| {
        if let Entry::Accepted { votes, accepted_at, .. } = &mut record.entry {
            for (_, vote) in votes {
                if let Vote::Down { since } = vote {
                    *since = *accepted_at;
                }
            }
        }
    }),
    ("the last failure is not before the success", |record| {
        if let Entry::Confirmed { last_bad, first_good, .. } = &mut record.entry {
            *last_bad = Some(*first_good);
        }
    }),
    ("a success that settled before it was seen", |record| {
        if let Entry::Confirmed { probes, .. } = &mut record.entry {
            *probes = 0;
        }
    }),
    ("it ended without a cause", |record| {
        if let Entry::Closed { end, cause } = &mut record.entry {
            *end = End::NeedsOperator;
            cause.clear();
        }
    }),
    ("was closed by `store-promoter`", |record| {
        if matches!(record.entry, Entry::Closed { .. }) {
            "store-promoter".clone_into(&mut record.writer);
        }
    }),
    ("is a failover, and says `Rehearsed`", |record| {
        if let Entry::Closed { end, .. } = &mut record.entry {
            *end = End::Rehearsed;
        }
    }),
    ("refused, and the lease was closed", |record| {
        if let Entry::Closed { end, .. } = &mut record.entry {
            *end = End::Refused;
        }
    }),
    ("given back behind the one-way door", |record| {
        if matches!(record.entry, Entry::Verified { .. }) {
            record.entry = Entry::Intent { step: Step::GrantBack, what: "planted".to_owned() };
        }
    }),
    ("its name is not the one of its incident and attempt", |record| {
        if let Entry::Accepted { attempt, .. } = &mut record.entry {
            *attempt = 7;
        }
    }),
    ("does not begin with its acceptance", |record| {
        if matches!(record.entry, Entry::Accepted { .. }) {
            record.entry = Entry::Intent { step: Step::Freeze, what: "planted".to_owned() };
        }
    }),
    ("has records behind its last one", |record| {
        if matches!(record.entry, Entry::Verified { .. }) {
            record.entry = Entry::Closed { end: End::Recovered, cause: "planted".to_owned() };
        }
    }),
    ("accepted once more, behind its first record", |record| {
        if matches!(record.entry, Entry::Verified { .. }) {
            record.entry = Entry::Accepted {
                incident: "i-1".to_owned(),
                attempt: 1,
                kind: Kind::Failover,
                asked: false,
                continues: None,
                accepted_at: record.at,
                hint: "planted".to_owned(),
                onset: None,
                votes: Vec::new(),
                keepers: Vec::new(),
            };
        }
    }),
];

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
    for (said, change) in PLANTED {
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

#[test]
fn an_undo_that_was_only_meant_is_found() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.hold_at("Freeze", Millis::ZERO, true);
    simulation.break_now(Break::Isolate(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(3));
    let planted: [(&str, PlantRecord); 2] = [
        ("which takes back `CloseLease`", |record| {
            if let Entry::Outcome { step: Step::GrantBack, outcome, .. } = &mut record.entry {
                "failed".clone_into(outcome);
            }
        }),
        ("which takes back `RaiseCapacity`", |record| {
            if let Entry::Outcome { step: Step::LowerCapacity, outcome, .. } = &mut record.entry {
                "failed".clone_into(outcome);
            }
        }),
    ];
    finds(&simulation.case(), &planted);
}

#[test]
fn every_rule_on_a_primary_that_gives_way_finds_its_breach() {
    let planted: [(&str, PlantRecord); 6] = [
        ("`metadata` had not replayed up to", |record| {
            if let Entry::Captured { positions } = &mut record.entry {
                for position in positions {
                    position.replayed = None;
                }
            }
        }),
        ("`metadata` had not replayed up to", |record| {
            if let Entry::Captured { positions } = &mut record.entry {
                positions.clear();
            }
        }),
        ("called proved by one look", |record| {
            if let Entry::Fenced { receipt: Receipt::Proved { quiet_since, proved_at, .. } } =
                &mut record.entry
            {
                *quiet_since = *proved_at;
            }
        }),
        ("called proved without a look at `metadata`", |record| {
            if let Entry::Fenced { receipt: Receipt::Proved { last_written, .. } } = &mut record.entry {
                last_written.clear();
            }
        }),
        ("is proved to give way, not waited out", |record| {
            let (last_renewal_seen_at, lapsed_at) = (record.at, record.at);
            if let Entry::Fenced { receipt } = &mut record.entry {
                *receipt = Receipt::Expired { epoch: receipt.epoch(), last_renewal_seen_at, lapsed_at };
            }
        }),
        ("a lost primary proves nothing", |record| {
            if let Entry::Accepted { kind, .. } = &mut record.entry {
                *kind = Kind::Failover;
            }
        }),
    ];
    finds(&planned(), &planted);
}

#[test]
fn a_fence_that_nothing_proves_is_somebodys_or_nobodys() {
    let unarmed = answered(|plan| {
        plan.policy.failover = Mode::Approval;
        plan.lease.on_loss = OnLeaseLoss::Stay;
    });
    let planted: [(&str, PlantRecord); 2] = [
        ("called accepted by `nobody`", |record| {
            if let Entry::Fenced { receipt: Receipt::Accepted { by, .. } } = &mut record.entry {
                "nobody".clone_into(by);
            }
        }),
        ("the plan arms no dead-man", |record| {
            let (last_renewal_seen_at, lapsed_at) = (record.at, before(record.at, Millis(1)));
            if let Entry::Fenced { receipt } = &mut record.entry {
                *receipt = Receipt::Expired { epoch: receipt.epoch(), last_renewal_seen_at, lapsed_at };
            }
        }),
    ];
    finds(&unarmed, &planted);
}

#[test]
fn every_rule_on_people_finds_its_breach() {
    let planted: [(&str, PlantRecord); 7] = [
        ("`sre-lead` approved what `sre-lead` asked for", |record| {
            answers_as_asked(record, |question| question.started_by = Some("sre-lead".to_owned()));
        }),
        ("`sre-lead` approved what `sre-lead` overrides a check for", |record| {
            answers_as_asked(record, |question| {
                let (by, why) = ("sre-lead".to_owned(), "planted".to_owned());
                let (given_at, until) = (question.asked_at, question.expires_at);
                question.overrides =
                    vec![Override { check: "PF-04:metadata".to_owned(), by, why, given_at, until }];
            });
        }),
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
            if let Entry::Asked { question, .. } = &mut record.entry {
                question.matter = Matter::Acceptance;
            }
        }),
    ];
    // As the plan ships: people are asked.
    finds(&answered(|plan| plan.policy.failover = Mode::Approval), &planted);
}

thread_local! {
    /// The digest of the question that was planted last.
    static ASKED: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Changes the question, and lets the answers name what it became.
fn answers_as_asked(record: &mut Record, change: impl Fn(&mut Question)) {
    match &mut record.entry {
        Entry::Asked { question, digest } => {
            change(question);
            *digest = question.digest();
            ASKED.set(digest.clone());
        }
        Entry::Answered { digest, .. } => *digest = ASKED.take(),
        _ => {}
    }
}
