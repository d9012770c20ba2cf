//! What stopped half-way goes on where a person asks for it: forward behind the one-way door, back before it.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use std::sync::Arc;
use support::{assert_lawful, executions, go_on, machine, minutes, pages, settled, start, story};
use understudy_core::incident::Incident;
use understudy_core::journal::rules::check;
use understudy_core::journal::{Entry, Record, Stopped, Stored};
use understudy_core::plan::{Mode, OnLeaseLoss};
use understudy_core::report::{Met, Report};
use understudy_core::run::End;
use understudy_core::state::keys;
use understudy_core::steps::Step;
use understudy_core::switch::Side;
use understudy_core::time::Millis;
use understudy_sim::asl::Machine;
use understudy_sim::example;
use understudy_sim::functions::{Function, Invoked};
use understudy_sim::simulation::Simulation;
use understudy_sim::trace::What;
use understudy_sim::world::{Break, Place, Settings};

/// The primary dies, and from the first entry into `state` on no call of the standby gets through, until the execution has
/// ended; then all is well, but that nothing goes on by itself.
fn stopped<'m>(machine: &'m Machine, state: &str) -> Simulation<'m> {
    let mut simulation = settled(machine);
    simulation.break_at(state, Millis::ZERO, Break::Throttle(1000));
    simulation.break_now(Break::Kill(Place::Primary));
    let ended = simulation.run_until(minutes(60), |simulation| !simulation.ends().is_empty());
    assert!(ended, "{state}: {}", story(&simulation));
    heal(&mut simulation);
    simulation
}

/// All is well again, and the primary, which may still be in the middle of what took it away, stays dead.
fn heal(simulation: &mut Simulation<'_>) {
    simulation.break_now(Break::Throttle(0));
    // What the report writer could not tell it tells by the event on the end, or by its tick.
    simulation.run_for(minutes(10));
}

fn incident(simulation: &Simulation<'_>) -> Incident {
    let cell = simulation.world.peek(Place::Standby, &keys::incident()).expect("an incident");
    serde_json::from_value(cell).expect("it reads")
}

fn execution(simulation: &Simulation<'_>, attempt: usize) -> String {
    incident(simulation).attempts.get(attempt).expect("an attempt").execution.clone()
}

fn end(simulation: &Simulation<'_>) -> End {
    let incident = incident(simulation);
    let ended = incident.attempts.last().and_then(|last| last.ended.clone());
    ended.unwrap_or_else(|| panic!("it runs:\n{}", story(simulation))).end
}

/// Asks, and waits until nothing runs; what the handler decided.
fn ask(simulation: &mut Simulation<'_>, event: &Value) -> String {
    let Invoked::Answered(handled) = simulation.deliver(Function::AlarmHandler, event) else {
        panic!("not answered:\n{}", story(simulation))
    };
    simulation.run_for(minutes(1));
    simulation.run_until(minutes(60), |simulation| !simulation.busy());
    simulation.run_for(minutes(3));
    handled.get("decision").map(Value::to_string).unwrap_or_default()
}

fn last_report(simulation: &Simulation<'_>) -> Report {
    let name = incident(simulation).attempts.last().expect("an attempt").execution.clone();
    simulation.report(&name).unwrap_or_else(|| panic!("no report of `{name}`:\n{}", story(simulation)))
}

/// The states behind the door, each of which may be the one that cannot go on.
const BEHIND: [&str; 8] = [
    "AwaitPromotion",
    "Unfence",
    "Recycle",
    "VerifyWrite",
    "MoveTraffic",
    "RunConsumers",
    "Confirm",
    "ThawRecovered",
];

