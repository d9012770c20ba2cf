//! What lay outside of our own assumptions once: two versions of a plan, a keeper that nobody closed, a primary that was
//! restored under its replica's feet, a session that opens on the way to the door.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use support::{
    assert_lawful, entered, executions, longest_pause, machine, minutes, pages, report, settled, start, story,
};
use understudy_core::journal::Entry;
use understudy_core::lease::Lease;
use understudy_core::plan::{Mode, OnLeaseLoss};
use understudy_core::run::{End, Receipt};
use understudy_core::state::keys;
use understudy_core::steps::Step;
use understudy_core::time::{Millis, elapsed};
use understudy_sim::asl::Machine;
use understudy_sim::example;
use understudy_sim::functions::Function;
use understudy_sim::simulation::Simulation;
use understudy_sim::trace::What;
use understudy_sim::world::{Break, Place, Settings};

/// The old guard gave the database eight minutes, and was replaced by one of our plan a minute before the Region was cut
/// off: by then its lease still stands there.
#[test]
fn a_longer_lease_that_an_older_guard_gave_is_waited_out() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::GuardOf(480));
    simulation.run_for(minutes(3));
    simulation.break_now(Break::GuardOurs);
    simulation.run_for(minutes(1));
    simulation.break_now(Break::Isolate(Place::Primary));
    let report = report(&mut simulation);
    assert_eq!(report.end, End::Recovered, "{}", story(&simulation));
    let Some(Receipt::Expired { last_renewal_seen_at, lapsed_at, .. }) = report.receipt else {
        panic!("{:?}", report.receipt)
    };
    let ours = example::plan().expect("the example").lease;
    let waited = elapsed(last_renewal_seen_at, lapsed_at);
    assert!(waited > ours.ttl.saturating_add(minutes(2)), "{waited}");
    assert_lawful(&simulation, "a lease of an older guard");
}

/// Whatever the guard of another plan enforces: it proves nothing here, and people are asked.
#[test]
fn a_guard_of_another_plan_arms_nothing() {
    for seconds in [60, 300] {
        let machine = machine();
        let mut simulation = settled(&machine);
        simulation.break_now(Break::GuardOf(seconds));
        simulation.run_for(minutes(3));
        simulation.break_now(Break::Isolate(Place::Primary));
        let report = report(&mut simulation);
        assert_eq!(report.end, End::Refused, "{}", story(&simulation));
        assert!(report.cause.contains("another version of the plan"), "{}", report.cause);
        assert_lawful(&simulation, "a guard of another plan");
    }
}

/// No dead-man, nobody who holds the door: five minutes in which all is well.
fn stays(machine: &Machine) -> Simulation<'_> {
    let mut plan = example::plan().expect("the example");
    plan.lease.on_loss = OnLeaseLoss::Stay;
    plan.policy.failover = Mode::Automatic;
    let mut simulation = Simulation::new(machine, plan, Settings::default());
    simulation.run_for(minutes(5));
    simulation
}

/// The witness could not be closed; the old primary comes back, finds it alone, and renews there.
#[test]
fn a_second_writer_that_anybody_can_see_is_told_and_its_keeper_is_closed() {
    let machine = machine();
    let mut simulation = stays(&machine);
    simulation.break_at("CloseLease", Millis::ZERO, Break::Cut(Place::Standby, Place::Witness));
    simulation.break_now(Break::Kill(Place::Primary));
    while simulation.ends().is_empty() {
        simulation.run_for(Millis::from_secs(5));
        if let Some(name) = simulation.world.executions().first() {
            let _ = simulation.answer(&name.clone(), true, "sre-lead");
        }
    }
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
    simulation.break_now(Break::Cut(Place::Primary, Place::Standby));
    simulation.break_now(Break::Returns(Place::Primary));
    simulation.run_for(minutes(3));
    let told = |s: &Simulation<'_>| pages(s).iter().filter(|page| page.contains("TWO WRITERS")).count();
    assert_eq!(told(&simulation), 0, "nobody could see it yet");
    simulation.break_now(Break::Heal);
    simulation.break_now(Break::Cut(Place::Primary, Place::Standby));
    simulation.run_for(minutes(2));
    assert_eq!(told(&simulation), 1, "{:?}", pages(&simulation));
    let lease = simulation.world.peek(Place::Witness, &keys::lease()).expect("the witness's lease");
    let lease: Lease = serde_json::from_value(lease).expect("a lease");
    assert_eq!((lease.epoch, lease.closed_by.is_some()), (2, true), "{lease:?}");
    let written = |s: &Simulation<'_>| {
        let trace = s.world.trace();
        let local = |what: &What| {
            matches!(
                what,
                What::Acknowledged { client: "local", side: understudy_core::switch::Side::Primary, .. }
            )
        };
        trace.iter().filter(|event| local(&event.what)).count()
    };
    simulation.run_for(minutes(2));
    let before = written(&simulation);
    simulation.run_for(minutes(10));
    assert_eq!(written(&simulation), before, "its guard found the newer epoch and fenced it");
}

