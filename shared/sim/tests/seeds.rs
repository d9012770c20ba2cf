//! Many worlds, each from its seed: other phases, other delays, calls that fail, deliveries that repeat. Whatever
//! happens, no law is broken. A failure prints its seed; `SEED=<n>` runs that one alone, `SEEDS=<n>`
//! that many.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "these stories are told by their laws")]
mod support;

use std::env;
use support::{assert_lawful, machine, minutes, simulation};
use understudy_core::time::Millis;
use understudy_sim::asl::Machine;
use understudy_sim::seed::Chance;
use understudy_sim::simulation::Simulation;
use understudy_sim::world::{Break, Place, Settings};

/// What breaks, in one world of a kind.
const BREAKS: [Break; 6] = [
    Break::Kill(Place::Primary),
    Break::Isolate(Place::Primary),
    Break::Cut(Place::Primary, Place::Standby),
    Break::Cut(Place::Standby, Place::Witness),
    Break::PauseReplay,
    Break::ApplicationDown(Place::Standby),
];

fn seeds(count: u64) -> Vec<u64> {
    if let Ok(seed) = env::var("SEED") {
        vec![seed.parse().expect("SEED must be a number")]
    } else {
        let count = env::var("SEEDS").map_or(count, |count| count.parse().expect("SEEDS must be a number"));
        (1..=count).collect()
    }
}

/// One world: a few breaks within a quarter of an hour, then the primary is lost, and later all heals.
fn live(machine: &Machine, seed: u64, trouble_permille: u64) -> Simulation<'_> {
    let mut chance = Chance::new(seed);
    let settings =
        Settings { seed, trouble_permille, primary_ahead: Millis(chance.below(800)), ..Settings::default() };
    let mut simulation = simulation(machine, settings);
    simulation.twice_permille = chance.below(300);
    simulation.run_for(minutes(5));
    for _ in 0..chance.below(3) {
        let pick = usize::try_from(chance.below(6)).unwrap_or(0);
        let broken = BREAKS.get(pick).copied().unwrap_or(Break::Heal);
        simulation.break_in(Millis::from_secs(chance.below(900)), broken);
    }
    let lost = if chance.happens(500) { Break::Kill(Place::Primary) } else { Break::Isolate(Place::Primary) };
    simulation.break_in(Millis::from_secs(chance.below(900)), lost);
    simulation.break_in(Millis::from_secs(1800 + chance.below(1800)), Break::Heal);
    simulation.run_for(minutes(75));
    simulation.run_until(minutes(60), |simulation| !simulation.busy());
    simulation.run_for(minutes(5));
    simulation
}

#[test]
fn no_law_is_broken_in_any_world_whose_calls_work() {
    let machine = machine();
    let mut recovered = 0;
    for seed in seeds(60) {
        let simulation = live(&machine, seed, 0);
        recovered += simulation.ends().values().filter(|end| end.as_str() == "Recovered").count();
        assert_lawful(&simulation, &format!("SEED={seed}, no trouble"));
    }
    assert!(
        recovered > 0 || env::var("SEED").is_ok(),
        "no world recovered: the worlds are too harsh to prove much"
    );
}

#[test]
fn no_law_is_broken_in_any_world_whose_calls_fail() {
    let machine = machine();
    for seed in seeds(60) {
        assert_lawful(&live(&machine, seed, 20), &format!("SEED={seed}, 20 of 1000 calls fail"));
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let machine = machine();
    let first = live(&machine, 7, 20).case().trace;
    assert!(first == live(&machine, 7, 20).case().trace, "SEED=7 gave two worlds");
}
