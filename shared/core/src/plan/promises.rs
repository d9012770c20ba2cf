//! What the promised parts of a plan must be to each other: names that are named must exist, and times must run forward.
//!
//! As with every rule, a value that is missing or refused has its problem already.

use super::codes;
use super::node::Seen;
use super::problem::{Draft, Span};
use super::rules::{draft, each};
use super::units::{APPROVERS, INSTANT, LOSS};
use super::words::nearest;

pub(super) fn check(seen: &Seen, drafts: &mut Vec<Draft>) {
    each(seen, "services", |service| tier(seen, service, drafts));
    each(seen, "maintenance", |window| forward(seen, window, drafts));
    each(seen, "declared_stores", |store| shipped(seen, store, drafts));
    for (field, value) in [("policy.in_session", None), ("drill_guard.outside_sessions", Some("true"))] {
        sessions(seen, field, value, drafts);
    }
    approvals(seen, drafts);
    levels(seen, drafts);
}

fn tier(seen: &Seen, service: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{service}.tier");
    let Some((name, at)) = seen.text(&path) else { return };
    let tiers: Option<Vec<&str>> =
        (0..seen.count("tiers")).map(|index| Some(seen.text(&format!("tiers[{index}].name"))?.0)).collect();
    let Some(tiers) = tiers.filter(|tiers| !tiers.contains(&name)) else { return };
    let help = match nearest(name, tiers.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("add a tier `{name}` under `tiers`, or promise the service its own `rto` and `rpo`"),
    };
    drafts.push(draft(
        codes::TIER_UNKNOWN,
        &path,
        at,
        format!("`{path}` is `{name}`, and there is no such tier"),
        help,
    ));
}

fn forward(seen: &Seen, window: &str, drafts: &mut Vec<Draft>) {
    let path = format!("{window}.to");
    let (Some((from, beside)), Some((to, at))) = (seen.text(&format!("{window}.from")), seen.text(&path))
    else {
        return;
    };
    let (Ok(start), Ok(end)) = ((INSTANT.parse)(from), (INSTANT.parse)(to)) else { return };
    if end <= start {
        let message = format!("`{path}` is {to}, not after {from}");
        let help = "write the first moment after the work".to_owned();
        drafts.push(
            draft(codes::MAINTENANCE_ORDER, &path, at, message, help)
                .beside(beside, "it begins here".to_owned()),
        );
    }
}

fn shipped(seen: &Seen, store: &str, drafts: &mut Vec<Draft>) {
    let Some((word, at)) = seen.text(&format!("{store}.replication")) else { return };
    let path = format!("{store}.shipped_every");
    if (word == "shipped") != seen.has(&path) {
        let (message, help) = if word == "shipped" {
            (
                format!("`{store}` is shipped in pieces, and does not say how often"),
                "add `shipped_every: 300s`: what has not been shipped is lost",
            )
        } else {
            (
                format!("`{path}` is given, and `{store}` is {word}, not shipped"),
                "delete it, or write `replication: shipped`",
            )
        };
        drafts.push(draft(codes::SHIPPED_EVERY, store, at, message, help.to_owned()));
    }
}

fn sessions(seen: &Seen, field: &str, value: Option<&str>, drafts: &mut Vec<Draft>) {
    let Some((text, at)) = seen.text(field) else { return };
    if value.is_none_or(|value| value == text) && !seen.has("calendar") {
        let message = format!("`{field}` speaks of sessions, and the plan has no calendar");
        let help = format!("add\ncalendar: {}", super::calendar::EXAMPLE);
        drafts.push(draft(codes::NO_CALENDAR, field, at, message, help));
    }
}

fn approvals(seen: &Seen, drafts: &mut Vec<Draft>) {
    let (path, roles) = ("policy.approvals", seen.count("policy.approvers"));
    let Some((text, at)) = seen.text(path) else { return };
    let Ok(wanted) = (APPROVERS.parse)(text) else { return };
    if roles > 0 && usize::try_from(wanted).is_ok_and(|wanted| wanted > roles) {
        let message = format!("`{path}` asks for {wanted}, and `policy.approvers` names {roles}");
        let help = "name more roles, or ask for fewer: this question could never get its yes".to_owned();
        drafts.push(draft(codes::APPROVERS_FEW, path, at, message, help));
    }
}

/// Each level comes after the one before it; two may come together.
fn levels(seen: &Seen, drafts: &mut Vec<Draft>) {
    let mut before: Option<(&str, Span)> = None;
    each(seen, "escalation", |level| {
        let path = format!("{level}.after");
        let Some((text, at)) = seen.text(&path) else { return };
        let backwards = before.filter(|(earlier, _)| {
            matches!(((LOSS.parse)(earlier), (LOSS.parse)(text)), (Ok(earlier), Ok(now)) if now < earlier)
        });
        if let Some((earlier, beside)) = backwards {
            let message = format!("`{path}` is {text}, sooner than the level before it, {earlier}");
            let help = "write the levels in the order in which they are told".to_owned();
            drafts.push(
                draft(codes::ESCALATION_ORDER, &path, at, message, help)
                    .beside(beside, "the level before".to_owned()),
            );
        }
        before = seen.text(&path);
    });
}