#[test]
fn a_replica_of_a_primary_that_was_restored_is_not_promoted() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Restored);
    simulation.run_for(minutes(3));
    simulation.break_now(Break::Kill(Place::Primary));
    let refused = report(&mut simulation);
    assert_eq!(refused.end, End::Refused, "{}", story(&simulation));
    assert!(refused.cause.contains("PF-14"), "{}", refused.cause);
    assert_lawful(&simulation, "a restored primary");
}

/// It was the right one when the standby was assessed.
#[test]
fn whom_the_replica_follows_is_looked_at_once_more_at_the_door() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_at("Freeze", Millis::ZERO, Break::Restored);
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    let report = report(&mut simulation);
    assert_eq!(report.end, End::RolledBack, "{}", story(&simulation));
    assert!(report.cause.contains("follows"), "{}", report.cause);
    assert_lawful(&simulation, "a primary that was restored on the way to the door");
}

/// Automatic when it began, and people hold the door by the time that it is reached: they are asked at once.
#[test]
fn a_session_that_opens_on_the_way_is_asked_about_before_it_opens() {
    let machine = machine();
    let plan = example::opens_soon(example::plan().expect("the example"));
    let mut simulation = Simulation::new(&machine, plan.clone(), Settings::default());
    simulation.run_for(Millis::from_secs(70));
    simulation.break_now(Break::Kill(Place::Primary));
    while !entered(&simulation, "Assess") {
        simulation.run_for(Millis::from_secs(1));
    }
    assert_eq!(plan.mode_at(simulation.world.now()), Mode::Automatic);
    assert!(simulation.run_until(minutes(1), |s| entered(s, "AskApproval")), "{}", story(&simulation));
    let refused = report(&mut simulation);
    assert_eq!((refused.end, executions(&simulation)), (End::Refused, 1), "{}", story(&simulation));
    assert_lawful(&simulation, "a session that opens");
}

/// The primary's queues are away: a guard whose looks do not come renews at its ticks, and gives its lease as long as ticks
/// need. What that costs a healthy application ends with the next tick.
#[test]
fn a_primary_whose_looks_do_not_come_is_not_fenced() {
    let machine = machine();
    let plan = example::in_no_hands(example::shipped().expect("the example"));
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.ticks_anywhere = true;
    simulation.looks_came();
    simulation.run_for(minutes(5));
    assert_eq!(longest_pause(&simulation, Millis::ZERO), Millis::from_secs(1), "no write was refused");
    simulation.break_now(Break::QueuesAway(Place::Primary));
    simulation.run_for(minutes(30));
    let first = longest_pause(&simulation, Millis::ZERO);
    assert!(first <= Millis::from_secs(75), "{first}: from the end of its lease to the next tick");
    assert_eq!(longest_pause(&simulation, minutes(8)), Millis::from_secs(1), "and none behind it");
    assert_eq!(executions(&simulation), 0, "nobody moves away from a primary that serves");
    assert_lawful(&simulation, "the primary's queues are away");
}