#[test]
fn whatever_stopped_behind_the_door_goes_on_to_the_end() {
    let machine = machine();
    for state in BEHIND {
        let mut simulation = stopped(&machine, state);
        let first = end(&simulation);
        if first == End::Recovered {
            // A thaw that fails is left to people, and said so.
            assert_eq!(state, "ThawRecovered");
            continue;
        }
        assert!(matches!(first, End::NeedsOperator | End::Unfinished), "{state}: {first}");
        let asked = ask(&mut simulation, &go_on());
        assert_eq!(end(&simulation), End::Recovered, "{state}: {asked}\n{}", story(&simulation));
        let report = last_report(&simulation);
        let from = report.continues.as_ref().expect("it says from what it went on");
        assert_eq!(from.execution, execution(&simulation, 0));
        assert!(report.receipt.is_some() && !report.positions.is_empty(), "{report:?}");
        // The outage is all of it, what people needed too; once traffic was moved nobody looked whether clients were served.
        let moved = ["MoveTraffic", "RunConsumers", "Confirm", "ThawRecovered"].contains(&state);
        assert!(
            report.rto.at_least.ms.is_some_and(|ms| ms > minutes(if moved { 5 } else { 10 }).0),
            "{state}"
        );
        assert!(report.rto.at_most.ms.is_some_and(|ms| ms > minutes(15).0), "{state}: {:?}", report.rto);
        let names: Vec<&str> = report.clock.segments.iter().map(|segment| segment.name.as_str()).collect();
        assert_eq!(names, ["detect", "decide", "fence", "promote", "switch", "confirm"], "{state}");
        assert_ne!(report.rto.met, Met::Met, "{:?}", report.rto);
        assert!(incident(&simulation).closed_at.is_some());
        assert_lawful(&simulation, state);
    }
}

#[test]
fn whatever_stopped_before_the_door_is_taken_back() {
    let machine = machine();
    for state in ["Freeze", "CloseLease", "Fence", "Capture"] {
        let mut simulation = stopped(&machine, state);
        let first = end(&simulation);
        assert!(matches!(first, End::NeedsOperator | End::Unfinished), "{state}: {first}");
        ask(&mut simulation, &go_on());
        assert_eq!(end(&simulation), End::RolledBack, "{state}: {}", story(&simulation));
        let cause = last_report(&simulation).cause;
        assert!(cause.starts_with("goes on from `") && cause.ends_with("taken back"), "{state}: {cause}");
        assert_lawful(&simulation, state);
        // And now there is the road that there always was.
        ask(&mut simulation, &start("failover"));
        assert_eq!(end(&simulation), End::Recovered, "{state}: {}", story(&simulation));
        assert_lawful(&simulation, state);
    }
}

/// The primary holds the lease by then and renews it, and serves nobody.
#[test]
fn a_way_back_that_stopped_goes_on_too() {
    let machine = machine();
    for state in ["Unfence", "VerifyWrite", "MoveTraffic", "Confirm"] {
        let mut simulation = settled(&machine);
        ask(&mut simulation, &start("switchover"));
        simulation.break_now(Break::Rebuild);
        simulation.run_for(minutes(3));
        simulation.break_at(state, Millis::ZERO, Break::Throttle(1000));
        let _ = simulation.deliver(Function::AlarmHandler, &start("failback"));
        simulation.run_until(minutes(60), |simulation| simulation.ends().len() > 1);
        heal(&mut simulation);
        assert!(incident(&simulation).stopped().is_some(), "{state}: {}", story(&simulation));
        assert!(pages(&simulation).iter().any(|page| page.contains("stopped half-way")), "people are told");
        let asked = ask(&mut simulation, &go_on());
        assert_eq!(end(&simulation), End::Recovered, "{state}: {asked}\n{}", story(&simulation));
        assert_lawful(&simulation, state);
    }
}

/// A hand promoted it meanwhile, and may have let it write: the lease is not given back beside that.
#[test]
fn what_a_hand_promoted_meanwhile_is_not_taken_back() {
    let machine = machine();
    // Also while the service is not done: nobody can tell a promotion from a restart then, and it is waited for. Before the
    // service shows anything at all, nobody sees it.
    for (state, recovers, waits) in
        [("Capture", true, 15), ("Freeze", false, 15), ("Capture", true, 1), ("Freeze", false, 1)]
    {
        let mut simulation = stopped(&machine, state);
        simulation.world.promote_by_hand();
        simulation.run_for(minutes(waits));
        ask(&mut simulation, &go_on());
        let wanted = if recovers { End::Recovered } else { End::NeedsOperator };
        assert_eq!(end(&simulation), wanted, "{state} {waits}: {}", story(&simulation));
        let name = execution(&simulation, 1);
        let gives_back = |stored: &Arc<Stored>| {
            let record = stored.record().expect("it reads");
            matches!(record.entry, Entry::Intent { step: Step::GrantBack, .. })
        };
        let granted = simulation.world.journal(&name).iter().any(gives_back);
        assert!(!granted, "{state} {waits}");
    }
}

