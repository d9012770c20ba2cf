//! A rehearsal stands apart from production: it has a twin of everything, and shares nothing (L9).
//!
//! Two spellings of one resource (a name and an alias of it) cannot be told here; equal ones are refused. As with
//! every rule, a value that is missing or refused has its problem already.

use super::addresses::host_of;
use super::codes;
use super::node::Seen;
use super::problem::{Draft, Span};
use super::rehearsal::{SUFFIX, rehearsal_name};
use super::rules::{draft, each};
use super::units::PLAN_NAME;
use std::collections::BTreeMap;

pub(super) fn check(seen: &Seen, drafts: &mut Vec<Draft>) {
    name(seen, drafts);
    if seen.has("rehearsal") {
        for list in ["stores", "routes", "hooks"] {
            coverage(seen, list, drafts);
        }
        undos(seen, drafts);
        for kind in KINDS {
            shared(seen, kind, drafts);
        }
    }
}

/// The environment is told by the name, too: what bears production's name must not pass for a rehearsal.
fn name(seen: &Seen, drafts: &mut Vec<Draft>) {
    let Some((name, at)) = seen.text("plan") else { return };
    let rehearsal = match seen.text("environment") {
        Some((text, _)) => text == "rehearsal",
        None if seen.has("environment") => return,
        None => false,
    };
    let mut say = |message: String, help: &str| {
        drafts.push(draft(codes::REHEARSAL_NAME, "plan", at, message, help.to_owned()));
    };
    if rehearsal != name.ends_with(SUFFIX) {
        let (is, must) = if rehearsal { ("a rehearsal's", "must") } else { ("production's", "must not") };
        let message = format!("`plan` is `{name}`, but {is} name {must} end in `{SUFFIX}`");
        let help = "let `understudy package --rehearsal` write the rehearsal's plan, and keep that ending for it: \
                    every resource is named after its plan";
        return say(message, help);
    }
    if !seen.has("rehearsal") {
        return;
    }
    if rehearsal {
        let help = "delete `rehearsal`: what is rehearsed is production's plan";
        return say(format!("`plan` is `{name}`, a rehearsal, and names a rehearsal of its own"), help);
    }
    let twin = rehearsal_name(name);
    if (PLAN_NAME.parse)(&twin).is_err() {
        let message = format!("`plan` leaves no room: its rehearsal would be `{twin}`, which is too long");
        say(message, "shorten it: the rehearsal's stacks are named after the plan");
    }
}

/// Every entry of the plan's list has its twin, and every twin its entry.
fn coverage(seen: &Seen, list: &str, drafts: &mut Vec<Draft>) {
    let twins = format!("rehearsal.{list}");
    // Without a list that must be there, or with a name in it that did not read, nothing can be said.
    let (Some(own), Some(standing)) = (names(seen, list), names(seen, &twins)) else { return };
    if list != "hooks" && (own.is_empty() || standing.is_empty()) {
        return;
    }
    let one = list.trim_end_matches('s');
    let strangers: Vec<_> = standing.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
    for (name, at) in &strangers {
        let message = format!("`{twins}` stands in for `{name}`, but the plan has no such {one}");
        let help = "write the name of the plan's own entry, or delete this one";
        drafts.push(draft(codes::REHEARSAL_COVERAGE, &twins, **at, message, help.to_owned()));
    }
    // What lacks a twin while another is misnamed is one mistake, not two.
    if !strangers.is_empty() {
        return;
    }
    for (name, at) in own.iter().filter(|(name, _)| !standing.contains_key(*name)) {
        let message = format!("the rehearsal has no {one} that stands in for `{name}`");
        let help =
            format!("add an entry `name: {name}` to `{twins}`: what is not rehearsed is not known to work");
        drafts.push(draft(codes::REHEARSAL_COVERAGE, list, *at, message, help));
    }
}

fn names<'s>(seen: &'s Seen, list: &str) -> Option<BTreeMap<&'s str, Span>> {
    (0..seen.count(list)).map(|index| seen.text(&format!("{list}[{index}].name"))).collect()
}

/// A twin undoes what the plan undoes: a drill that is refused leaves nothing raised either.
fn undos(seen: &Seen, drafts: &mut Vec<Draft>) {
    each(seen, "rehearsal.hooks", |twin| {
        let Some((name, at)) = seen.text(&format!("{twin}.name")) else { return };
        let mut undone = false;
        each(seen, "hooks", |hook| {
            let same = seen.text(&format!("{hook}.name")).is_some_and(|(own, _)| own == name);
            undone |= same && seen.has(&format!("{hook}.undo"));
        });
        if undone && !seen.has(&format!("{twin}.undo")) {
            let message =
                format!("`{twin}`, which stands in for `{name}`, has no `undo`, and the plan's hook has");
            let help = "add `undo: https://...`, an address of the twin's own".to_owned();
            drafts.push(draft(codes::REHEARSAL_COVERAGE, twin, at, message, help));
        }
    });
}

/// Values of one kind, wherever they stand: production's and the twin's must have none in common.
struct Kind {
    what: &'static str,
    production: &'static [&'static str],
    twin: &'static [&'static str],
    /// What of a value must differ.
    of: fn(&str) -> String,
}

const INSTANCES: [&str; 2] = ["stores[].primary.id", "stores[].standby.id"];
const HOSTS: [&str; 6] = [
    "stores[].primary.host",
    "stores[].standby.host",
    "routes[].record",
    "routes[].verdict_record",
    "routes[].primary",
    "routes[].standby",
];

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { what: "instance", production: &INSTANCES, twin: &INSTANCES, of: str::to_owned },
    Kind { what: "secret", production: &["stores[].application.secret"], twin: &["stores[].secret"], of: str::to_owned },
    Kind { what: "host", production: &HOSTS, twin: &HOSTS, of: host },
    // A hook may live with both, on a host that serves neither; then its address differs.
    Kind { what: "host", production: &HOSTS, twin: &["hooks[].http", "hooks[].undo"], of: host },
    Kind { what: "hook", production: &["hooks[].http", "hooks[].undo"], twin: &["hooks[].http", "hooks[].undo"], of: str::to_owned },
];

/// The host of an address, or the name itself.
fn host(text: &str) -> String {
    host_of(text).unwrap_or_else(|| text.to_owned())
}

fn shared(seen: &Seen, kind: &Kind, drafts: &mut Vec<Draft>) {
    let mut production: BTreeMap<String, (String, Span)> = BTreeMap::new();
    for path in kind.production.iter().flat_map(|pattern| places(seen, pattern)) {
        let Some((text, at)) = seen.text(&path) else { continue };
        production.entry((kind.of)(text)).or_insert((path, at));
    }
    for path in kind.twin.iter().flat_map(|pattern| places(seen, &format!("rehearsal.{pattern}"))) {
        let Some((text, at)) = seen.text(&path) else { continue };
        let Some((value, (own, beside))) = production.get_key_value(&(kind.of)(text)) else { continue };
        let message = format!("`{path}` names {value}, and that {} is production's: `{own}`", kind.what);
        let help = "name the twin's own: a drill stops writers, promotes and moves traffic, and must not be able to \
                    reach anything that serves";
        let same = draft(codes::REHEARSAL_SHARED, &path, at, message, help.to_owned());
        drafts.push(same.beside(*beside, "production's".to_owned()));
    }
}

/// Every path of a pattern with one `[]`.
fn places(seen: &Seen, pattern: &str) -> Vec<String> {
    let Some((list, field)) = pattern.split_once("[]") else { return Vec::new() };
    (0..seen.count(list)).map(|index| format!("{list}[{index}]{field}")).collect()
}
