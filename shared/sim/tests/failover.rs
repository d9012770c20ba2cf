//! The stories that every failover tool must get right, on the deployed workflow.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod support;

use serde_json::{Value, json};
use support::{
    assert_lawful, entered, executions, hold, machine, minutes, pages, report, settled, start, story,
};
use understudy_core::plan::{Mode, OnLeaseLoss, Plan};
use understudy_core::report::{Met, Report};
use understudy_core::run::{End, Kind, Receipt};
use understudy_core::steps::Step;
use understudy_core::switch::Side;
use understudy_core::time::Millis;
use understudy_sim::asl::Machine;
use understudy_sim::checkers::overstated;
use understudy_sim::example;
use understudy_sim::functions::{Function, Invoked};
use understudy_sim::simulation::Simulation;
use understudy_sim::trace::What;
use understudy_sim::world::{Aim, Break, Place, Settings, Trouble};

#[test]
fn nothing_happens_while_all_is_well() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.run_for(minutes(60));
    assert_eq!(executions(&simulation), 0);
    assert_eq!(pages(&simulation), Vec::<String>::new());
    assert_lawful(&simulation, "a quiet hour");
}

#[test]
fn a_killed_primary_is_recovered_from() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    let report = report(&mut simulation);
    assert_eq!(report.end, End::Recovered, "{}", story(&simulation));
    assert_lawful(&simulation, "a killed primary");
    let names: Vec<&str> = report.clock.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["detect", "decide", "fence", "promote", "switch", "confirm"]);
    let seconds =
        |name: &str| report.clock.segments.iter().find(|segment| segment.name == name).unwrap().ms / 1000;
    assert!((120..=300).contains(&seconds("detect")), "detect took {}", seconds("detect"));
    assert!(seconds("promote") >= 300, "promote took {}", seconds("promote"));
    assert!((60..=180).contains(&seconds("switch")), "switch took {}", seconds("switch"));
    assert!(report.rto.at_least.ms <= report.rto.at_most.ms);
    let case = simulation.case();
    assert_eq!(overstated(&report, &case.trace), None);
    assert_eq!(report.rto.met, Met::Met);
    assert_eq!(report.rpo.met, Met::Met);
    assert!(matches!(report.receipt, Some(Receipt::Expired { epoch: 2, .. })));
}

#[test]
fn an_isolated_primary_writes_until_its_lease_runs_out_and_not_beside_the_new_one() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Isolate(Place::Primary));
    let broke_at = simulation.world.now();
    let report = report(&mut simulation);
    assert_eq!(report.end, End::Recovered, "{}", story(&simulation));
    assert_lawful(&simulation, "an isolated primary");
    let last = last_write_of_the_primary(&simulation).expect("it wrote");
    assert!(last > broke_at, "an isolated primary goes on writing");
    let Some(receipt) = report.receipt else { panic!("no receipt") };
    assert!(Some(last) <= receipt.last_commit_possible_at(), "it wrote at {last}, after {receipt:?}");
}

fn last_write_of_the_primary(simulation: &Simulation<'_>) -> Option<jiff::Timestamp> {
    let trace = simulation.world.trace();
    let mut writes =
        trace.iter().filter(|event| matches!(event.what, What::Acknowledged { side: Side::Primary, .. }));
    writes.next_back().map(|event| event.at)
}

#[test]
fn a_primary_that_comes_back_stays_fenced() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    report(&mut simulation);
    simulation.break_now(Break::Heal);
    simulation.run_for(minutes(30));
    assert_lawful(&simulation, "a primary that came back");
    assert_eq!(executions(&simulation), 1);
}

#[test]
fn a_cut_between_the_two_regions_alone_starts_nothing() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Cut(Place::Primary, Place::Standby));
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 0);
    assert_lawful(&simulation, "a cut link");
}

#[test]
fn an_unreachable_primary_that_still_renews_is_paged_and_not_moved() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::ApplicationDown(Place::Primary));
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 0);
    assert!(pages(&simulation).iter().any(|page| page.contains("it is alive and writing")));
    assert_lawful(&simulation, "a grey failure");
}

