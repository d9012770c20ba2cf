//! What follows a move: the old primary returns and is fenced, is built anew as a replica, and a person goes back.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod support;

use support::{assert_lawful, executions, hold, machine, minutes, pages, settled, start, story};
use understudy_core::report::Report;
use understudy_core::returned::{Returned, State};
use understudy_core::run::{End, Kind, Receipt};
use understudy_core::shadow::Shadow;
use understudy_core::state::keys;
use understudy_core::switch::Side;
use understudy_core::time::Millis;
use understudy_sim::asl::Machine;
use understudy_sim::functions::{Function, Invoked};
use understudy_sim::simulation::Simulation;
use understudy_sim::trace::{Event, What};
use understudy_sim::world::{Break, Place};

/// Runs until the newest execution has ended, and reads its report.
fn report(simulation: &mut Simulation<'_>) -> Report {
    let ended = simulation.run_until(minutes(60), |s| !s.ends().is_empty() && !s.busy());
    assert!(ended, "no execution ended:\n{}", story(simulation));
    simulation.run_for(minutes(3));
    let name = simulation.world.executions().into_iter().max().expect("an execution");
    simulation.report(&name).unwrap_or_else(|| panic!("no report of {name}:\n{}", story(simulation)))
}

/// A world that was failed over, whose old primary is back.
fn moved(machine: &Machine) -> Simulation<'_> {
    let mut simulation = settled(machine);
    simulation.break_now(Break::Kill(Place::Primary));
    assert_eq!(report(&mut simulation).end, End::Recovered);
    simulation.break_now(Break::Heal);
    simulation.run_for(minutes(3));
    simulation
}

fn asks_to_go_back(simulation: &mut Simulation<'_>) -> Invoked {
    simulation.deliver(Function::AlarmHandler, &start("failback"))
}

fn returned(simulation: &Simulation<'_>) -> Returned {
    let cell = simulation.world.peek(Place::Standby, &keys::returned()).expect("the guard said so");
    serde_json::from_value(cell).expect("it reads")
}

fn last_ack(simulation: &Simulation<'_>, wanted: Side) -> Option<jiff::Timestamp> {
    let trace = simulation.world.trace();
    let mut acks =
        trace.iter().filter(|event| matches!(event.what, What::Acknowledged { side, .. } if side == wanted));
    acks.next_back().map(|event| event.at)
}

#[test]
fn an_old_primary_that_returns_is_fenced_and_told_of_once() {
    let machine = machine();
    let simulation = moved(&machine);
    let told = returned(&simulation);
    assert_eq!(told.epoch, 2);
    assert!(told.stores.iter().all(|found| found.state == State::Fenced), "{told:?}");
    let pages = pages(&simulation);
    let fenced = pages.iter().filter(|page| page.contains("is fenced and takes no writes")).count();
    assert_eq!(fenced, 1, "{pages:?}");
    assert_lawful(&simulation, "an old primary that returns");
}

#[test]
fn going_back_is_refused_until_the_old_primary_follows() {
    let machine = machine();
    let mut simulation = moved(&machine);
    asks_to_go_back(&mut simulation);
    let refused = report(&mut simulation);
    assert_eq!((refused.kind, refused.end), (Kind::Failback, End::Refused), "{}", story(&simulation));
    assert!(refused.cause.contains("PF-14"), "{}", refused.cause);
    assert_lawful(&simulation, "a way back to nothing");
}

