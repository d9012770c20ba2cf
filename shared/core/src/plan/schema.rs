//! The plan's JSON Schema, so that editors complete and check while people write.
//!
//! It is collected from the same tables that the reader runs on. What one value must be to another stays with
//! `understudy plan check`: a schema cannot say it in words that help.

use super::model::Plan;
use super::record::Fields;
use serde_json::{Map, Value, json};

/// What the schema of this format is called.
const ID: &str = "urn:understudy:plan:v1";

/// What a value looks like in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Json(Value);

/// What a scalar looks like in the file.
pub(super) enum Look {
    /// A text that matches this ECMA 262 pattern.
    Text(&'static str),
    /// A text with a `format` that schema validators know.
    Formatted(&'static str),
    /// A whole number from, to.
    Whole(u32, u32),
    /// A number from, to.
    Number(f64, f64),
    Truth,
    /// One of these words.
    Words(fn() -> Vec<&'static str>),
}

impl Look {
    pub(super) fn schema(&self, expected: &str) -> Json {
        // `expected` ends the sentence "expected ..."; an editor shows it as the value's title.
        let mut schema = match self {
            Self::Text(pattern) => json!({"type": "string", "pattern": pattern}),
            Self::Formatted(format) => json!({"type": "string", "format": format}),
            Self::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Self::Number(least, most) => json!({"type": "number", "minimum": least, "maximum": most}),
            Self::Truth => json!({"type": "boolean"}),
            Self::Words(words) => json!({"enum": words()}),
        };
        insert(&mut schema, "title", json!(expected.replace('`', "")));
        Json(schema)
    }
}

impl Json {
    pub(super) fn list(items: &Self, filled: bool) -> Self {
        let mut schema = json!({"type": "array", "items": items.0});
        if filled {
            insert(&mut schema, "minItems", json!(1));
        }
        Self(schema)
    }
}

/// One field of a record.
pub(super) struct Field {
    key: &'static str,
    required: bool,
    schema: Value,
}

impl Field {
    pub(super) fn new(key: &'static str, doc: &str, required: bool, schema: Json) -> Self {
        let Json(mut schema) = schema;
        // Since 2019-09 a description may stand beside a reference.
        if !doc.is_empty() {
            insert(&mut schema, "description", json!(sentence(doc)));
        }
        Self { key, required, schema }
    }
}

/// The records met so far, each once.
#[derive(Default)]
pub(super) struct Definitions(Map<String, Value>);

impl Definitions {
    pub(super) fn define(
        &mut self,
        name: &str,
        about: &str,
        fields: impl FnOnce(&mut Self) -> Vec<Field>,
    ) -> Json {
        if !self.0.contains_key(name) {
            // No record holds itself, so this ends.
            let fields = fields(self);
            let required: Vec<&str> = fields.iter().filter(|one| one.required).map(|one| one.key).collect();
            let record = json!({
                "type": "object",
                "description": sentence(about),
                "additionalProperties": false,
                "required": required,
                "properties": fields.into_iter().map(|one| (one.key.to_owned(), one.schema)).collect::<Map<_, _>>(),
            });
            self.0.insert(name.to_owned(), record);
        }
        Json(json!({"$ref": format!("#/$defs/{name}")}))
    }
}

/// The JSON Schema (2020-12) of a plan file.
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Definitions::default();
    let Json(plan) = Plan::schema(&mut definitions);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Understudy plan",
        "$defs": definitions.0,
    });
    for (key, value) in plan.as_object().into_iter().flatten() {
        insert(&mut schema, key, value.clone());
    }
    schema
}

fn insert(schema: &mut Value, key: &str, value: Value) {
    if let Some(object) = schema.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// A doc comment on one line.
fn sentence(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
