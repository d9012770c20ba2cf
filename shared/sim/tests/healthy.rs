//! Nothing breaks: nobody is fenced, nothing starts and nobody is paged, however schedules and queues deliver.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use support::{assert_lawful, executions, longest_pause, machine, minutes, pages};
use understudy_core::time::Millis;
use understudy_sim::example;
use understudy_sim::simulation::Simulation;
use understudy_sim::world::Settings;

/// Ticks anywhere in their minute, one in three twice, one in two hundred lost, and looks likewise. That two of one
/// function in a row are lost is not held out by a plan of ticks, and happens in none of these.
#[test]
fn a_primary_that_serves_is_left_alone() {
    let machine = machine();
    for seed in 1..=60 {
        for plan in [example::plan(), example::shipped()] {
            let plan = example::in_no_hands(plan.expect("the example"));
            let every = plan.pace();
            let settings = Settings { seed, primary_ahead: Millis(150), drift: true, ..Settings::default() };
            let mut simulation = Simulation::new(&machine, plan, settings);
            if seed % 2 == 0 {
                simulation.looks_came();
            }
            simulation.ticks_anywhere = true;
            simulation.twice_permille = 300;
            simulation.lost_permille = 5;
            simulation.run_for(minutes(30));
            let told = format!("seed {seed}, a look every {every}");
            assert_eq!(
                longest_pause(&simulation, Millis::ZERO),
                Millis::from_secs(1),
                "{told}: a write was refused"
            );
            assert_eq!(executions(&simulation), 0, "{told}: something started");
            assert_eq!(pages(&simulation), Vec::<String>::new(), "{told}: somebody was paged");
            assert_lawful(&simulation, &told);
        }
    }
}

/// Queues that deliver a part of the looks, for as long as anybody likes. A guard that counted on looks may lose its lease
/// once, as they begin to be lost; it does not count on them again.
#[test]
fn a_primary_whose_looks_come_in_part_is_left_alone() {
    let machine = machine();
    let plan = example::in_no_hands(example::shipped().expect("the example"));
    for lost in [70, 300, 500, 900] {
        for seed in 1..=30 {
            let settings = Settings { seed, primary_ahead: Millis(150), drift: true, ..Settings::default() };
            let mut simulation = Simulation::new(&machine, plan.clone(), settings);
            simulation.looks_came();
            simulation.ticks_anywhere = true;
            simulation.looks_lost_permille = lost;
            simulation.run_for(minutes(40));
            let told = format!("seed {seed}, {lost} of 1000 looks lost");
            let first = longest_pause(&simulation, Millis::ZERO);
            assert!(first <= Millis::from_secs(75), "{told}: {first}");
            let later = longest_pause(&simulation, minutes(10));
            assert_eq!(later, Millis::from_secs(1), "{told}: a write was refused");
            assert_eq!(executions(&simulation), 0, "{told}: something started");
            assert_lawful(&simulation, &told);
        }
    }
}