#[test]
fn a_lagging_replica_refuses_and_a_healed_one_recovers() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::PauseReplay);
    simulation.run_for(minutes(12));
    simulation.break_now(Break::Kill(Place::Primary));
    let first = report(&mut simulation);
    assert_eq!(first.end, End::Refused, "{}", story(&simulation));
    assert!(first.cause.contains("PF-04"), "{}", first.cause);
    assert!(first.cause.contains("pg_wal_replay_resume"), "{}", first.cause);
    simulation.break_now(Break::ResumeReplay);
    let both = simulation.run_until(minutes(60), |s| s.ends().len() == 2 && !s.busy());
    assert!(both, "{}", story(&simulation));
    let second = report(&mut simulation);
    assert_eq!((second.end, second.attempt), (End::Recovered, 2), "{}", story(&simulation));
    assert_lawful(&simulation, "lag, then none");
}

#[test]
fn a_standby_whose_application_is_down_refuses() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::ApplicationDown(Place::Standby));
    simulation.run_for(minutes(2));
    simulation.break_now(Break::Kill(Place::Primary));
    let report = report(&mut simulation);
    assert_eq!(report.end, End::Refused, "{}", story(&simulation));
    assert!(report.cause.contains("PF-08"), "{}", report.cause);
    simulation.run_for(minutes(60));
    assert_eq!(executions(&simulation), 1, "nothing changed, so nothing is tried again");
    assert_lawful(&simulation, "a standby without its application");
}

#[test]
fn without_the_witness_the_lease_is_unknown_and_nothing_moves() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Witness));
    simulation.run_for(minutes(2));
    simulation.break_now(Break::Kill(Place::Primary));
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 0);
    assert!(pages(&simulation).iter().any(|page| page.contains("its lease cannot be judged")));
    assert_lawful(&simulation, "witness and primary dark");
}

#[test]
fn a_hold_stops_it_and_lifting_it_lets_it_go_on() {
    let machine = machine();
    let mut simulation = settled(&machine);
    hold(&simulation, true);
    simulation.break_now(Break::Kill(Place::Primary));
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 0);
    assert!(pages(&simulation).iter().any(|page| page.contains("on hold by `sre-1`")));
    hold(&simulation, false);
    assert_eq!(report(&mut simulation).end, End::Recovered);
    assert_lawful(&simulation, "a hold that was lifted");
}

#[test]
fn a_hundred_hints_are_one_execution() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    let alarm = json!({"AlarmName": "understudy-financial-rag-primary", "NewStateValue": "ALARM"});
    let hint = json!({"Records": [{"Sns": {"Message": alarm.to_string()}}]});
    for _ in 0..100 {
        simulation.run_for(Millis::from_secs(5));
        let first = simulation.deliver(Function::AlarmHandler, &hint);
        let second = simulation.deliver(Function::AlarmHandler, &hint);
        assert!(matches!((first, second), (Invoked::Answered(_), Invoked::Answered(_))));
    }
    assert_eq!(report(&mut simulation).end, End::Recovered);
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 1);
    assert_lawful(&simulation, "a hundred hints");
}

/// As the plan ships: people are asked. `answer` is what they say to each question, `None` is silence.
fn asked(simulation: &mut Simulation<'_>, answer: Option<bool>) -> Report {
    simulation.run_for(minutes(5));
    simulation.break_now(Break::Kill(Place::Primary));
    for _ in 0..600 {
        simulation.run_for(Millis::from_secs(5));
        if let (Some(name), Some(yes)) = (simulation.world.executions().first().cloned(), answer) {
            let _ = simulation.answer(&name, yes, "sre-lead");
        }
        if !simulation.ends().is_empty() {
            break;
        }
    }
    report(simulation)
}

fn plan_that_asks(on_loss: OnLeaseLoss) -> Plan {
    let mut plan = example::automatic().unwrap();
    plan.policy.failover = Mode::Approval;
    plan.lease.on_loss = on_loss;
    plan
}

