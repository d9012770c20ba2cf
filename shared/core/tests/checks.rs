//! Every check at every boundary of its thresholds; and what is not known is never ready.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use understudy_core::checks::{
    self, CHECKS, Finding, Grade, Occasion, Spare, Verdict, asks_about_rows, spare, verdict,
};
use understudy_core::lease::{Enforced, KeeperView, Lease, Sighting, lapse_span};
use understudy_core::observed::Observed;
use understudy_core::overrides::{LONGEST, Override, Overrides, may_give};
use understudy_core::plan::{Arming, OnLeaseLoss, Plan, UncertainRows, read};
use understudy_core::ports::{HttpAnswer, InstanceStatus};
use understudy_core::run::Kind;
use understudy_core::shadow::{Gap, Shadow};
use understudy_core::situation::{RouteSituation, Situation, StoreSituation};
use understudy_core::sql::{Lineage, Lsn, Replica, WriterSessions, Written};
use understudy_core::state::Flag;
use understudy_core::switch::{Desired, Side};
use understudy_core::time::{Millis, before};
use understudy_core::votes::{History, Observer, Probe, Seen, Votes};
use understudy_core::wiring::Wiring;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const TABLE: &str = "public.documents";
const DIGEST: &str = "of this plan";

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    let mut plan = read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    plan.lease.on_loss = OnLeaseLoss::Fence;
    plan.lease.arming = Some(Arming {
        by: "sre".to_owned(),
        signed_on: jiff::civil::date(2026, 11, 1),
        shadow_days: Some(30),
        shadow_waived: None,
    });
    plan
}

fn ago(seconds: u64) -> Timestamp {
    before(NOW, Millis::from_secs(seconds))
}

fn known<T>(value: T) -> Observed<T> {
    Observed::known(value, "a test", NOW)
}

fn votes() -> Votes {
    let bad = |seconds| Probe { at: ago(seconds), seen: Seen::Down { reason: "timed out".to_owned() } };
    let history = Arc::new(History { probes: vec![bad(130), bad(70), bad(10)] });
    Votes { histories: Observer::ALL.map(|observer| (observer, known(Arc::clone(&history)))).into() }
}

fn keeper(name: &str, seconds: u64, armed: bool) -> KeeperView {
    let lease = renewal(armed, ago(seconds));
    let sighting = known(Sighting { lease, first_seen_at: ago(seconds) });
    KeeperView { keeper: name.to_owned(), sighting }
}

/// As a guard with the same plan makes it.
fn renewal(armed: bool, at: Timestamp) -> Lease {
    let plan = plan().lease;
    let enforced = Enforced {
        plan: DIGEST.to_owned(),
        ttl: plan.ttl,
        commit_margin: plan.commit_margin,
        drift: plan.drift,
        looks: None,
        within: Some(plan.ttl),
        unset: Vec::new(),
    };
    let granted = Lease::granted(1, &self::plan().regions.primary, armed);
    Lease { renewed_at: Some(at), enforced: Some(enforced), ..granted }
}

fn rows(count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(TABLE.to_owned(), count)])
}

fn lineage(system: &str, timeline: u32) -> Lineage {
    Lineage { system: system.to_owned(), timeline }
}

fn written() -> Written {
    Written {
        before: ago(300),
        committed_at: ago(300),
        position: Lsn(1000),
        rows: rows(1000),
        gate_armed: true,
        unarmed: Vec::new(),
        lease: None,
        sessions: Some(WriterSessions {
            open: 3,
            unbounded: 0,
            longest: Millis(20),
            unbounded_wrote_at: None,
            prepared: Some(0),
        }),
        lineage: Some(lineage("7", 1)),
        ungated_writers: Vec::new(),
        job_runs: None,
    }
}

/// What the switcher's last look found, a minute ago.
fn wired(findings: Vec<Finding>) -> Wiring {
    Wiring { read_at: Some(ago(60)), findings, stuck: Vec::new(), tried_at: ago(60), missed: None }
}

/// A standby that is fit in every respect, about a primary that is down.
fn fit() -> Situation {
    let replica = Replica {
        in_recovery: true,
        received: Some(Lsn(1000)),
        replayed: Some(Lsn(1000)),
        replayed_commit_at: Some(ago(300)),
        replay_paused: false,
        rows: rows(1000),
        now: NOW,
        lineage: Some(lineage("7", 1)),
    };
    let instance = InstanceStatus {
        id: "financial-rag-replica".to_owned(),
        status: "available".to_owned(),
        source: Some("financial-rag".to_owned()),
        backup_retention_days: Some(7),
    };
    Situation {
        asked: false,
        to: Side::Standby,
        plan_digest: DIGEST.to_owned(),
        shadow: known(Some(Shadow { since: ago(9000), times: 0, last: None })),
        wiring: known(Some(wired(Vec::new()))),
        at: NOW,
        votes: votes(),
        keepers: vec![keeper("standby", 300, true), keeper("witness", 310, true)],
        hold: known(None),
        overrides: known(Overrides::default()),
        switch: known(Desired {
            serves: Side::Primary,
            epoch: 0,
            set_at: ago(9000),
            published_at: Some(ago(20)),
        }),
        stores: vec![StoreSituation {
            store: "metadata".to_owned(),
            watermark: known(written()),
            replica: known(replica),
            instance: known(instance),
            login: known(()),
        }],
        routes: vec![RouteSituation { route: "api".to_owned(), answer: known(HttpAnswer::Status(200)) }],
        gives_way: Vec::new(),
    }
}

const FAILOVER: Occasion = Occasion::Execution(Kind::Failover);
const SWITCHOVER: Occasion = Occasion::Execution(Kind::Switchover);