/// A risk that somebody took is not taken once more by going on, while the primary lives.
#[test]
fn an_acceptance_of_before_does_not_promote_beside_a_primary_that_is_back() {
    let machine = machine();
    let mut plan = example::plan().expect("the example");
    plan.lease.on_loss = OnLeaseLoss::Stay;
    plan.policy.failover = Mode::Automatic;
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.run_for(minutes(5));
    simulation.break_at("Promote", Millis::ZERO, Break::BackingUp);
    simulation.break_at("Promote", minutes(1), Break::Throttle(1000));
    simulation.break_now(Break::Kill(Place::Primary));
    while simulation.ends().is_empty() {
        simulation.run_for(Millis::from_secs(5));
        if let Some(name) = simulation.world.executions().first() {
            let _ = simulation.answer(&name.clone(), true, "sre-lead");
        }
    }
    simulation.break_now(Break::Still(Place::Primary));
    simulation.break_now(Break::Returns(Place::Primary));
    heal(&mut simulation);
    simulation.run_for(minutes(10));
    let promoted = |simulation: &Simulation<'_>| {
        simulation.world.trace().iter().any(|event| matches!(event.what, What::PromoteTaken { .. }))
    };
    assert!(!promoted(&simulation), "{}", story(&simulation));
    ask(&mut simulation, &go_on());
    assert!(!promoted(&simulation), "{}", story(&simulation));
    // And it is no dead end: nothing was promoted, so that the primary has its lease back.
    assert_eq!(end(&simulation), End::RolledBack, "{}", story(&simulation));
    assert_lawful(&simulation, "an old acceptance");
}

/// It stops again, and again somebody asks.
#[test]
fn what_went_on_and_stopped_again_goes_on_again() {
    let machine = machine();
    let mut simulation = stopped(&machine, "Unfence");
    simulation.break_at("MoveTraffic", Millis::ZERO, Break::Throttle(1000));
    let _ = simulation.deliver(Function::AlarmHandler, &go_on());
    simulation.run_for(minutes(1));
    simulation.run_until(minutes(60), |simulation| !simulation.busy());
    heal(&mut simulation);
    assert!(incident(&simulation).stopped().is_some(), "{}", story(&simulation));
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::Recovered, "{}", story(&simulation));
    let report = last_report(&simulation);
    assert_eq!(report.attempt, 3);
    let from = report.continues.expect("it says from what it went on");
    assert_eq!(from.execution, execution(&simulation, 1));
    assert_lawful(&simulation, "stopped twice");
}

/// It does not even begin to: what stood half-way still stands there, and is not called taken back.
#[test]
fn what_does_not_get_to_go_on_is_gone_on_from_all_the_same() {
    let machine = machine();
    for state in ["Assess", "Continue"] {
        let mut simulation = stopped(&machine, "Unfence");
        simulation.break_at(state, Millis::ZERO, Break::Throttle(1000));
        // And back by the time at which its end is told.
        simulation.break_at("ReportRolledBack", Millis::ZERO, Break::Throttle(0));
        let _ = simulation.deliver(Function::AlarmHandler, &go_on());
        simulation.run_for(minutes(1));
        simulation.run_until(minutes(60), |simulation| !simulation.busy());
        heal(&mut simulation);
        assert!(incident(&simulation).stopped().is_some(), "{state}: {}", story(&simulation));
        ask(&mut simulation, &go_on());
        assert_eq!(end(&simulation), End::Recovered, "{state}: {}", story(&simulation));
        assert_lawful(&simulation, state);
    }
}

