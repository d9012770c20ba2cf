//! Every step, failed in every way: whichever call of whichever step goes wrong, the run reaches a named end and
//! no law is broken. A new row of the table is covered with no new test.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "these stories are told by their ends")]
mod support;

use support::{assert_lawful, go_on, hold, machine, minutes, settled, start, story};
use understudy_core::plan::{Mode, OnLeaseLoss};
use understudy_core::run::End;
use understudy_core::steps::{STEPS, Step};
use understudy_core::time::Millis;
use understudy_sim::asl::Machine;
use understudy_sim::example;
use understudy_sim::functions::{Function, Invoked};
use understudy_sim::simulation::Simulation;
use understudy_sim::trace::What;
use understudy_sim::world::{Aim, Break, Delivery, Place, Settings, Trouble};

/// The stories that, together, run every step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    /// Armed and automatic: runs through.
    Recovers,
    /// A hold is raised after the standby was found fit: everything is taken back.
    TurnsBack,
    /// The plan as it ships: people are asked, for the approval and for the fence.
    Asks,
    /// Planned: the primary lives and gives way.
    HandsOver,
    /// And back, once the old primary follows.
    GoesBack,
    /// Stopped behind the one-way door; a person asks that it goes on.
    GoesOn,
}

const STORIES: [Story; 6] =
    [Story::Recovers, Story::TurnsBack, Story::Asks, Story::HandsOver, Story::GoesBack, Story::GoesOn];

impl Story {
    fn succeeds(self) -> bool {
        matches!(self, Self::Recovers | Self::HandsOver | Self::GoesBack | Self::GoesOn)
    }
}

struct Run<'m> {
    simulation: Simulation<'m>,
    story: Story,
}

fn begin(machine: &Machine, story: Story) -> Run<'_> {
    let mut simulation = match story {
        Story::Asks => {
            let mut plan = example::automatic().expect("a plan");
            plan.policy.failover = Mode::Approval;
            plan.lease.on_loss = OnLeaseLoss::Stay;
            let mut simulation = Simulation::new(machine, plan, Settings::default());
            simulation.run_for(minutes(5));
            simulation
        }
        Story::Recovers | Story::TurnsBack | Story::HandsOver | Story::GoesBack | Story::GoesOn => {
            settled(machine)
        }
    };
    match story {
        Story::Recovers | Story::TurnsBack | Story::Asks => {
            simulation.break_now(Break::Kill(Place::Primary));
        }
        Story::HandsOver => asks_for(&mut simulation, "switchover"),
        Story::GoesBack => {
            asks_for(&mut simulation, "switchover");
            simulation.run_until(minutes(30), |simulation| !simulation.busy());
            simulation.break_now(Break::Rebuild);
            simulation.run_for(minutes(3));
            simulation.world.forget_calls();
            asks_for(&mut simulation, "failback");
        }
        Story::GoesOn => {
            simulation.break_at("Unfence", Millis::ZERO, Break::Throttle(1000));
            simulation.break_now(Break::Kill(Place::Primary));
            simulation.run_until(minutes(60), |simulation| !simulation.ends().is_empty());
            simulation.break_now(Break::Heal);
            simulation.run_for(minutes(20));
            simulation.world.forget_calls();
            let asked = simulation.deliver(Function::AlarmHandler, &go_on());
            assert!(matches!(asked, Invoked::Answered(_)), "{asked:?}");
        }
    }
    Run { simulation, story }
}

fn asks_for(simulation: &mut Simulation<'_>, kind: &str) {
    let started = simulation.deliver(Function::AlarmHandler, &start(kind));
    assert!(matches!(started, Invoked::Answered(_)), "{started:?}");
    simulation.run_for(Millis::from_secs(1));
}

