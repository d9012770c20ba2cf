//! The table of steps against the workflow, both ways: what each step is, and in which order they run.

use crate::asl::{Catch, Choice, Machine, State, Task};
use std::collections::{BTreeMap, BTreeSet};
use understudy_core::steps::{Effect, Outcome, Step, StepSpec};

/// Errors of Lambda itself that come before or beside the step's own code.
const RETRIED: [&str; 6] = [
    "Transient",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
];

/// Errors that leave open whether the step's code ran to its end; the last three are what a killed process is called,
/// also one that died before it had asked for its first event.
const OPEN: [&str; 5] =
    ["States.Timeout", "Sandbox.Timedout", "Lambda.Unknown", "Runtime.ExitError", "Runtime.Unknown"];

/// What may be asked again. Every step looks before it acts, so that a second asking observes; but the one-way
/// door is observed by another step, and a question that ran out was answered: silence is a no.
fn retried(row: &StepSpec) -> BTreeSet<&'static str> {
    let once = row.step == Step::Promote || row.owner == "approver";
    RETRIED.into_iter().chain(OPEN.into_iter().filter(|_| !once)).collect()
}

/// Everything in which `machine` and `rows` differ; empty when they agree.
pub fn differences(machine: &Machine, rows: &[&StepSpec]) -> Vec<String> {
    let mut all = Vec::new();
    let by_name: BTreeMap<String, &StepSpec> =
        rows.iter().map(|row| (format!("{:?}", row.step), *row)).collect();
    let mut run = BTreeSet::new();
    for (name, state) in &machine.states {
        if state.comment().is_none_or(|comment| comment.trim().is_empty()) {
            all.push(format!("state `{name}`: has no `Comment` that says why"));
        }
        let State::Task(task) = state else { continue };
        let step = task.parameter("step").unwrap_or_default();
        run.insert(step);
        match by_name.get(step) {
            None => all.push(format!("state `{name}`: runs the step `{step}`, which has no row")),
            Some(row) => {
                let at = At { machine, name, task, row, rows: &by_name };
                all.extend(at.differences().into_iter().map(|what| format!("state `{name}`: {what}")));
            }
        }
    }
    let idle = by_name.keys().filter(|step| !run.contains(step.as_str()));
    all.extend(idle.map(|step| format!("step `{step}`: no state of the workflow runs it")));
    all.extend(unreachable(machine).map(|name| format!("state `{name}`: nothing leads to it")));
    all.extend(unfenced(machine));
    all
}

/// One task of the workflow with its row.
struct At<'a> {
    machine: &'a Machine,
    name: &'a str,
    task: &'a Task,
    row: &'a StepSpec,
    rows: &'a BTreeMap<String, &'a StepSpec>,
}