fn assess(plan: &Plan, situation: &Situation) -> Vec<Finding> {
    checks::assess(plan, FAILOVER, situation)
}

/// The fit situation, about a primary that lives.
fn alive() -> Situation {
    Situation { keepers: vec![keeper("standby", 20, true), keeper("witness", 20, true)], ..fit() }
}

fn finding(plan: &Plan, situation: &Situation, id: &str) -> Finding {
    let found = assess(plan, situation).into_iter().find(|finding| finding.id == id);
    found.unwrap_or_else(|| panic!("{id} gave no finding"))
}

fn grade(id: &str, change: impl FnOnce(&mut Situation)) -> Grade {
    let mut situation = fit();
    change(&mut situation);
    finding(&plan(), &situation, id).grade
}

fn store(situation: &mut Situation) -> &mut StoreSituation {
    situation.stores.first_mut().expect("a store")
}

fn replica(situation: &mut Situation, change: impl FnOnce(&mut Replica)) {
    let Observed::Known { value, .. } = &mut store(situation).replica else { panic!("no replica") };
    change(value);
}

#[test]
fn a_fit_standby_passes_every_check() {
    let findings = assess(&plan(), &fit());
    assert_eq!(verdict(&findings), Verdict::Ready, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.grade == Grade::Pass), "{findings:#?}");
    let asked: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    let of_it = CHECKS.iter().filter(|check| check.asked.contains(&FAILOVER));
    assert_eq!(asked, of_it.map(|check| check.id).collect::<Vec<_>>());
}

#[test]
fn every_check_is_asked_at_some_time() {
    assert!(CHECKS.iter().all(|check| !check.asked.is_empty()));
}

#[test]
fn a_switchover_needs_a_primary_that_renews_and_a_fence_that_reaches_every_writer() {
    let grade = |situation: &Situation, id: &str| {
        let found =
            checks::assess(&plan(), SWITCHOVER, situation).into_iter().find(|finding| finding.id == id);
        found.unwrap_or_else(|| panic!("{id} gave no finding")).grade
    };
    let mut alive = alive();
    store(&mut alive).watermark = Observed::known(written(), "watermark", ago(20));
    assert_eq!(verdict(&checks::assess(&plan(), SWITCHOVER, &alive)), Verdict::Ready);
    assert_eq!(grade(&fit(), "PF-11"), Grade::Block, "a stale lease");
    let mut unseen = alive.clone();
    unseen.keepers.iter_mut().for_each(|view| view.sighting = Observed::unknown("timed out"));
    assert_eq!(grade(&unseen, "PF-11"), Grade::Unknown);
    let mut free = alive.clone();
    let others = Written { ungated_writers: vec!["etl".to_owned()], ..written() };
    store(&mut free).watermark = Observed::known(others, "watermark", ago(20));
    assert_eq!(grade(&free, "PF-12"), Grade::Block);
    store(&mut free).watermark = Observed::unknown("timed out");
    assert_eq!(grade(&free, "PF-12"), Grade::Unknown);
}

#[test]
fn readiness_asks_nothing_about_a_primary_that_is_down_or_gives_way() {
    let asked = checks::assess(&plan(), Occasion::Watch, &fit());
    assert!(asked.iter().all(|finding| !["PF-01", "PF-11", "PF-12", "PF-13"].contains(&finding.id.as_str())));
    assert_eq!(asked.len(), CHECKS.len() - 4);
}

#[test]
fn no_finding_is_no_pass() {
    assert_eq!(verdict(&[]), Verdict::Refused);
}

#[test]
fn pf_01_the_primary_must_still_be_down() {
    let id = "PF-01";
    let up = History { probes: vec![Probe { at: ago(5), seen: Seen::Up }] };
    let back = |count: usize| {
        let up = up.clone();
        grade(id, move |s| {
            s.votes.histories.iter_mut().take(count).for_each(|(_, h)| *h = known(Arc::new(up.clone())));
        })
    };
    assert_eq!((back(0), back(1), back(2)), (Grade::Pass, Grade::Pass, Grade::Block));
    let ttl = plan().lease.ttl.0 / 1000;
    assert_eq!(grade(id, |s| s.keepers = vec![keeper("standby", ttl, true)]), Grade::Block);
    assert_eq!(grade(id, |s| s.keepers = vec![keeper("standby", ttl + 1, true)]), Grade::Pass);
    let unread = |s: &mut Situation| {
        s.keepers.last_mut().expect("a keeper").sighting = Observed::unknown("timed out");
    };
    assert_eq!(grade(id, unread), Grade::Unknown);
}

#[test]
fn pf_02_a_hold_blocks() {
    let flag = Flag {
        raised: true,
        by: "sre".to_owned(),
        why: "a release".to_owned(),
        at: NOW,
        category: None,
        also: Vec::new(),
    };
    assert_eq!(grade("PF-02", |s| s.hold = known(Some(flag))), Grade::Block);
}

#[test]
fn pf_03_a_replica_must_be_one() {
    assert_eq!(grade("PF-03", |s| replica(s, |r| r.in_recovery = false)), Grade::Block);
}

