//! What two values of a plan must be to each other.
//!
//! Rules look at what the file gave, not at a finished plan: so they find their mistakes even where another value
//! could not be read. A value that is missing or refused has its problem already, and no rule speaks of it again.

use super::addresses::{self, Endpoint};
use super::apart;
use super::codes;
use super::model::Scheme;
use super::node::{Reader, Seen};
use super::problem::{Draft, Span};
use super::promises;
use super::units::{DURATION, QUORUM};
use crate::time::Millis;
use std::collections::BTreeMap;

pub(super) fn check(reader: &mut Reader) {
    let seen = &reader.seen;
    let mut drafts = Vec::new();
    for relation in RELATIONS {
        relation.check(seen, &mut drafts);
    }
    for unique in UNIQUE {
        all_differ(seen, unique, &mut drafts);
    }
    regions(seen, &mut drafts);
    quorum(seen, &mut drafts);
    vote_age(seen, &mut drafts);
    look(seen, &mut drafts);
    fence(seen, &mut drafts);
    arming(seen, &mut drafts);
    each(seen, "stores", |store| store_roles(seen, store, &mut drafts));
    each(seen, "stores", |store| optional(seen, store, &mut drafts));
    for stores in ["stores", "rehearsal.stores"] {
        each(seen, stores, |store| store_addresses(seen, store, &mut drafts));
    }
    for routes in ["routes", "rehearsal.routes"] {
        each(seen, routes, |route| route_addresses(seen, route, &mut drafts));
        each(seen, routes, |route| verdict(seen, route, &mut drafts));
    }
    each(seen, "hooks", |hook| undo(seen, hook, &mut drafts));
    hooks_end_in_time(seen, &mut drafts);
    apart::check(seen, &mut drafts);
    promises::check(seen, &mut drafts);
    reader.drafts.extend(drafts);
}

const SHORTEST_LOOK: Millis = Millis::from_secs(1);

#[derive(Clone, Copy)]
enum Must {
    AtLeast,
    Above,
    Below,
    AtMost,
}

/// `left` must stand in this relation to `times` x `right`. Paths under the same list share its index.
struct Relation {
    code: &'static str,
    left: &'static str,
    must: Must,
    times: u64,
    right: &'static str,
    why: &'static str,
}

#[rustfmt::skip]
const RELATIONS: &[Relation] = &[
    Relation { code: codes::WINDOW_TICKS, left: "detection.window", must: Must::AtLeast, times: 2,
        right: "look", why: "one bad look must never decide" },
    Relation { code: codes::PROBE_TIMEOUT, left: "detection.probe_timeout", must: Must::Below, times: 1,
        right: "look", why: "a probe must end before the next one starts" },
    Relation { code: codes::LOOK_TICK, left: "look", must: Must::Below, times: 1,
        right: "tick", why: "looks come between two ticks" },
    Relation { code: codes::LEASE_TTL, left: "lease.ttl", must: Must::AtLeast, times: 4,
        right: "look", why: "a schedule fires anywhere within its tick, so that two renewals may lie two apart, and three \
            where one is lost; the fourth is for what a renewal itself takes" },
    Relation { code: codes::COMMIT_MARGIN, left: "lease.commit_margin", must: Must::Below, times: 1,
        right: "lease.ttl", why: "the margin is the end of a writer's time, not all of it" },
    Relation { code: codes::LAG_ORDER, left: "stores[].lag.typical", must: Must::AtMost, times: 1,
        right: "stores[].lag.warn", why: "a normal lag must not warn" },
    Relation { code: codes::LAG_ORDER, left: "stores[].lag.warn", must: Must::AtMost, times: 1,
        right: "stores[].lag.block", why: "the warning must come before the block" },
    Relation { code: codes::LAG_ORDER, left: "declared_stores[].lag.typical", must: Must::AtMost, times: 1,
        right: "declared_stores[].lag.warn", why: "a normal lag must not warn" },
    Relation { code: codes::LAG_ORDER, left: "declared_stores[].lag.warn", must: Must::AtMost, times: 1,
        right: "declared_stores[].lag.block", why: "the warning must come before the block" },
    Relation { code: codes::CONFIRM_TIMEOUT, left: "routes[].confirm_timeout", must: Must::Above, times: 1,
        right: "routes[].hold", why: "success must be able to last its hold before confirmation is given up" },
];

