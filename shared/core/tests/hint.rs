//! Alarms in every shape, and what is said of those that are no reason to look.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use understudy_core::fault::Fault;
use understudy_core::hint::{Delivery, Hint, Read, read};

const PLAN: &str = "financial-rag";
const MINE: &str = "understudy-financial-rag-primary-unhealthy";

fn direct(name: &str, state: &str) -> Value {
    json!({"source": "aws.cloudwatch", "alarmData": {"alarmName": name, "state": {"value": state}}})
}

fn bridge(name: &str, state: &str) -> Value {
    json!({"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change",
           "detail": {"alarmName": name, "state": {"value": state}}})
}

fn notification(alarms: &[(&str, &str)]) -> Value {
    let record = |(name, state): &(&str, &str)| {
        let message = json!({"AlarmName": name, "NewStateValue": state}).to_string();
        json!({"EventSource": "aws:sns", "Sns": {"Message": message}})
    };
    json!({"Records": alarms.iter().map(record).collect::<Vec<_>>()})
}

fn by_every_delivery(name: &str, state: &str) -> [(Delivery, Value); 3] {
    [
        (Delivery::Direct, direct(name, state)),
        (Delivery::EventBridge, bridge(name, state)),
        (Delivery::Sns, notification(&[(name, state)])),
    ]
}

fn ok(event: &Value) -> Read {
    read(event, PLAN).unwrap_or_else(|fault| panic!("{fault}: {event}"))
}

fn invalid(event: &Value) -> String {
    match read(event, PLAN) {
        Err(Fault::Invalid(message)) => message,
        other => panic!("{other:?}: {event}"),
    }
}

/// `event` with `value` at `pointer`, or without what is there.
fn with(mut event: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let fields = event.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Some(value) => fields.insert(key.to_owned(), value),
        None => fields.remove(key),
    };
    event
}

#[test]
fn a_tick_is_a_hint_only_when_it_says_nothing_else() {
    assert_eq!(ok(&json!({"tick": true})).hints, [Hint::Tick]);
    assert_eq!(invalid(&json!({"tick": false})), "tick: must be `true`");
    assert_eq!(invalid(&json!({"tick": true, "Records": []})), "tick: must stand alone");
}

#[test]
fn every_delivery_reads_alike() {
    for (delivered_by, event) in by_every_delivery(MINE, "ALARM") {
        let hint = Hint::Alarm { name: MINE.to_owned(), delivered_by };
        assert_eq!(ok(&event), Read { hints: vec![hint], ignored: vec![] });
    }
}

#[test]
fn what_is_no_reason_to_look_is_ignored_with_a_reason() {
    let cases = [
        (MINE, "OK", "alarm `understudy-financial-rag-primary-unhealthy` went to OK"),
        (
            MINE,
            "INSUFFICIENT_DATA",
            "alarm `understudy-financial-rag-primary-unhealthy` went to INSUFFICIENT_DATA",
        ),
        ("checkout-latency", "ALARM", "alarm `checkout-latency` is not one of this plan"),
        ("checkout-latency", "OK", "alarm `checkout-latency` is not one of this plan"),
        ("understudy-financial", "ALARM", "alarm `understudy-financial` is not one of this plan"),
        ("Understudy-financial-rag-x", "ALARM", "alarm `Understudy-financial-rag-x` is not one of this plan"),
    ];
    for (name, state, reason) in cases {
        for (_, event) in by_every_delivery(name, state) {
            assert_eq!(ok(&event), Read { hints: vec![], ignored: vec![reason.to_owned()] });
        }
    }
}

#[test]
fn repeats_within_one_event_are_one_hint() {
    let other = "understudy-financial-rag-primary-lost";
    let event =
        notification(&[(MINE, "ALARM"), (other, "ALARM"), (MINE, "ALARM"), (MINE, "OK"), (MINE, "ALARM")]);
    let read = ok(&event);
    assert_eq!(read.hints.len(), 2);
    let repeated = format!("alarm `{MINE}` is repeated");
    assert_eq!(read.ignored, [repeated.clone(), format!("alarm `{MINE}` went to OK"), repeated]);
}

