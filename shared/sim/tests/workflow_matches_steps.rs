//! The deployed workflow and the table of steps agree, both ways; and the test that says so can fail.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use serde_json::{Value, json};
use support::{machine, workflow};
use understudy_core::steps::{STEPS, Step, StepSpec};
use understudy_sim::asl::Machine;
use understudy_sim::matching::differences;

fn rows() -> Vec<&'static StepSpec> {
    STEPS.iter().collect()
}

#[test]
fn the_workflow_and_the_table_agree() {
    let found = differences(&machine(), &rows());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What is found once `change` was done to the deployed file.
fn found_after(change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_str(&workflow()).expect("JSON");
    change(&mut file);
    match Machine::of(&file) {
        Ok(machine) => differences(&machine, &rows()).join("\n"),
        Err(error) => error.to_string(),
    }
}

fn state<'a>(file: &'a mut Value, name: &str) -> &'a mut serde_json::Map<String, Value> {
    let state = file.pointer_mut(&format!("/States/{name}")).and_then(Value::as_object_mut);
    state.unwrap_or_else(|| panic!("no state `{name}`"))
}

#[test]
fn every_field_that_the_house_rules_ask_for_is_missed() {
    let rules = [
        ("TimeoutSeconds", "TimeoutSeconds"),
        ("Retry", "retries"),
        ("Catch", "States.ALL"),
        ("ResultPath", "ResultPath"),
        ("Comment", "Comment"),
    ];
    for (field, said) in rules {
        let found = found_after(|file| {
            state(file, "Freeze").remove(field);
        });
        assert!(found.contains("`Freeze`") && found.contains(said), "without {field}: {found}");
    }
}

#[test]
fn a_retry_of_what_must_be_observed_again_is_found() {
    let found = found_after(|file| {
        let retry = state(file, "Promote").get_mut("Retry").expect("a retry");
        let errors = retry.pointer_mut("/0/ErrorEquals").and_then(Value::as_array_mut).expect("errors");
        errors.push(json!("States.Timeout"));
    });
    assert!(found.contains("`Promote`: retries"), "{found}");
}

#[test]
fn a_task_without_a_row_and_a_row_without_a_task_are_found() {
    let all = rows();
    let without: Vec<_> = all.iter().copied().filter(|row| row.step != Step::Recycle).collect();
    let found = differences(&machine(), &without).join("\n");
    assert!(found.contains("runs the step `Recycle`, which has no row"), "{found}");

    let found = found_after(|file| {
        state(file, "Unfence").insert("Next".to_owned(), json!("VerifyWrite"));
        let states = file.get_mut("States").and_then(Value::as_object_mut).expect("states");
        states.remove("Recycle");
    });
    assert!(found.contains("step `Recycle`: no state of the workflow runs it"), "{found}");
}

#[test]
fn another_owner_is_found() {
    let found = found_after(|file| {
        state(file, "Promote").insert("Resource".to_owned(), json!("${StepRunnerArn}"));
    });
    assert!(found.contains("is not the owner `store-promoter`"), "{found}");
}

#[test]
fn an_outcome_that_nobody_answers_or_nobody_handles_is_found() {
    let found = found_after(|file| {
        let rule = state(file, "Captured?").get_mut("Choices").and_then(|rules| rules.get_mut(1));
        *rule.and_then(|rule| rule.get_mut("StringEquals")).expect("a rule") = json!("later");
    });
    assert!(found.contains("waits for `later`, which is never answered"), "{found}");

    let found = found_after(|file| {
        state(file, "Captured?").remove("Default");
        let rules = state(file, "Captured?").get_mut("Choices").and_then(Value::as_array_mut);
        rules.expect("rules").pop();
    });
    assert!(found.contains("has no way on for [\"again\", \"exhausted\"]"), "{found}");

    let found = found_after(|file| {
        state(file, "Fence").insert("Next".to_owned(), json!("Capture"));
    });
    assert!(found.contains("whatever it answers"), "{found}");
}

#[test]
fn a_road_around_the_fence_is_found() {
    let found = found_after(|file| {
        state(file, "Fenced?").insert("Default".to_owned(), json!("Capture"));
    });
    assert!(found.contains("can be reached without a fence that answered `fenced`"), "{found}");
}

#[test]
fn a_road_around_an_undo_is_found() {
    let found = found_after(|file| {
        let catch = state(file, "Fence").get_mut("Catch").and_then(|catch| catch.get_mut(0));
        *catch.and_then(|catch| catch.get_mut("Next")).expect("a catch") = json!("UndoThaw");
    });
    assert!(found.contains("`CloseLease`") && found.contains("without `GrantBack`"), "{found}");
    let found = found_after(|file| {
        state(file, "UndoThaw").insert("Next".to_owned(), json!("ReportRolledBack"));
    });
    assert!(found.contains("`RaiseCapacity`") && found.contains("without `LowerCapacity`"), "{found}");
}

#[test]
fn a_state_that_nothing_leads_to_is_found() {
    let found = found_after(|file| {
        let states = file.get_mut("States").and_then(Value::as_object_mut).expect("states");
        states.insert("Island".to_owned(), json!({"Type": "Succeed", "Comment": "nobody comes here"}));
    });
    assert!(found.contains("`Island`: nothing leads to it"), "{found}");
}

#[test]
fn what_the_interpreter_does_not_model_is_an_error_that_names_it() {
    let field = found_after(|file| {
        state(file, "Fence").insert("HeartbeatSeconds".to_owned(), json!(5));
    });
    assert!(field.contains("`Fence`") && field.contains("HeartbeatSeconds"), "{field}");
    let kind = found_after(|file| {
        state(file, "Fence").insert("Type".to_owned(), json!("Parallel"));
    });
    assert!(kind.contains("`Fence`") && kind.contains("Parallel"), "{kind}");
    let rule = found_after(|file| {
        let rule = state(file, "Fenced?").get_mut("Choices").and_then(|rules| rules.get_mut(0));
        rule.and_then(Value::as_object_mut).expect("a rule").insert("IsPresent".to_owned(), json!(true));
    });
    assert!(rule.contains("`Fenced?`") && rule.contains("IsPresent"), "{rule}");
    let parameter = found_after(|file| {
        let parameters = state(file, "Fence").get_mut("Parameters").and_then(Value::as_object_mut);
        parameters.expect("parameters").insert("x.$".to_owned(), json!("States.Format('{}')"));
    });
    assert!(parameter.contains("x.$"), "{parameter}");
    let missing = found_after(|file| {
        state(file, "Fence").insert("Next".to_owned(), json!("Nowhere"));
    });
    assert!(missing.contains("`Nowhere`, which is not there"), "{missing}");
}

#[test]
fn the_longest_execution_is_as_long_as_the_workflow_lets_it_be() {
    let longest = understudy_core::steps::close::LONGEST_EXECUTION;
    assert_eq!(longest, understudy_core::time::Millis::from_secs(machine().timeout_seconds));
}