impl Relation {
    fn check(&self, seen: &Seen, drafts: &mut Vec<Draft>) {
        let Some((list, _)) = self.left.split_once("[]") else {
            return self.compare(seen, self.left, self.right, drafts);
        };
        each(seen, list, |entry| {
            let here = |path: &str| path.replacen(&format!("{list}[]"), entry, 1);
            self.compare(seen, &here(self.left), &here(self.right), drafts);
        });
    }

    fn compare(&self, seen: &Seen, left: &str, right: &str, drafts: &mut Vec<Draft>) {
        // A plan without looks of their own looks at its ticks.
        let right = if right == "look" && !seen.has("look") { "tick" } else { right };
        let (Some((value, at)), Some((other, beside))) = (duration(seen, left), duration(seen, right)) else {
            return;
        };
        let (value, written) = value;
        let (bound, shown) = (other.0.times(self.times), times(other.1, self.times));
        let (holds, relation, instead) = match self.must {
            Must::AtLeast => (value >= bound, "at least", format!("`{shown}` or more")),
            Must::Above => (value > bound, "longer than", format!("more than `{shown}`")),
            Must::Below => (value < bound, "shorter than", format!("less than `{shown}`")),
            Must::AtMost => (value <= bound, "at most", format!("`{shown}` or less")),
        };
        if holds {
            return;
        }
        let counted =
            if self.times == 1 { format!("`{right}`") } else { format!("{} x `{right}`", self.times) };
        let message = format!("`{left}` is `{written}`, but must be {relation} {counted}, `{shown}`");
        let help = format!("write {instead}, or change `{right}`: {}", self.why);
        drafts.push(draft(self.code, left, at, message, help).beside(beside, format!("`{right}`")));
    }
}