#[test]
fn nothing_goes_on_from_what_left_nothing_behind() {
    let machine = machine();
    let mut simulation = settled(&machine);
    let declined = ask(&mut simulation, &go_on());
    assert!(declined.contains("nothing stopped half-way"), "{declined}");
    simulation.break_now(Break::Kill(Place::Primary));
    simulation.run_until(minutes(60), |simulation| !simulation.ends().is_empty());
    simulation.run_for(minutes(3));
    let declined = ask(&mut simulation, &go_on());
    assert!(declined.contains("no incident is open"), "{declined}");
    assert_eq!(executions(&simulation), 1);
    assert_lawful(&simulation, "nothing to go on from");
}

#[test]
fn a_planned_move_waits_for_what_stands_half_way() {
    let machine = machine();
    let mut simulation = stopped(&machine, "Unfence");
    let declined = ask(&mut simulation, &start("failback"));
    assert!(declined.contains("stopped half-way") && declined.contains("understudy continue"), "{declined}");
    assert!(
        pages(&simulation).iter().any(|page| page.contains("NeedsOperator") || page.contains("Unfinished"))
    );
    assert_lawful(&simulation, "a way back in the middle");
}

/// What the records of one that went on may not say.
#[test]
fn every_rule_over_records_that_go_on_finds_its_breach() {
    let machine = machine();
    let mut simulation = stopped(&machine, "Unfence");
    ask(&mut simulation, &go_on());
    let name = incident(&simulation).attempts.last().expect("an attempt").execution.clone();
    let chain = simulation.world.journal(&name);
    let records: Vec<Record> =
        chain.iter().map(|stored| stored.record().expect("it reads").as_ref().clone()).collect();
    let plan = Some(simulation.world.plan.as_ref());
    assert_eq!(check(&records, plan), []);
    let planted = |change: fn(&mut Stopped)| {
        let mut records = records.clone();
        for record in &mut records {
            if let Entry::Continued { from } = &mut record.entry {
                change(from);
            }
        }
        check(&records, plan).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (said, change) in [
        ("and was not accepted to", (|from| from.execution.push('x')) as fn(&mut Stopped)),
        ("`un-fence` before `assess the standby`", |from| from.promotes = false),
        ("a receipt for epoch", |from| from.epoch = Some(7)),
    ] {
        let broken = planted(change);
        assert!(broken.contains(said), "{said}: {broken}");
    }
    // Of one that goes on the first record says so: else it is held to what an outage is declared on.
    let mut anew = records.clone();
    if let Some(Entry::Accepted { continues, .. }) = anew.first_mut().map(|first| &mut first.entry) {
        *continues = None;
    }
    let broken = check(&anew, plan).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(broken.contains("and was not accepted to"), "{broken}");
    // Nothing may be given back by one that goes forward.
    let mut back = records;
    for record in &mut back {
        if matches!(record.entry, Entry::Verified { .. }) {
            record.entry = Entry::Intent { step: Step::GrantBack, what: "planted".to_owned() };
        }
    }
    let broken = check(&back, plan).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(broken.contains("given back behind the one-way door"), "{broken}");
}

/// Somebody else holds the lease by now: what stopped has lost its right, and whoever goes on from it as well.
#[test]
fn nobody_goes_on_under_a_claim_that_is_void() {
    let machine = machine();
    let mut simulation = stopped(&machine, "Unfence");
    let mut lease = simulation.world.peek(Place::Standby, &keys::lease()).expect("a lease");
    lease.as_object_mut().expect("an object").insert("epoch".to_owned(), 9.into());
    simulation.spoil(Place::Standby, &keys::lease(), lease);
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::NeedsOperator, "{}", story(&simulation));
    let trace = simulation.world.trace();
    let published =
        trace.iter().filter(|event| matches!(event.what, What::Published { level } if level >= 1.0));
    assert_eq!(published.count(), 0, "nothing moved under a void claim");
}

