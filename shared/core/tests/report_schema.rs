//! The published schema of the report: it is current, and real reports keep to it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::fs;
use std::path::Path;
use understudy_core::report::{Report, SCHEMA};

const PUBLISHED: &str = "report.schema.json";
const SAMPLES: [&str; 6] = [
    include_str!("../../../tests/reports/recovered.json"),
    include_str!("../../../tests/reports/refused.json"),
    include_str!("../../../tests/reports/accepted.json"),
    include_str!("../../../tests/reports/drill.json"),
    include_str!("../../../tests/reports/needs-operator.json"),
    include_str!("../../../tests/reports/signed.json"),
];

/// What a report says, not what a reader would put up with: a figure that is null is there, as null.
fn generated() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Report>();
    schema.insert("$id".to_owned(), SCHEMA.into());
    schema.to_value()
}

#[test]
fn the_published_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PUBLISHED);
    let current = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == current,
        "`{PUBLISHED}` is not current: run this test with UPDATE=1 and look at the change"
    );
}

#[test]
fn real_reports_keep_to_the_schema() {
    let schema = generated();
    for sample in SAMPLES {
        let report: Value = serde_json::from_str(sample).unwrap();
        assert_eq!(faults(&schema, &schema, &report, "report"), Vec::<String>::new());
        let read: Report = serde_json::from_str(sample).unwrap();
        assert_eq!(
            serde_json::to_value(read).unwrap(),
            report,
            "reading and writing it again changes nothing"
        );
    }
}

#[test]
fn a_report_that_breaks_the_schema_is_seen() {
    let schema = generated();
    let sample: Value = serde_json::from_str(SAMPLES[0]).unwrap();
    let breaks: [(&str, Value); 5] = [
        ("/attempt", Value::from("one")),
        ("/attempt", Value::from(-1)),
        ("/end", Value::from("Succeeded")),
        ("/rto/met", Value::Null),
        ("/receipt/receipt", Value::from("assumed")),
    ];
    for (at, wrong) in breaks {
        let mut broken = sample.clone();
        *broken.pointer_mut(at).unwrap() = wrong;
        assert!(!faults(&schema, &schema, &broken, "report").is_empty(), "{at}");
    }
    let mut forgotten: Value = serde_json::from_str(SAMPLES[5]).unwrap();
    forgotten.pointer_mut("/attestation/signed").unwrap().as_object_mut().unwrap().remove("key");
    assert!(!faults(&schema, &schema, &forgotten, "report").is_empty(), "a signature of nobody's");
    let mut less = sample.clone();
    less.as_object_mut().unwrap().remove("not_measured");
    assert!(!faults(&schema, &schema, &less, "report").is_empty(), "a field that is missing");
    let mut more = sample;
    more.as_object_mut().unwrap().insert("supports".to_owned(), Value::Null);
    assert!(!faults(&schema, &schema, &more, "report").is_empty(), "a field that nobody published");
}

/// As much of JSON Schema as the published one uses. A keyword that is not known here is a fault itself, so that
/// nothing is passed over; so is a field that the schema does not name.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else { panic!("{at}: a schema is an object") };
    let mut found = Vec::new();
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                found.extend(faults(root, root.pointer(pointer).unwrap(), value, at));
            }
            "type" => {
                let named = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !named.iter().any(|name| is_a(name.as_str().unwrap(), value)) {
                    found.push(format!("{at}: {value} is not of type {rule}"));
                }
            }
            "const" if rule != value => found.push(format!("{at}: {value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                found.push(format!("{at}: {value} is none of {rule}"));
            }
            "minimum" if value.is_i64() && value.as_i64() < rule.as_i64() => {
                found.push(format!("{at}: {value} is less than {rule}"));
            }
            // Already so for every object: a field that the schema does not name is a fault.
            "additionalProperties" if *rule == Value::Bool(false) => {}
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" | "const" | "enum"
            | "minimum" => {}
            "oneOf" | "anyOf" => {
                let branches = rule.as_array().unwrap();
                let fitting = branches.iter().filter(|b| faults(root, b, value, at).is_empty()).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    found.push(format!("{at}: {value} fits {fitting} of {keyword}"));
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, item, &format!("{at}[{n}]")));
                }
            }
            "required" => {
                let missing = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|name| value.get(name.as_str().unwrap()).is_none());
                found.extend(missing.map(|name| format!("{at}: {name} is missing")));
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(rule) => found.extend(faults(root, rule, field, &format!("{at}.{name}"))),
                        None => found.push(format!("{at}: `{name}` is not published")),
                    }
                }
            }
            unknown => panic!("{at}: teach this test the keyword `{unknown}`"),
        }
    }
    found
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("teach this test the type `{unknown}`"),
    }
}
