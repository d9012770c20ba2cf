//! A plan as a plan file: what [`super::read`] reads back to the same plan.
//!
//! Comments and the writer's own layout are not kept. Nothing here checks a value.

use super::model::{
    Arming, Detection, Environment, Hook, Instance, Lease, Plan, Rehearsal, Route, Shadow, Store, TwinHook,
    TwinRoute, TwinStore,
};
use super::units::{
    ENVIRONMENT_WORDS, HOOK_POINT_WORDS, MODE_WORDS, ON_LOSS_WORDS, STORE_KIND_WORDS, STRATEGY_WORDS, word,
};
use std::fmt::{Display, Write};

impl Plan {
    /// The plan as YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut page = Page::default();
        page.field(0, "understudy", 1);
        page.text(0, "plan", &self.name);
        page.text(0, "title", &self.title);
        if self.environment != Environment::Production {
            page.field(0, "environment", word(ENVIRONMENT_WORDS, &self.environment));
        }
        page.text(0, "owner", &self.owner);
        page.head("regions");
        page.text(1, "primary", &self.regions.primary.0);
        page.text(1, "standby", &self.regions.standby.0);
        if let Some(witness) = &self.regions.witness {
            page.text(1, "witness", &witness.0);
        }
        page.head("objectives");
        page.field(1, "rto", self.objectives.rto);
        page.field(1, "rpo", self.objectives.rpo);
        page.field(0, "tick", self.tick);
        page.detection(&self.detection);
        page.lease(&self.lease);
        page.head("policy");
        page.field(1, "failover", word(MODE_WORDS, &self.policy.failover));
        page.field(1, "approval_timeout", self.policy.approval_timeout);
        page.head("stores");
        self.stores.iter().for_each(|store| page.store(store));
        page.head("routes");
        self.routes.iter().for_each(|route| page.route(route));
        if !self.hooks.is_empty() {
            page.head("hooks");
            self.hooks.iter().for_each(|hook| page.hook(hook));
        }
        page.head("retention");
        page.field(1, "evidence_years", self.retention.evidence_years);
        if let Some(rehearsal) = &self.rehearsal {
            page.rehearsal(rehearsal);
        }
        page.0
    }
}

