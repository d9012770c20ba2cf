//! The product's own plans through the deployed workflow: how each ends, what it takes, and whether that was foreseen.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "these stories start by themselves")]
mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use support::{assert_lawful, machine, minutes, story};
use understudy_core::plan::{Plan, read};
use understudy_core::report::{Figure, Report};
use understudy_core::run::{End, Receipt};
use understudy_core::words::duration;
use understudy_sim::asl::Machine;
use understudy_sim::example;
use understudy_sim::simulation::Simulation;
use understudy_sim::world::{Break, Place, Settings};

fn plans() -> Vec<Plan> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/plans");
    let mut plans: Vec<Plan> = fs::read_dir(folder)
        .expect("the plans")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a plan");
            read("plan.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"))
        })
        .collect();
    plans.sort_by(|one, other| one.name.cmp(&other.name));
    plans
}

/// Breaks the primary once all has run well, lets the plan's people answer yes, and waits for the sealed report.
fn played(machine: &Machine, plan: &Plan, broken: Break) -> Report {
    let mut simulation = Simulation::new(machine, plan.clone(), Settings::default());
    simulation.looks_came();
    simulation.run_for(minutes(5));
    simulation.break_now(broken);
    let people = if plan.policy.approvers.is_empty() {
        vec!["duty-manager".to_owned()]
    } else {
        plan.policy.approvers.clone()
    };
    for _ in 0..120 {
        if !simulation.ends().is_empty() && !simulation.busy() {
            break;
        }
        simulation.run_for(minutes(1));
        for (name, by) in
            simulation.world.executions().iter().flat_map(|name| people.iter().map(move |by| (name, by)))
        {
            let _ = simulation.answer(name, true, by);
        }
    }
    simulation.run_for(minutes(3));
    assert_lawful(&simulation, &plan.name);
    let told = || format!("{}\n{}", plan.name, story(&simulation));
    let name = simulation.world.executions().pop().unwrap_or_else(|| panic!("nothing started: {}", told()));
    simulation.report(&name).unwrap_or_else(|| panic!("no report: {}", told()))
}

fn figure(figure: &Figure) -> String {
    figure.ms.map_or_else(|| "-".to_owned(), duration)
}

fn receipt(report: &Report) -> &'static str {
    match report.receipt {
        Some(Receipt::Proved { .. }) => "proved",
        Some(Receipt::Expired { .. }) => "expired",
        Some(Receipt::Accepted { .. }) => "accepted",
        None => "none",
    }
}

#[test]
fn every_plan_recovers_within_what_was_predicted() {
    let machine = machine();
    let mut table = format!(
        "{:<19} {:<8} {:<8} {:<9} {:<9} {:<26} {:<22} {}\n",
        "plan", "lease", "break", "end", "receipt", "RTO", "predicted", "loss at most"
    );
    for written in plans() {
        for (lease, plan) in [("stay", written.clone()), ("fence", example::in_no_hands(written.clone()))] {
            for (word, broken) in
                [("kill", Break::Kill(Place::Primary)), ("isolate", Break::Isolate(Place::Primary))]
            {
                let report = played(&machine, &plan, broken);
                assert_eq!(report.end, End::Recovered, "{} {word}: {}", plan.name, report.cause);
                let predicted = report.predicted.iter().find(|one| one.name == "sum").expect("a prediction");
                let most = report.rto.at_most.ms.expect("it was measured");
                assert!(
                    most <= predicted.at_most_ms,
                    "{} {word}: {most} ms, predicted {predicted:?}",
                    plan.name
                );
                assert!(
                    report.rto.at_least.ms.expect("measured") >= predicted.at_least_ms,
                    "{} {word}",
                    plan.name
                );
                let rto = format!("{} … {}", figure(&report.rto.at_least), figure(&report.rto.at_most));
                let foreseen =
                    format!("{} … {}", duration(predicted.at_least_ms), duration(predicted.at_most_ms));
                _ = writeln!(
                    table,
                    "{:<19} {lease:<8} {word:<8} {:<9} {:<9} {rto:<26} {foreseen:<22} {}",
                    plan.name,
                    format!("{:?}", report.end),
                    receipt(&report),
                    figure(&report.rpo.bound)
                );
            }
        }
    }
    insta::assert_snapshot!(table);
}
