//! Machines and scripted answers in, histories out: the interpreter alone, without a world. `make parity` holds what
//! this prints against an engine that others wrote.
//!
//! Each line of the input is a machine: `{"machine", "definition", "inputs": {name: {state: [answer, …]}}}`; of a
//! state's answers the last is repeated. Each line of the output is one execution, or `{"machine", "refused"}`.
//! Never in here: what would be right.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};
use understudy_core::time::{Millis, after, elapsed};
use understudy_sim::asl::{Execution, Failure, Machine, Next, State};
use understudy_sim::trace::Status;

const EXECUTION: &str = "parity";

#[derive(Deserialize)]
struct Given {
    machine: String,
    definition: Value,
    inputs: BTreeMap<String, Script>,
}

type Script = BTreeMap<String, Vec<Scripted>>;

/// What a task's function does, or who answers its token.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scripted {
    Answer(Value),
    /// A text that is so many bytes of JSON.
    Bytes(usize),
    Error(String),
    /// The function never answers.
    Hang,
    /// The function answers, and nobody sends the token.
    Silence,
}

#[derive(Serialize)]
struct History<'a> {
    machine: &'a str,
    input: &'a str,
    states: Vec<Visit>,
    end: End,
}

/// One state from entering to leaving it, retries included.
#[derive(Serialize)]
struct Visit {
    state: String,
    input: Value,
    left: bool,
    output: Value,
    attempts: Vec<Attempt>,
}

#[derive(Default, Serialize)]
struct Attempt {
    owner: Option<String>,
    handed: Value,
    /// The wait after it included, the way to the function and back not. None where the execution ended in it.
    took_ms: Option<u64>,
}

#[derive(Serialize)]
struct End {
    status: &'static str,
    error: Option<String>,
    cause: Option<String>,
    output: Option<Value>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let round_trip = round_trip()?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let given: Given = serde_json::from_str(&line?)?;
        let name = given.machine.as_str();
        let machine = match Machine::of(&given.definition) {
            Ok(machine) => machine,
            Err(why) => {
                writeln!(out, "{}", json!({"machine": name, "refused": why.to_string()}))?;
                continue;
            }
        };
        for (input, script) in &given.inputs {
            let (states, end) = Run::new(&machine, script, round_trip).go();
            writeln!(
                out,
                "{}",
                serde_json::to_string(&History { machine: name, input: input.as_str(), states, end })?
            )?;
        }
    }
    Ok(())
}

/// What the interpreter takes for a call of a function that answers: it is no part of any wait.
fn round_trip() -> Result<Millis, Box<dyn std::error::Error>> {
    let machine = Machine::of(&json!({
        "StartAt": "Work",
        "TimeoutSeconds": 60,
        "States": {
            "Work": {"Type": "Task", "Resource": "${WorkerArn}", "Parameters": {}, "Next": "Done"},
            "Done": {"Type": "Succeed"},
        },
    }))?;
    let now = Timestamp::UNIX_EPOCH;
    let mut execution = Execution::start(&machine, EXECUTION, now);
    execution.step(&machine, now);
    match execution.done(&machine, Ok(json!({}))) {
        Next::Resume(took) => Ok(took),
        other => Err(format!("a task that answers goes on with {other:?}").into()),
    }
}

struct Run<'a> {
    machine: &'a Machine,
    script: &'a Script,
    round_trip: Millis,
    execution: Execution,
    now: Timestamp,
    used: BTreeMap<String, usize>,
    states: Vec<Visit>,
}