/// The text so far. Writing to a `String` cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str) {
        _ = writeln!(self.0, "{name}:");
    }

    fn field(&mut self, level: usize, name: &str, value: impl Display) {
        _ = writeln!(self.0, "{:indent$}{name}: {value}", "", indent = level.saturating_mul(2));
    }

    fn text(&mut self, level: usize, name: &str, text: &str) {
        self.field(level, name, quoted(text));
    }

    fn texts(&mut self, level: usize, name: &str, texts: &[String]) {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        self.field(level, name, format!("[{}]", texts.join(", ")));
    }

    /// The first field of a list entry; the others stand on `level`.
    fn entry(&mut self, level: usize, name: &str) {
        let indent = level.saturating_mul(2).saturating_sub(2);
        _ = writeln!(self.0, "{:indent$}- name: {}", "", quoted(name));
    }

    fn detection(&mut self, detection: &Detection) {
        self.head("detection");
        self.field(1, "window", detection.window);
        self.field(1, "quorum", detection.quorum);
        self.field(1, "vote_max_age", detection.vote_max_age);
        self.field(1, "probe_timeout", detection.probe_timeout);
        self.field(1, "cooldown", detection.cooldown);
        self.texts(1, "controls", &detection.controls);
    }

    fn lease(&mut self, lease: &Lease) {
        self.head("lease");
        self.field(1, "ttl", lease.ttl);
        self.field(1, "commit_margin", lease.commit_margin);
        self.field(1, "drift", lease.drift);
        self.field(1, "on_loss", word(ON_LOSS_WORDS, &lease.on_loss));
        if let Some(arming) = &lease.arming {
            self.arming(arming);
        }
    }

    fn arming(&mut self, arming: &Arming) {
        self.0.push_str("  arming:\n");
        self.text(2, "by", &arming.by);
        self.text(2, "signed_on", &arming.signed_on);
        match &arming.shadow {
            Shadow::Days(days) => self.field(2, "shadow_days", days),
            Shadow::Waived(reason) => self.text(2, "shadow_waived", reason),
        }
    }

    fn store(&mut self, store: &Store) {
        self.entry(2, &store.name);
        self.field(2, "kind", word(STORE_KIND_WORDS, &store.kind));
        self.field(2, "required", store.required);
        self.text(2, "database", &store.database);
        self.instance(2, "primary", &store.primary);
        self.instance(2, "standby", &store.standby);
        self.text(2, "operator_role", &store.operator_role);
        self.texts(2, "writer_roles", &store.writer_roles);
        let (role, secret) = (quoted(&store.application.role), quoted(&store.application.secret));
        self.field(2, "application", format!("{{role: {role}, secret: {secret}}}"));
        self.texts(2, "tables", &store.tables);
        let lag = store.lag;
        self.field(
            2,
            "lag",
            format!("{{typical: {}, warn: {}, block: {}}}", lag.typical, lag.warn, lag.block),
        );
        self.field(2, "min_consistency", store.min_consistency);
        self.field(2, "promote_timeout", store.promote_timeout);
    }

    fn instance(&mut self, level: usize, name: &str, instance: &Instance) {
        let (id, host) = (quoted(&instance.id), quoted(&instance.host));
        self.field(level, name, format!("{{id: {id}, host: {host}, port: {}}}", instance.port));
    }

    /// Scheme and port are not written: they stand in the addresses.
    fn route(&mut self, route: &Route) {
        self.entry(2, &route.name);
        self.text(2, "record", &route.record);
        self.text(2, "zone_id", &route.zone_id);
        self.field(2, "ttl", route.ttl);
        self.field(2, "strategy", word(STRATEGY_WORDS, &route.strategy));
        self.text(2, "primary", &route.primary);
        self.text(2, "standby", &route.standby);
        self.text(2, "verdict_record", &route.verdict_record);
        self.text(2, "health_path", &route.health_path);
        self.text(2, "transaction_path", &route.transaction_path);
        self.field(2, "hold", route.hold);
        self.field(2, "confirm_timeout", route.confirm_timeout);
    }

    fn hook(&mut self, hook: &Hook) {
        self.entry(2, &hook.name);
        self.field(2, "at", word(HOOK_POINT_WORDS, &hook.at));
        self.text(2, "http", &hook.http);
        if let Some(undo) = &hook.undo {
            self.text(2, "undo", undo);
        }
        self.field(2, "timeout", hook.timeout);
    }

    fn rehearsal(&mut self, rehearsal: &Rehearsal) {
        self.head("rehearsal");
        self.0.push_str("  stores:\n");
        rehearsal.stores.iter().for_each(|store| self.twin_store(store));
        self.0.push_str("  routes:\n");
        rehearsal.routes.iter().for_each(|route| self.twin_route(route));
        if !rehearsal.hooks.is_empty() {
            self.0.push_str("  hooks:\n");
            rehearsal.hooks.iter().for_each(|hook| self.twin_hook(hook));
        }
    }

    fn twin_store(&mut self, store: &TwinStore) {
        self.entry(3, &store.name);
        self.instance(3, "primary", &store.primary);
        self.instance(3, "standby", &store.standby);
        self.text(3, "secret", &store.secret);
    }

    fn twin_route(&mut self, route: &TwinRoute) {
        self.entry(3, &route.name);
        self.text(3, "record", &route.record);
        self.text(3, "zone_id", &route.zone_id);
        self.text(3, "primary", &route.primary);
        self.text(3, "standby", &route.standby);
        self.text(3, "verdict_record", &route.verdict_record);
    }

    fn twin_hook(&mut self, hook: &TwinHook) {
        self.entry(3, &hook.name);
        self.text(3, "http", &hook.http);
        if let Some(undo) = &hook.undo {
            self.text(3, "undo", undo);
        }
    }
}

/// Without quotes where nobody could take it for anything but text. Else in single quotes: within them, a plan's
/// texts have but one character to escape.
fn quoted(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str());
    if word { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}