/// A handler that is never called, for its schedule is off, or a Region that is gone: nobody in it tells anybody.
#[test]
fn a_standby_that_does_not_look_is_told_of_by_the_witness() {
    for broken in [Break::Still(Place::Standby), Break::Kill(Place::Standby)] {
        let machine = machine();
        let mut simulation = settled(&machine);
        let told = |s: &Simulation<'_>| pages(s).iter().filter(|page| page.contains("DOES NOT LOOK")).count();
        simulation.run_for(minutes(20));
        assert_eq!(told(&simulation), 0, "all is well");
        simulation.break_now(broken);
        simulation.run_for(minutes(4));
        assert_eq!(told(&simulation), 0, "a lost tick or two is no silence");
        simulation.run_for(minutes(3));
        assert_eq!(told(&simulation), 1, "{broken:?}: {:?}", pages(&simulation));
        simulation.run_for(minutes(10));
        assert_eq!(told(&simulation), 1, "once, while it lasts");
        simulation.break_now(Break::Heal);
        simulation.run_for(minutes(30));
        assert_eq!(told(&simulation), 1, "it looks again");
        assert_lawful(&simulation, "a silent standby");
    }
}

/// Heartbeats and renewals go on, and what is renewed does not reach the database: it looks alive, and takes no write.
#[test]
fn a_primary_whose_lease_does_not_reach_its_database_is_told_of() {
    let machine = machine();
    let mut simulation = settled(&machine);
    let told =
        |s: &Simulation<'_>| pages(s).iter().filter(|page| page.contains("DOES NOT GET ITS LEASE")).count();
    simulation.run_for(minutes(20));
    assert_eq!(told(&simulation), 0, "all is well");
    simulation.break_now(Break::SetsNothing);
    simulation.run_for(minutes(5));
    assert_eq!(told(&simulation), 1, "{:?}", pages(&simulation));
    assert_eq!(executions(&simulation), 0, "a primary that renews is not moved away from");
    simulation.break_now(Break::Heal);
    simulation.run_for(minutes(30));
    assert_eq!(told(&simulation), 1, "it is set again");
    assert_lawful(&simulation, "a lease that is not set");
}

/// What is published moves no name by then: people are told before the night, and on it nothing is promoted for nobody.
#[test]
fn a_switch_that_moves_nothing_is_told_of_and_refuses() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::AlarmDeleted);
    let told =
        |s: &Simulation<'_>| pages(s).iter().any(|page| page.contains("PF-17") && page.contains("no alarm"));
    assert!(simulation.run_until(minutes(12), told), "{:?}", pages(&simulation));
    simulation.break_now(Break::Kill(Place::Primary));
    let refused = report(&mut simulation);
    assert_eq!(refused.end, End::Refused, "{}", story(&simulation));
    assert!(refused.cause.contains("PF-17"), "{}", refused.cause);
    assert_lawful(&simulation, "a switch without an alarm");
}

/// The primary's Region has Route 53's API: what the last look found stands, and nothing waits for it.
#[test]
fn a_look_at_the_switch_that_cannot_be_made_keeps_nobody() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
    simulation.run_for(minutes(40));
    assert_lawful(&simulation, "no Route 53");
}

/// The keeper that could not be closed shows a renewal of just now, and the tick closes it: the risk that somebody takes a
/// moment later is that of a primary that lives.
#[test]
fn a_renewal_that_was_seen_counts_against_an_acceptance_though_its_keeper_is_closed_by_now() {
    let machine = machine();
    let mut simulation = stays(&machine);
    let front = |simulation: &mut Simulation<'_>| {
        simulation.break_now(Break::ApplicationDown(Place::Primary));
        simulation.break_now(Break::Cut(Place::Primary, Place::Standby));
    };
    front(&mut simulation);
    simulation.break_now(Break::Cut(Place::Standby, Place::Witness));
    simulation.run_for(minutes(10));
    simulation.deliver(Function::AlarmHandler, &start("failover"));
    assert!(simulation.run_until(minutes(5), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
    simulation.break_now(Break::Heal);
    front(&mut simulation);
    let told = |s: &Simulation<'_>| pages(s).iter().any(|page| page.contains("TWO WRITERS"));
    assert!(simulation.run_until(minutes(3), told), "{}", story(&simulation));
    simulation.run_for(Millis::from_secs(5));
    let name = simulation.world.executions().first().cloned().expect("it runs");
    simulation.answer(&name, true, "sre-lead");
    simulation.run_until(minutes(60), |simulation| !simulation.ends().is_empty());
    let promoted =
        simulation.world.trace().iter().any(|event| matches!(event.what, What::PromoteTaken { .. }));
    assert!(!promoted, "{}", story(&simulation));
    assert_lawful(&simulation, "an acceptance beside a renewal");
}

/// Votes look at the primary, which is dead by then, and no execution looks at the name any more.
#[test]
fn a_standby_that_stops_serving_after_a_recovery_is_told_of() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
    let told =
        |s: &Simulation<'_>| pages(s).iter().filter(|page| page.contains("CLIENTS ARE NOT SERVED")).count();
    simulation.run_for(minutes(20));
    assert_eq!(told(&simulation), 0, "all is well: {:?}", pages(&simulation));
    simulation.break_now(Break::ApplicationDown(Place::Standby));
    simulation.run_for(minutes(10));
    assert_eq!(told(&simulation), 1, "{:?}", pages(&simulation));
    assert_lawful(&simulation, "a standby that stops serving");
}

