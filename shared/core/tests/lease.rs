//! The right to write: epochs never fall, closed is closed, and not knowing is not stale.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;
use understudy_core::fault::Fault;
use understudy_core::lease::{
    AHEAD, Claim, Enforced, KeeperView, LastRenewals, Lease, Sighting, Standing, close, give_back,
    lapse_span, last_renewals, made_ahead, renew, sight, standing, stopped_since,
};
use understudy_core::observed::Observed;
use understudy_core::plan::{self, Plan, Region, read};
use understudy_core::state::Change;
use understudy_core::time::{Millis, after};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn primary() -> Region {
    plan().regions.primary
}

fn standby() -> Region {
    plan().regions.standby
}

fn ago(span: Millis) -> Timestamp {
    understudy_core::time::before(NOW, span)
}

fn seen(keeper: &str, lease: Lease, at: Timestamp) -> KeeperView {
    let sighting = Observed::known(Sighting { lease, first_seen_at: at }, "keeper", NOW);
    KeeperView { keeper: keeper.to_owned(), sighting }
}

fn unseen(keeper: &str) -> KeeperView {
    KeeperView { keeper: keeper.to_owned(), sighting: Observed::unknown("timed out") }
}

fn stands(views: &[KeeperView]) -> Standing {
    standing(views, &plan().lease, &standby(), NOW)
}

/// What can happen at one keeper.
#[derive(Clone, Debug)]
enum Deed {
    Renew { epoch: u64, by_primary: bool },
    Close { epoch: u64, execution: u8 },
    GiveBack,
}

/// The standby takes over from a primary that has a guard.
fn claimed(current: Option<&Lease>, epoch: u64, execution: &str) -> Result<Change<Lease>, Fault> {
    close(current, Claim { epoch, claimant: &standby(), execution, guarded: true })
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let renewal = (1..6_u64, any::<bool>()).prop_map(|(epoch, by_primary)| Deed::Renew { epoch, by_primary });
    let closing = (1..6_u64, 0..3_u8).prop_map(|(epoch, execution)| Deed::Close { epoch, execution });
    proptest::collection::vec(prop_oneof![renewal, closing, Just(Deed::GiveBack)], 0..40)
}

fn done(current: Option<&Lease>, deed: &Deed) -> Option<Lease> {
    match deed {
        Deed::Renew { epoch, by_primary } => {
            let holder = if *by_primary { primary() } else { standby() };
            renew(current, *epoch, &holder, true).ok()
        }
        Deed::Close { epoch, execution } => match claimed(current, *epoch, &format!("x{execution}")) {
            Ok(Change::Write(lease)) => Some(lease),
            _ => None,
        },
        Deed::GiveBack => {
            let closed = current.filter(|lease| lease.holder == standby())?;
            Some(give_back(closed, closed.epoch + 1, &primary(), None))
        }
    }
}

proptest! {
    #[test]
    fn an_epoch_never_falls_and_a_counter_grows_with_each_renewal_and_nothing_else(deeds in deeds()) {
        let mut lease: Option<Lease> = None;
        for deed in &deeds {
            let Some(next) = done(lease.as_ref(), deed) else { continue };
            if let Some(before) = &lease {
                prop_assert!(next.epoch >= before.epoch);
                let renewals = u64::from(matches!(deed, Deed::Renew { .. }));
                prop_assert_eq!(next.counter, before.counter + renewals);
                prop_assert!(next.epoch > before.epoch || next.holder == before.holder);
            }
            lease = Some(next);
        }
    }

    #[test]
    fn closing_again_changes_nothing_and_nobody_else_can(deeds in deeds(), epoch in 1..9_u64) {
        let lease = deeds.iter().fold(None, |lease: Option<Lease>, deed| done(lease.as_ref(), deed).or(lease));
        if let Ok(Change::Write(closed)) = claimed(lease.as_ref(), epoch, "mine") {
            prop_assert!(matches!(claimed(Some(&closed), epoch, "mine"), Ok(Change::Keep)));
            prop_assert!(claimed(Some(&closed), epoch, "another").is_err());
            for old in 0..=epoch {
                let renewed = renew(Some(&closed), old, &primary(), true);
                prop_assert!(renewed.is_err(), "epoch {old} renewed after {epoch} was claimed");
            }
        }
    }

    #[test]
    fn one_fresh_renewal_anywhere_is_a_living_primary(
        ages in proptest::collection::vec(proptest::option::of(0..600_000_u64), 1..4),
    ) {
        let views: Vec<KeeperView> = ages
            .iter()
            .map(|age| match age {
                Some(age) => seen("k", Lease::granted(1, &primary(), true), ago(Millis(*age))),
                None => unseen("k"),
            })
            .collect();
        let ttl = plan().lease.ttl.0;
        let fresh = ages.iter().flatten().any(|age| *age <= ttl);
        let unknown = ages.iter().any(Option::is_none);
        match stands(&views) {
            Standing::Renewed { .. } => prop_assert!(fresh),
            Standing::Unknown { .. } => prop_assert!(unknown && !fresh),
            Standing::Stale { .. } => prop_assert!(!unknown && !fresh),
            Standing::Moved { .. } => prop_assert!(false, "the standby holds nothing"),
        }
    }
}

