//! The cursor: walks the tree, reads fields, and collects what is wrong without stopping.
//!
//! A value that is refused yields `None` and its problem is already told, so that callers assemble what they can and
//! every other mistake is still found. Nothing here knows a field of the plan or compares two values.

use super::codes;
use super::problem::{Draft, Span};
use super::tree::{Key, Kind, Node};
use super::units::{Shape, Unit, Wrong, quote};
use super::words::nearest;
use std::collections::BTreeMap;

/// Collects problems, and what was seen where.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub drafts: Vec<Draft>,
    pub seen: Seen,
}

/// Every value that the file gives, by path: what the rules compare.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, Sighting>);

#[derive(Debug)]
struct Sighting {
    span: Span,
    /// Kept only if the scalar passed its own check.
    good: Option<String>,
    /// A record whose fields are read.
    opened: bool,
}

impl Sighting {
    const fn at(span: Span) -> Self {
        Self { span, good: None, opened: false }
    }
}

impl Seen {
    /// Given in the file, well or badly.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// A scalar that passed its own check.
    pub(super) fn text(&self, path: &str) -> Option<(&str, Span)> {
        let sighting = self.0.get(path)?;
        Some((sighting.good.as_deref()?, sighting.span))
    }

    /// Where a record stands that could be opened.
    pub(super) fn record(&self, path: &str) -> Option<Span> {
        self.0.get(path).filter(|sighting| sighting.opened).map(|sighting| sighting.span)
    }

    /// The innermost value that overlaps `span`; empty for a comment.
    pub(super) fn path_at(&self, span: Span) -> String {
        let here = self.0.iter().filter(|(_, sighting)| sighting.span.overlaps(span));
        here.max_by_key(|(_, sighting)| sighting.span.start).map(|(path, _)| path.clone()).unwrap_or_default()
    }

    /// Where every value of the file stands.
    pub(super) fn into_places(self) -> BTreeMap<String, Span> {
        self.0.into_iter().map(|(path, sighting)| (path, sighting.span)).collect()
    }

    /// How many entries the list at `path` has.
    pub(super) fn count(&self, path: &str) -> usize {
        (0..self.0.len()).take_while(|index| self.has(&format!("{path}[{index}]"))).count()
    }
}

/// A value and its place.
pub(super) struct Value<'t> {
    pub node: &'t Node,
    pub path: String,
    /// Where to point: the value, or the name before it if there is no value.
    pub at: Span,
    /// How such a value is written, `window: 120s`.
    pub example: String,
}

impl Reader {
    pub(super) fn refuse(
        &mut self,
        code: &'static str,
        path: &str,
        span: Span,
        message: String,
        help: String,
    ) {
        self.drafts.push(Draft { code, path: path.to_owned(), span, message, help, related: None });
    }

    /// A value of this kind from one scalar.
    pub(super) fn unit<T>(&mut self, value: &Value<'_>, unit: &Unit<T>) -> Option<T> {
        let Kind::Scalar { text, plain } = &value.node.kind else {
            return self.wrong_type(value, unit.expected);
        };
        if !fits(text, *plain, unit.shape) {
            return self.wrong_type(value, unit.expected);
        }
        match (unit.parse)(text) {
            Ok(parsed) => {
                self.seen.0.insert(
                    value.path.clone(),
                    Sighting { good: Some(text.clone()), ..Sighting::at(value.at) },
                );
                Some(parsed)
            }
            Err(Wrong { code, what, help }) => {
                self.refuse(code, &value.path, value.at, format!("`{}` {what}", value.path), help);
                None
            }
        }
    }

    /// A list of at least one entry, each read by `read`. Entries that are refused leave no list.
    pub(super) fn list<'t, T>(
        &mut self,
        value: &Value<'t>,
        expected: &str,
        read: impl Fn(&mut Self, &Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Kind::List(items) = &value.node.kind else {
            return self.wrong_type(value, expected);
        };
        let mut list = Some(Vec::new());
        for (index, node) in items.iter().enumerate() {
            let path = format!("{}[{index}]", value.path);
            self.seen.0.insert(path.clone(), Sighting::at(node.span));
            let entry = read(self, &Value { node, path, at: node.span, example: value.example.clone() });
            list = list.zip(entry).map(|(mut list, entry)| {
                list.push(entry);
                list
            });
        }
        list
    }