#[test]
fn pf_04_lag_passes_warns_and_blocks_at_the_plans_limits() {
    let lag = plan().stores.first().expect("a store").lag;
    let behind = |lag: u64, paused: bool| {
        grade("PF-04", |s| {
            replica(s, |r| {
                r.replayed = Some(Lsn(999));
                r.replayed_commit_at = Some(before(ago(300), Millis(lag)));
                r.replay_paused = paused;
            });
        })
    };
    assert_eq!(behind(lag.warn.0, false), Grade::Pass);
    assert_eq!(behind(lag.warn.0 + 1, false), Grade::Warn);
    assert_eq!(behind(lag.block.0, false), Grade::Warn);
    assert_eq!(behind(lag.block.0 + 1, false), Grade::Block);
    assert_eq!(behind(0, true), Grade::Warn, "a paused replay is said, however close");
    assert_eq!(behind(lag.block.0 + 1, true), Grade::Block);
    let idle = |s: &mut Situation| replica(s, |r| r.replayed_commit_at = Some(ago(90_000)));
    assert_eq!(grade("PF-04", idle), Grade::Pass, "an idle primary is not a lagging replica");
    assert_eq!(grade("PF-04", |s| replica(s, |r| r.replayed = None)), Grade::Unknown);
    let no_commit = |s: &mut Situation| {
        replica(s, |r| {
            r.replayed = Some(Lsn(999));
            r.replayed_commit_at = None;
        });
    };
    assert_eq!(grade("PF-04", no_commit), Grade::Unknown);
}

#[test]
fn pf_05_the_share_of_rows_is_exactly_the_plans() {
    // So far behind that its position says nothing of what it holds.
    let behind = |s: &mut Situation, change: fn(&mut Replica)| {
        replica(s, move |r| {
            r.replayed = Some(Lsn(999));
            r.replayed_commit_at = Some(ago(90_000));
            change(r);
        });
    };
    let held = |count: fn(&mut Replica)| grade("PF-05", move |s| behind(s, count));
    assert_eq!(held(|r| r.rows = rows(990)), Grade::Pass);
    assert_eq!(held(|r| r.rows = rows(989)), Grade::Block);
    assert_eq!(held(|r| r.rows = rows(1010)), Grade::Pass);
    assert_eq!(held(|r| r.rows = BTreeMap::new()), Grade::Unknown);
    assert_eq!(
        held(|r| {
            r.rows = BTreeMap::new();
            r.replayed = None;
        }),
        Grade::Unknown
    );
}

/// Rows that were deleted since the watermark, a small table after seconds of lag, a table that cannot be counted in time or
/// is locked: no reason to let a primary die in vain.
#[test]
fn pf_05_asks_the_position_before_it_counts() {
    let found = |change: fn(&mut Replica)| {
        let mut situation = fit();
        replica(&mut situation, change);
        let plan = plan();
        let all = checks::assess(&plan, Occasion::Watch, &situation);
        all.into_iter().find(|finding| finding.id == "PF-05").expect("it is asked")
    };
    for change in [(|r| r.rows = rows(1)) as fn(&mut Replica), |r| r.rows = BTreeMap::new()] {
        let deleted = found(change);
        assert_eq!(deleted.grade, Grade::Warn, "{deleted:?}");
        assert!(deleted.evidence.contains("by its position the replica holds all"), "{deleted:?}");
        assert!(!deleted.fix.is_empty());
    }
    let lags = found(|r| {
        r.replayed = Some(Lsn(999));
        r.replayed_commit_at = Some(ago(302));
        r.rows = rows(900);
    });
    assert_eq!(lags.grade, Grade::Warn, "{lags:?}");
    assert!(lags.evidence.contains("which the plan allows"), "{lags:?}");
    let uncounted = |s: &mut Situation| {
        let Observed::Known { value, .. } = &mut store(s).watermark else { panic!("no watermark") };
        value.rows.clear();
    };
    assert_eq!(grade("PF-05", uncounted), Grade::Warn);
    // And by the plan's choice people are asked.
    let mut plan = plan();
    assert!(!asks_about_rows(&plan, std::slice::from_ref(&lags)));
    plan.stores.iter_mut().for_each(|store| store.uncertain_rows = Some(UncertainRows::Ask));
    assert!(asks_about_rows(&plan, &[lags]));
    // What is not to be counted is not missed.
    plan.stores.iter_mut().for_each(|store| store.counted = vec!["public.other".to_owned()]);
    let mut situation = fit();
    replica(&mut situation, |r| r.rows = BTreeMap::from([("public.other".to_owned(), 5)]));
    let Observed::Known { value, .. } = &mut store(&mut situation).watermark else { panic!("no watermark") };
    value.rows = BTreeMap::from([("public.other".to_owned(), 5)]);
    let all = checks::assess(&plan, Occasion::Watch, &situation);
    assert!(all.iter().any(|finding| finding.id == "PF-05" && finding.grade == Grade::Pass), "{all:?}");
}

/// A planned move stops nobody before it is known that the fence would end.
#[test]
fn pf_12_a_prepared_transaction_is_told_before_anybody_is_stopped() {
    let mut situation = alive();
    let found = |situation: &Situation| {
        let all = checks::assess(&plan(), Occasion::Execution(Kind::Switchover), situation);
        all.into_iter().find(|finding| finding.id == "PF-12").expect("it is asked")
    };
    assert_eq!(found(&situation).grade, Grade::Pass);
    let Observed::Known { value, .. } = &mut store(&mut situation).watermark else { panic!("no watermark") };
    value.sessions.as_mut().expect("sessions").prepared = Some(2);
    let finding = found(&situation);
    assert_eq!(finding.grade, Grade::Block);
    assert!(finding.evidence.contains("2 transactions prepared"), "{finding:?}");
    assert!(finding.fix.contains("rollback prepared"), "{finding:?}");
}