#[test]
fn fresh_ends_exactly_at_the_time_to_live() {
    let ttl = plan().lease.ttl;
    let lease = Lease::granted(1, &primary(), true);
    let at = |age: Millis| stands(&[seen("standby", lease.clone(), ago(age))]);
    assert!(matches!(at(ttl), Standing::Renewed { .. }));
    assert_eq!(at(Millis(ttl.0 + 1)), Standing::Stale { since: ago(Millis(ttl.0 + 1)) });
}

#[test]
fn stale_counts_from_the_newest_sighting() {
    let lease = Lease::granted(1, &primary(), true);
    let (older, newer) = (ago(Millis(500_000)), ago(Millis(400_000)));
    let views = [seen("standby", lease.clone(), older), seen("witness", lease, newer)];
    assert_eq!(stands(&views), Standing::Stale { since: newer });
}

#[test]
fn a_lease_that_moved_is_moved_however_fresh_the_old_one_looks() {
    let old = seen("witness", Lease::granted(1, &primary(), true), NOW);
    let new = seen("standby", Lease::granted(2, &standby(), false), ago(Millis(900_000)));
    assert_eq!(stands(&[old, new]), Standing::Moved { epoch: 2 });
}

#[test]
fn no_keeper_is_unknown() {
    assert!(matches!(stands(&[]), Standing::Unknown { .. }));
}

#[test]
fn a_sighting_starts_anew_with_every_renewal_and_only_then() {
    let lease = Lease::granted(1, &primary(), true);
    let first = Sighting { lease: lease.clone(), first_seen_at: ago(Millis(60_000)) };
    assert!(matches!(sight(Some(&first), &lease, NOW), Change::Keep));
    let renewed = renew(Some(&lease), 1, &primary(), true).expect("a renewal");
    let Change::Write(next) = sight(Some(&first), &renewed, NOW) else { panic!("not noted") };
    assert_eq!((next.first_seen_at, next.lease.counter), (NOW, 2));
}

/// What we write at a keeper ourselves must not look like a primary that lives.
#[test]
fn a_lease_that_was_closed_and_given_back_was_not_renewed() {
    let lease = Lease::granted(1, &primary(), true);
    let mut seen = Sighting { lease: lease.clone(), first_seen_at: ago(Millis(600_000)) };
    let Ok(Change::Write(closed)) = claimed(Some(&lease), 2, "x") else { panic!("not closed") };
    let back = give_back(&closed, 3, &primary(), Some(NOW));
    for ours in [&closed, &back] {
        let Change::Write(next) = sight(Some(&seen), ours, NOW) else { panic!("not noted") };
        assert_eq!(next.first_seen_at, ago(Millis(600_000)));
        seen = next;
    }
    assert!(back.armed && back.closed_by.is_none(), "{back:?}");
    let view = KeeperView { keeper: "standby".to_owned(), sighting: Observed::known(seen.clone(), "k", NOW) };
    assert!(matches!(stands(&[view]), Standing::Stale { .. }));
    // Whoever catches up with it renews all the same.
    for before in [&lease, &back] {
        let renewed = renew(Some(before), 3, &primary(), true).expect("a renewal");
        let Change::Write(next) = sight(Some(&seen), &renewed, NOW) else { panic!("not noted") };
        assert_eq!(next.first_seen_at, NOW, "{before:?}");
    }
}

