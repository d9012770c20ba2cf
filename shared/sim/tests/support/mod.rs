//! What the stories share: the deployed workflow, the armed plan, and how a story is judged.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use understudy_core::report::Report;
use understudy_core::state::{Flag, keys};
use understudy_core::time::{Millis, elapsed};
use understudy_sim::asl::Machine;
use understudy_sim::checkers;
use understudy_sim::example;
use understudy_sim::simulation::{DAWN, Simulation};
use understudy_sim::trace::What;
use understudy_sim::world::{Place, Settings};

pub fn workflow() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/workflows/failover.asl.json");
    fs::read_to_string(&path).expect("the deployed workflow")
}

pub fn machine() -> Machine {
    Machine::read(&workflow()).unwrap_or_else(|error| panic!("{error}"))
}

#[allow(dead_code, reason = "as below")]
pub fn simulation(machine: &Machine, settings: Settings) -> Simulation<'_> {
    let plan = example::automatic().unwrap_or_else(|problems| panic!("{problems}"));
    Simulation::new(machine, plan, settings)
}

/// A simulation in which everything has run well for five minutes.
#[allow(dead_code, reason = "as below")]
pub fn settled(machine: &Machine) -> Simulation<'_> {
    let mut simulation = simulation(machine, Settings::default());
    simulation.run_for(minutes(5));
    simulation
}

pub fn minutes(n: u64) -> Millis {
    Millis::from_secs(60 * n)
}

/// A person asks for an execution.
#[allow(dead_code, reason = "as below")]
pub fn start(kind: &str) -> Value {
    json!({"start": {"kind": kind, "by": "sre-1", "why": "a story"}})
}

/// A person asks that what stopped goes on.
#[allow(dead_code, reason = "as below")]
pub fn go_on() -> Value {
    json!({"continue": {"by": "sre-1", "why": "a story"}})
}

#[allow(dead_code, reason = "not every file of stories holds anything")]
pub fn hold(simulation: &Simulation<'_>, raised: bool) {
    let flag = Flag {
        raised,
        by: "sre-1".to_owned(),
        why: "a story".to_owned(),
        at: DAWN,
        category: None,
        also: Vec::new(),
    };
    simulation.world.put(Place::Standby, &keys::hold(), serde_json::to_value(flag).expect("a flag"));
}

pub fn executions(simulation: &Simulation<'_>) -> usize {
    simulation.world.executions().len()
}

pub fn pages(simulation: &Simulation<'_>) -> Vec<String> {
    let trace = simulation.world.trace();
    let texts = trace.iter().filter_map(|event| match &event.what {
        What::Paged(page) => Some(page.text.clone()),
        _ => None,
    });
    texts.collect()
}

/// No law was broken; if one was, with what led there.
pub fn assert_lawful(simulation: &Simulation<'_>, told: &str) {
    let case = simulation.case();
    let broken = checkers::all(&case);
    if broken.is_empty() {
        return;
    }
    let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
    panic!("{told}\n{}\n{}", broken.join("\n"), story(simulation));
}

pub fn story(simulation: &Simulation<'_>) -> String {
    understudy_sim::story::story(&simulation.world.trace())
}

/// Runs until the first execution has ended and its report is sealed.
#[allow(dead_code, reason = "not every file of stories ends one")]
pub fn report(simulation: &mut Simulation<'_>) -> Report {
    let ended = simulation.run_until(minutes(60), |s| !s.ends().is_empty() && !s.busy());
    assert!(ended, "no execution ended:\n{}", story(simulation));
    simulation.run_for(minutes(3));
    let name = simulation.world.executions().pop().expect("an execution");
    simulation.report(&name).unwrap_or_else(|| panic!("no report:\n{}", story(simulation)))
}

#[allow(dead_code, reason = "as above")]
pub fn entered(simulation: &Simulation<'_>, wanted: &str) -> bool {
    let trace = simulation.world.trace();
    trace.iter().any(|event| matches!(&event.what, What::Entered { state, .. } if state == wanted))
}

/// The longest time without a write that the primary took of a client beside it, from so long after dawn on.
#[allow(dead_code, reason = "as above")]
pub fn longest_pause(simulation: &Simulation<'_>, from: Millis) -> Millis {
    let begin = understudy_core::time::after(understudy_sim::simulation::DAWN, from);
    let trace = simulation.world.trace();
    let taken: Vec<_> = trace
        .iter()
        .filter(|event| event.at >= begin && matches!(event.what, What::Acknowledged { client: "local", .. }))
        .map(|event| event.at)
        .collect();
    let pauses = taken.iter().zip(taken.iter().skip(1)).map(|(one, next)| elapsed(*one, *next));
    pauses.max().unwrap_or_default()
}