impl Run<'_> {
    /// Runs until the first execution ended, with people who say yes, and then long enough for what comes late.
    fn finish(&mut self) {
        let story = self.story;
        // Turning back must hit the second between two steps.
        let (steps, step) = if story == Story::TurnsBack { (10_000, 200) } else { (1000, 5000) };
        for _ in 0..steps {
            self.simulation.run_for(Millis(step));
            let Some(name) = self.simulation.world.executions().last().cloned() else { continue };
            if self.simulation.ends().contains_key(&name) {
                break;
            }
            match story {
                Story::TurnsBack if self.froze() => hold(&self.simulation, true),
                Story::Asks => {
                    let _ = self.simulation.answer(&name, true, "sre-lead");
                }
                _ => {}
            }
        }
        // A refused attempt is followed by another.
        self.simulation.run_for(minutes(5));
        self.simulation.run_until(minutes(20), |simulation| !simulation.busy());
        self.simulation.run_for(minutes(3));
    }

    fn froze(&self) -> bool {
        let trace = self.simulation.world.trace();
        trace.iter().any(|event| matches!(&event.what, What::Entered { state, .. } if state == "Freeze"))
    }

    fn judge(&self, told: &str) {
        assert!(!self.simulation.ends().is_empty(), "{told}: no end\n{}", story(&self.simulation));
        assert_lawful(&self.simulation, told);
    }

    /// A look that failed may refuse the first attempt; the next one then recovers.
    fn last_end(&self) -> &str {
        self.simulation.ends().values().next_back().map_or("", String::as_str)
    }
}

/// How many calls each step makes when nothing goes wrong.
fn undisturbed(machine: &Machine, story: Story) -> Vec<(Step, u32)> {
    let mut run = begin(machine, story);
    run.finish();
    run.judge(&format!("{story:?}, undisturbed"));
    STEPS.iter().filter_map(|row| Some((row.step, run.simulation.world.calls_of(row.step)?))).collect()
}

/// Steps that take a road of their own when a primary gives way; all of them do on the way back.
const OTHER_ROAD: [(Story, Step); 2] = [(Story::HandsOver, Step::Fence), (Story::HandsOver, Step::Capture)];

/// Each step once, in the first story that runs it, with how many calls it makes there; and every other road.
fn every_step(machine: &Machine) -> Vec<(Story, Step, u32)> {
    let mut all: Vec<(Story, Step, u32)> = Vec::new();
    for story in STORIES {
        for (step, calls) in undisturbed(machine, story) {
            let known = all.iter().any(|(_, known, _)| *known == step);
            if !known || story == Story::GoesBack || OTHER_ROAD.contains(&(story, step)) {
                all.push((story, step, calls));
            }
        }
    }
    let missed: Vec<_> = STEPS
        .iter()
        .map(|row| row.step)
        .filter(|step| !all.iter().any(|(_, known, _)| known == step))
        .collect();
    assert!(missed.is_empty(), "no story runs {missed:?}: add one");
    assert!(all.iter().all(|(_, _, calls)| *calls > 0), "a step without a call is not tried: {all:?}");
    all
}

/// Aims `trouble` at every call of every step, one run each.
fn every_call(trouble: Trouble) {
    let machine = machine();
    for (story, step, calls) in every_step(&machine) {
        for call in 1..=calls {
            let mut run = begin(&machine, story);
            run.simulation.world.aim(Aim { step, call, trouble });
            run.finish();
            run.judge(&format!("{story:?}: {trouble:?} at call {call} of {step:?}"));
            if story.succeeds() && matches!(trouble, Trouble::Before | Trouble::LostReply) {
                assert_eq!(
                    run.last_end(),
                    End::Recovered.to_string(),
                    "{trouble:?} at call {call} of {step:?}"
                );
            }
        }
    }
}

#[test]
fn a_call_that_fails_once_stops_nothing() {
    every_call(Trouble::Before);
}

#[test]
fn a_reply_that_is_lost_stops_nothing() {
    every_call(Trouble::LostReply);
}

#[test]
fn a_kill_before_any_call_ends_explained() {
    every_call(Trouble::Killed);
}

#[test]
fn a_kill_after_any_effect_ends_explained() {
    every_call(Trouble::KilledAfter);
}

fn every_delivery(delivery: Delivery) {
    let machine = machine();
    for (story, step, _) in every_step(&machine) {
        let mut run = begin(&machine, story);
        run.simulation.deliver_step(step, delivery);
        run.finish();
        run.simulation.run_for(minutes(45));
        run.judge(&format!("{story:?}: {step:?} delivered {delivery:?}"));
        if story.succeeds() {
            assert_eq!(run.last_end(), End::Recovered.to_string(), "{step:?} delivered {delivery:?}");
        }
    }
}

#[test]
fn a_step_that_is_delivered_twice_is_done_once() {
    every_delivery(Delivery::Twice);
}

#[test]
fn a_step_that_is_delivered_again_much_later_does_no_harm() {
    every_delivery(Delivery::AgainLater);
}