/// What a failover by itself needs is looked at before anything fails.
#[test]
fn pf_16_who_must_see_sees() {
    let found = |situation: &Situation| {
        let all = checks::assess(&plan(), Occasion::Watch, situation);
        all.into_iter().find(|finding| finding.id == "PF-16").expect("it is asked")
    };
    let say = |seen: [Seen; 3]| {
        let probe = |seen: Seen| {
            let at = |seconds| ago(seconds);
            let probes = [300, 200, 100, 20].map(|seconds| Probe { at: at(seconds), seen: seen.clone() });
            known(std::sync::Arc::new(History { probes: probes.to_vec() }))
        };
        Votes { histories: Observer::ALL.into_iter().zip(seen.map(probe)).collect() }
    };
    let (up, down) = (Seen::Up, Seen::Down { reason: "no answer".to_owned() });
    let unknown = Seen::Unknown { reason: "cut off".to_owned() };
    let with = |votes: Votes| Situation { votes, ..alive() };
    assert_eq!(found(&with(say([up.clone(), up.clone(), up.clone()]))).grade, Grade::Pass);
    let alone = found(&with(say([up.clone(), up.clone(), down])));
    assert_eq!(alone.grade, Grade::Warn, "{alone:?}");
    assert!(alone.evidence.contains("route53 says that the primary is down"), "{alone:?}");
    let blind = found(&with(say([up, unknown.clone(), unknown.clone()])));
    assert_eq!(blind.grade, Grade::Block, "{blind:?}");
    assert!(blind.evidence.starts_with("1 of 2 needed observers see"), "{blind:?}");
    let mut dark = alive();
    if let Some(keeper) = dark.keepers.last_mut() {
        keeper.sighting = Observed::unknown("timed out");
    }
    let keeper = found(&dark);
    assert_eq!(keeper.grade, Grade::Unknown);
    assert!(keeper.evidence.contains("keeper `witness`"), "{keeper:?}");
}

#[test]
fn pf_06_the_service_must_be_able_to_promote() {
    let with = |change: fn(&mut InstanceStatus)| {
        grade("PF-06", move |s| {
            let Observed::Known { value, .. } = &mut store(s).instance else { panic!("no instance") };
            change(value);
        })
    };
    assert_eq!(with(|i| i.source = None), Grade::Block);
    assert_eq!(with(|i| i.status = "backing-up".to_owned()), Grade::Block);
    assert_eq!(with(|i| i.backup_retention_days = Some(1)), Grade::Pass);
    assert_eq!(with(|i| i.backup_retention_days = Some(0)), Grade::Warn);
    assert_eq!(with(|i| i.backup_retention_days = None), Grade::Warn);
}

#[test]
fn pf_08_the_standby_answers_with_a_success() {
    let with = |answer: HttpAnswer| {
        grade("PF-08", move |s| s.routes.iter_mut().for_each(|route| route.answer = known(answer.clone())))
    };
    for (status, wanted) in [(199, Grade::Block), (200, Grade::Pass), (299, Grade::Pass), (300, Grade::Block)]
    {
        assert_eq!(with(HttpAnswer::Status(status)), wanted, "{status}");
    }
    assert_eq!(with(HttpAnswer::Failed("refused".to_owned())), Grade::Block);
    assert_eq!(grade("PF-08", |s| s.routes.clear()), Grade::Unknown);
}

#[test]
fn pf_09_a_level_is_published_for_exactly_three_ticks() {
    let limit = plan().tick.0 * 3;
    let published = |at: Option<Timestamp>| {
        grade("PF-09", move |s| {
            let Observed::Known { value, .. } = &mut s.switch else { panic!("no switch") };
            value.published_at = at;
        })
    };
    assert_eq!(published(Some(before(NOW, Millis(limit)))), Grade::Pass);
    assert_eq!(published(Some(before(NOW, Millis(limit + 1)))), Grade::Block);
    assert_eq!(published(None), Grade::Block);
}

#[test]
fn pf_10_every_renewal_that_still_holds_must_be_armed() {
    let keepers = |standby: (u64, bool), witness: (u64, bool)| {
        grade("PF-10", move |s| {
            s.keepers =
                vec![keeper("standby", standby.0, standby.1), keeper("witness", witness.0, witness.1)];
        })
    };
    assert_eq!(keepers((300, true), (310, true)), Grade::Pass);
    assert_eq!(keepers((300, false), (310, true)), Grade::Block, "the newer one is not armed");
    assert_eq!(
        keepers((300, true), (310, false)),
        Grade::Block,
        "which of two is newer, one clock says alone"
    );
    let over = 300 + lapse_span(&plan().lease).0 / 1000;
    assert_eq!(keepers((300, true), (over, false)), Grade::Block);
    assert_eq!(
        keepers((300, true), (over + 1, false)),
        Grade::Pass,
        "nothing of the older one holds any more"
    );
    assert_eq!(grade("PF-10", |s| s.keepers.clear()), Grade::Unknown);
    let unread = |s: &mut Situation| {
        s.keepers.last_mut().expect("a keeper").sighting = Observed::unknown("timed out");
    };
    assert_eq!(grade("PF-10", unread), Grade::Unknown, "it could not be closed with a proof");
    let mut stays = plan();
    stays.lease.on_loss = OnLeaseLoss::Stay;
    assert_eq!(finding(&stays, &fit(), "PF-10").grade, Grade::Warn);
}