/// How many writes a client outside had taken by the standby since the last failure of its own.
fn served_by_the_standby(simulation: &Simulation<'_>) -> usize {
    let trace = simulation.world.trace();
    let failed = |what: &What| matches!(what, What::Failed { client: "outside" });
    let taken =
        |what: &What| matches!(what, What::Acknowledged { side: Side::Standby, client: "outside", .. });
    trace.iter().rev().take_while(|event| !failed(&event.what)).filter(|event| taken(&event.what)).count()
}

/// A failback on its way, from a standby that serves, to a primary that was built anew.
fn going_back(machine: &Machine) -> Simulation<'_> {
    let mut simulation = settled(machine);
    ask(&mut simulation, &start("switchover"));
    simulation.break_now(Break::Rebuild);
    simulation.run_for(minutes(3));
    simulation
}

/// Behind the door of a way back nobody but the primary's Region knows whether it was promoted: `continue` waits for it, and
/// gives nothing back beside it.
#[test]
fn a_way_back_that_lost_the_primary_behind_its_door_waits_for_it() {
    let machine = machine();
    let mut simulation = going_back(&machine);
    simulation.break_at("AwaitPromotion", Millis::ZERO, Break::Kill(Place::Primary));
    let _ = simulation.deliver(Function::AlarmHandler, &start("failback"));
    simulation.run_until(minutes(60), |simulation| simulation.ends().len() > 1);
    simulation.run_for(minutes(3));
    assert!(incident(&simulation).stopped().is_some(), "{}", story(&simulation));
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::NeedsOperator, "{}", story(&simulation));
    simulation.break_now(Break::Returns(Place::Primary));
    simulation.run_for(minutes(10));
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::Recovered, "{}", story(&simulation));
    assert_lawful(&simulation, "a way back behind its door");
}

/// One cut link stops nobody: the standby has its own keeper, and no guard that would lift its fence later.
#[test]
fn a_standby_that_keeps_its_lease_serves_though_the_witness_is_out_of_reach() {
    let machine = machine();
    let mut simulation = going_back(&machine);
    simulation.break_at("Fence", Millis::ZERO, Break::Cut(Place::Standby, Place::Witness));
    simulation.break_at("Capture", Millis::ZERO, Break::Kill(Place::Primary));
    let _ = simulation.deliver(Function::AlarmHandler, &start("failback"));
    simulation.run_until(minutes(60), |simulation| simulation.ends().len() > 1);
    simulation.run_for(minutes(3));
    assert!(served_by_the_standby(&simulation) > 60, "{}", story(&simulation));
    assert!(incident(&simulation).stopped().is_some(), "the witness was not told: {}", story(&simulation));
    simulation.break_now(Break::Heal);
    simulation.break_now(Break::Kill(Place::Primary));
    ask(&mut simulation, &go_on());
    assert_eq!(
        end(&simulation),
        End::RolledBack,
        "whether or not the primary answers: {}",
        story(&simulation)
    );
    assert_lawful(&simulation, "a witness out of reach");
}

/// Asked for and taken away before it claimed anything, an attempt hides nothing of what stands half-way.
#[test]
fn a_failover_that_dies_in_its_assessment_does_not_hide_a_way_back_that_stands_half_way() {
    let machine = machine();
    let mut simulation = going_back(&machine);
    simulation.break_at("Promote", Millis::ZERO, Break::Kill(Place::Primary));
    let _ = simulation.deliver(Function::AlarmHandler, &start("failback"));
    simulation.run_until(minutes(60), |simulation| simulation.ends().len() > 1);
    simulation.run_for(minutes(10));
    assert!(incident(&simulation).stopped().is_some(), "{}", story(&simulation));
    let half_way = |page: &String| page.contains("stopped half-way");
    let misled = |page: &String| half_way(page) && page.contains("understudy failover");
    assert!(pages(&simulation).iter().any(half_way) && !pages(&simulation).iter().any(misled));
    simulation.break_at("Assess", Millis::ZERO, Break::Throttle(1000));
    let _ = simulation.deliver(Function::AlarmHandler, &start("failover"));
    simulation.run_for(minutes(1));
    simulation.run_until(minutes(300), |simulation| !simulation.busy());
    heal(&mut simulation);
    assert!(incident(&simulation).stopped().is_some(), "{}", story(&simulation));
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::RolledBack, "{}", story(&simulation));
    assert!(served_by_the_standby(&simulation) > 60, "{}", story(&simulation));
    assert_lawful(&simulation, "an attempt that took nothing");
}

