//! The museum: every file of `scenarios/` is played, judged by every checker, and held to its golden timeline.
//!
//! A scenario is written for operators: what broke when, and what must never happen. `UPDATE`-ing the timelines:
//! `INSTA_UPDATE=always cargo test -p understudy-sim --test museum`.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "these stories tell themselves")]
mod support;

use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use support::{assert_lawful, machine, pages};
use understudy_core::overrides::key;
use understudy_core::state::Category;
use understudy_core::switch::Side;
use understudy_core::time::Millis;
use understudy_sim::functions::Function;
use understudy_sim::night::{Plans, Variant};
use understudy_sim::simulation::{People, Simulation};
use understudy_sim::trace::What;
use understudy_sim::world::{Break, Place, Settings};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    title: String,
    story: String,
    /// What must never happen.
    never: Vec<Never>,
    plan: Plan,
    #[serde(default)]
    people: Answers,
    /// How long it is played.
    minutes: u64,
    event: Vec<Event>,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Never {
    #[serde(rename = "starts")]
    Starts,
    #[serde(rename = "promotes")]
    Promotes,
    #[serde(rename = "moves traffic")]
    MovesTraffic,
    #[serde(rename = "two writers")]
    TwoWriters,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Plan {
    Automatic,
    Asks,
    Stays,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answers {
    #[default]
    Absent,
    Mistaken,
    /// A yes to each question, after a minute.
    Yes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// So long after dawn, or …
    at: Option<String>,
    /// … when the workflow first enters this state, or so long `after` that.
    #[serde(rename = "in")]
    state: Option<String>,
    after: Option<String>,
    #[serde(default)]
    breaks: Vec<String>,
    /// A person asks for a move.
    asks: Option<String>,
    hold: Option<bool>,
    /// A person declares what never promotes: `corruption` or `security`.
    declares: Option<Category>,
    /// A person overrides this check for so long.
    overrides: Option<String>,
    lasts: Option<String>,
    /// So many alarms within a minute.
    #[serde(default)]
    alarms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// The ends of all executions, in order.
    ends: Vec<String>,
    /// Texts that people were paged with.
    #[serde(default)]
    pages: Vec<String>,
    /// The loss that the last report states at least.
    loses: Option<String>,
    /// The longest outage that the last report allows for, at least.
    down: Option<String>,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

/// `5m`, `43s`, `5m43s`.
fn span(text: &str) -> Millis {
    let mut seconds = 0;
    let mut number = 0;
    for letter in text.chars() {
        match letter {
            'm' => (seconds, number) = (seconds + 60 * number, 0),
            's' => (seconds, number) = (seconds + number, 0),
            digit => {
                let digit = digit.to_digit(10).unwrap_or_else(|| panic!("span `{text}`"));
                number = number * 10 + u64::from(digit);
            }
        }
    }
    assert_eq!(number, 0, "span `{text}` has no unit");
    Millis::from_secs(seconds)
}

fn place(word: &str) -> Place {
    match word {
        "primary" => Place::Primary,
        "standby" => Place::Standby,
        "witness" => Place::Witness,
        "outside" => Place::Outside,
        _ => panic!("there is no place `{word}`"),
    }
}

fn broken(text: &str) -> Break {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["kill", at] => Break::Kill(place(at)),
        ["isolate", at] => Break::Isolate(place(at)),
        ["cut", a, b] => Break::Cut(place(a), place(b)),
        ["one-way", from, to] => Break::OneWay(place(from), place(to)),
        ["still", at] => Break::Still(place(at)),
        ["slow", at] => Break::Slow(place(at)),
        ["application", "down", at] => Break::ApplicationDown(place(at)),
        ["flapping"] => Break::Flapping,
        ["pause", "replay"] => Break::PauseReplay,
        ["resume", "replay"] => Break::ResumeReplay,
        ["stall", "stream"] => Break::StallStream,
        ["promotion", "hangs"] => Break::PromotionHangs,
        ["backing", "up"] => Break::BackingUp,
        ["resize", "replica"] => Break::Resized,
        ["restart", "replica"] => Break::Restarts,
        ["others", "rush", applications] => {
            Break::Rush(applications.parse().expect("a number of applications"))
        }
        ["gate", "dropped"] => Break::GateDropped,
        ["bucket", "away"] => Break::BucketAway,
        ["rogue", "switch"] => Break::RogueSwitch,
        ["heal"] => Break::Heal,
        ["rebuild", "primary"] => Break::Rebuild,
        _ => panic!("nothing breaks like `{text}`"),
    }
}

fn plan(simulation: &mut Simulation<'_>, event: &Event) {
    let after = event.after.as_deref().map_or(Millis::ZERO, span);
    match (&event.at, &event.state) {
        (Some(at), None) => {
            let at = span(at);
            event.breaks.iter().for_each(|text| simulation.break_in(at, broken(text)));
            if let Some(raised) = event.hold {
                simulation.hold_in(at, raised);
            }
            if let Some(category) = event.declares {
                simulation.declare_in(at, category);
            }
            if let Some((check, lasts)) = event.overrides.as_ref().zip(event.lasts.as_deref()) {
                simulation.override_in(at, &key(check).expect("a check"), span(lasts));
            }
            if let Some(kind) = &event.asks {
                simulation.deliver_in(at, Function::AlarmHandler, support::start(kind));
            }
            for alarm in 0..event.alarms {
                let text = json!({"AlarmName": "understudy-financial-rag-primary", "NewStateValue": "ALARM"});
                let event = json!({"Records": [{"Sns": {"Message": text.to_string()}}]});
                let at = at.saturating_add(Millis::from_secs(6 * alarm));
                simulation.deliver_in(at, Function::AlarmHandler, event);
            }
        }
        (None, Some(state)) => {
            event.breaks.iter().for_each(|text| simulation.break_at(state, after, broken(text)));
            if let Some(raised) = event.hold {
                simulation.hold_at(state, after, raised);
            }
            if let Some(category) = event.declares {
                simulation.declare_at(state, after, category);
            }
            assert!(event.asks.is_none() && event.alarms == 0, "asks and alarms come `at` a time");
        }
        _ => panic!("an event is `at` a time or `in` a state"),
    }
}

fn happened(simulation: &Simulation<'_>, never: Never) -> bool {
    let trace = simulation.world.trace();
    let mut standby_wrote = false;
    trace.iter().any(|event| match (never, &event.what) {
        (Never::Starts, What::Started { .. })
        | (Never::Promotes, What::PromoteTaken { .. })
        | (Never::MovesTraffic, What::Acknowledged { side: Side::Standby, client: "outside", .. }) => true,
        (Never::TwoWriters, What::Acknowledged { side: Side::Standby, .. }) => {
            standby_wrote = true;
            false
        }
        (Never::TwoWriters, What::Acknowledged { side: Side::Primary, .. }) => standby_wrote,
        _ => false,
    })
}

/// `   5:00.500  text` without its milliseconds.
fn whole_seconds(line: &str) -> String {
    let (time, text) = line.split_once("  ").map_or(("", line), |(head, rest)| match rest.split_once("  ") {
        Some((time, text)) if head.is_empty() => (time, text),
        _ => (head, rest),
    });
    let time = time.trim().split('.').next().unwrap_or_default();
    format!("{time:>7}  {text}\n")
}

/// Who reads it wants to know what happened, not every look: states that are entered again and again are left out.
fn timeline(scenario: &Scenario, simulation: &Simulation<'_>) -> String {
    let told = support::story(simulation);
    let lines = told.lines().filter(|line| !line.contains("workflow enters"));
    let lines = lines.filter(|line| !line.ends_with("switch   says 1")).map(whole_seconds);
    format!("{}\n{}\n{}", scenario.title, scenario.story.trim_end(), lines.collect::<String>())
}

#[test]
fn every_scenario_of_the_museum_is_played() {
    let (machine, plans) = (machine(), Plans::read().expect("the plans"));
    let files = files();
    assert!(files.len() >= 12, "the museum is nearly empty");
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a scenario");
        let scenario: Scenario = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let variant = match scenario.plan {
            Plan::Automatic => Variant::Automatic,
            Plan::Asks => Variant::Asks,
            Plan::Stays => Variant::Stays,
        };
        let mut simulation = Simulation::new(&machine, plans.of(variant, false), Settings::default());
        simulation.people = match scenario.people {
            Answers::Absent => People::Absent,
            Answers::Yes => People::Answer { after: Millis::from_secs(60), yes: true },
            Answers::Mistaken => People::Mistaken { after: Millis::from_secs(60) },
        };
        scenario.event.iter().for_each(|event| plan(&mut simulation, event));
        simulation.run_for(Millis::from_secs(60 * scenario.minutes));
        let told = support::story(&simulation);
        let unplayed: Vec<&str> = simulation.awaited_states().collect();
        assert!(
            unplayed.is_empty(),
            "{name}: never entered, so that nothing broke there: {unplayed:?}\n{told}"
        );
        for never in &scenario.never {
            assert!(!happened(&simulation, *never), "{name}: {never:?} happened\n{told}");
        }
        let ends: Vec<&str> = simulation.ends().values().map(String::as_str).collect();
        assert_eq!(ends, scenario.expect.ends, "{name}\n{told}");
        for page in &scenario.expect.pages {
            assert!(
                pages(&simulation).iter().any(|text| text.contains(page)),
                "{name}: no page says `{page}`\n{told}"
            );
        }
        if let Some(least) = scenario.expect.loses.as_deref().map(span) {
            let last = simulation.ends().keys().last().and_then(|execution| simulation.report(execution));
            let bound = last.and_then(|report| report.rpo.bound.ms).expect("a loss that was measured");
            assert!(bound >= least.0, "{name}: only {bound} ms\n{told}");
        }
        if let Some(least) = scenario.expect.down.as_deref().map(span) {
            let last = simulation.ends().keys().last().and_then(|execution| simulation.report(execution));
            let most = last.and_then(|report| report.rto.at_most.ms).expect("an outage that was measured");
            assert!(most >= least.0, "{name}: only {most} ms\n{told}");
        }
        assert_lawful(&simulation, &name);
        insta::assert_snapshot!(name, timeline(&scenario, &simulation));
    }
}
