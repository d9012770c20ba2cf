//! The published schema of plan files is the one that the reader's own tables give.

#![expect(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use understudy_core::plan::schema;

#[test]
fn the_published_schema_is_the_reader_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/plans/plan.schema.json");
    let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("write the schema");
    }
    let published = std::fs::read_to_string(&path).expect("infra/plans/plan.schema.json");
    assert!(published == text, "infra/plans/plan.schema.json is out of date: run this test with UPDATE=1");
}
