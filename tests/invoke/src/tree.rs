//! JSON as it is written: keys may repeat, numbers have no bound, and a text may hold JSON of its own.

use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A literal, as written.
    Raw(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// A text that is JSON itself.
    Inner(Box<Self>),
}

impl Node {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ Value::Object(_)) => Self::Inner(Box::new(Self::of(&inner))),
                _ => Self::Text(text.clone()),
            },
            Value::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect())
            }
            literal => Self::Raw(literal.to_string()),
        }
    }

    pub(crate) fn write(&self) -> String {
        match self {
            Self::Raw(text) => text.clone(),
            Self::Text(text) => quote(text),
            Self::List(list) => format!("[{}]", join(list.iter().map(Self::write))),
            Self::Object(fields) => {
                format!(
                    "{{{}}}",
                    join(fields.iter().map(|(key, node)| format!("{}:{}", quote(key), node.write())))
                )
            }
            Self::Inner(node) => quote(&node.write()),
        }
    }

    /// This node and all below it.
    pub(crate) fn size(&self) -> usize {
        1 + match self {
            Self::Raw(_) | Self::Text(_) => 0,
            Self::List(list) => list.iter().map(Self::size).sum(),
            Self::Object(fields) => fields.iter().map(|(_, node)| node.size()).sum(),
            Self::Inner(node) => node.size(),
        }
    }

    /// The node that `index` counts to, this one being 0.
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut Self> {
        if index == 0 {
            return Some(self);
        }
        let mut left = index - 1;
        for child in self.children() {
            let size = child.size();
            if left < size {
                return child.at(left);
            }
            left -= size;
        }
        None
    }

    fn children(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Raw(_) | Self::Text(_) => Vec::new(),
            Self::List(list) => list.iter_mut().collect(),
            Self::Object(fields) => fields.iter_mut().map(|(_, node)| node).collect(),
            Self::Inner(node) => vec![node],
        }
    }
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// The path of every field of `text`, as messages write it: `Records[1].Sns.Message.AlarmName`.
pub fn paths(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        walk(&value, "", &mut all);
    }
    all
}

fn walk(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    if !at.is_empty() {
        all.insert(at.to_owned());
    }
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, &format!("{at}[{index}]"), all);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                walk(value, &at, all);
            }
        }
        Value::String(text) => {
            if let Ok(inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                walk(&inner, at, all);
            }
        }
        _ => {}
    }
}

/// Whether `message` begins with the place of a field: one of `paths`, or one that is missing right below one of
/// them, or the event itself.
pub fn names_a_field(message: &str, paths: &BTreeSet<String>) -> bool {
    let tells = |place: &str| {
        message.strip_prefix(place).is_some_and(|rest| rest.starts_with(": ") && rest.len() > 2)
    };
    if tells("event") || paths.iter().any(|path| tells(path)) {
        return true;
    }
    let place = message.split(": ").next().unwrap_or_default();
    place.match_indices('.').any(|(end, _)| place.get(..end).is_some_and(|parent| paths.contains(parent)))
}
