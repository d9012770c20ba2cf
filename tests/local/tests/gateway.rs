//! The gateway forwards by Region, obeys the links, and logs every call; the control API sets links.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod support;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::time::Duration;
use support::{HttpClient, Room, http, room, text_of, until_served, upstream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use understudy_local::config::Place;
use understudy_local::config::Place::{Outside, Primary, Standby};

const SILENCE: Duration = Duration::from_millis(150);
const SOON: Duration = Duration::from_secs(5);

/// A served cloud with a stand-in for the emulator; it ends with the test's runtime.
async fn served() -> (Room, HttpClient) {
    let room = room();
    upstream(&room.cloud).await;
    tokio::spawn(understudy_local::serve::serve(room.cloud.clone()));
    timeout(SOON, until_served(&room.cloud)).await.unwrap();
    (room, http())
}

fn signed(room: &Room, from: Place, region: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let scope =
        format!("AWS4-HMAC-SHA256 Credential=AKIA7/20261104/{region}/dynamodb/aws4_request, Signature=0");
    Request::post(format!("http://{}{path}", room.cloud.aws(from)))
        .header("host", format!("dynamodb.{region}.amazonaws.com"))
        .header("authorization", scope)
        .header("x-amz-target", "DynamoDB_20120810.PutItem")
        .body(Full::from(body))
        .unwrap()
}

async fn set(room: &Room, client: &HttpClient, link: Value) -> (u16, Value) {
    let request = Request::put(format!("http://{}/links", room.cloud.control()));
    let response = client.request(request.body(Full::from(link.to_string())).unwrap()).await.unwrap();
    let (status, text) = text_of(response).await;
    (status, serde_json::from_str(&text).unwrap())
}

/// The log of calls, once it has `count` lines.
async fn calls(room: &Room, count: usize) -> Vec<Value> {
    let read = async {
        loop {
            let text = std::fs::read_to_string(room.folder.path().join("calls.jsonl")).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, read).await.unwrap()
}

fn send(client: &HttpClient, request: Request<Full<Bytes>>) -> JoinHandle<Result<(u16, String), String>> {
    let sending = client.request(request);
    tokio::spawn(async {
        match sending.await {
            Ok(response) => Ok(text_of(response).await),
            Err(error) => Err(error.to_string()),
        }
    })
}

#[tokio::test]
async fn a_request_goes_through_unchanged_and_is_logged() {
    let (room, client) = served().await;
    let response = client.request(signed(&room, Standby, "us-east-1", "/a?b=c%20d", "12345")).await.unwrap();
    let (status, heard) = text_of(response).await;
    assert_eq!(status, 200);
    assert_eq!(heard, format!("POST /a?b=c%20d host=dynamodb.us-east-1.amazonaws.com body=5"));
    let logged = calls(&room, 1).await.remove(0);
    for (field, expected) in [
        ("from", json!("standby")),
        ("to", json!("primary")),
        ("region", json!("us-east-1")),
        ("service", json!("dynamodb")),
        ("operation", json!("PutItem")),
        ("access_key_id", json!("AKIA7")),
        ("status", json!(200)),
        ("link", Value::Null),
    ] {
        assert_eq!(logged[field], expected, "{field} of {logged}");
    }
}

#[tokio::test]
async fn a_refusing_link_drops_the_connection_and_other_regions_go_on() {
    let (room, client) = served().await;
    let (status, links) =
        set(&room, &client, json!({"from": "standby", "to": "primary", "state": "refuse"})).await;
    assert_eq!((status, links), (200, json!([{"from": "standby", "to": "primary", "state": "refuse"}])));
    assert!(send(&client, signed(&room, Standby, "us-east-1", "/", "")).await.unwrap().is_err());
    for (from, region) in
        [(Standby, "us-west-2"), (Outside, "us-east-1"), (Primary, "us-east-1"), (Standby, "eu-x")]
    {
        assert_eq!(send(&client, signed(&room, from, region, "/", "")).await.unwrap().unwrap().0, 200);
    }
    let logged = calls(&room, 5).await;
    assert_eq!((&logged[0]["status"], &logged[0]["link"]), (&Value::Null, &json!("refuse")));
}

#[tokio::test]
async fn unsigned_requests_pass_whatever_the_links_do() {
    let (room, client) = served().await;
    set(&room, &client, json!({"from": "*", "to": "*", "state": "refuse"})).await;
    let request =
        Request::get(format!("http://{}/health", room.cloud.aws(Standby))).body(Full::default()).unwrap();
    assert_eq!(send(&client, request).await.unwrap().unwrap().0, 200);
    let logged = calls(&room, 1).await.remove(0);
    assert_eq!((&logged["region"], &logged["operation"]), (&Value::Null, &json!("GET /health")));
}

#[tokio::test]
async fn a_hanging_link_holds_a_request_until_it_opens() {
    let (room, client) = served().await;
    set(&room, &client, json!({"from": "standby", "to": "*", "state": "hang"})).await;
    let mut held = send(&client, signed(&room, Standby, "us-east-1", "/", ""));
    assert!(timeout(SILENCE, &mut held).await.is_err());
    set(&room, &client, json!({"from": "standby", "to": "primary", "state": "open"})).await;
    assert_eq!(timeout(SOON, held).await.unwrap().unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn a_hanging_link_holds_the_reply_to_what_was_carried_out() {
    let room = room();
    let answer = upstream(&room.cloud).await;
    tokio::spawn(understudy_local::serve::serve(room.cloud.clone()));
    timeout(SOON, until_served(&room.cloud)).await.unwrap();
    let client = http();
    let mut slow = send(&client, signed(&room, Standby, "us-east-1", "/slow", ""));
    assert!(timeout(SILENCE, &mut slow).await.is_err());
    set(&room, &client, json!({"from": "standby", "to": "primary", "state": "hang"})).await;
    answer.notify_one();
    assert!(timeout(SILENCE, &mut slow).await.is_err());
    set(&room, &client, json!({"from": "standby", "to": "primary", "state": "open"})).await;
    assert_eq!(timeout(SOON, slow).await.unwrap().unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn a_caller_that_gives_up_on_a_hanging_link_is_logged_with_it() {
    let (room, client) = served().await;
    set(&room, &client, json!({"from": "standby", "to": "primary", "state": "hang"})).await;
    let mut held = send(&client, signed(&room, Standby, "us-east-1", "/", ""));
    assert!(timeout(SILENCE, &mut held).await.is_err());
    held.abort();
    let logged = calls(&room, 1).await.remove(0);
    assert_eq!((&logged["status"], &logged["link"]), (&Value::Null, &json!("hang")));
}

#[tokio::test]
async fn a_link_that_refuses_cuts_a_request_under_way() {
    let (room, client) = served().await;
    let mut slow = send(&client, signed(&room, Standby, "us-east-1", "/slow", ""));
    assert!(timeout(SILENCE, &mut slow).await.is_err());
    set(&room, &client, json!({"from": "standby", "to": "primary", "state": "refuse"})).await;
    assert!(timeout(SOON, slow).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn large_bodies_pass_and_larger_ones_are_refused() {
    let (room, client) = served().await;
    for (size, expected) in [(64 << 20, 200), ((64 << 20) + 1, 413)] {
        let mut request = signed(&room, Standby, "us-east-1", "/", "");
        *request.body_mut() = Full::from(vec![0; size]);
        assert_eq!(send(&client, request).await.unwrap().unwrap().0, expected);
    }
}

#[tokio::test]
async fn a_missing_emulator_is_named() {
    let room = room();
    tokio::spawn(understudy_local::serve::serve(room.cloud.clone()));
    timeout(SOON, until_served(&room.cloud)).await.unwrap();
    let (status, said) = send(&http(), signed(&room, Standby, "us-west-2", "/", "")).await.unwrap().unwrap();
    assert_eq!(status, 502);
    assert!(said.ends_with("did not answer; is it running?"), "{said}");
}

#[tokio::test]
async fn the_control_api_shows_all_and_a_star_spares_a_place_itself() {
    let (room, client) = served().await;
    let (_, set_now) = set(&room, &client, json!({"from": "primary", "to": "*", "state": "hang"})).await;
    assert_eq!(set_now.as_array().unwrap().len(), 3);
    set(&room, &client, json!({"from": "witness", "to": "witness", "state": "refuse"})).await;
    let request =
        Request::get(format!("http://{}/state", room.cloud.control())).body(Full::default()).unwrap();
    let (_, text) = send(&client, request).await.unwrap().unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    let links = state["links"].as_array().unwrap();
    assert_eq!(links.len(), 16);
    let broken: Vec<_> =
        links.iter().filter(|link| link["state"] != "open").map(|link| &link["to"]).collect();
    assert_eq!(broken, ["standby", "witness", "outside", "witness"]);
    assert_eq!(state["databases"][0]["id"], "financial-rag");
    let (status, refusal) = set(&room, &client, json!({"from": "moon", "to": "*", "state": "hang"})).await;
    assert_eq!(status, 400);
    assert!(refusal["error"].as_str().unwrap().starts_with("`moon` is not a place"), "{refusal}");
}