#[test]
fn a_yes_lets_it_go_on_and_silence_or_a_no_ends_it() {
    let machine = machine();
    for (answer, end) in [(Some(true), End::Recovered), (Some(false), End::Refused), (None, End::Refused)] {
        let plan = plan_that_asks(OnLeaseLoss::Fence);
        let mut simulation = Simulation::new(&machine, plan, Settings::default());
        let report = asked(&mut simulation, answer);
        assert_eq!(report.end, end, "{answer:?}:\n{}", story(&simulation));
        assert_lawful(&simulation, &format!("asked, and the answer was {answer:?}"));
    }
}

#[test]
fn without_a_dead_man_only_an_acceptance_fences_and_it_bounds_no_loss() {
    let machine = machine();
    let plan = plan_that_asks(OnLeaseLoss::Stay);
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    let report = asked(&mut simulation, Some(true));
    assert_eq!(report.end, End::Recovered, "{}", story(&simulation));
    assert!(matches!(&report.receipt, Some(Receipt::Accepted { by, .. }) if by == "sre-lead"));
    assert_eq!((report.rpo.bound.ms, report.rpo.met), (None, Met::NotShown));
    assert_lawful(&simulation, "an accepted fence");
}

/// That the lease was given back is no renewal: the primary is as lost as before, and may be asked away from at once.
#[test]
fn a_fence_that_nobody_accepted_is_asked_for_again_at_once() {
    let machine = machine();
    let plan = plan_that_asks(OnLeaseLoss::Stay);
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.run_for(minutes(5));
    simulation.break_now(Break::Kill(Place::Primary));
    while simulation.ends().is_empty() {
        simulation.run_for(Millis::from_secs(5));
        if let Some(name) =
            simulation.world.executions().first().filter(|_| !entered(&simulation, "AskAcceptance"))
        {
            let _ = simulation.answer(&name.clone(), true, "sre-lead");
        }
    }
    let first = report(&mut simulation);
    assert_eq!(first.end, End::RolledBack, "{}", story(&simulation));
    simulation.deliver(Function::AlarmHandler, &start("failover"));
    assert_eq!(executions(&simulation), 2, "{}", story(&simulation));
    while simulation.ends().len() < 2 {
        simulation.run_for(Millis::from_secs(5));
        let second = simulation.world.executions().pop().expect("an execution");
        let _ = simulation.answer(&second, true, "sre-lead");
    }
    assert_eq!(report(&mut simulation).end, End::Recovered, "{}", story(&simulation));
    let alive = pages(&simulation).iter().any(|page| page.contains("alive and writing"));
    assert!(!alive, "{:?}", pages(&simulation));
    assert_lawful(&simulation, "an acceptance that came at the second asking");
}

/// Writers that a planned move stopped, and that died before they wrote again: the outage began with us.
#[test]
fn a_failover_behind_a_planned_move_that_was_taken_back_counts_from_it() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    while !stopping(&simulation) {
        simulation.run_for(Millis(200));
    }
    let stopped_at = simulation.world.now();
    simulation.break_now(Break::PauseReplay);
    simulation.run_for(minutes(1));
    simulation.break_now(Break::Kill(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| s.ends().len() == 2), "{}", story(&simulation));
    let report = report(&mut simulation);
    assert_eq!((report.kind, report.end), (Kind::Failover, End::Recovered), "{}", story(&simulation));
    assert!(report.clock.last_good.is_some_and(|good| good <= stopped_at), "{:?}", report.clock);
    assert_lawful(&simulation, "a planned move, taken back, and a failover");
}

#[test]
fn a_hold_in_the_last_second_takes_everything_back() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Kill(Place::Primary));
    let froze = |s: &Simulation<'_>| {
        s.world.trace().iter().any(|e| matches!(&e.what, What::Entered { state, .. } if state == "Freeze"))
    };
    while !froze(&simulation) {
        simulation.run_for(Millis(200));
    }
    hold(&simulation, true);
    let report = report(&mut simulation);
    assert_eq!(report.end, End::RolledBack, "{}", story(&simulation));
    assert!(report.cause.contains("on hold by `sre-1`"), "{}", report.cause);
    let promoted = simulation.world.trace().iter().any(|e| matches!(e.what, What::PromoteTaken { .. }));
    assert!(!promoted);
    assert_lawful(&simulation, "a hold in the last second");
}

