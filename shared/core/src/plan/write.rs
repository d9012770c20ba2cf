//! A plan as a plan file: what [`super::read`] reads back to the same plan.
//!
//! Comments and the writer's own layout are not kept. Nothing here checks a value or knows a field.

use super::model::Plan;
use super::record::Fields;
use super::units::Shape;
use std::fmt::Write;

/// A value on its way into the file.
pub(super) enum Out {
    Scalar(String),
    List(Vec<Out>),
    Record(Vec<(&'static str, Out)>),
}

impl Out {
    pub(super) fn scalar(text: String, shape: Shape) -> Self {
        Self::Scalar(if shape == Shape::Text { quoted(&text) } else { text })
    }

    /// On one line, if it is short enough for one.
    fn inline(&self) -> Option<String> {
        let text = match self {
            Self::Scalar(text) => return Some(text.clone()),
            Self::List(entries) => {
                let entries: Option<Vec<String>> = entries.iter().map(Self::inline).collect();
                format!("[{}]", entries?.join(", "))
            }
            Self::Record(fields) => {
                let field = |(key, value): &(&str, Self)| Some(format!("{key}: {}", value.inline()?));
                let fields: Option<Vec<String>> = fields.iter().map(field).collect();
                format!("{{{}}}", fields?.join(", "))
            }
        };
        (text.len() <= INLINE_MAX).then_some(text)
    }
}

/// What is longer is broken over lines.
const INLINE_MAX: usize = 90;

impl Plan {
    /// The plan as YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut page = String::new();
        if let Out::Record(fields) = self.show() {
            write_fields(&mut page, 0, &fields);
        }
        page
    }
}

// Writing to a `String` cannot fail.
fn write_fields(page: &mut String, level: usize, fields: &[(&'static str, Out)]) {
    for (index, (key, value)) in fields.iter().enumerate() {
        // The first field of a list's entry stands behind its dash.
        if index > 0 || !page.ends_with("- ") {
            _ = write!(page, "{:indent$}", "", indent = level.saturating_mul(2));
        }
        _ = write!(page, "{key}:");
        match (value.inline().filter(|_| level > 0 || matches!(value, Out::Scalar(_))), value) {
            (Some(text), _) => _ = writeln!(page, " {text}"),
            (None, Out::Record(fields)) => {
                page.push('\n');
                write_fields(page, level.saturating_add(1), fields);
            }
            (None, Out::List(entries)) => write_entries(page, level.saturating_add(1), entries),
            (None, Out::Scalar(text)) => _ = writeln!(page, " {text}"),
        }
    }
}

fn write_entries(page: &mut String, level: usize, entries: &[Out]) {
    if entries.is_empty() {
        page.push_str(" []\n");
        return;
    }
    page.push('\n');
    for entry in entries {
        _ = write!(page, "{:indent$}- ", "", indent = level.saturating_mul(2));
        match (entry.inline(), entry) {
            (None, Out::Record(fields)) => write_fields(page, level.saturating_add(1), fields),
            (text, _) => _ = writeln!(page, "{}", text.unwrap_or_default()),
        }
    }
}

/// Without quotes where nobody could take it for anything but text. Else in single quotes: within them, a plan's
/// texts have but one character to escape.
fn quoted(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if word { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}