/// The way back: nobody armed anything for the side that gives way, whatever was armed before it took over.
#[test]
fn what_was_armed_before_the_standby_took_over_says_nothing_on_the_way_back() {
    let lease = Lease::granted(1, &primary(), true);
    let Ok(Change::Write(closed)) = claimed(Some(&lease), 2, "x") else { panic!("not closed") };
    let back = Claim { epoch: 3, claimant: &primary(), execution: "y", guarded: false };
    let Ok(Change::Write(back)) = close(Some(&closed), back) else { panic!("not closed") };
    assert!(!back.armed, "{back:?}");
    assert!(renew(Some(&back), 3, &primary(), true).expect("a renewal").armed);
}

#[test]
fn the_old_writer_is_given_its_lease_the_drift_and_the_margin() {
    let lease = plan::Lease {
        ttl: Millis(180_000),
        drift: Millis(1_000),
        commit_margin: Millis(10_000),
        ..plan().lease
    };
    assert_eq!(lapse_span(&lease), Millis(191_000));
}

const DIGEST: &str = "of this plan";

fn enforced(ttl: u64, within: Option<u64>) -> Enforced {
    let plan = plan().lease;
    Enforced {
        plan: DIGEST.to_owned(),
        ttl: Millis(ttl),
        commit_margin: plan.commit_margin,
        drift: plan.drift,
        looks: None,
        within: within.map(Millis),
        unset: Vec::new(),
    }
}

/// A renewal that was made and seen so many seconds ago.
fn renewed(made: u64, seen: u64, ttl: u64, within: Option<u64>) -> Sighting {
    let lease = Lease {
        renewed_at: Some(ago(Millis::from_secs(made))),
        enforced: Some(enforced(ttl, within)),
        ..Lease::granted(1, &primary(), true)
    };
    Sighting { lease, first_seen_at: ago(Millis::from_secs(seen)) }
}

fn judged(closed: &[Sighting]) -> LastRenewals {
    let lease = plan::Lease {
        ttl: Millis(125_000),
        drift: Millis(1_000),
        commit_margin: Millis(10_000),
        ..plan().lease
    };
    last_renewals(closed, &lease, DIGEST)
}

/// The standby was deployed with a shorter lease, and the Region was lost before its guard was.
#[test]
fn of_two_plans_the_longer_lease_counts() {
    let last = judged(&[renewed(0, 0, 180_000, Some(180_000))]);
    assert_eq!(last.lapses_at, Some(after(NOW, Millis(191_000))), "the guard's");
    let last = judged(&[renewed(0, 0, 60_000, Some(60_000))]);
    assert_eq!(last.lapses_at, Some(after(NOW, Millis(136_000))), "ours");
    let last = judged(&[renewed(0, 0, 125_000, Some(170_000))]);
    assert_eq!(
        last.lapses_at,
        Some(after(NOW, Millis(181_000))),
        "what an older guard had left in a database"
    );
    let last = judged(&[renewed(0, 0, 180_000, Some(180_000)), renewed(90, 90, 300_000, Some(300_000))]);
    assert_eq!(last.lapses_at, Some(after(NOW, Millis(221_000))), "an older renewal may hold for longer");
}

#[test]
fn what_no_version_of_ours_enforces_is_not_armed() {
    let unarmed = |change: fn(&mut Lease)| {
        let mut seen = renewed(0, 0, 125_000, Some(125_000));
        change(&mut seen.lease);
        judged(&[seen]).unarmed.is_some()
    };
    assert!(!unarmed(|_| ()));
    assert!(unarmed(|lease| lease.armed = false));
    assert!(unarmed(|lease| lease.enforced = None));
    assert!(unarmed(|lease| lease.enforced.as_mut().expect("set").plan = "another".to_owned()));
    assert!(unarmed(|lease| lease.enforced.as_mut().expect("set").within = None));
    assert!(judged(&[]).unarmed.is_some());
}