/// Whichever call the first delivery of `Promote` dies behind, also the one by which it took the way through the door:
/// one that comes minutes after a hold was raised asks for nothing that is not on its way by then.
#[test]
fn behind_the_door_too_a_hold_keeps_a_late_delivery_from_asking() {
    let machine = machine();
    let taken = |s: &Simulation<'_>| {
        s.world.trace().iter().filter(|event| matches!(event.what, What::PromoteTaken { .. })).count()
    };
    let mut seen = Vec::new();
    for call in 1.. {
        let mut simulation = settled(&machine);
        simulation.break_now(Break::Kill(Place::Primary));
        simulation.world.aim(Aim { step: Step::Promote, call, trouble: Trouble::KilledAfter });
        simulation.hold_at("AwaitPromotion", Millis::ZERO, true);
        simulation.hold_at("UndoGrantBack", Millis::ZERO, true);
        let execution = |s: &Simulation<'_>| s.world.executions().into_iter().next();
        simulation.run_until(minutes(30), |s| s.world.calls_of(Step::Promote).is_some());
        simulation.run_for(minutes(3));
        if simulation.world.calls_of(Step::Promote).is_some_and(|calls| calls < call) {
            break;
        }
        let before = taken(&simulation);
        let execution = execution(&simulation).expect("an execution");
        simulation.deliver(Function::StorePromoter, &json!({"execution": execution, "step": "Promote"}));
        assert_eq!(taken(&simulation), before, "died behind call {call}:\n{}", story(&simulation));
        seen.push(before);
    }
    assert!(seen.contains(&0) && seen.contains(&1), "it died before the promotion and behind it: {seen:?}");
}

#[test]
fn a_living_primary_gives_way_and_nothing_is_lost() {
    let machine = machine();
    let mut simulation = settled(&machine);
    let started = simulation.deliver(Function::AlarmHandler, &start("switchover"));
    assert!(matches!(started, Invoked::Answered(_)), "{started:?}");
    let report = report(&mut simulation);
    assert_eq!((report.kind, report.end), (Kind::Switchover, End::Recovered), "{}", story(&simulation));
    assert_lawful(&simulation, "a switchover");
    assert_eq!((report.rpo.bound.ms, report.rpo.observed.ms), (Some(0), Some(0)));
    let Some(Receipt::Proved { quiet_since, last_written, .. }) = &report.receipt else {
        panic!("{:?}", report.receipt)
    };
    let last = last_write_of_the_primary(&simulation).expect("it wrote");
    assert!(last <= *quiet_since, "it wrote at {last}, after {quiet_since}");
    let arrived = last_written.iter().all(|last| {
        report.positions.iter().any(|here| here.store == last.store && here.replayed >= Some(last.position))
    });
    assert!(arrived, "{last_written:?} against {:?}", report.positions);
    let names: Vec<&str> = report.clock.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["decide", "fence", "promote", "switch", "confirm"]);
}

#[test]
fn a_primary_that_stops_answering_gets_its_right_to_write_back() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    while !stopping(&simulation) {
        simulation.run_for(Millis(200));
    }
    simulation.break_now(Break::Cut(Place::Standby, Place::Primary));
    let report = report(&mut simulation);
    assert_eq!(report.end, End::RolledBack, "{}", story(&simulation));
    let ended_at = simulation.world.now();
    simulation.run_for(minutes(10));
    let last = last_write_of_the_primary(&simulation).expect("it wrote");
    assert!(last > ended_at, "the primary takes no writes since {last}:\n{}", story(&simulation));
    assert_lawful(&simulation, "a switchover that was taken back");
}

/// Whether the writers were told to stop.
fn stopping(simulation: &Simulation<'_>) -> bool {
    let trace = simulation.world.trace();
    let mut entered = trace.iter().filter_map(|event| match &event.what {
        What::Entered { state, .. } => Some(state.as_str()),
        _ => None,
    });
    entered.any(|state| state == "AwaitFence")
}

