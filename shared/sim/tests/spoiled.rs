//! Cells of the state table that stand before an outage, each spoiled, then the primary killed: recovered from, or people are
//! told what does not read; and the run of an execution, spoiled under its feet. Its approval and journal are not among them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "not every test counts executions")]
mod support;

use serde_json::{Value, json};
use support::{assert_lawful, entered, go_on, machine, minutes, pages, story};
use understudy_core::plan::Mode;
use understudy_core::ports::Key;
use understudy_core::run::End;
use understudy_core::state::keys;
use understudy_sim::example;
use understudy_sim::functions::Function;
use understudy_sim::simulation::Simulation;
use understudy_sim::world::{Break, Place, Settings};

/// By a hand, and by a version that is newer than every one that we know.
fn spoils() -> [Value; 2] {
    [json!("not what it was"), json!({"version": 9, "holds": {"what": "nobody knows"}})]
}

/// What becomes of a cell that does not read.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It is a note: written anew, and nothing hangs on it.
    Recovers,
    /// Nothing moves without it, and people are told that it does not read.
    IsTold,
}

/// Kills the primary a minute behind the spoiling, and tells how it went: recovered, and what was paged by then.
fn lived(at: Place, key: &Key, spoilt: &Value) -> (bool, Vec<String>, String) {
    let machine = machine();
    let plan = example::automatic().expect("the example");
    let tick = plan.tick;
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.run_for(minutes(5));
    simulation.spoil(at, key, spoilt.clone());
    simulation.run_for(tick);
    simulation.break_now(Break::Kill(Place::Primary));
    // Three looks find the standby unfit, and the decider's next tick tells it: before an outage is accepted, which takes the
    // window and the lease.
    simulation.run_for(tick.times(4));
    let told = pages(&simulation);
    simulation.run_until(minutes(60), |s| !s.ends().is_empty() && !s.busy());
    simulation.run_for(minutes(3));
    assert_lawful(&simulation, &format!("{}/{} is {spoilt}", key.kind, key.id));
    let name = simulation.world.executions().pop();
    let end = name.and_then(|name| simulation.report(&name)).map(|report| report.end);
    (end == Some(End::Recovered), told, story(&simulation))
}

#[test]
fn no_cell_that_does_not_read_stops_a_failover_in_silence() {
    let standby = [
        (keys::readiness(), Then::Recovers),
        (keys::decision("tick"), Then::Recovers),
        (keys::decision("alarm"), Then::Recovers),
        (keys::shadow(), Then::Recovers),
        (keys::returned(), Then::Recovers),
        (keys::sighting("standby"), Then::Recovers),
        (keys::sighting("witness"), Then::Recovers),
        (keys::votes("standby"), Then::Recovers),
        (keys::votes("route53"), Then::Recovers),
        (keys::watermark("metadata"), Then::Recovers),
        (keys::looks("alarm-handler"), Then::Recovers),
        (keys::open_runs(), Then::Recovers),
        (keys::freeze(), Then::Recovers),
        (keys::overrides(), Then::Recovers),
        (keys::incident(), Then::IsTold),
        (keys::switch(), Then::IsTold),
        (keys::hold(), Then::IsTold),
        (keys::lease(), Then::IsTold),
    ];
    let witness = [(keys::votes("witness"), Then::Recovers), (keys::lease(), Then::IsTold)];
    let cells = standby.into_iter().map(|(key, then)| (Place::Standby, key, then));
    let cells = cells.chain(witness.into_iter().map(|(key, then)| (Place::Witness, key, then)));
    let mut silent = Vec::new();
    for (at, key, then) in cells {
        for spoilt in spoils() {
            let (recovered, told, story) = lived(at, &key, &spoilt);
            let well = match then {
                Then::Recovers => recovered,
                Then::IsTold => told.iter().any(|page| page.contains("does not read")),
            };
            if !well {
                silent.push(format!(
                    "{at:?} {}/{} as {spoilt}: recovered {recovered}, told {told:?}\n{story}",
                    key.kind, key.id
                ));
            }
        }
    }
    assert!(silent.is_empty(), "{} silent:\n{}", silent.len(), silent.join("\n\n"));
}