/// A planned move is about a side that lives; that it serves nobody bars nothing, and is told.
#[test]
fn who_asks_for_a_move_is_told_that_the_side_that_gives_way_serves_nobody() {
    let asked = |kind, mut situation: Situation, answer: Observed<HttpAnswer>| {
        situation.gives_way = vec![RouteSituation { route: "api".to_owned(), answer }];
        let id = if kind == Kind::Failback { "PF-13" } else { "PF-11" };
        let findings = checks::assess(&plan(), Occasion::Execution(kind), &situation);
        let found = findings.iter().find(|finding| finding.id == id).expect("it is asked");
        (found.grade, found.evidence.clone(), situation.served_at())
    };
    let look = |answer| Observed::known(answer, "https://api.example.com/transactions", ago(1));
    for (kind, situation) in [(Kind::Switchover, alive()), (Kind::Failback, turned())] {
        let good = asked(kind, situation.clone(), look(HttpAnswer::Status(200)));
        assert_eq!((good.0, good.2), (Grade::Pass, Some(ago(1))), "{kind:?}");
        let (grade, evidence, served_at) = asked(kind, situation.clone(), look(HttpAnswer::Status(503)));
        assert_eq!((grade, served_at), (Grade::Warn, None), "{kind:?}");
        assert!(
            evidence.ends_with(
                "it does not serve by `api`, a write to https://api.example.com/transactions: 503"
            ),
            "{evidence}"
        );
        let unseen = asked(kind, situation, Observed::unknown("timed out"));
        assert_eq!((unseen.0, unseen.2), (Grade::Warn, None), "{kind:?}");
    }
    assert_eq!(fit().served_at(), None, "nobody asked");
}

/// A standby that serves, and an old primary that follows it by now.
fn turned() -> Situation {
    let moved = |name: &str| {
        let lease = Lease::granted(2, &plan().regions.standby, true);
        let sighting = known(Sighting { lease, first_seen_at: ago(9000) });
        KeeperView { keeper: name.to_owned(), sighting }
    };
    let mut turned =
        Situation { to: Side::Primary, keepers: vec![moved("standby"), moved("witness")], ..fit() };
    store(&mut turned).instance = known(InstanceStatus {
        id: "financial-rag".to_owned(),
        status: "available".to_owned(),
        source: Some("arn:aws:rds:us-west-2:111122223333:db:financial-rag-replica".to_owned()),
        backup_retention_days: Some(7),
    });
    turned
}

#[test]
fn a_failback_needs_a_standby_that_serves_and_a_primary_that_follows_it() {
    let back =
        |situation: &Situation| checks::assess(&plan(), Occasion::Execution(Kind::Failback), situation);
    let grade = |situation: &Situation, id: &str| {
        back(situation).into_iter().find(|finding| finding.id == id).expect("it is asked").grade
    };
    assert_eq!(verdict(&back(&turned())), Verdict::Ready, "{:#?}", back(&turned()));
    let serves = Situation { keepers: fit().keepers, ..turned() };
    assert_eq!(grade(&serves, "PF-13"), Grade::Block, "the primary holds the lease");
    let mut unread = turned();
    unread.keepers.last_mut().expect("a keeper").sighting = Observed::unknown("timed out");
    assert_eq!(grade(&unread, "PF-13"), Grade::Unknown);
    for source in [None, Some("another".to_owned())] {
        let mut astray = turned();
        let Observed::Known { value, .. } = &mut store(&mut astray).instance else { panic!("no instance") };
        value.source.clone_from(&source);
        assert_eq!(grade(&astray, "PF-14"), Grade::Block, "{source:?}");
    }
    let mut unseen = turned();
    store(&mut unseen).instance = Observed::unknown("timed out");
    assert_eq!(grade(&unseen, "PF-14"), Grade::Unknown);
    assert!(back(&not_caught_up()).iter().any(|finding| finding.id == "PF-04" && finding.blocks()));
}

/// As [`turned`], but the old primary has not caught up yet.
fn not_caught_up() -> Situation {
    let mut late = turned();
    let block = plan().stores.first().expect("a store").lag.block.0;
    replica(&mut late, |r| {
        r.replayed = Some(Lsn(999));
        r.replayed_commit_at = Some(before(ago(300), Millis(block + 1)));
    });
    late
}

#[test]
fn pf_15_what_the_dead_man_would_have_done_is_said_and_blocks_nothing() {
    let watch = |shadow: Observed<Option<Shadow>>| {
        let findings = checks::assess(&plan(), Occasion::Watch, &Situation { shadow, ..fit() });
        assert_eq!(verdict(&findings), Verdict::Ready);
        let found = findings.into_iter().find(|finding| finding.id == "PF-15").expect("it is asked");
        (found.grade, found.evidence)
    };
    let gap = Gap { from: ago(900), to: ago(600) };
    assert_eq!(watch(known(Some(Shadow { since: ago(9000), times: 0, last: None }))).0, Grade::Pass);
    assert_eq!(watch(known(None)).0, Grade::Warn);
    assert_eq!(watch(Observed::unknown("timed out")).0, Grade::Warn);
    let (grade, evidence) = watch(known(Some(Shadow { since: ago(9000), times: 1, last: Some(gap) })));
    assert_eq!(grade, Grade::Warn);
    assert!(evidence.starts_with("1 time since"), "{evidence}");
}

#[test]
fn an_optional_store_warns_where_a_required_one_blocks() {
    let mut plan = plan();
    plan.stores.first_mut().expect("a store").required = false;
    let mut situation = fit();
    store(&mut situation).login = Observed::unknown("no route to host");
    let finding = finding(&plan, &situation, "PF-07");
    assert_eq!(finding.grade, Grade::Warn);
    assert_eq!(verdict(&assess(&plan, &situation)), Verdict::Ready);
}

#[test]
fn whatever_does_not_pass_says_what_to_do() {
    for situation in every_gap() {
        for finding in assess(&plan(), &situation).iter().filter(|finding| finding.grade != Grade::Pass) {
            assert!(!finding.fix.is_empty() && !finding.evidence.is_empty(), "{finding:?}");
        }
    }
}

