//! The report of one whole execution, as it is filed; and what is null where nothing was measured.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use understudy_core::checks::{Finding, Grade, Verdict};
use understudy_core::journal::{Entry, GENESIS, Record, Stored, Whole, verify_chain};
use understudy_core::lease::{Enforced, KeeperView, Lease, Sighting};
use understudy_core::observed::Observed;
use understudy_core::plan::{Plan, read};
use understudy_core::report::{Attestation, Figure, Met, Report, build, cause};
use understudy_core::run::{End, Kind, Position, Receipt};
use understudy_core::sql::Lsn;
use understudy_core::steps::Step;
use understudy_core::time::{Millis, after};
use understudy_core::votes::Onset;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn at(seconds: u64) -> Timestamp {
    after(NOW, Millis::from_secs(seconds))
}

fn intent(step: Step) -> Entry {
    Entry::Intent { step, what: "do it".to_owned() }
}

fn outcome(step: Step, outcome: &str) -> Entry {
    Entry::Outcome { step, outcome: outcome.to_owned(), detail: "as asked".to_owned() }
}

fn accepted() -> Entry {
    Entry::Accepted {
        incident: "i-1".to_owned(),
        attempt: 1,
        kind: Kind::Failover,
        asked: false,
        continues: None,
        accepted_at: at(180),
        hint: "tick".to_owned(),
        onset: Some(Onset { last_good: Some(at(0)), first_bad: at(60) }),
        votes: Vec::new(),
        keepers: Vec::new(),
    }
}

fn assessed(grade: Grade) -> Entry {
    let finding = Finding {
        id: "PF-04".to_owned(),
        subject: "metadata".to_owned(),
        grade,
        evidence: "11m behind the last watermark".to_owned(),
        fix: "resume its replay".to_owned(),
        overridden: None,
    };
    let verdict = if finding.blocks() { Verdict::Refused } else { Verdict::Ready };
    Entry::Assessed { verdict, findings: vec![finding], epoch: Some(2), served_at: None }
}

fn captured(commit_at: Option<Timestamp>) -> Entry {
    let position = |store: &str, required, commit_at| Position {
        store: store.to_owned(),
        required,
        received: Some(Lsn(0x16_B374_D848)),
        replayed: Some(Lsn(0x16_B374_D848)),
        commit_at,
    };
    // The optional store is far behind and must not count.
    Entry::Captured {
        positions: vec![position("metadata", true, commit_at), position("cache", false, Some(at(0)))],
    }
}

fn lease_closed() -> Entry {
    let plan = plan();
    let enforced = Enforced {
        plan: "of this plan".to_owned(),
        ttl: plan.lease.ttl,
        looks: None,
        commit_margin: plan.lease.commit_margin,
        drift: plan.lease.drift,
        within: Some(plan.lease.ttl),
        unset: Vec::new(),
    };
    let granted = Lease::granted(1, &plan.regions.primary, true);
    let lease = Lease { renewed_at: Some(at(9)), enforced: Some(enforced), ..granted };
    let seen = Observed::known(Sighting { lease, first_seen_at: at(10) }, "standby", at(185));
    let keepers = vec![
        KeeperView { keeper: "standby".to_owned(), sighting: seen },
        KeeperView { keeper: "witness".to_owned(), sighting: Observed::unknown("it does not answer") },
    ];
    Entry::LeaseClosed { closed_at: at(185), keepers }
}

fn expired() -> Entry {
    let receipt = Receipt::Expired { epoch: 2, last_renewal_seen_at: at(10), lapsed_at: at(201) };
    Entry::Fenced { receipt }
}

fn confirmed() -> Entry {
    Entry::Confirmed { last_bad: Some(at(590)), first_good: at(600), settled_at: at(660), probes: 30 }
}

fn closed(end: End) -> Entry {
    Entry::Closed { end, cause: "because".to_owned() }
}

fn recovered() -> Vec<(u64, Entry)> {
    vec![
        (180, accepted()),
        (182, assessed(Grade::Pass)),
        (184, intent(Step::CloseLease)),
        (185, lease_closed()),
        (202, expired()),
        (203, captured(Some(at(50)))),
        (204, intent(Step::Promote)),
        (500, intent(Step::Unfence)),
        (505, Entry::Verified { store: "metadata".to_owned(), position: None }),
        (506, intent(Step::MoveTraffic)),
        (507, outcome(Step::MoveTraffic, "done")),
        (660, confirmed()),
        (662, closed(End::Recovered)),
    ]
}

/// As the report writer renders: a chain that is not whole is not rendered.
fn rendered(plan: &Plan, chain: &[Stored]) -> Result<Report, String> {
    let whole = Whole::of(chain).map_err(|error| error.to_string())?;
    build(plan, &whole, Attestation::SelfAttested).map_err(|fault| fault.to_string())
}