/// What an execution does next stands in its run. Where that does not read it stops, is closed by what its journal says, and a
/// person goes on from there.
#[test]
fn an_execution_whose_run_does_not_read_ends_and_is_gone_on_from() {
    let machine = machine();
    for state in ["Fence", "AwaitPromotion", "Confirm"] {
        for spoilt in spoils() {
            let plan = example::automatic().expect("the example");
            let mut simulation = Simulation::new(&machine, plan, Settings::default());
            simulation.run_for(minutes(5));
            simulation.break_now(Break::Kill(Place::Primary));
            assert!(
                simulation.run_until(minutes(60), |s| entered(s, state)),
                "{state}: {}",
                story(&simulation)
            );
            let name = simulation.world.executions().pop().expect("it runs");
            simulation.spoil(Place::Standby, &keys::run(&name), spoilt);
            simulation.run_until(minutes(60), |s| !s.ends().is_empty() && !s.busy());
            simulation.run_for(minutes(3));
            let end = simulation.report(&name).map(|report| report.end);
            assert!(end.is_some_and(|end| end != End::Recovered), "{state}: {end:?}\n{}", story(&simulation));
            let _ = simulation.deliver(Function::AlarmHandler, &go_on());
            simulation.run_for(minutes(1));
            simulation.run_until(minutes(60), |s| !s.busy());
            let name = simulation.world.executions().pop().expect("it went on");
            let end = simulation.report(&name).map(|report| report.end);
            let wanted = if state == "Fence" { End::RolledBack } else { End::Recovered };
            assert_eq!(end, Some(wanted), "{state}: {}", story(&simulation));
            assert_lawful(&simulation, state);
        }
    }
}

/// The cells of an execution, spoiled while it runs: it ends all the same, or people are told within three looks.
#[test]
fn no_cell_of_an_execution_that_does_not_read_stops_it_in_silence() {
    let machine = machine();
    let mut silent = Vec::new();
    for (asks, state) in
        [(true, "AskApproval"), (false, "Fence"), (false, "AwaitPromotion"), (false, "Confirm")]
    {
        for cell in ["run", "head", "record", "approval", "open"] {
            for spoilt in spoils() {
                let mut plan = example::automatic().expect("the example");
                if asks {
                    plan.policy.failover = Mode::Approval;
                }
                let tick = plan.tick;
                let mut simulation = Simulation::new(&machine, plan, Settings::default());
                simulation.run_for(minutes(5));
                simulation.break_now(Break::Kill(Place::Primary));
                assert!(simulation.run_until(minutes(60), |s| entered(s, state)), "{state}");
                let name = simulation.world.executions().pop().expect("it runs");
                let key = match cell {
                    "run" => keys::run(&name),
                    "head" => keys::journal_head(&name),
                    "record" => Key::new("journal", format!("{name}/000002")),
                    "approval" => keys::approval(&name),
                    _ => keys::open_runs(),
                };
                simulation.spoil(Place::Standby, &key, spoilt.clone());
                let before = pages(&simulation).len();
                simulation.run_for(tick.times(3));
                let told = pages(&simulation).split_off(before);
                simulation.run_until(minutes(60), |s| !s.ends().is_empty() && !s.busy());
                simulation.run_for(minutes(30));
                let end = simulation.report(&name).map(|report| report.end);
                // A record that was sealed before is read again only by what needs it, and told by its end.
                let ended = cell == "record"
                    && pages(&simulation)
                        .iter()
                        .any(|page| page.contains("does not read") && page.contains(&name));
                // What is only a hint stops nothing.
                let stands = end.is_none() && ["head", "open"].contains(&cell);
                if stands || (end.is_none() && told.is_empty() && !ended) {
                    silent.push(format!("{state} {cell} as {spoilt}:\n{}", story(&simulation)));
                }
            }
        }
    }
    assert!(silent.is_empty(), "{} silent:\n{}", silent.len(), silent.join("\n\n"));
}