/// What people did by hand behind a way back is closed by a person, and not before the lease says who serves.
#[test]
fn what_was_brought_to_its_end_by_hand_is_closed_by_a_person() {
    let machine = machine();
    let mut simulation = going_back(&machine);
    simulation.break_at("AwaitPromotion", Millis::ZERO, Break::Kill(Place::Primary));
    let _ = simulation.deliver(Function::AlarmHandler, &start("failback"));
    simulation.run_until(minutes(60), |simulation| simulation.ends().len() > 1);
    simulation.run_for(minutes(3));
    let close = serde_json::json!({"close": {"by": "sre-lead", "why": "the standby serves, by hand"}});
    let declined = ask(&mut simulation, &close);
    assert!(declined.contains("the lease is held for"), "{declined}");
    let mut lease = simulation.world.peek(Place::Standby, &keys::lease()).expect("a lease");
    let epoch = lease.get("epoch").and_then(Value::as_u64).expect("an epoch");
    let standby = serde_json::json!(simulation.world.plan.regions.standby);
    let fields = lease.as_object_mut().expect("an object");
    fields.insert("epoch".to_owned(), (epoch + 1).into());
    fields.insert("holder".to_owned(), standby);
    fields.insert("closed_by".to_owned(), Value::Null);
    for keeper in [Place::Standby, Place::Witness] {
        simulation.spoil(keeper, &keys::lease(), lease.clone());
    }
    let closed = ask(&mut simulation, &close);
    assert!(closed.contains("closed"), "{closed}");
    assert!(incident(&simulation).closed_at.is_some(), "{}", story(&simulation));
    assert!(pages(&simulation).iter().any(|page| page.contains("sre-lead closes incident")));
}

/// A lease that is held for what stopped serves nobody: closed, it would leave no road.
#[test]
fn what_stopped_before_its_door_is_not_closed_by_a_person() {
    let machine = machine();
    let close = serde_json::json!({"close": {"by": "sre-lead", "why": "it looked done"}});
    let mut simulation = stopped(&machine, "Fence");
    let declined = ask(&mut simulation, &close);
    assert!(declined.contains("the lease is held for"), "{declined}");
    simulation.break_at("Continue", Millis::ZERO, Break::Throttle(1000));
    let _ = simulation.deliver(Function::AlarmHandler, &go_on());
    simulation.run_for(minutes(1));
    simulation.run_until(minutes(60), |simulation| !simulation.busy());
    heal(&mut simulation);
    let declined = ask(&mut simulation, &close);
    assert!(declined.contains("the lease is held for"), "{declined}");
    ask(&mut simulation, &go_on());
    assert_eq!(end(&simulation), End::RolledBack, "{}", story(&simulation));
    assert_lawful(&simulation, "a closing that is declined");
}

/// A planned move that stopped before its door: the primary lives, and is not kept shut for a replica that is busy for hours.
#[test]
fn a_primary_that_gave_way_has_its_lease_back_though_its_replica_is_busy() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_at("Fence", Millis::ZERO, Break::Throttle(1000));
    simulation.break_at("Fence", Millis::ZERO, Break::Optimizes);
    let _ = simulation.deliver(Function::AlarmHandler, &start("switchover"));
    simulation.run_until(minutes(60), |simulation| !simulation.ends().is_empty());
    heal(&mut simulation);
    assert!(incident(&simulation).stopped().is_some(), "{}", story(&simulation));
    let _ = simulation.deliver(Function::AlarmHandler, &go_on());
    simulation.run_for(minutes(4));
    assert_eq!(end(&simulation), End::RolledBack, "{}", story(&simulation));
    assert_lawful(&simulation, "a busy replica of one that gave way");
}