/// The fit situation with one observation gone, for every observation that there is.
fn every_gap() -> Vec<Situation> {
    let whole = serde_json::to_value(fit()).expect("JSON");
    let mut paths = Vec::new();
    observations(&whole, "", &mut paths);
    assert!(paths.len() >= 10, "{paths:?}");
    let without = |path: &String| {
        let mut gap = whole.clone();
        *gap.pointer_mut(path).expect("an observation") = json!({"unknown": {"reason": "timed out"}});
        serde_json::from_value(gap).expect("a situation")
    };
    paths.iter().map(without).collect()
}

fn observations(value: &Value, at: &str, paths: &mut Vec<String>) {
    if value.get("known").is_some() {
        paths.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| observations(value, &format!("{at}/{name}"), paths));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| observations(value, &format!("{at}/{i}"), paths));
        }
        _ => {}
    }
}

#[test]
fn one_observation_missing_is_never_ready() {
    for situation in every_gap() {
        let findings = assess(&plan(), &situation);
        // Two of three votes are a quorum: one unknown vote is what the third is for. The count decides nothing; where
        // nothing blocks, nothing needs to be overridden; and the API that tells of the switch's records may be what is lost.
        let spared = situation.votes != fit().votes
            || situation.shadow != fit().shadow
            || situation.overrides != fit().overrides
            || situation.wiring != fit().wiring;
        let wanted = if spared { Verdict::Ready } else { Verdict::Refused };
        assert_eq!(verdict(&findings), wanted, "{situation:#?}");
    }
    let mut unseen = fit();
    unseen
        .votes
        .histories
        .iter_mut()
        .take(2)
        .for_each(|(_, history)| *history = Observed::unknown("timed out"));
    assert_eq!(verdict(&assess(&plan(), &unseen)), Verdict::Refused);
    let mut unasked = fit();
    unasked.stores.clear();
    assert_eq!(verdict(&assess(&plan(), &unasked)), Verdict::Refused);
}

/// Nothing of a standby is known, so that every check of a failover blocks.
/// A name that no level of the switch moves.
fn held_fast() -> Finding {
    Finding {
        id: "LV-08".to_owned(),
        subject: "api".to_owned(),
        grade: Grade::Block,
        evidence: "no such alarm".to_owned(),
        fix: "deploy".to_owned(),
        overridden: None,
    }
}

fn all_bad() -> Situation {
    let mut bad = fit();
    bad.votes.histories.iter_mut().for_each(|(_, history)| *history = Observed::unknown("timed out"));
    bad.keepers.iter_mut().for_each(|view| view.sighting = Observed::unknown("timed out"));
    bad.hold = Observed::unknown("timed out");
    bad.switch = Observed::unknown("timed out");
    bad.wiring = known(Some(Wiring { stuck: vec![held_fast()], ..wired(Vec::new()) }));
    let seen = store(&mut bad);
    seen.watermark = Observed::unknown("timed out");
    seen.replica = Observed::unknown("timed out");
    seen.instance = Observed::unknown("timed out");
    seen.login = Observed::unknown("timed out");
    bad.routes.iter_mut().for_each(|route| route.answer = Observed::unknown("timed out"));
    bad
}

fn given(check: &str, from: Timestamp, until: Timestamp) -> Override {
    let (by, why) = ("sre-deputy".to_owned(), "the replica is all that is left".to_owned());
    Override { check: check.to_owned(), by, why, given_at: from, until }
}

fn with(overrides: Vec<Override>) -> Situation {
    Situation { overrides: known(Overrides { given: overrides }), ..all_bad() }
}

fn later(seconds: u64) -> Timestamp {
    understudy_core::time::after(NOW, Millis::from_secs(seconds))
}

#[test]
fn an_overridden_check_keeps_its_grade_and_its_evidence_and_blocks_no_more() {
    let lagging = |overrides: Vec<Override>| {
        let mut situation = fit();
        replica(&mut situation, |r| {
            r.replayed = Some(Lsn(999));
            r.replayed_commit_at = Some(before(ago(300), Millis::from_secs(3600)));
        });
        situation.overrides = known(Overrides { given: overrides });
        situation
    };
    let blocked = finding(&plan(), &lagging(Vec::new()), "PF-04");
    assert!(
        blocked.blocks() && blocked.fix.contains("understudy override PLAN PF-04 metadata"),
        "{blocked:?}"
    );
    let one = given("PF-04:metadata", ago(60), later(60));
    let situation = lagging(vec![one.clone()]);
    let taken = finding(&plan(), &situation, "PF-04");
    assert_eq!((taken.grade, &taken.evidence), (Grade::Block, &blocked.evidence));
    assert_eq!(taken.overridden, Some(one));
    assert_eq!(verdict(&assess(&plan(), &situation)), Verdict::Ready);
    // The instant at which it ends is no longer its own.
    let over = lagging(vec![given("PF-04:metadata", ago(60), NOW)]);
    let blocks = finding(&plan(), &over, "PF-04");
    assert!(blocks.blocks() && blocks.fix.contains("it ended at"), "{blocks:?}");
    let early = lagging(vec![given("PF-04:metadata", later(1), later(60))]);
    assert!(finding(&plan(), &early, "PF-04").blocks());
    let mut unread = lagging(Vec::new());
    unread.overrides = Observed::unknown("the cell does not read");
    let blocks = finding(&plan(), &unread, "PF-04");
    assert!(blocks.blocks() && blocks.fix.contains("the cell does not read"), "{blocks:?}");
}

