//! The house subset of the Amazon States Language, read strictly: a field or type that is not modelled here is
//! an error that names it, so that the deployed file cannot drift past the simulator.

mod execution;

pub use execution::{Execution, Failure, Next};

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What in a workflow file is not modelled, or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AslError(pub String);

impl fmt::Display for AslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AslError {}

#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub comment: Option<String>,
    pub start_at: String,
    pub timeout_seconds: u64,
    pub states: BTreeMap<String, State>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Task(Task),
    Choice(Choice),
    Wait(Wait),
    Succeed(Succeed),
    Fail(Fail),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Task {
    pub comment: Option<String>,
    pub resource: String,
    pub parameters: Map<String, Value>,
    pub result_path: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub timeout_seconds_path: Option<String>,
    #[serde(default)]
    pub retry: Vec<Retry>,
    #[serde(default)]
    pub catch: Vec<Catch>,
    pub next: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Retry {
    pub error_equals: Vec<String>,
    pub interval_seconds: u64,
    pub max_attempts: u32,
    pub backoff_rate: f64,
    pub max_delay_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Catch {
    pub error_equals: Vec<String>,
    pub result_path: String,
    pub next: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Choice {
    pub comment: Option<String>,
    pub choices: Vec<Rule>,
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Rule {
    pub variable: String,
    pub string_equals: String,
    pub next: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Wait {
    pub comment: Option<String>,
    pub seconds_path: String,
    pub next: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Succeed {
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Fail {
    pub comment: Option<String>,
    pub error: String,
    pub cause: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct File {
    comment: Option<String>,
    start_at: String,
    timeout_seconds: u64,
    states: Map<String, Value>,
}

impl Machine {
    /// Reads the text of a workflow file.
    pub fn read(text: &str) -> Result<Self, AslError> {
        let file: Value = serde_json::from_str(text).map_err(|error| AslError(error.to_string()))?;
        Self::of(&file)
    }

    pub fn of(file: &Value) -> Result<Self, AslError> {
        let file: File = serde_json::from_value(file.clone())
            .map_err(|error| AslError(format!("the machine: {error}")))?;
        let states = file
            .states
            .into_iter()
            .map(|(name, body)| {
                let state = state(body).map_err(|why| AslError(format!("state `{name}`: {why}")))?;
                Ok((name, state))
            })
            .collect::<Result<BTreeMap<_, _>, AslError>>()?;
        let machine = Self {
            comment: file.comment,
            start_at: file.start_at,
            timeout_seconds: file.timeout_seconds,
            states,
        };
        machine.check()?;
        Ok(machine)
    }

    /// Every name that is named must be there, and every path must be one that the interpreter follows.
    fn check(&self) -> Result<(), AslError> {
        let missing = |name: &str, from: &str| {
            AslError(format!("{from}: names the state `{name}`, which is not there"))
        };
        if !self.states.contains_key(&self.start_at) {
            return Err(missing(&self.start_at, "StartAt"));
        }
        for (name, state) in &self.states {
            let at = format!("state `{name}`");
            for next in state.all_next() {
                if !self.states.contains_key(next) {
                    return Err(missing(next, &at));
                }
            }
            state.check().map_err(|why| AslError(format!("{at}: {why}")))?;
        }
        Ok(())
    }
}

fn state(body: Value) -> Result<State, String> {
    let Value::Object(mut fields) = body else { return Err("must be an object".to_owned()) };
    let kind = fields.remove("Type").ok_or("has no `Type`")?;
    if let Some((name, _)) = fields.iter().find(|(_, value)| value.is_null()) {
        return Err(format!("`{name}` is null, which is not modelled"));
    }
    let rest = Value::Object(fields);
    match kind.as_str().unwrap_or_default() {
        "Task" => typed(rest).map(State::Task),
        "Choice" => typed(rest).map(State::Choice),
        "Wait" => typed(rest).map(State::Wait),
        "Succeed" => typed(rest).map(State::Succeed),
        "Fail" => typed(rest).map(State::Fail),
        _ => Err(format!("type {kind} is not modelled")),
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

impl State {
    pub fn comment(&self) -> Option<&str> {
        match self {
            Self::Task(task) => task.comment.as_deref(),
            Self::Choice(choice) => choice.comment.as_deref(),
            Self::Wait(wait) => wait.comment.as_deref(),
            Self::Succeed(end) => end.comment.as_deref(),
            Self::Fail(end) => end.comment.as_deref(),
        }
    }

    /// Where it goes when nothing fails.
    pub fn next(&self) -> Vec<&str> {
        match self {
            Self::Task(task) => vec![&task.next],
            Self::Choice(choice) => choice
                .choices
                .iter()
                .map(|rule| rule.next.as_str())
                .chain(choice.default.as_deref())
                .collect(),
            Self::Wait(wait) => vec![&wait.next],
            Self::Succeed(_) | Self::Fail(_) => Vec::new(),
        }
    }

    /// Where it goes, failing or not.
    pub fn all_next(&self) -> Vec<&str> {
        let mut all = self.next();
        if let Self::Task(task) = self {
            all.extend(task.catch.iter().map(|catch| catch.next.as_str()));
        }
        all
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Task(task) => task.check(),
            Self::Choice(choice) => {
                choice.choices.iter().try_for_each(|rule| path(&rule.variable).map(|_| ()))
            }
            Self::Wait(wait) => path(&wait.seconds_path).map(|_| ()),
            Self::Succeed(_) | Self::Fail(_) => Ok(()),
        }
    }
}

/// A task with this resource waits until somebody sends its token.
const WAITS: &str = "arn:aws:states:::lambda:invoke.waitForTaskToken";

impl Task {
    fn check(&self) -> Result<(), String> {
        self.owner()?;
        if self.waits() && self.timeout_seconds.is_none() && self.timeout_seconds_path.is_none() {
            return Err("waits for its token without a time limit, which is not modelled".to_owned());
        }
        if let Some(result_path) = &self.result_path {
            field(result_path)?;
        }
        if let Some(timeout) = &self.timeout_seconds_path {
            path(timeout)?;
        }
        for catch in &self.catch {
            field(&catch.result_path)?;
        }
        for (name, value) in self.input()? {
            match (name.strip_suffix(".$"), value.as_str()) {
                (Some(_), Some("$$.Execution.Name" | "$$.State.EnteredTime")) | (None, Some(_)) => {}
                (Some(_), Some("$$.Task.Token")) if self.waits() => {}
                _ => return Err(format!("parameter `{name}`: {value} is not modelled")),
            }
        }
        Ok(())
    }

    /// Whether it waits for its token after its function answered.
    pub fn waits(&self) -> bool {
        self.resource == WAITS
    }

    /// What its function is handed: the parameters, or their `Payload` where it waits for a token.
    pub fn input(&self) -> Result<&Map<String, Value>, String> {
        if !self.waits() {
            return Ok(&self.parameters);
        }
        let strange =
            self.parameters.keys().find(|name| !["FunctionName", "Payload"].contains(&name.as_str()));
        match (strange, self.parameters.get("Payload")) {
            (Some(name), _) => Err(format!("parameter `{name}` is not modelled")),
            (None, Some(Value::Object(payload))) => Ok(payload),
            (None, _) => Err("has no `Payload`".to_owned()),
        }
    }

    /// The function behind the resource: `${StorePromoterArn}` is `store-promoter`.
    pub fn owner(&self) -> Result<String, String> {
        let named = if self.waits() { self.parameters.get("FunctionName") } else { None };
        let arn = named.and_then(Value::as_str).unwrap_or(&self.resource);
        let name = arn.strip_prefix("${").and_then(|rest| rest.strip_suffix("Arn}"));
        let name = name.ok_or_else(|| format!("resource `{arn}` is not modelled"))?;
        let mut kebab = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(letter.to_ascii_lowercase());
        }
        Ok(kebab)
    }

    /// The text of one parameter of its function.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.input().ok()?.get(name).and_then(Value::as_str)
    }
}

/// A path of plain names, `$.a.b`, as a JSON pointer.
fn path(text: &str) -> Result<String, String> {
    let names = text.strip_prefix("$.").ok_or_else(|| format!("path `{text}` is not modelled"))?;
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if names.split('.').all(plain) {
        Ok(format!("/{}", names.replace('.', "/")))
    } else {
        Err(format!("path `{text}` is not modelled"))
    }
}

/// A path of one name, `$.a`: where results go.
fn field(text: &str) -> Result<String, String> {
    let pointer = path(text)?;
    match pointer.strip_prefix('/') {
        Some(name) if !name.contains('/') => Ok(name.to_owned()),
        _ => Err(format!("result path `{text}` is not modelled")),
    }
}
