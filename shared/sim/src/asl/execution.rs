//! One execution of a machine, state by state, on somebody else's clock.

use super::{Catch, Choice, Machine, State, Task, Wait, field};
use crate::trace::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use understudy_core::time::{Millis, after, elapsed};

/// Step Functions ends an execution whose history grows beyond this.
const HISTORY_MAX: u32 = 25_000;
/// Nothing that passes between states may be larger.
const PAYLOAD_MAX: usize = 256 * 1024;
/// What Step Functions itself takes from one state to the next.
const ROUND_TRIP: Millis = Millis(50);

/// Why a task failed, in the words that `Retry` and `Catch` match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub error: String,
    pub cause: String,
    /// Nobody answered: it fails at its timeout, and at once.
    pub hung: bool,
}

/// What comes after one step of the interpreter.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Resume(Millis),
    /// `owner` is to be invoked on `input`; the task fails by itself after `timeout`.
    Invoke {
        owner: String,
        input: Value,
        timeout: Option<Millis>,
    },
    /// It goes on waiting for its token.
    Parked,
    Ended {
        status: Status,
        state: String,
    },
}

#[derive(Clone, Debug)]
pub struct Execution {
    pub name: String,
    started_at: Timestamp,
    /// When the present state was entered; its retries do not enter it again.
    entered_at: Option<Timestamp>,
    state: String,
    data: Value,
    /// The token that the present state waits for.
    token: Option<String>,
    /// Grows with each step: whatever was planned for an earlier one is void.
    turn: u64,
    /// Attempts that each retrier of the present state has used.
    retries: Vec<u32>,
    history: u32,
}