/// A duration, as it counts and as it is written.
fn duration<'s>(seen: &'s Seen, path: &str) -> Option<((Millis, &'s str), Span)> {
    let (text, span) = seen.text(path)?;
    Some((((DURATION.parse)(text).ok()?, text), span))
}

/// A written duration times `factor`, in its own unit: twice `60s` is `120s`, which is easier to see than `2m`.
fn times(written: &str, factor: u64) -> String {
    let digits = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(written.len());
    let (number, unit) = written.split_at_checked(digits).unwrap_or((written, ""));
    number
        .parse::<u64>()
        .map_or_else(|_| written.to_owned(), |n| format!("{}{unit}", n.saturating_mul(factor)))
}

/// Values that must differ from each other. `[]` stands for every index.
const UNIQUE: &[(&str, &str)] = &[
    ("stores[].name", "give each store a name of its own"),
    ("routes[].name", "give each route a name of its own"),
    ("routes[].record", "one record is moved by one route: delete one of the two, or name another record"),
    ("hooks[].name", "give each hook a name of its own"),
    ("tiers[].name", "give each tier a name of its own"),
    ("services[].name", "give each service a name of its own"),
    ("declared_stores[].name", "give each store a name of its own"),
    ("backups[].name", "give each backup a name of its own"),
    ("scenarios[].name", "give each scenario a name of its own"),
    ("drills[].name", "give each drill a name of its own"),
    ("frameworks[].name", "name each framework once"),
    ("calendar.holidays[]", "name each day once"),
    ("calendar.half_days[].day", "name each day once"),
    ("policy.approvers[]", "name each role once"),
    ("rehearsal.stores[].name", "stand in for each store once"),
    ("rehearsal.routes[].name", "stand in for each route once"),
    (
        "rehearsal.routes[].record",
        "one record is moved by one route: delete one of the two, or name another record",
    ),
    ("rehearsal.hooks[].name", "stand in for each hook once"),
    ("detection.controls[]", "name each control once: a second copy proves nothing more"),
    ("stores[].writer_roles[]", "name each role once"),
    ("stores[].tables[]", "name each table once"),
];

fn all_differ(seen: &Seen, (pattern, help): &(&str, &str), drafts: &mut Vec<Draft>) {
    // Two stores may share a role: what lies below the last `[]` is compared within its own list.
    for group in groups(seen, pattern) {
        let mut first: BTreeMap<&str, Span> = BTreeMap::new();
        for path in group {
            let Some((text, span)) = seen.text(&path) else { continue };
            match first.get(text) {
                None => _ = first.insert(text, span),
                Some(earlier) => {
                    let message = format!("`{path}` repeats `{text}`");
                    let repeated = draft(codes::REPEATED, &path, span, message, (*help).to_owned());
                    drafts.push(repeated.beside(*earlier, "first given here".to_owned()));
                }
            }
        }
    }
}

/// The paths of a pattern: one group for each list that its last `[]` runs over.
fn groups(seen: &Seen, pattern: &str) -> Vec<Vec<String>> {
    let Some((lists, tail)) = pattern.rsplit_once("[]") else {
        return Vec::new();
    };
    let lists = match lists.split_once("[]") {
        None => vec![lists.to_owned()],
        Some((outer, inner)) => {
            (0..seen.count(outer)).map(|index| format!("{outer}[{index}]{inner}")).collect()
        }
    };
    let paths = |list: String| (0..seen.count(&list)).map(|index| format!("{list}[{index}]{tail}")).collect();
    lists.into_iter().map(paths).collect()
}

pub(super) fn each(seen: &Seen, list: &str, mut check: impl FnMut(&str)) {
    (0..seen.count(list)).for_each(|index| check(&format!("{list}[{index}]")));
}

fn regions(seen: &Seen, drafts: &mut Vec<Draft>) {
    let roles = ["regions.primary", "regions.standby", "regions.witness"];
    for (index, role) in roles.iter().enumerate() {
        for other in roles.iter().take(index) {
            let (Some((region, at)), Some((same, beside))) = (seen.text(role), seen.text(other)) else {
                continue;
            };
            if region == same {
                let message = format!("`{role}` is {region}, and so is `{other}`");
                let help = "name a different Region: what shares the primary's Region fails with it, \
                            and a witness must stand apart from both";
                let same = draft(codes::REGIONS_DIFFER, role, at, message, help.to_owned());
                drafts.push(same.beside(beside, format!("`{other}`")));
                break;
            }
        }
    }
}

fn quorum(seen: &Seen, drafts: &mut Vec<Draft>) {
    let path = "detection.quorum";
    let Some((text, at)) = seen.text(path) else { return };
    let Ok(votes) = (QUORUM.parse)(text) else { return };
    if votes > 2 && seen.has("regions") && !seen.has("regions.witness") {
        let message = format!("`{path}` asks for {votes} votes, but without a witness there are 2 voters");
        let help = "write `2` at most, or add `witness: us-east-2` under `regions`: \
                    the voters are the standby, Route 53 and the witness";
        drafts.push(draft(codes::QUORUM_VOTES, path, at, message, help.to_owned()));
    }
}

/// A schedule fires anywhere within its tick: the next look may be two ticks away, and takes as long as a probe may.
fn vote_age(seen: &Seen, drafts: &mut Vec<Draft>) {
    let path = "detection.vote_max_age";
    let (Some(((age, written), at)), Some(((tick, _), beside)), Some(((probe, _), _))) =
        (duration(seen, path), duration(seen, "tick"), duration(seen, "detection.probe_timeout"))
    else {
        return;
    };
    let least = tick.times(2).saturating_add(probe);
    // A probe that outlasts the tick is a mistake of its own.
    if age < least && probe < tick {
        let message = format!("`{path}` is `{written}`, and the next vote may come after `{least}`");
        let help = format!(
            "write `{least}` or more: 2 x `tick`, for a schedule fires anywhere within its tick, and one \
             `detection.probe_timeout`"
        );
        drafts.push(draft(codes::VOTE_AGE, path, at, message, help).beside(beside, "`tick`".to_owned()));
    }
}

/// A message of SQS is delayed by whole seconds.
fn look(seen: &Seen, drafts: &mut Vec<Draft>) {
    let path = "look";
    let Some(((look, written), at)) = duration(seen, path) else { return };
    if look < SHORTEST_LOOK {
        let message = format!("`{path}` is `{written}`, and messages are delayed by whole seconds");
        let help = "write `10s` or more: Lambda and a probe take seconds themselves".to_owned();
        drafts.push(draft(codes::LOOK_TICK, path, at, message, help));
    }
}

fn fence(seen: &Seen, drafts: &mut Vec<Draft>) {
    let path = "lease.on_loss";
    let Some(("fence", at)) = seen.text(path) else { return };
    if !seen.has("lease.arming") {
        let message = format!("`{path}` is `fence`, but nobody has armed it");
        let help = "write `on_loss: stay`, or add to `lease`\n\
                    arming: {by: sre, signed_on: 2026-11-01, shadow_days: 45}\n\
                    a false fence is an outage made by us, so a named role signs for it";
        drafts.push(draft(codes::FENCE_UNARMED, path, at, message, help.to_owned()));
    }
    if seen.has("regions") && !seen.has("regions.witness") {
        let message = format!("`{path}` is `fence`, but there is no witness");
        let help = "write `on_loss: stay`, or add `witness: us-east-2` under `regions`: with one keeper, the failover \
                    cannot tell a lease that ran out from one it cannot see, and gets no *expired* receipt";
        drafts.push(draft(codes::FENCE_UNWITNESSED, path, at, message, help.to_owned()));
    }
}

fn arming(seen: &Seen, drafts: &mut Vec<Draft>) {
    let (path, days, waived) = ("lease.arming", "lease.arming.shadow_days", "lease.arming.shadow_waived");
    // Only where the block itself could be read does an absent field mean that it was left out.
    let Some(at) = seen.record(path) else { return };
    let found = match (seen.has(days), seen.has(waived)) {
        (true, true) => "gives both `shadow_days` and `shadow_waived`",
        (false, false) => "gives neither `shadow_days` nor `shadow_waived`",
        _ => return,
    };
    let help = "write `shadow_days: 45` after so many days without a single would-have-fenced, \
                or `shadow_waived: \"why nobody waits\"`, not both";
    drafts.push(draft(codes::SHADOW_CHOICE, path, at, format!("`{path}` {found}"), help.to_owned()));
}

fn store_roles(seen: &Seen, store: &str, drafts: &mut Vec<Draft>) {
    let writers = format!("{store}.writer_roles");
    let roles: Option<Vec<(&str, Span)>> =
        (0..seen.count(&writers)).map(|index| seen.text(&format!("{writers}[{index}]"))).collect();
    let Some(roles) = roles.filter(|roles| !roles.is_empty()) else { return };
    let (role, operator) = (format!("{store}.application.role"), format!("{store}.operator_role"));
    let named = |name: &str| roles.iter().find(|(writer, _)| *writer == name).map(|(_, span)| *span);
    if let Some((name, at)) = seen.text(&role).filter(|(name, _)| named(name).is_none()) {
        let message = format!("`{role}` is `{name}`, which is not among `{writers}`");
        let help =
            format!("add `{name}` to `writer_roles`: a writer that is not named there is never fenced");
        drafts.push(draft(codes::APPLICATION_WRITER, &role, at, message, help));
    }
    let Some((name, at)) = seen.text(&operator) else { return };
    if let Some(beside) = named(name) {
        let message = format!("`{operator}` is `{name}`, which is also a writer role");
        let help = "give Understudy a login of its own: the fence locks the writer roles out, and must not lock \
                    out the one that lifts it";
        let same = draft(codes::OPERATOR_WRITER, &operator, at, message, help.to_owned());
        drafts.push(same.beside(beside, "fenced with the writers".to_owned()));
    }
}

/// What is promoted is armed and fenced, and that is done for required stores alone.
fn optional(seen: &Seen, store: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{store}.required");
    let Some(("false", at)) = seen.text(&path) else { return };
    let message = format!(
        "`{path}` is `false`, and the store would be promoted: nothing arms its dead-man, and nothing fences it"
    );
    let help =
        "write `true`, or move it to `declared_stores`, which are neither watched nor promoted".to_owned();
    drafts.push(draft(codes::STORE_OPTIONAL, &path, at, message, help));
}

fn store_addresses(seen: &Seen, store: &str, drafts: &mut Vec<Draft>) {
    let text = |field: &str| seen.text(&format!("{store}.{field}"));
    let (Some((primary, beside)), Some((standby, at))) = (text("primary.host"), text("standby.host")) else {
        return;
    };
    let (Some((primary_port, _)), Some((standby_port, _))) = (text("primary.port"), text("standby.port"))
    else {
        return;
    };
    if primary == standby && primary_port == standby_port {
        let path = format!("{store}.standby.host");
        let message = format!("`{path}` is {standby}:{standby_port}, the primary's own address");
        let help = "write the replica's endpoint in the standby Region".to_owned();
        drafts.push(
            draft(codes::SAME_ADDRESS, &path, at, message, help).beside(beside, "the primary".to_owned()),
        );
    }
}

fn route_addresses(seen: &Seen, route: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{route}.standby");
    let (Some((primary, beside)), Some((standby, at))) =
        (endpoint(seen, &format!("{route}.primary")), endpoint(seen, &path))
    else {
        return;
    };
    let label = |text: &str| format!("the primary{text}");
    if (primary.scheme, primary.port) != (standby.scheme, standby.port) {
        let message =
            format!("`{path}` answers on {}, the primary on {}", service(&standby), service(&primary));
        let help =
            "use the same scheme and port on both sides: clients keep theirs when the name moves".to_owned();
        drafts.push(
            draft(codes::ENDPOINTS_DIFFER, &path, at, message, help).beside(beside, label(" answers here")),
        );
    } else if primary.host == standby.host {
        let message = format!("`{path}` is {}, the primary's own address", standby.text);
        let help = "write the address by which the standby answers under its own name".to_owned();
        drafts.push(draft(codes::SAME_ADDRESS, &path, at, message, help).beside(beside, label("")));
    }
}

fn endpoint(seen: &Seen, path: &str) -> Option<(Endpoint, Span)> {
    let (text, span) = seen.text(path)?;
    Some((addresses::endpoint(text).ok()?, span))
}

fn service(endpoint: &Endpoint) -> String {
    let scheme = match endpoint.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme} port {}", endpoint.port)
}