/// The chain that these entries make.
fn chain(entries: Vec<(u64, Entry)>) -> Vec<Stored> {
    let mut chain: Vec<Stored> = Vec::new();
    for (seq, (seconds, entry)) in (1..).zip(entries) {
        let record = Record {
            plan: "financial-rag".to_owned(),
            execution: "i-1-a1".to_owned(),
            seq,
            at: at(seconds),
            writer: "store-promoter".to_owned(),
            plan_digest: "d1".to_owned(),
            prev: chain.last().map_or(GENESIS.to_owned(), |stored| stored.sha256().to_owned()),
            entry,
        };
        chain.push(Stored::of(serde_json::to_string(&record).expect("JSON")));
    }
    chain
}

fn report(entries: Vec<(u64, Entry)>) -> Report {
    rendered(&plan(), &chain(entries)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The same run without the entries that `gone` names.
fn without(gone: impl Fn(&Entry) -> bool) -> Report {
    report(recovered().into_iter().filter(|(_, entry)| !gone(entry)).collect())
}

fn is_null(figure: &Figure) -> bool {
    figure.ms.is_none() && figure.why_null.as_ref().is_some_and(|why| !why.is_empty())
}

#[test]
fn a_whole_run_is_filed_like_this() {
    insta::assert_json_snapshot!("report_recovered", report(recovered()));
}

#[test]
fn the_segments_leave_no_gap() {
    let report = report(recovered());
    let segments = &report.clock.segments;
    assert!(segments.windows(2).all(|pair| matches!(pair, [a, b] if a.to == b.from)));
    assert_eq!(segments.first().map(|segment| segment.from), report.clock.first_bad);
    let whole: u64 = segments.iter().map(|segment| segment.ms).sum();
    assert_eq!(whole, 600_000, "from the first bad probe to the confirmation");
}

#[test]
fn the_rto_is_a_range_and_the_rpo_a_bound_of_the_worst_required_store() {
    let report = report(recovered());
    assert_eq!((report.rto.at_least.ms, report.rto.at_most.ms), (Some(530_000), Some(660_000)));
    assert_eq!((report.rto.met, report.rpo.met), (Met::Met, Met::Met));
    assert_eq!(report.rpo.bound.ms, Some(151_000));
    assert!(is_null(&report.rpo.observed));
}

#[test]
fn what_was_not_measured_is_null_with_its_reason() {
    let unconfirmed = without(|entry| matches!(entry, Entry::Confirmed { .. }));
    assert!(is_null(&unconfirmed.rto.at_least) && is_null(&unconfirmed.rto.at_most));
    assert_eq!(unconfirmed.rto.met, Met::NotShown);
    let unfenced = without(|entry| matches!(entry, Entry::Fenced { .. }));
    assert!(is_null(&unfenced.rpo.bound));
    assert_eq!(unfenced.rpo.met, Met::NotShown);
    let uncaptured = without(|entry| matches!(entry, Entry::Captured { .. }));
    assert!(is_null(&uncaptured.rpo.bound));
    for report in [unconfirmed, unfenced, uncaptured] {
        let figures = [
            ("rto.at_least", &report.rto.at_least),
            ("rto.at_most", &report.rto.at_most),
            ("rpo.bound", &report.rpo.bound),
            ("rpo.observed", &report.rpo.observed),
        ];
        for (name, figure) in figures {
            let told = report.not_measured.iter().any(|line| line.starts_with(&format!("{name}: ")));
            assert_eq!(told, figure.ms.is_none(), "{name}: {:?}", report.not_measured);
        }
    }
}

#[test]
fn a_store_that_told_no_commit_time_and_an_accepted_risk_bound_nothing() {
    let changed = |change: fn(Entry) -> Entry| {
        report(recovered().into_iter().map(|(seconds, entry)| (seconds, change(entry))).collect())
    };
    let silent = changed(|entry| match entry {
        Entry::Captured { .. } => captured(None),
        other => other,
    });
    assert!(is_null(&silent.rpo.bound), "{:?}", silent.rpo);
    let accepted = changed(|entry| match entry {
        Entry::Fenced { .. } => Entry::Fenced {
            receipt: Receipt::Accepted {
                epoch: 2,
                by: "sre".to_owned(),
                at: at(202),
                risk: "two writers".to_owned(),
            },
        },
        other => other,
    });
    assert!(is_null(&accepted.rpo.bound), "{:?}", accepted.rpo);
    assert_eq!(accepted.rpo.met, Met::NotShown);
}

#[test]
fn a_refusal_has_no_figures_and_stops_at_its_last_instant() {
    let report = report(vec![(180, accepted()), (182, assessed(Grade::Block)), (183, closed(End::Refused))]);
    assert_eq!(report.end, End::Refused);
    assert!([&report.rto.at_least, &report.rto.at_most, &report.rpo.bound].into_iter().all(is_null));
    let names: Vec<&str> = report.clock.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["detect"]);
}

/// A planned move whose standby was looked at before people were asked and once more after.
fn planned(looks: [(u64, Option<Timestamp>); 3]) -> Report {
    let moved = |kind| match accepted() {
        Entry::Accepted { incident, attempt, accepted_at, hint, votes, keepers, .. } => {
            let (asked, continues, onset) = (false, None, None);
            Entry::Accepted {
                incident,
                attempt,
                kind,
                asked,
                continues,
                accepted_at,
                hint,
                onset,
                votes,
                keepers,
            }
        }
        other => other,
    };
    let looked = looks.map(|(seconds, found)| match assessed(Grade::Pass) {
        Entry::Assessed { verdict, findings, epoch, .. } => {
            (seconds, Entry::Assessed { verdict, findings, epoch, served_at: found })
        }
        other => (seconds, other),
    });
    let proved = Entry::Fenced {
        receipt: Receipt::Proved {
            epoch: 2,
            quiet_since: at(200),
            proved_at: at(202),
            last_written: Vec::new(),
        },
    };
    let mut entries = recovered();
    entries.retain(|(_, entry)| {
        !matches!(entry, Entry::Accepted { .. } | Entry::Assessed { .. } | Entry::Fenced { .. })
    });
    entries.extend([(180, moved(Kind::Switchover)), (202, proved)]);
    entries.extend(looked);
    entries.sort_by_key(|(seconds, _)| *seconds);
    report(entries)
}

#[test]
fn a_planned_move_counts_from_the_last_look_that_found_service_before_the_lease_was_closed() {
    // The last look comes late, behind the closing of the lease: it says nothing of what was before.
    let late = (190, Some(at(190)));
    let whole = planned([(182, Some(at(181))), (183, Some(at(183))), late]);
    // One TTL before it, for somebody may have resolved the name until then.
    assert_eq!((whole.clock.last_good, whole.clock.first_bad), (Some(at(183 - 60)), Some(at(200))));
    assert_eq!((whole.rto.at_least.ms, whole.rto.at_most.ms), (Some(390_000), Some(537_000)));
    // It failed while people were asked: from the look before on, nobody knows.
    let failed = planned([(182, Some(at(181))), (183, None), late]);
    assert_eq!((failed.clock.last_good, failed.rto.at_most.ms), (Some(at(181 - 60)), Some(539_000)));
    // It served nobody when the move was asked for: how long already is not known.
    let dark = planned([(182, None), (183, None), late]);
    assert!(is_null(&dark.rto.at_most), "{:?}", dark.rto);
    assert_eq!((dark.rto.at_least.ms, dark.rto.met), (Some(390_000), Met::NotShown));
}

#[test]
fn objectives_are_missed_only_when_even_the_best_case_is() {
    let mut plan = plan();
    let judged = |plan: &Plan| rendered(plan, &chain(recovered())).expect("a report").rto.met;
    for (objective, met) in
        [(660_000, Met::Met), (659_999, Met::NotShown), (530_000, Met::NotShown), (529_999, Met::Missed)]
    {
        plan.objectives.rto = Millis(objective);
        assert_eq!(judged(&plan), met, "{objective}");
    }
}

#[test]
fn an_open_or_broken_chain_is_not_rendered() {
    let mut open = chain(recovered());
    open.pop();
    assert!(rendered(&plan(), &open).is_err());
    let mut broken = chain(recovered());
    broken.swap(2, 3);
    assert!(rendered(&plan(), &broken).is_err());
    assert!(rendered(&plan(), &[]).is_err());
}

#[test]
fn the_step_that_broke_off_is_named_whatever_came_after_it() {
    let told = |more: Vec<Entry>| {
        let entries = [accepted(), assessed(Grade::Pass)].into_iter().chain(more);
        let records = verify_chain(&chain((180..).zip(entries).collect())).expect("whole");
        cause(&records, End::NeedsOperator)
    };
    let done = |step| [intent(step), outcome(step, "done")];
    let taken_back = [done(Step::GrantBack), done(Step::Thaw)].concat();
    let broke_off =
        |step| format!("{step:?} was begun and left no outcome; its function's log has the error");
    assert_eq!(
        told([vec![intent(Step::CloseLease)], taken_back.clone()].concat()),
        broke_off(Step::CloseLease)
    );
    assert_eq!(told(vec![intent(Step::Promote), assessed(Grade::Pass)]), broke_off(Step::Promote));
    let promoted = vec![intent(Step::Promote), outcome(Step::AwaitPromotion, "done")];
    for known in [taken_back, promoted, vec![intent(Step::LookAgain), assessed(Grade::Pass)]] {
        let said = told(known);
        assert!(said.starts_with("a step failed before it recorded anything"), "{said}");
        assert!(said.contains("The last thing on record: "), "{said}");
    }
}

/// What AWS takes is not divided with a plan: held against a run in fast motion it would flatter.
#[test]
fn nothing_is_predicted_of_a_run_in_fast_motion() {
    assert_eq!(report(recovered()).predicted.len(), 6);
    let fast = rendered(&plan().scaled(20.0), &chain(recovered())).expect("a report");
    assert_eq!(fast.predicted, []);
}