impl Execution {
    pub fn start(machine: &Machine, name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            started_at: now,
            entered_at: None,
            state: machine.start_at.clone(),
            data: json!({}),
            token: None,
            turn: 0,
            retries: Vec::new(),
            history: 1,
        }
    }

    pub fn state(&self) -> &str {
        &self.state
    }

    /// What the present state was handed.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// How often the present state was retried; 0 when it was just entered.
    pub fn retried(&self) -> u32 {
        self.retries.iter().sum()
    }

    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Events so far, as Step Functions counts them.
    pub fn history(&self) -> u32 {
        self.history
    }

    /// Enters the present state once more. What a task's function answers is told to [`Execution::done`].
    pub fn step(&mut self, machine: &Machine, now: Timestamp) -> Next {
        self.turn += 1;
        if elapsed(self.started_at, now) >= Millis::from_secs(machine.timeout_seconds) {
            return Next::Ended { status: Status::TimedOut, state: self.state.clone() };
        }
        if self.history > HISTORY_MAX {
            return self.dies("the history is full");
        }
        self.history += 2;
        let entered_at = *self.entered_at.get_or_insert(now);
        match machine.states.get(&self.state) {
            None => self.dies("there is no such state"),
            Some(State::Task(task)) => self.task(task, entered_at),
            Some(State::Choice(choice)) => self.choice(choice),
            Some(State::Wait(wait)) => self.wait(wait),
            Some(State::Succeed(_)) => Next::Ended { status: Status::Succeeded, state: self.state.clone() },
            Some(State::Fail(_)) => Next::Ended { status: Status::Failed, state: self.state.clone() },
        }
    }

    /// Step Functions' own failure, which nothing can catch.
    fn dies(&self, why: &str) -> Next {
        Next::Ended { status: Status::Failed, state: format!("{} ({why})", self.state) }
    }

    fn goes_to(&mut self, next: &str, wait: Millis) -> Next {
        next.clone_into(&mut self.state);
        self.entered_at = None;
        self.retries.clear();
        Next::Resume(wait)
    }

    fn task(&mut self, task: &Task, entered_at: Timestamp) -> Next {
        self.history += 3;
        let Ok(owner) = task.owner() else { return self.dies("its resource is not modelled") };
        let timeout = self.timeout(task);
        if task.timeout_seconds_path.is_some() && timeout.is_none() {
            return self.dies("States.Runtime: its time limit is no positive number of seconds");
        }
        if task.waits() {
            if timeout.is_none() {
                return self.dies("how long it waits for its token is no number of seconds");
            }
            // It may be sent from the moment at which the function is handed it.
            self.token = Some(self.next_token());
        }
        Next::Invoke { owner, input: self.input(task, entered_at), timeout }
    }

    /// What became of the invocation that this turn asked for. A task that waits for its token goes on waiting when
    /// its function answered.
    pub fn done(&mut self, machine: &Machine, result: Result<Value, Failure>) -> Next {
        let Some(State::Task(task)) = machine.states.get(&self.state) else {
            return self.dies("it waits for no answer");
        };
        match result {
            Ok(_) if task.waits() => Next::Parked,
            Ok(value) => {
                self.turn += 1;
                self.succeeded(task, value, ROUND_TRIP)
            }
            Err(failure) => {
                self.turn += 1;
                self.token = None;
                self.failed(task, &failure)
            }
        }
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether `token` is the one that it waits for.
    pub fn waits_for(&self, token: &str) -> bool {
        self.token.as_deref() == Some(token)
    }

    /// Somebody sent the token: the task succeeds with `output`.
    pub fn answered(&mut self, machine: &Machine, output: Value) -> Next {
        self.turn += 1;
        self.token = None;
        match machine.states.get(&self.state) {
            Some(State::Task(task)) => self.succeeded(task, output, Millis::ZERO),
            _ => self.dies("it waits for no token"),
        }
    }

    fn succeeded(&mut self, task: &Task, value: Value, took: Millis) -> Next {
        let size = size_of(&value);
        if size > PAYLOAD_MAX {
            return self.failed(task, &too_large(size));
        }
        let placed = if let Some(path) = &task.result_path {
            self.put(path, value)
        } else {
            self.data = value;
            true
        };
        if placed { self.goes_to(&task.next, took) } else { self.dies(NO_PLACE) }
    }

    fn next_token(&self) -> String {
        format!("{}#{}", self.name, self.turn)
    }

    fn timeout(&self, task: &Task) -> Option<Millis> {
        let seconds = match &task.timeout_seconds_path {
            Some(path) => self.at(path).and_then(Value::as_u64).filter(|seconds| *seconds > 0),
            None => task.timeout_seconds,
        };
        seconds.map(Millis::from_secs)
    }

    fn input(&self, task: &Task, entered_at: Timestamp) -> Value {
        let one = |(name, value): (&String, &Value)| match (name.strip_suffix(".$"), value.as_str()) {
            (Some(name), Some("$$.Task.Token")) => (name.to_owned(), Value::String(self.next_token())),
            (Some(name), Some("$$.State.EnteredTime")) => (name.to_owned(), json!(entered_at)),
            (Some(name), _) => (name.to_owned(), Value::String(self.name.clone())),
            (None, _) => (name.clone(), value.clone()),
        };
        Value::Object(task.input().into_iter().flatten().map(one).collect::<Map<_, _>>())
    }

    /// Retriers first, in order; the first that names the error decides. Then the catchers, likewise.
    fn failed(&mut self, task: &Task, failure: &Failure) -> Next {
        let took = if failure.hung { Millis::ZERO } else { ROUND_TRIP };
        self.retries.resize(task.retry.len(), 0);
        let named = task.retry.iter().zip(self.retries.iter_mut());
        let mut named = named.filter(|(retry, _)| matches(&retry.error_equals, &failure.error));
        if let Some((retry, used)) = named.next()
            && *used < retry.max_attempts
        {
            let wait = retry_wait(retry, *used);
            *used += 1;
            return Next::Resume(took.saturating_add(wait));
        }
        let caught = task.catch.iter().find(|catch| matches(&catch.error_equals, &failure.error));
        match caught {
            Some(catch) => self.caught(catch, failure, took),
            None => self.dies(&format!("{}: {}", failure.error, failure.cause)),
        }
    }

    fn caught(&mut self, catch: &Catch, failure: &Failure, took: Millis) -> Next {
        let error = json!({"Error": failure.error, "Cause": failure.cause});
        if self.put(&catch.result_path, error) {
            self.goes_to(&catch.next, took)
        } else {
            self.dies(NO_PLACE)
        }
    }

    /// A rule that looks where nothing is ends the execution: its default is for values, not for their absence.
    fn choice(&mut self, choice: &Choice) -> Next {
        let mut next = choice.default.as_ref();
        for rule in &choice.choices {
            let Some(value) = self.at(&rule.variable) else {
                return self.dies("States.Runtime: a rule looks where nothing is");
            };
            if value.as_str() == Some(rule.string_equals.as_str()) {
                next = Some(&rule.next);
                break;
            }
        }
        match next {
            Some(next) => self.goes_to(next, Millis::ZERO),
            None => self.dies("no choice fits and there is no default"),
        }
    }

    fn wait(&mut self, wait: &Wait) -> Next {
        match self.at(&wait.seconds_path).and_then(Value::as_u64) {
            Some(seconds) => self.goes_to(&wait.next, Millis::from_secs(seconds)),
            None => self.dies("what it should wait for is no number of seconds"),
        }
    }

    /// What stands at a path, which was looked at when the machine was read.
    fn at(&self, text: &str) -> Option<&Value> {
        text.strip_prefix("$.")?.split('.').try_fold(&self.data, |at, name| at.get(name))
    }

    /// False where there is no object to put it into.
    fn put(&mut self, text: &str, value: Value) -> bool {
        let (Ok(name), Value::Object(fields)) = (field(text), &mut self.data) else { return false };
        fields.insert(name, value);
        true
    }

    /// When the machine's own timeout ends it.
    pub fn times_out_at(&self, machine: &Machine) -> Timestamp {
        after(self.started_at, Millis::from_secs(machine.timeout_seconds))
    }
}

/// The bytes that Step Functions counts.
fn size_of(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing to a counter cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

const NO_PLACE: &str = "States.ResultPathMatchFailure: the state holds no object to put a result into";

fn too_large(size: usize) -> Failure {
    let cause = format!("a result of {size} bytes is larger than {PAYLOAD_MAX}");
    Failure { error: "States.DataLimitExceeded".to_owned(), cause, hung: false }
}

/// `States.ALL` names everything but what Step Functions keeps to itself, `States.TaskFailed` not the time-out either.
fn matches(named: &[String], error: &str) -> bool {
    let catchable = !matches!(error, "States.DataLimitExceeded" | "States.Runtime");
    named.iter().any(|name| match name.as_str() {
        "States.ALL" => catchable,
        "States.TaskFailed" => catchable && error != "States.Timeout",
        name => name == error,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few seconds in milliseconds are far below any limit"
)]
fn retry_wait(retry: &super::Retry, used: u32) -> Millis {
    let exponent = i32::try_from(used).unwrap_or(i32::MAX);
    let seconds = retry.interval_seconds as f64 * retry.backoff_rate.powi(exponent);
    Millis((seconds.min(retry.max_delay_seconds as f64) * 1000.0) as u64)
}