#[test]
fn a_person_cannot_ask_for_what_the_evidence_denies() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.deliver(Function::AlarmHandler, &start("failover"));
    assert_eq!(executions(&simulation), 0, "the primary lives");
    simulation.break_now(Break::Kill(Place::Primary));
    simulation.run_for(Millis::from_secs(90));
    simulation.deliver(Function::AlarmHandler, &start("failover"));
    assert_eq!(executions(&simulation), 0, "the window is not over");
    simulation.run_for(minutes(30));
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    assert_eq!(executions(&simulation), 1, "the standby serves already");
    assert_lawful(&simulation, "requests against the evidence");
}

#[test]
fn a_person_who_asks_replaces_the_wait_for_better_evidence() {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::ApplicationDown(Place::Standby));
    simulation.break_now(Break::Kill(Place::Primary));
    let first = report(&mut simulation);
    assert_eq!(first.end, End::Refused);
    simulation.run_for(minutes(30));
    assert_eq!(executions(&simulation), 1, "nothing changed");
    simulation.deliver(Function::AlarmHandler, &start("failover"));
    simulation.run_for(minutes(10));
    assert_eq!(executions(&simulation), 2);
    assert_lawful(&simulation, "a person asks again");
}

/// The rehearsal environment, in which everything has run well for five minutes.
fn settled_rehearsal(machine: &Machine) -> Simulation<'_> {
    let plan = example::rehearsal().expect("the example reads").expect("it names its twin");
    let mut simulation = Simulation::new(machine, plan, Settings::default());
    simulation.run_for(minutes(5));
    simulation
}

#[test]
fn a_drill_runs_the_workflow_in_the_rehearsal_environment_and_ends_rehearsed() {
    let machine = machine();
    for event in [json!({"tick": true}), json!({"drill": {"by": "sre-1", "why": "a story"}})] {
        let mut simulation = settled_rehearsal(&machine);
        let started = simulation.deliver(Function::DrillRunner, &event);
        assert!(matches!(started, Invoked::Answered(_)), "{started:?}");
        let report = report(&mut simulation);
        assert_eq!((report.kind, report.end), (Kind::Drill, End::Rehearsed), "{}", story(&simulation));
        assert_eq!(report.plan, "financial-rag-rehearsal");
        assert!(matches!(report.receipt, Some(Receipt::Proved { .. })), "{:?}", report.receipt);
        assert_eq!((report.rpo.bound.ms, report.rpo.observed.ms), (Some(0), Some(0)));
        assert_lawful(&simulation, "a drill");
        // The twin stays where it moved: a schedule that finds it there starts nothing, and says so.
        simulation.deliver(Function::DrillRunner, &json!({"tick": true}));
        simulation.run_for(minutes(10));
        assert_eq!(executions(&simulation), 1);
        assert!(
            pages(&simulation).iter().any(|page| page.contains("did not begin")),
            "{:?}",
            pages(&simulation)
        );
        assert_lawful(&simulation, "a second drill");
    }
}

#[test]
fn a_drill_starts_nothing_in_production() {
    let machine = machine();
    let mut simulation = settled(&machine);
    let before = simulation.world.trace().len();
    for event in [json!({"tick": true}), json!({"drill": {"by": "sre-1", "why": "a story"}})] {
        let Invoked::Answered(answer) = simulation.deliver(Function::DrillRunner, &event) else {
            panic!("it must answer")
        };
        let told = |field: &str| answer.pointer(field).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(told("/decision/decision"), "declined", "{answer}");
        assert!(told("/decision/reason").contains("production's plan"), "{answer}");
    }
    assert_eq!(simulation.world.trace().len(), before, "it touched something");
    // Nor does the other door open: only drill-runner starts drills.
    let refused = simulation.deliver(Function::AlarmHandler, &start("drill"));
    assert!(matches!(refused, Invoked::Failed(_)), "{refused:?}");
    simulation.run_for(minutes(10));
    assert_eq!(executions(&simulation), 0);
    assert_lawful(&simulation, "a drill of production");
}