/// Silence is a no, and the ordinary way back must not give the lease back beside a hand that promoted meanwhile.
#[test]
fn the_lease_is_not_given_back_beside_a_promotion_by_a_hand() {
    let machine = machine();
    let mut simulation = stays(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
    simulation.world.promote_by_hand();
    simulation.run_until(minutes(60), |s| !s.ends().is_empty());
    let report = report(&mut simulation);
    assert_eq!(report.end, End::NeedsOperator, "{}", story(&simulation));
    let granted = simulation.world.trace().iter().any(|event| match &event.what {
        What::Journaled(record) => matches!(record.entry, Entry::Intent { step: Step::GrantBack, .. }),
        _ => false,
    });
    assert!(!granted, "{}", story(&simulation));
}

/// By the clock of a host that is wrong no vote counts: the workflow's clock counts too, so that nobody's acceptance moves an
/// application away from a primary that every observer sees.
#[test]
fn a_wrong_clock_does_not_accept_a_risk_beside_a_primary_that_is_seen() {
    let machine = machine();
    for seed in 1..=8 {
        let mut plan = example::plan().expect("the example");
        plan.lease.on_loss = OnLeaseLoss::Stay;
        plan.policy.failover = Mode::Automatic;
        let mut simulation = Simulation::new(&machine, plan, Settings { seed, ..Settings::default() });
        simulation.run_for(minutes(5));
        simulation.break_now(Break::Kill(Place::Primary));
        assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
        // The database and its application are back, and the guard is not.
        simulation.break_now(Break::Still(Place::Primary));
        simulation.break_now(Break::Returns(Place::Primary));
        simulation.run_for(minutes(4));
        simulation.break_now(Break::ClocksWrong(1000));
        let name = simulation.world.executions().first().cloned().expect("it runs");
        let _ = simulation.answer(&name, true, "sre-lead");
        simulation.run_until(minutes(60), |s| !s.ends().is_empty());
        let promoted =
            simulation.world.trace().iter().any(|event| matches!(event.what, What::PromoteTaken { .. }));
        assert!(!promoted, "seed {seed}: {}", story(&simulation));
    }
}

/// A backup of the replica is no promotion: a primary that is seen has its lease back at once.
#[test]
fn a_busy_replica_keeps_a_living_primary_from_nothing() {
    let machine = machine();
    let mut simulation = stays(&machine);
    simulation.break_now(Break::Isolate(Place::Primary));
    assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
    simulation.break_now(Break::Heal);
    simulation.run_for(minutes(3));
    let name = simulation.world.executions().first().cloned().expect("it runs");
    simulation.break_now(Break::BackingUp);
    let _ = simulation.answer(&name, true, "sre-lead");
    assert!(simulation.run_until(minutes(2), |s| !s.ends().is_empty()), "{}", story(&simulation));
    assert_eq!(report(&mut simulation).end, End::RolledBack, "{}", story(&simulation));
    assert_lawful(&simulation, "a busy replica");
}

/// Busy for hours, it was no promotion: the lease goes back once one would have shown, or at once where the primary is there.
#[test]
fn a_replica_that_is_busy_for_hours_keeps_the_lease_from_nobody_for_ever() {
    let machine = machine();
    for returns in [false, true] {
        let mut simulation = stays(&machine);
        simulation.break_now(Break::Kill(Place::Primary));
        assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
        simulation.break_now(Break::Optimizes);
        simulation.run_until(minutes(60), |s| !s.ends().is_empty());
        let told = report(&mut simulation);
        assert_eq!(told.end, End::NeedsOperator, "{}", story(&simulation));
        assert!(told.cause.contains("whether a hand promoted the standby is not known"), "{}", told.cause);
        if returns {
            // Its application stays away, so that nobody sees it: only its own guard does.
            simulation.break_now(Break::ApplicationDown(Place::Primary));
            simulation.break_now(Break::Returns(Place::Primary));
            simulation.run_for(minutes(3));
        }
        let _ = simulation.deliver(Function::AlarmHandler, &support::go_on());
        simulation.run_for(minutes(if returns { 3 } else { 20 }));
        let name = simulation.world.executions().pop().expect("it went on");
        let end = simulation.report(&name).map(|report| report.end);
        assert_eq!(end, Some(End::RolledBack), "returns {returns}: {}", story(&simulation));
        assert_lawful(&simulation, "busy for hours");
    }
}

/// Its guard was there, whatever observers see: we keep its writers out, and a health path that asks the database shows that.
#[test]
fn a_primary_that_is_back_while_people_are_asked_is_told_and_bars_the_yes() {
    let machine = machine();
    let mut simulation = stays(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
    simulation.break_now(Break::ApplicationDown(Place::Primary));
    simulation.break_now(Break::Returns(Place::Primary));
    let told = |s: &Simulation<'_>| pages(s).iter().any(|page| page.contains("THE PRIMARY IS BACK"));
    assert!(simulation.run_until(minutes(4), told), "{}", story(&simulation));
    let name = simulation.world.executions().first().cloned().expect("it runs");
    let _ = simulation.answer(&name, true, "sre-lead");
    assert!(simulation.run_until(minutes(4), |s| !s.ends().is_empty()), "{}", story(&simulation));
    assert_eq!(report(&mut simulation).end, End::RolledBack, "{}", story(&simulation));
    assert_lawful(&simulation, "a primary that is back");
}

/// The fence replicates with the clock of the side that gave way: whoever takes over lifts it by its own kind, not by its time.
#[test]
fn a_side_that_gives_way_with_a_clock_ahead_keeps_nobody_shut() {
    let machine = machine();
    let mut plan = example::plan().expect("the example");
    plan.lease.on_loss = OnLeaseLoss::Stay;
    plan.policy.failover = Mode::Automatic;
    let settings = Settings { primary_ahead: minutes(10), ..Settings::default() };
    let mut simulation = Simulation::new(&machine, plan, settings);
    simulation.run_for(minutes(5));
    let _ = simulation.deliver(Function::AlarmHandler, &start("switchover"));
    simulation.run_until(minutes(60), |s| !s.ends().is_empty());
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
}

/// A guard that runs beside a dead database is no primary that is back: an acceptance counts.
#[test]
fn a_guard_beside_a_database_that_does_not_answer_bars_no_acceptance() {
    let machine = machine();
    let mut simulation = stays(&machine);
    simulation.break_now(Break::DatabaseDown);
    simulation.break_now(Break::ApplicationDown(Place::Primary));
    assert!(simulation.run_until(minutes(30), |s| entered(s, "AskAcceptance")), "{}", story(&simulation));
    simulation.run_for(minutes(3));
    assert!(
        !pages(&simulation).iter().any(|page| page.contains("THE PRIMARY IS BACK")),
        "{}",
        story(&simulation)
    );
    let name = simulation.world.executions().first().cloned().expect("it runs");
    let _ = simulation.answer(&name, true, "sre-lead");
    assert!(simulation.run_until(minutes(30), |s| !s.ends().is_empty()), "{}", story(&simulation));
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
    assert_lawful(&simulation, "a database alone");
}
