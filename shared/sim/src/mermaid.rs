//! The workflow as a picture: what runs, what waits, and what is taken back. Rendered, never drawn.

use crate::asl::{Machine, State};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use understudy_core::steps::{Effect, STEPS};

/// A `stateDiagram-v2` of the machine: one box a task. A choice becomes the labels of its arrows, a wait the
/// words on the arrow that comes back, an end the word at the last arrow.
pub fn mermaid(machine: &Machine) -> String {
    let mut text = String::from("stateDiagram-v2\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "    [*] --> {}", machine.start_at);
    let order = in_order(machine);
    for name in &order {
        for (to, labels) in arrows(machine, name) {
            let labels = labels.join(", ");
            let label = if labels.is_empty() { String::new() } else { format!(": {labels}") };
            let _ = writeln!(text, "    {name} --> {to}{label}");
        }
    }
    for name in order.iter().filter(|name| calls_a_person(machine, name)) {
        let _ = writeln!(text, "    note right of {name}: any failure that is not drawn leads here");
    }
    for (class, style, effect) in CLASSES {
        let named: Vec<&str> =
            order.iter().map(String::as_str).filter(|name| has_effect(machine, name, *effect)).collect();
        let _ = writeln!(text, "    classDef {class} {style}");
        let _ = writeln!(text, "    class {} {class}", named.join(","));
    }
    text
}

/// How what takes something back, and what lies behind the one-way door, are told apart.
const CLASSES: &[(&str, &str, Effect)] = &[
    ("undo", "stroke-dasharray:5 3", Effect::Undo),
    ("oneway", "stroke-width:3px", Effect::PointOfNoReturn),
];

fn has_effect(machine: &Machine, name: &str, effect: Effect) -> bool {
    let Some(State::Task(task)) = machine.states.get(name) else { return false };
    let step = task.parameter("step").unwrap_or_default();
    STEPS.iter().any(|row| format!("{:?}", row.step) == step && row.effect == effect)
}

/// Where a task leads, and by which words.
fn arrows(machine: &Machine, name: &str) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |to: &str, word: &str| {
        let (to, word) = through(machine, to, word);
        let at = all.iter().position(|(known, _)| *known == to);
        match at.and_then(|at| all.get_mut(at)) {
            Some((_, words)) => words.push(word),
            None => all.push((to, vec![word])),
        }
    };
    let Some(State::Task(task)) = machine.states.get(name) else { return Vec::new() };
    match machine.states.get(&task.next) {
        Some(State::Choice(choice)) => {
            choice.choices.iter().for_each(|rule| add(&rule.next, &rule.string_equals));
            choice.default.iter().for_each(|next| add(next, "else"));
        }
        _ => add(&task.next, ""),
    }
    let undone = task.catch.iter().filter(|catch| !calls_a_person(machine, &catch.next));
    undone.for_each(|catch| add(&catch.next, "fails"));
    for (_, words) in &mut all {
        words.dedup();
        if words.iter().any(String::is_empty) {
            words.clear();
        }
    }
    all
}

/// Whether `name` is where everything goes that neither goes on nor back.
fn calls_a_person(machine: &Machine, name: &str) -> bool {
    let state = machine.states.get(name);
    let fails = |to: &&str| matches!(machine.states.get(*to), Some(State::Fail(_)));
    matches!(state, Some(State::Fail(_))) || state.is_some_and(|state| state.next().iter().any(fails))
}

/// The box behind `to`: a wait leads back to its task, an end to the end.
fn through(machine: &Machine, to: &str, word: &str) -> (String, String) {
    match machine.states.get(to) {
        Some(State::Wait(wait)) => (wait.next.clone(), format!("{word} after a wait")),
        Some(State::Succeed(_) | State::Fail(_)) => {
            let end = if word.is_empty() { to.to_owned() } else { format!("{word} {to}") };
            ("[*]".to_owned(), end)
        }
        _ => (to.to_owned(), word.to_owned()),
    }
}

/// The tasks as a reader meets them: the straight road first, then what leaves it.
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
        if matches!(state, State::Task(_)) {
            order.push(name);
        }
    }
    let ends: BTreeMap<bool, Vec<String>> = order.into_iter().fold(BTreeMap::new(), |mut parts, name| {
        parts.entry(ends_it(machine, &name)).or_insert_with(Vec::new).push(name);
        parts
    });
    ends.into_values().flatten().collect()
}

/// Whether a task's way on is an end: those stand last.
fn ends_it(machine: &Machine, name: &str) -> bool {
    let next = machine.states.get(name).map(State::next).unwrap_or_default();
    let is_end = |to: &&str| matches!(machine.states.get(*to), Some(State::Succeed(_) | State::Fail(_)));
    next.iter().any(is_end)
}
