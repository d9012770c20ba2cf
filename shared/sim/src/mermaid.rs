//! The workflow as a picture: what runs, what waits, and what is taken back. Rendered, never drawn.

use crate::asl::{Machine, State};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A `stateDiagram-v2` of the machine. Choices become labels of their arrows; failures are drawn where a step
/// has something to take back.
pub fn mermaid(machine: &Machine) -> String {
    let mut text = String::from("stateDiagram-v2\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "    [*] --> {}", machine.start_at);
    let order = in_order(machine);
    let undoing = undoing(machine, &order);
    for name in order.iter().filter(|name| !undoing.contains(*name)) {
        draw(&mut text, machine, name, &undoing, "    ");
    }
    let _ = writeln!(text, "    state \"undo, after any failure before the one-way door\" as Undo {{");
    for name in order.iter().filter(|name| undoing.contains(*name)) {
        draw(&mut text, machine, name, &undoing, "        ");
    }
    text.push_str("    }\n");
    text
}

fn draw(text: &mut String, machine: &Machine, name: &str, undoing: &BTreeSet<String>, indent: &str) {
    let Some(state) = machine.states.get(name) else { return };
    for (label, to) in arrows(machine, state) {
        let label = if label.is_empty() { label } else { format!(": {label}") };
        let _ = writeln!(text, "{indent}{name} --> {to}{label}");
    }
    match state {
        State::Task(task) => {
            let fails =
                task.catch.iter().filter(|catch| undoing.contains(&catch.next) && !undoing.contains(name));
            for catch in fails {
                let _ = writeln!(text, "{indent}{name} --> {}: fails", catch.next);
            }
        }
        State::Wait(_) => {
            let _ = writeln!(text, "{indent}{name}: wait ({name})");
        }
        State::Succeed(_) | State::Fail(_) => {
            let _ = writeln!(text, "{indent}{name} --> [*]");
        }
        State::Choice(_) => {}
    }
}

/// Where a state leads; through a choice, with the word that is answered.
fn arrows(machine: &Machine, state: &State) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for to in state.next() {
        match machine.states.get(to) {
            Some(State::Choice(choice)) => {
                all.extend(choice.choices.iter().map(|rule| (rule.string_equals.clone(), rule.next.clone())));
                all.extend(choice.default.iter().map(|next| ("else".to_owned(), next.clone())));
            }
            _ => all.push((String::new(), to.to_owned())),
        }
    }
    all
}

/// Every state but the choices, as a reader meets them: the good road first.
fn in_order(machine: &Machine) -> Vec<String> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![machine.start_at.clone()];
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(state) = machine.states.get(&name) else { continue };
        open.extend(state.all_next().into_iter().rev().map(str::to_owned));
        if !matches!(state, State::Choice(_)) {
            order.push(name);
        }
    }
    order
}

/// The states that take something back: tasks whose name begins so in the file.
fn undoing(machine: &Machine, order: &[String]) -> BTreeSet<String> {
    let entered: BTreeMap<&str, usize> =
        order.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let tasks = machine.states.iter().filter(|(_, state)| matches!(state, State::Task(_)));
    tasks
        .filter(|(name, _)| name.starts_with("Undo") && entered.contains_key(name.as_str()))
        .map(|(name, _)| name.clone())
        .collect()
}