fn verdict(seen: &Seen, route: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{route}.verdict_record");
    let (Some((verdict, at)), Some((record, beside))) =
        (seen.text(&path), seen.text(&format!("{route}.record")))
    else {
        return;
    };
    if verdict == record {
        let message = format!("`{path}` is {verdict}, the public record itself");
        let help = format!(
            "write a name of its own, such as `verdict.{record}`: it holds Route 53's TXT answer, up or down"
        );
        let same = draft(codes::VERDICT_IS_RECORD, &path, at, message, help);
        drafts.push(same.beside(beside, "the public record".to_owned()));
    }
}

fn undo(seen: &Seen, hook: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{hook}.at");
    let Some(("capacity", at)) = seen.text(&path) else { return };
    if !seen.has(&format!("{hook}.undo")) {
        let message = format!("`{hook}` raises capacity and has no `undo`");
        let help = "add `undo: https://...`: a failover that is refused or rolled back must lower it again"
            .to_owned();
        drafts.push(draft(codes::CAPACITY_UNDO, hook, at, message, help));
    }
}

/// The workflow gives a step that calls hooks 60 s. This much of it is the hooks'; the rest is for its journal.
const HOOKS_LAST: Millis = Millis::from_secs(45);

/// One after the other, by their moments: a step that is cut off is begun again, and calls its hooks once more.
fn hooks_end_in_time(seen: &Seen, drafts: &mut Vec<Draft>) {
    let mut longest: BTreeMap<&str, Millis> = BTreeMap::new();
    each(seen, "hooks", |hook| {
        let Some((moment, _)) = seen.text(&format!("{hook}.at")) else { return };
        let path = format!("{hook}.timeout");
        let Some(((timeout, _), at)) = duration(seen, &path) else { return };
        let sum = longest.entry(moment).or_insert(Millis::ZERO);
        let before = *sum;
        *sum = before.saturating_add(timeout);
        if before <= HOOKS_LAST && *sum > HOOKS_LAST {
            let message =
                format!("the hooks at `{moment}` may take {sum}, and their step has {HOOKS_LAST} for them");
            let help = "give them less time: let the call start the work and answer at once. A step that is cut off is \
                        begun again, and calls them once more";
            drafts.push(draft(codes::HOOKS_OUTLAST, &path, at, message, help.to_owned()));
        }
    });
}

pub(super) fn draft(code: &'static str, path: &str, span: Span, message: String, help: String) -> Draft {
    Draft { code, path: path.to_owned(), span, message, help, related: None }
}

impl Draft {
    pub(super) fn beside(self, span: Span, label: String) -> Self {
        Self { related: Some((span, label)), ..self }
    }
}