    /// Refuses a list without entries.
    pub(super) fn filled<T>(&mut self, value: &Value<'_>, list: Option<Vec<T>>) -> Option<Vec<T>> {
        if matches!(&value.node.kind, Kind::List(items) if items.is_empty()) {
            let message = format!("`{}` is empty, and needs at least one entry", value.path);
            self.refuse(
                codes::EMPTY_LIST,
                &value.path,
                value.at,
                message,
                format!("write `{}`", value.example),
            );
            return None;
        }
        list
    }

    /// The fields of a record, to be taken one by one.
    pub(super) fn record<'r, 't>(&'r mut self, value: &Value<'t>, expected: &str) -> Option<Record<'r, 't>> {
        match &value.node.kind {
            Kind::Record(fields) => {
                self.seen.0.insert(value.path.clone(), Sighting { opened: true, ..Sighting::at(value.at) });
                Some(Record::open(self, value, fields))
            }
            // A heading with nothing under it lacks its fields.
            Kind::Scalar { text, plain: true } if text.is_empty() => Some(Record::open(self, value, &[])),
            _ => self.wrong_type(value, expected),
        }
    }

    fn wrong_type<T>(&mut self, value: &Value<'_>, expected: &str) -> Option<T> {
        if let Some(found) = found(&value.node.kind) {
            let message = format!("`{}`: expected {expected}, found {found}", value.path);
            let help = match &value.node.kind {
                Kind::Scalar { text, .. }
                    if expected.starts_with("a list") && text.len() <= 60 && !text.is_empty() =>
                {
                    format!("put it in brackets: {}", quote(&format!("[{text}]")))
                }
                Kind::Scalar { text, plain: true } if unquoted(text) && expected.starts_with("a text") => {
                    format!("put it in quotes: `\"{text}\"`")
                }
                Kind::Scalar { text, plain: false } if !unquoted(text) || expected.contains("number") => {
                    format!("take the quotes away; write it like `{}`", value.example)
                }
                _ => format!("write it like `{}`", value.example),
            };
            self.refuse(codes::WRONG_TYPE, &value.path, value.at, message, help);
        }
        None
    }
}

/// Whether a scalar without quotes is a number or a truth value, and so no text.
fn unquoted(text: &str) -> bool {
    !matches!(bare(text), Bare::Text)
}

fn fits(text: &str, plain: bool, shape: Shape) -> bool {
    match (bare(text), shape) {
        (Bare::Nothing, _) if plain => false,
        (_, Shape::Any) | (Bare::Text, Shape::Text) => true,
        (_, Shape::Text) => !plain,
        (Bare::Number | Bare::Truth, Shape::Bare) => plain,
        (_, Shape::Bare) => false,
    }
}

/// What YAML 1.2 takes a scalar without quotes for.
enum Bare {
    Nothing,
    Truth,
    Number,
    Text,
}

fn bare(text: &str) -> Bare {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits_lead = unsigned.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Bare::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Bare::Truth,
        _ if digits_lead && text.parse::<f64>().is_ok() => Bare::Number,
        _ => Bare::Text,
    }
}

/// Ends the sentence "expected this, found ...". `None` for what was refused already.
fn found(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Refused => return None,
        Kind::List(items) if items.is_empty() => "an empty list".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Record(_) => "a record".to_owned(),
        Kind::Scalar { text, plain: true } => match bare(text) {
            Bare::Nothing => "nothing".to_owned(),
            Bare::Truth => format!("the truth value {}", quote(text)),
            Bare::Number => format!("the number {}", quote(text)),
            Bare::Text => format!("the text {}", quote(text)),
        },
        Kind::Scalar { text, .. } => format!("the text {}", quote(text)),
    })
}

/// An open record: fields are taken by name, and [`Record::close`] tells what is missing and what is left.
pub(super) struct Record<'r, 't> {
    reader: &'r mut Reader,
    path: String,
    at: Span,
    entries: BTreeMap<&'t str, (&'t Key, &'t Node)>,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, &'static str)>,
}