impl At<'_> {
    fn differences(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.task.owner().as_deref() != Ok(self.row.owner) {
            all.push(format!("resource `{}` is not the owner `{}`", self.task.resource, self.row.owner));
        }
        if self.task.parameter("execution.$") != Some("$$.Execution.Name") {
            all.push("does not hand its execution's name on".to_owned());
        }
        all.extend(self.house_rules());
        all.extend(self.outcomes());
        all.extend(self.undo());
        all
    }

    fn house_rules(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.task.timeout_seconds.is_none() && self.task.timeout_seconds_path.is_none() {
            all.push("has no `TimeoutSeconds`".to_owned());
        }
        if self.task.result_path.is_none() {
            all.push("has no `ResultPath`".to_owned());
        }
        let retried: BTreeSet<&str> =
            self.task.retry.iter().flat_map(|retry| &retry.error_equals).map(String::as_str).collect();
        if retried != self::retried(self.row) {
            all.push(format!("retries {retried:?}, not what may be retried"));
        }
        if !self.task.catch.iter().any(catches_all) {
            all.push("does not catch `States.ALL`".to_owned());
        }
        all
    }

    /// Every word that the step may answer is handled, and no other is waited for.
    fn outcomes(&self) -> Vec<String> {
        let Some(State::Choice(choice)) = self.machine.states.get(&self.task.next) else {
            let single = self.row.outcomes == [Outcome::Done];
            let what =
                format!("goes on to `{}` whatever it answers: {:?}", self.task.next, self.row.outcomes);
            return if single { Vec::new() } else { vec![what] };
        };
        let known: BTreeSet<String> = self.row.outcomes.iter().map(|outcome| word(*outcome)).collect();
        let compared: BTreeSet<String> =
            choice.choices.iter().map(|rule| rule.string_equals.clone()).collect();
        let mut all: Vec<String> = compared
            .difference(&known)
            .map(|word| format!("`{}` waits for `{word}`, which is never answered", self.task.next))
            .collect();
        all.extend(self.other_variables(choice));
        let missed: Vec<&String> = known.difference(&compared).collect();
        if choice.default.is_none() && !missed.is_empty() {
            all.push(format!("`{}` has no way on for {missed:?}", self.task.next));
        }
        all
    }

    /// A choice judges what the task before it answered, and nothing else.
    fn other_variables(&self, choice: &Choice) -> Option<String> {
        let own = format!("{}.outcome", self.task.result_path.as_deref().unwrap_or("$"));
        let odd = choice.choices.iter().find(|rule| rule.variable != own)?;
        Some(format!("`{}` compares `{}`, not `{own}`", self.task.next, odd.variable))
    }

    /// What a reversible step did is taken back on every road that does not cross the one-way door.
    fn undo(&self) -> Vec<String> {
        let Effect::Reversible { undo } = self.row.effect else { return Vec::new() };
        let roads: BTreeSet<&str> =
            self.machine.states.get(self.name).map(State::all_next).unwrap_or_default().into_iter().collect();
        roads
            .into_iter()
            .filter_map(|next| Some((next, self.end_without(next, undo)?)))
            .map(|(next, end)| format!("by `{next}` a road ends in `{end}` without `{undo:?}`"))
            .collect()
    }

    /// An end that a road from `from` reaches with neither `wanted` nor the one-way door on it. A failing undo
    /// calls a person, so its own failures are no such road.
    fn end_without(&self, from: &str, wanted: Step) -> Option<String> {
        let mut seen = BTreeSet::from([self.name.to_owned()]);
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            let state = self.machine.states.get(&name)?;
            let row = step_of(state).and_then(|step| self.rows.get(step));
            let done = row.is_some_and(|row| row.step == wanted || row.effect == Effect::PointOfNoReturn);
            if done || !seen.insert(name.clone()) {
                continue;
            }
            let undoes = row.is_some_and(|row| row.effect == Effect::Undo);
            let next = if undoes { state.next() } else { state.all_next() };
            if next.is_empty() {
                return Some(name);
            }
            open.extend(next.into_iter().map(str::to_owned));
        }
        None
    }
}

fn catches_all(catch: &Catch) -> bool {
    catch.error_equals.iter().any(|error| error == "States.ALL")
}

/// An outcome as the workflow spells it.
pub fn word(outcome: Outcome) -> String {
    let value = serde_json::to_value(outcome).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn step_of(state: &State) -> Option<&str> {
    match state {
        State::Task(task) => task.parameter("step"),
        _ => None,
    }
}

/// Every state that `roads` lead to from the start.
fn reachable<'m>(
    machine: &'m Machine,
    roads: impl Fn(&'m str, &'m State) -> Vec<&'m str>,
) -> BTreeSet<&'m str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![machine.start_at.as_str()];
    while let Some(name) = open.pop() {
        if let Some((name, state)) = machine.states.get_key_value(name)
            && seen.insert(name.as_str())
        {
            open.extend(roads(name, state));
        }
    }
    seen
}

fn unreachable(machine: &Machine) -> impl Iterator<Item = &String> {
    let seen = reachable(machine, |_, state| state.all_next());
    machine.states.keys().filter(move |name| !seen.contains(name.as_str()))
}

/// L2: with the answer `fenced` taken away, and `forward` of one that goes on from a fenced one, nothing leads to a
/// promotion.
fn unfenced(machine: &Machine) -> Vec<String> {
    let (fenced, forward) = (word(Outcome::Fenced), word(Outcome::Forward));
    let word_of = |step: &str| match step {
        "Fence" | "Accept" => Some(&fenced),
        "Continue" => Some(&forward),
        _ => None,
    };
    let mut judges: BTreeMap<&str, &String> = BTreeMap::new();
    for state in machine.states.values() {
        if let (State::Task(task), Some(word)) = (state, step_of(state).and_then(word_of)) {
            judges.insert(&task.next, word);
        }
    }
    let seen = reachable(machine, |name, state| match (state, judges.get(name)) {
        (State::Choice(choice), Some(word)) => {
            let others = choice.choices.iter().filter(|rule| rule.string_equals != **word);
            others.map(|rule| rule.next.as_str()).chain(choice.default.as_deref()).collect()
        }
        _ => state.all_next(),
    });
    let mut all: Vec<String> = seen
        .iter()
        .filter(|name| machine.states.get(**name).and_then(step_of) == Some("Promote"))
        .map(|name| format!("state `{name}`: can be reached without a fence that answered `{fenced}`"))
        .collect();
    if judges.is_empty() {
        all.push("no state of the workflow fences".to_owned());
    }
    all
}
