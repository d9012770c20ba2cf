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