impl<'r, 't> Record<'r, 't> {
    fn open(reader: &'r mut Reader, value: &Value<'t>, fields: &'t [(Key, Node)]) -> Self {
        let mut entries: BTreeMap<&str, (&Key, &Node)> = BTreeMap::new();
        for (key, node) in fields {
            match entries.get(key.text.as_str()) {
                None => _ = entries.insert(&key.text, (key, node)),
                Some((first, _)) => reader.drafts.push(twice(&value.path, key, first)),
            }
        }
        // A list entry begins where its first field does, and is best shown by it.
        let at = if value.path.ends_with(']') || value.path.is_empty() {
            fields.first().map_or(value.at, |(key, _)| key.span)
        } else {
            value.at
        };
        Self { reader, path: value.path.clone(), at, entries, known: Vec::new(), missing: Vec::new() }
    }

    /// A required field, read by `read`; `example` is what to write if it is missing.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(&mut Reader, &Value<'t>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let Some(value) = self.take(key, example) else {
            self.missing.push((key, example));
            return None;
        };
        read(self.reader, &value)
    }

    /// A field that may be absent. The outer `None` says that it is there and wrong.
    #[expect(clippy::option_option, reason = "absent, present and refused are three things")]
    pub(super) fn may<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(&mut Reader, &Value<'t>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.known.push(key);
        match self.take(key, example) {
            Some(value) => read(self.reader, &value).map(Some),
            None => Some(None),
        }
    }

    fn take(&mut self, key: &'static str, example: &str) -> Option<Value<'t>> {
        let (name, node) = self.entries.remove(key)?;
        let path = field(&self.path, key);
        // An absent value has no place of its own; a nested one is best shown by its name.
        let at = match &node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() || node.span.start < node.span.end => node.span,
            Kind::List(items) if items.is_empty() => node.span,
            _ => name.span,
        };
        self.reader.seen.0.insert(path.clone(), Sighting::at(at));
        Some(Value { node, path, at, example: format!("{key}: {example}") })
    }

    /// Tells what the record lacks and what it should not have.
    pub(super) fn close(mut self) {
        let left = std::mem::take(&mut self.entries);
        for (text, (key, _)) in left {
            let absent = self.missing.iter().map(|(name, _)| *name);
            let meant = nearest(text, absent).or_else(|| nearest(text, self.known.iter().copied()));
            // What is missing under its own name and there under a misspelt one is one mistake, not two.
            self.missing.retain(|(name, _)| Some(*name) != meant);
            self.unknown(key, meant);
        }
        self.lacking();
    }

    fn unknown(&mut self, key: &Key, meant: Option<&str>) {
        let help = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("delete it; the fields here are {}", self.known.join(", ")),
        };
        let message = match self.path.as_str() {
            "" => format!("a plan has no field {}", quote(&key.text)),
            path => format!("`{path}` has no field {}", quote(&key.text)),
        };
        self.reader.refuse(
            codes::UNKNOWN_FIELD,
            &field(&self.path, &quoteless(&key.text)),
            key.span,
            message,
            help,
        );
    }

    fn lacking(&mut self) {
        if self.missing.is_empty() {
            return;
        }
        let names: Vec<String> = self.missing.iter().map(|(name, _)| format!("`{name}`")).collect();
        let owner = if self.path.is_empty() { "the plan".to_owned() } else { format!("`{}`", self.path) };
        let lines: Vec<String> =
            self.missing.iter().map(|(name, example)| format!("{name}: {example}")).collect();
        let help = match lines.as_slice() {
            [line] => format!("add `{line}`"),
            lines => format!("add, with values of your own:\n{}", lines.join("\n")),
        };
        let message = format!("{owner} lacks {}", names.join(", "));
        self.reader.refuse(codes::MISSING_FIELD, &self.path, self.at, message, help);
    }
}

fn twice(path: &str, key: &Key, first: &Key) -> Draft {
    Draft {
        code: codes::DUPLICATE_FIELD,
        path: field(path, &quoteless(&key.text)),
        span: key.span,
        message: format!("{} is given twice", quote(&key.text)),
        help: "keep one of the two".to_owned(),
        related: Some((first.span, "first given here".to_owned())),
    }
}

fn quoteless(text: &str) -> String {
    quote(text).trim_matches('`').to_owned()
}

fn field(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