#[test]
fn a_composite_that_was_in_alarm_before_is_still_a_hint() {
    let event = with(direct(MINE, "ALARM"), "/alarmData/previousState", Some(json!({"value": "ALARM"})));
    assert_eq!(ok(&event).hints.len(), 1);
}

#[test]
fn what_is_no_alarm_names_the_exact_field() {
    let many = notification(&[(MINE, "ALARM"), (MINE, "ALARM")]);
    let message = |text: Value| {
        let mut event = many.clone();
        *event.pointer_mut("/Records/1/Sns/Message").expect("a message") = text;
        event
    };
    let (direct, bridge) = (direct(MINE, "ALARM"), bridge(MINE, "ALARM"));
    for event in [json!(null), json!([]), json!({})] {
        assert!(invalid(&event).starts_with("event: none of"), "nobody delivers that");
    }
    let cases = [
        (json!({"Records": []}), "Records: must be a non-empty list"),
        (json!({"Records": {}}), "Records: must be a non-empty list"),
        (json!({"Records": [7]}), "Records[0].Sns.Message: must be text"),
        (message(json!(7)), "Records[1].Sns.Message: must be text"),
        (message(json!("Hello")), "Records[1].Sns.Message: not JSON: "),
        (message(json!("{}")), "Records[1].Sns.Message.AlarmName: must be text"),
        (message(json!("[]")), "Records[1].Sns.Message.AlarmName: must be text"),
        (
            message(json!(r#"{"AlarmName":"a","NewStateValue":1}"#)),
            "Records[1].Sns.Message.NewStateValue: must be text",
        ),
        (
            message(json!(r#"{"AlarmName":"a","NewStateValue":"alarm"}"#)),
            "Records[1].Sns.Message.NewStateValue: must be one of ALARM, OK, INSUFFICIENT_DATA",
        ),
        (with(direct.clone(), "/alarmData", Some(json!("x"))), "alarmData.alarmName: must be text"),
        (with(direct.clone(), "/alarmData/alarmName", None), "alarmData.alarmName: must be text"),
        (
            with(direct.clone(), "/alarmData/alarmName", Some(json!(""))),
            "alarmData.alarmName: must be 1 to 255 characters long",
        ),
        (with(direct.clone(), "/alarmData/state/value", None), "alarmData.state.value: must be text"),
        (with(direct, "/source", Some(json!("aws.ec2"))), "source: `aws.ec2`, not `aws.cloudwatch`"),
        (with(bridge.clone(), "/detail/state", None), "detail.state.value: must be text"),
        (with(bridge.clone(), "/source", None), "source: must be text"),
        (
            with(bridge, "/detail-type", Some(json!("CloudWatch Alarm Configuration Change"))),
            "detail-type: `CloudWatch Alarm Configuration Change`, not `CloudWatch Alarm State Change`",
        ),
    ];
    for (event, expected) in cases {
        let told = ok(&event).ignored.pop().expect("a reason");
        assert!(told.starts_with(expected), "`{told}` does not begin with `{expected}`");
    }
}

#[test]
fn a_malformed_record_spoils_no_other() {
    let mut event = notification(&[(MINE, "ALARM"), (MINE, "ALARM")]);
    *event.pointer_mut("/Records/1/Sns").expect("a notification") = json!(null);
    let read = ok(&event);
    assert_eq!(
        (read.hints.len(), read.ignored),
        (1, vec!["Records[1].Sns.Message: must be text".to_owned()])
    );
}

#[test]
fn the_journal_is_told_which_alarm_and_how() {
    let hint = Hint::Alarm { name: "a".to_owned(), delivered_by: Delivery::EventBridge };
    assert_eq!(hint.text(), "alarm `a`, delivered by EventBridge");
    assert_eq!(Hint::Tick.text(), "tick");
}