#[test]
fn a_person_goes_back_to_a_primary_that_follows_and_nothing_is_lost() {
    let machine = machine();
    let mut simulation = moved(&machine);
    simulation.break_now(Break::Rebuild);
    simulation.run_for(minutes(3));
    assert!(returned(&simulation).stores.iter().all(|found| found.state == State::Follows));
    assert_eq!(executions(&simulation), 1, "it never goes back by itself");
    let asked_at = simulation.world.now();
    asks_to_go_back(&mut simulation);
    let back = report(&mut simulation);
    assert_eq!((back.kind, back.end), (Kind::Failback, End::Recovered), "{}", story(&simulation));
    assert!(matches!(back.receipt, Some(Receipt::Proved { epoch: 3, .. })), "{:?}", back.receipt);
    assert_eq!((back.rpo.bound.ms, back.rpo.observed.ms), (Some(0), Some(0)));
    assert_lawful(&simulation, "a way back");
    assert!(last_ack(&simulation, Side::Primary) > last_ack(&simulation, Side::Standby));
    assert!(last_ack(&simulation, Side::Standby) > Some(asked_at), "the standby served until then");
    // All is as it was, the guard renews again; but the standby is nobody's replica, and says so.
    simulation.run_for(minutes(10));
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    let next = report(&mut simulation);
    assert_eq!(next.end, End::Refused, "{}", story(&simulation));
    assert!(next.cause.contains("PF-03"), "{}", next.cause);
    // The way back came after the gap that the outage left; it counts as one.
    let shadow = simulation.world.peek(Place::Standby, &keys::shadow()).expect("it was counted");
    let shadow: Shadow = serde_json::from_value(shadow).expect("it reads");
    assert_eq!(shadow.times, 1, "{shadow:?}");
}

#[test]
fn a_standby_whose_way_back_is_stopped_writes_again() {
    let machine = machine();
    let mut simulation = moved(&machine);
    simulation.break_now(Break::Rebuild);
    simulation.run_for(minutes(3));
    asks_to_go_back(&mut simulation);
    let fences = |s: &Simulation<'_>| {
        let fence = |e: &&Event| matches!(&e.what, What::Entered { state, .. } if state == "Fence");
        s.world.trace().iter().filter(fence).count()
    };
    let of_the_way_out = fences(&simulation);
    while fences(&simulation) == of_the_way_out {
        simulation.run_for(Millis(200));
    }
    hold(&simulation, true);
    let stopped = report(&mut simulation);
    assert_eq!((stopped.kind, stopped.end), (Kind::Failback, End::RolledBack), "{}", story(&simulation));
    let ended_at = simulation.world.now();
    simulation.run_for(minutes(5));
    assert!(last_ack(&simulation, Side::Standby) > Some(ended_at), "{}", story(&simulation));
    assert_lawful(&simulation, "a way back that was stopped");
    hold(&simulation, false);
    asks_to_go_back(&mut simulation);
    let back = report(&mut simulation);
    assert_eq!((back.kind, back.end), (Kind::Failback, End::Recovered), "{}", story(&simulation));
    assert!(matches!(back.receipt, Some(Receipt::Proved { epoch: 5, .. })), "{:?}", back.receipt);
    assert_lawful(&simulation, "a second way back");
}

#[test]
fn nobody_goes_back_from_a_primary_that_serves() {
    let machine = machine();
    let mut simulation = settled(&machine);
    let Invoked::Answered(answer) = asks_to_go_back(&mut simulation) else { panic!("it must answer") };
    assert_eq!(answer.pointer("/decision/decision").unwrap(), "declined", "{answer}");
    simulation.run_for(minutes(5));
    assert_eq!(executions(&simulation), 0);
}

#[test]
fn a_guard_that_stood_still_for_longer_than_a_lease_counts_a_gap() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Still(Place::Primary));
    simulation.run_for(minutes(6));
    simulation.break_now(Break::Heal);
    simulation.run_for(minutes(5));
    let shadow = simulation.world.peek(Place::Standby, &keys::shadow()).expect("it was counted");
    let shadow: Shadow = serde_json::from_value(shadow).expect("it reads");
    assert_eq!(shadow.times, 1, "{shadow:?}");
    assert!(shadow.last.is_some_and(|gap| gap.from < gap.to));
    assert_eq!(executions(&simulation), 0);
}
