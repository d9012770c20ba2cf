//! Plans made of JSON configurations.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use understudy_core::plan::{NoImport, import, read};

const FLAT: &str = include_str!("../../../tests/plans/imports/financial-rag.json");
const NESTED: &str = include_str!("../../../tests/plans/imports/nested.json");

#[test]
fn a_flat_configuration_becomes_a_plan() {
    let made = import(FLAT).expect("it is flat JSON");
    assert!(!made.text.contains("swordfish"), "a value that was not understood is repeated");
    assert_eq!(made.ignored, ["notify.pagerduty", "postgres_password"]);
    let plan = read("plan.yaml", &made.text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.name, "financial-rag");
    assert_eq!(
        (plan.objectives.rto.to_string(), plan.objectives.rpo.to_string()),
        ("15m".into(), "1h".into())
    );
    insta::assert_snapshot!("from_flat_json", made.text);
}

#[test]
fn a_nested_configuration_becomes_a_plan() {
    let made = import(NESTED).expect("it is JSON");
    assert_eq!(made.ignored, ["dr_config.credentials.password", "monitoring.channels", "monitoring.name"]);
    let plan = read("plan.yaml", &made.text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((plan.name.as_str(), plan.regions.standby.0.as_str()), ("risk-analytics", "us-west-2"));
    insta::assert_snapshot!("from_nested_json", made.text);
}

#[test]
fn a_configuration_of_which_nothing_is_understood_is_no_plan() {
    assert!(matches!(import("{}"), Err(NoImport::Nothing(keys)) if keys.is_empty()));
    let told =
        import("{\"monitoring\": {\"name\": \"swordfish\"}}").expect_err("nothing is known").to_string();
    assert!(told.contains("(monitoring.name)") && !told.contains("swordfish"), "{told}");
}

#[test]
fn what_cannot_be_taken_over_is_told_by_its_key() {
    let told = |json: &str| import(json).map_err(|error| error.to_string()).expect_err("refused");
    assert!(told("[1]").contains("no JSON object"));
    assert!(told("{").contains("no JSON"));
    assert_eq!(told("{\"rto_minutes\": \"soon\"}"), "`rto_minutes` must be a whole number above zero");
    assert_eq!(told("{\"rto_minutes\": -5}"), "`rto_minutes` must be a whole number above zero");
    assert_eq!(told("{\"auto_failover\": 1}"), "`auto_failover` must be true or false");
    let twice = import("{\"rto_minutes\": 15, \"rto_seconds\": 900}");
    assert!(matches!(twice, Err(NoImport::Twice { what: "the RTO", .. })));
    let apart = import("{\"regions\": {\"dr\": \"us-west-2\"}, \"dr_region\": \"us-west-2\"}");
    assert!(matches!(apart, Err(NoImport::Twice { one, .. }) if one == "dr_region"));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = import(&text).map(|made| made.problems("plan.yaml").map(|problems| problems.to_string()));
    }

    #[test]
    fn any_values_are_answered(name in any::<String>(), region in any::<String>(), rto in any::<u64>(), ttl in ".{0,8}") {
        let json = serde_json::json!({"app": name, "dr_region": region, "rto_minutes": rto, "ttl": ttl, &name: region});
        let _ = import(&json.to_string()).map(|made| made.problems("plan.yaml").map(|problems| problems.to_string()));
    }
}