/// A witness that could not be read for a while has an old copy, which is sighted late.
#[test]
fn an_old_armed_copy_that_is_sighted_last_arms_nothing() {
    let mut newest = renewed(10, 10, 125_000, Some(125_000));
    newest.lease.armed = false;
    let old = renewed(600, 0, 125_000, Some(125_000));
    assert!(judged(&[newest.clone(), old.clone()]).unarmed.is_some());
    newest.lease.armed = true;
    let unarmed = Sighting { lease: Lease { armed: false, ..old.lease }, ..old };
    assert!(judged(&[newest.clone(), unarmed.clone()]).unarmed.is_some(), "by one clock alone");
    let long_seen = Sighting { first_seen_at: ago(Millis::from_secs(600)), ..unarmed.clone() };
    assert_eq!(judged(&[newest.clone(), long_seen]).unarmed, None, "nothing of it holds any more");
    let made = |seconds| Some(ago(Millis::from_secs(seconds)));
    let lately = Sighting { lease: Lease { renewed_at: made(20), ..unarmed.lease }, ..unarmed };
    assert!(judged(&[newest, lately]).unarmed.is_some(), "which is newer only one clock says");
}

/// A host whose clock is behind notes a renewal long before it was made.
#[test]
fn a_renewal_is_not_counted_from_before_it_was_made() {
    let seen = renewed(2, 300, 125_000, Some(125_000));
    assert_eq!(seen.counts_from(), ago(Millis::from_secs(2)));
    assert_eq!(judged(&[seen]).lapses_at, Some(after(NOW, Millis(134_000))));
    let late = renewed(300, 2, 125_000, Some(125_000));
    assert_eq!(late.counts_from(), ago(Millis::from_secs(2)), "nor from before it was seen");
}

#[test]
fn a_sighting_that_is_dated_ahead_is_of_now() {
    let lease = Lease::granted(1, &primary(), true);
    let ahead = |ms| Sighting { lease: lease.clone(), first_seen_at: after(NOW, Millis(ms)) };
    assert!(matches!(sight(Some(&ahead(AHEAD.0)), &lease, NOW), Change::Keep));
    let Change::Write(seen) = sight(Some(&ahead(AHEAD.0 + 1)), &lease, NOW) else { panic!("kept") };
    assert_eq!(seen.first_seen_at, NOW);
}

#[test]
fn a_primary_whose_clock_runs_far_ahead_gets_no_receipt_by_its_lease() {
    let plan = plan().lease;
    let ttl = i64::try_from(plan.ttl.0).expect("small");
    let made = |ms: i64| {
        let mut seen = renewed(0, 0, 125_000, Some(125_000));
        seen.lease.renewed_at = Some(NOW + jiff::SignedDuration::from_millis(ms));
        made_ahead(&seen, NOW, &plan).is_some()
    };
    assert_eq!((made(ttl), made(ttl + 1)), (false, true));
}

#[test]
fn writers_that_were_stopped_are_stopped_until_any_keeper_hears_of_them() {
    let lease = Lease::granted(1, &primary(), true);
    let Ok(Change::Write(closed)) = claimed(Some(&lease), 2, "x") else { panic!("not closed") };
    let back = give_back(&closed, 3, &primary(), Some(NOW));
    let again = renew(Some(&back), 3, &primary(), true).expect("a renewal");
    let of = |leases: [&Lease; 2]| stopped_since(&leases.map(|lease| seen("k", lease.clone(), NOW)));
    assert_eq!(of([&back, &back]), Some(NOW));
    assert_eq!(of([&back, &closed]), Some(NOW), "one keeper was out of reach");
    assert_eq!(of([&back, &again]), None);
    assert_eq!(of([&lease, &lease]), None);
    assert_eq!(stopped_since(&[unseen("k")]), None);
}