/// Each version of plan and code that may have renewed is judged by what it enforces.
#[test]
fn pf_10_what_the_guard_enforces_is_what_counts() {
    let renewed = |change: fn(&mut Lease)| {
        let mut situation = fit();
        for view in &mut situation.keepers {
            let Observed::Known { value, .. } = &mut view.sighting else { panic!("not seen") };
            change(&mut value.lease);
        }
        finding(&plan(), &situation, "PF-10")
    };
    let another = renewed(|lease| lease.enforced.as_mut().expect("it says so").plan = "another".to_owned());
    assert!(another.grade == Grade::Block && another.evidence.contains("another version"), "{another:?}");
    let silent = renewed(|lease| lease.enforced = None);
    assert!(silent.grade == Grade::Block && silent.evidence.contains("older than"), "{silent:?}");
    let endless = renewed(|lease| lease.enforced.as_mut().expect("it says so").within = None);
    assert!(endless.grade == Grade::Block && endless.evidence.contains("without end"), "{endless:?}");
}

#[test]
fn pf_10_says_why_a_database_is_not_armed_and_which_sessions_outlast_the_margin() {
    let told = |armed: bool, change: fn(&mut Written)| {
        let mut situation = fit();
        situation.keepers = vec![keeper("standby", 300, armed), keeper("witness", 300, armed)];
        let mut written = written();
        change(&mut written);
        store(&mut situation).watermark = known(written);
        finding(&plan(), &situation, "PF-10")
    };
    let new = told(false, |written| written.unarmed.push("`documents_2027` has no gate".to_owned()));
    assert!(new.grade == Grade::Block && new.evidence.contains("`documents_2027` has no gate"), "{new:?}");
    let pooled = told(true, |written| written.sessions.as_mut().expect("sessions").unbounded = 4);
    assert!(pooled.grade == Grade::Warn && pooled.evidence.contains("4 sessions"), "{pooled:?}");
    let wrote = |seconds: u64| {
        let mut written = written();
        written.sessions.as_mut().expect("sessions").unbounded_wrote_at = Some(ago(seconds));
        let mut situation = fit();
        store(&mut situation).watermark = known(written);
        finding(&plan(), &situation, "PF-10").grade
    };
    assert_eq!(
        (wrote(300 + 3600), wrote(300 + 3601)),
        (Grade::Warn, Grade::Pass),
        "an hour before the heartbeat"
    );
}

/// A restored primary under the old name has no replica, and the renamed one keeps its own.
#[test]
fn pf_14_only_a_replica_of_the_plans_primary_is_promoted() {
    let of = |source: Option<&str>| {
        let source = source.map(str::to_owned);
        grade("PF-14", move |s| {
            let Observed::Known { value, .. } = &mut store(s).instance else { panic!("no instance") };
            value.source = source;
        })
    };
    assert_eq!(of(Some("financial-rag")), Grade::Pass);
    assert_eq!(of(Some("arn:aws:rds:us-east-1:111122223333:db:financial-rag")), Grade::Pass);
    assert_eq!(of(Some("arn:aws:rds:eu-west-1:111122223333:db:financial-rag")), Grade::Block, "elsewhere");
    assert_eq!(of(Some("arn:aws:rds:us-east-1:111122223333:db:financial-rag-old")), Grade::Block, "renamed");
    assert_eq!(of(Some("financial-rag-old")), Grade::Block);
    assert_eq!(of(None), Grade::Block);
    let lineages = |told: Option<Lineage>, own: Option<Lineage>| {
        grade("PF-14", move |s| {
            store(s).watermark = known(Written { lineage: told, ..written() });
            replica(s, |replica| replica.lineage = own);
        })
    };
    let seventh = |timeline| Some(lineage("7", timeline));
    assert_eq!(lineages(seventh(1), Some(lineage("8", 1))), Grade::Block, "another cluster");
    assert_eq!(lineages(seventh(1), seventh(2)), Grade::Block, "a history of its own");
    assert_eq!(lineages(seventh(2), seventh(1)), Grade::Pass, "its last restart point is older");
    assert_eq!(lineages(None, seventh(1)), Grade::Pass, "an older agent");
}

#[test]
fn whether_sessions_end_past_the_lease_is_a_note_and_no_condition() {
    let told = |runs: Option<bool>| {
        let mut situation = fit();
        store(&mut situation).watermark = known(Written { job_runs: runs, ..written() });
        finding(&plan(), &situation, "PF-10")
    };
    let notes =
        [(None, "with the last renewal"), (Some(true), "a job of pg_cron ends"), (Some(false), "stay open")];
    for (runs, note) in notes {
        let found = told(runs);
        assert!(found.grade == Grade::Pass && found.evidence.contains(note), "{found:?}");
    }
}