impl<'a> Run<'a> {
    fn new(machine: &'a Machine, script: &'a Script, round_trip: Millis) -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            machine,
            script,
            round_trip,
            execution: Execution::start(machine, EXECUTION, now),
            now,
            used: BTreeMap::new(),
            states: Vec::new(),
        }
    }

    fn go(mut self) -> (Vec<Visit>, End) {
        loop {
            if self.now >= self.execution.times_out_at(self.machine) {
                // Its time ran out in the state before: that one was not left.
                if let Some(visit) = self.states.last_mut() {
                    (visit.left, visit.output) = (false, Value::Null);
                }
                let end = End { status: Status::TimedOut.word(), error: None, cause: None, output: None };
                return (self.states, end);
            }
            if self.execution.retried() == 0 {
                self.enter();
            }
            let before = self.execution.state().to_owned();
            let next = self.turn();
            match next {
                Next::Ended { status, state } => {
                    if status == Status::Succeeded {
                        self.leave();
                    }
                    let end = self.end(status, &state);
                    return (self.states, end);
                }
                Next::Resume(wait) => self.now = after(self.now, wait),
                Next::Invoke { .. } | Next::Parked => {}
            }
            if self.execution.retried() == 0 || self.execution.state() != before {
                self.leave();
            }
        }
    }

    fn enter(&mut self) {
        self.states.push(Visit {
            state: self.execution.state().to_owned(),
            input: self.execution.data().clone(),
            left: false,
            output: Value::Null,
            attempts: Vec::new(),
        });
    }

    fn leave(&mut self) {
        if let Some(visit) = self.states.last_mut() {
            (visit.left, visit.output) = (true, self.execution.data().clone());
        }
    }

    fn noted(&mut self, attempt: Attempt) {
        if let Some(visit) = self.states.last_mut() {
            visit.attempts.push(attempt);
        }
    }

    /// One entry of the interpreter, and whatever becomes of the call or the token that it asks for.
    fn turn(&mut self) -> Next {
        let began = self.now;
        let is_task = matches!(self.machine.states.get(self.execution.state()), Some(State::Task(_)));
        let (owner, input, timeout) = match self.execution.step(self.machine, self.now) {
            Next::Invoke { owner, input, timeout } => (owner, input, timeout),
            next => {
                if !is_task {
                    self.noted(Attempt { took_ms: resumed(&next, Millis::ZERO), ..Attempt::default() });
                }
                return next;
            }
        };
        let answer = self.answer();
        let wait = timeout.unwrap_or(Millis::ZERO);
        let mut travelled = self.round_trip;
        let result = invoked(&answer);
        if matches!(answer, Scripted::Hang) {
            (self.now, travelled) = (after(self.now, wait), Millis::ZERO);
        }
        let mut next = self.execution.done(self.machine, result);
        if let Next::Parked = next {
            next = if let Some(value) = value(&answer) {
                self.execution.answered(self.machine, value)
            } else {
                (self.now, travelled) = (after(self.now, wait), Millis::ZERO);
                self.execution.done(self.machine, Err(late()))
            };
        }
        let took_ms = resumed(&next, travelled).map(|wait| wait + elapsed(began, self.now).0);
        self.noted(Attempt { owner: Some(owner), handed: input, took_ms });
        next
    }

    fn answer(&mut self) -> Scripted {
        let state = self.execution.state();
        let used = self.used.entry(state.to_owned()).or_default();
        let answers = self.script.get(state).map(Vec::as_slice).unwrap_or_default();
        let answer = answers.get(*used).or(answers.last()).cloned();
        *used += 1;
        answer.unwrap_or_else(|| Scripted::Error("Unscripted".to_owned()))
    }

    fn end(&self, status: Status, told: &str) -> End {
        let state = self.execution.state();
        let (error, cause) = match (status, self.machine.states.get(state)) {
            (Status::Failed, Some(State::Fail(fail))) => (Some(fail.error.clone()), Some(fail.cause.clone())),
            (Status::Failed, _) => {
                let why = told.strip_prefix(state).and_then(|rest| rest.strip_prefix(" ("));
                let (error, cause) = named(why.and_then(|why| why.strip_suffix(')')).unwrap_or(told));
                (Some(error), Some(cause))
            }
            _ => (None, None),
        };
        let output = (status == Status::Succeeded).then(|| self.execution.data().clone());
        End { status: status.word(), error, cause, output }
    }
}

fn resumed(next: &Next, travelled: Millis) -> Option<u64> {
    match next {
        Next::Resume(wait) => Some(wait.0.saturating_sub(travelled.0)),
        _ => None,
    }
}

fn late() -> Failure {
    Failure { error: "States.Timeout".to_owned(), cause: String::new(), hung: true }
}

/// What a function answers, or whoever sends its token.
fn value(answer: &Scripted) -> Option<Value> {
    match answer {
        Scripted::Answer(value) => Some(value.clone()),
        Scripted::Bytes(bytes) => Some(Value::String("x".repeat(bytes.saturating_sub(2)))),
        _ => None,
    }
}

/// What Step Functions hears of it: a function's error has its payload as cause.
fn invoked(answer: &Scripted) -> Result<Value, Failure> {
    match answer {
        Scripted::Answer(_) | Scripted::Bytes(_) | Scripted::Silence => Ok(value(answer).unwrap_or_default()),
        Scripted::Hang => Err(late()),
        Scripted::Error(error) => {
            let cause = json!({"errorType": error, "errorMessage": "scripted"}).to_string();
            Err(Failure { error: error.clone(), cause, hung: false })
        }
    }
}

/// The interpreter dies with a sentence; Step Functions has a name for it.
fn named(why: &str) -> (String, String) {
    let error = match why {
        "no choice fits and there is no default" => "States.NoChoiceMatched",
        "what it should wait for is no number of seconds"
        | "how long it waits for its token is no number of seconds" => "States.Runtime",
        _ => {
            let (error, cause) = why.split_once(": ").unwrap_or((why, ""));
            return (error.to_owned(), cause.to_owned());
        }
    };
    (error.to_owned(), why.to_owned())
}