#[test]
fn what_has_no_override_says_why_and_what_to_do_instead() {
    let bad = assess(&plan(), &all_bad());
    assert!(bad.iter().all(Finding::is_bad), "{bad:#?}");
    let mut never = Vec::new();
    for check in CHECKS {
        let key = bad.iter().find(|finding| finding.id == check.id).map(Finding::key);
        let wanted = given(&key.unwrap_or_else(|| format!("{}:metadata", check.id)), NOW, later(7200));
        match (check.spare, may_give(&plan(), &bad, &[], &wanted)) {
            (Spare::Named, given) => assert_eq!(given, Ok(())),
            (Spare::Nobody { why, instead }, Err(said)) => {
                assert!(said.contains(why) && said.contains(instead), "{said}");
                never.push(check.id);
            }
            (Spare::Nobody { .. }, Ok(())) => panic!("{} was overridden", check.id),
        }
    }
    let nobody =
        ["PF-01", "PF-02", "PF-03", "PF-06", "PF-07", "PF-11", "PF-12", "PF-13", "PF-14", "PF-15", "PF-16"];
    assert_eq!(never, nobody);
    let refusal = |wanted: &Override| may_give(&plan(), &bad, &[], wanted).expect_err("refused");
    assert!(refusal(&given("PF-01:financial-rag", NOW, later(60))).contains("understudy switchover"));
    assert!(refusal(&given("PF-99:metadata", NOW, later(60))).contains("no such check"));
    assert!(refusal(&given("PF-04", NOW, later(60))).contains("PF-04 metadata"), "no subject");
    let long = after_longest();
    assert!(refusal(&given("PF-04:metadata", NOW, long)).contains("1 d"), "too long");
    let fine = assess(&plan(), &fit());
    let needless = may_give(&plan(), &fine, &[], &given("PF-04:metadata", NOW, later(60)));
    assert!(needless.expect_err("refused").contains("blocks nothing now"));
    let refused = ["PF-04:metadata".to_owned()];
    assert_eq!(may_give(&plan(), &fine, &refused, &given("PF-04:metadata", NOW, later(60))), Ok(()));
    let mut heard = plan();
    heard.policy.approvers = vec!["cto".to_owned()];
    let stranger = may_give(&heard, &bad, &[], &given("PF-04:metadata", NOW, later(60)));
    assert!(stranger.expect_err("refused").contains("cto"));
}

fn after_longest() -> Timestamp {
    understudy_core::time::after(NOW, LONGEST.saturating_add(Millis(1)))
}

proptest! {
    /// However it is given: an override changes its own check at most, never a grade, and counts in its time alone.
    #[test]
    fn an_override_is_for_one_check_one_while_and_nothing_else(
        check in 0..CHECKS.len(),
        began in 0..200_000_u64,
        lasts in 0..200_000_u64,
        named in prop::bool::weighted(0.9),
    ) {
        let plain = assess(&plan(), &all_bad());
        let Some(wanted) = CHECKS.get(check).and_then(|row| plain.iter().find(|finding| finding.id == row.id)) else {
            return Ok(());
        };
        let from = ago(began);
        let until = understudy_core::time::after(from, Millis::from_secs(lasts));
        let mut one = given(&wanted.key(), from, until);
        if !named {
            one.by = " ".to_owned();
        }
        let counts = named
            && NOW < until
            && lasts <= LONGEST.0 / 1000
            && spare(&wanted.id) == Spare::Named;
        let found = assess(&plan(), &with(vec![one]));
        prop_assert_eq!(found.len(), plain.len());
        for (with, without) in found.iter().zip(&plain) {
            prop_assert_eq!((with.key(), with.grade, &with.evidence), (without.key(), without.grade, &without.evidence));
            if with.key() == wanted.key() {
                prop_assert_eq!(with.blocks(), !counts);
            } else {
                prop_assert_eq!(with, without);
            }
        }
    }
}

/// What was found of the switch, and how it weighs now.
fn switch(wiring: Option<Wiring>) -> Vec<(String, Grade)> {
    let situation = Situation { wiring: known(wiring), ..fit() };
    let asked = [Occasion::Watch, Occasion::Execution(Kind::Failover)];
    let told = asked.map(|occasion| {
        let found = checks::assess(&plan(), occasion, &situation);
        let found = found.into_iter().filter(|finding| finding.id == "PF-17");
        found.map(|finding| (finding.evidence, finding.grade)).collect::<Vec<_>>()
    });
    let [watched, failover] = told;
    assert_eq!(watched, failover, "readiness asks what a start asks");
    watched
}

/// A switch that would move no name refuses, for as long as the look is young: Route 53's API may be what is lost.
#[test]
fn pf_17_refuses_a_switch_that_moves_nothing() {
    let found = |id: &str, grade| Finding {
        id: id.to_owned(),
        subject: "api".to_owned(),
        grade,
        evidence: "no such alarm".to_owned(),
        fix: "deploy".to_owned(),
        overridden: None,
    };
    let grade = |wiring: Option<Wiring>| match switch(wiring).as_slice() {
        [(_, grade)] => *grade,
        other => panic!("{other:?}"),
    };
    assert_eq!(grade(Some(wired(Vec::new()))), Grade::Pass);
    let stuck =
        Wiring { stuck: vec![found("LV-08", Grade::Block)], ..wired(vec![found("LV-05", Grade::Block)]) };
    assert_eq!(grade(Some(stuck.clone())), Grade::Block);
    let edge = 15 * 60;
    let aged = |seconds| Wiring { read_at: Some(ago(seconds)), ..stuck.clone() };
    assert_eq!(grade(Some(aged(edge))), Grade::Block);
    assert_eq!(grade(Some(aged(edge + 1))), Grade::Warn, "nobody knows by now");
    let ahead = Wiring { read_at: Some(later(121)), ..stuck };
    assert_eq!(grade(Some(ahead)), Grade::Warn, "nor of one that is dated ahead");
    for id in ["LV-01", "LV-04", "LV-05", "LV-07"] {
        assert_eq!(grade(Some(wired(vec![found(id, Grade::Block)]))), Grade::Warn, "{id}: the names move");
    }
    let old = Wiring { read_at: Some(ago(edge + 1)), ..wired(Vec::new()) };
    assert_eq!(grade(Some(old)), Grade::Warn, "what was well once");
    assert_eq!(grade(None), Grade::Warn);
    let never = Wiring { read_at: None, missed: Some("denied".to_owned()), ..wired(Vec::new()) };
    assert_eq!(grade(Some(never.clone())), Grade::Warn);
    assert!(switch(Some(never)).iter().all(|(evidence, _)| evidence.contains("denied")));
}
