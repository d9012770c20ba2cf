//! A plan from a JSON configuration, flat or nested, for people who come from scripts.
//!
//! What the configuration says is taken over and its key named beside it; what it does not say is written as an example
//! and marked, so that nobody mistakes it for theirs. A key that is not understood is named, its value never repeated:
//! such files hold passwords.
//!
//! A nested key is known by the longest end of its path that is a known name: `health_checks.interval_seconds` by
//! `health_check_interval_seconds`.

use super::read;
use serde_json::Value;
use std::fmt::Write;

/// A plan file made from a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The plan file, with comments. It may still have problems: [`read`] tells them.
    pub text: String,
    /// Keys that were not understood, and so stand nowhere in the plan.
    pub ignored: Vec<String>,
    /// Fields whose value is an example, for people to replace.
    pub examples: Vec<&'static str>,
}

impl Import {
    /// What still keeps it from being a plan.
    #[must_use]
    pub fn problems(&self, name: &str) -> Option<super::Problems> {
        read(name, &self.text).err()
    }
}

/// Why a configuration cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoImport {
    #[error("it is no JSON: {0}")]
    Json(String),
    #[error("it is no JSON object: one is expected, such as {{\"rto_minutes\": 15}}")]
    NoObject,
    #[error("nothing in it was understood{}: begin with an example plan of `infra/plans` instead", named(.0))]
    Nothing(Vec<String>),
    #[error("`{key}` must be {expected}")]
    Value { key: String, expected: &'static str },
    #[error("`{one}` and `{other}` both give {what}: keep one of the two")]
    Twice { one: String, other: String, what: &'static str },
}

/// Keys by which scripts call one thing, as they are compared: lower case, `-` as `_`, the keys around it before it and
/// each of those in the singular.
type Names = &'static [&'static str];

const NAME: Names = &["name", "app", "app_name", "application", "service", "system"];
const PRIMARY: Names =
    &["primary_region", "aws_region_primary", "source_region", "region_primary", "region_source"];
const STANDBY: Names = &[
    "standby_region",
    "dr_region",
    "aws_region_dr",
    "secondary_region",
    "failover_region",
    "region_dr",
    "region_standby",
    "region_secondary",
    "region_failover",
];
const WITNESS: Names = &["witness_region", "backup_region", "tertiary_region", "region_witness"];
const RECORD: Names = &[
    "record",
    "record_name",
    "domain",
    "dns_name",
    "dns_record",
    "dns_domain",
    "route53_domain",
    "route53_record",
    "domain_name",
    "hostname",
];
const ZONE: Names = &["hosted_zone_id", "zone_id", "hosted_zone", "route53_hosted_zone_id"];
const HEALTH_PATH: Names = &["health_check_path", "health_path", "health_endpoint", "health_check_endpoint"];
const DATABASE: Names = &["db_name", "database", "database_name", "postgres_db", "postgres_database"];
const INSTANCE: Names =
    &["db_instance", "db_instance_id", "db_identifier", "primary_db", "primary_db_identifier"];
const REPLICA: Names = &["replica", "replica_id", "replica_identifier", "standby_db", "dr_db_identifier"];
const AUTOMATIC: Names = &["auto_failover", "auto_failover_enabled", "automatic_failover"];
const FAILURES: Names =
    &["health_check_failures", "failure_threshold", "health_check_failure_threshold", "unhealthy_threshold"];

/// The same thing with and without its unit.
struct Spans {
    what: &'static str,
    names: &'static [(&'static str, u64)],
}

const RTO: Spans = Spans {
    what: "the RTO",
    names: &[
        ("rto_minutes", 60),
        ("rto_seconds", 1),
        ("rto_hours", 3600),
        ("rto_target_minutes", 60),
        ("rto_target_seconds", 1),
        ("rto_target_hours", 3600),
    ],
};
const RPO: Spans = Spans {
    what: "the RPO",
    names: &[
        ("rpo_minutes", 60),
        ("rpo_seconds", 1),
        ("rpo_hours", 3600),
        ("rpo_target_minutes", 60),
        ("rpo_target_seconds", 1),
        ("rpo_target_hours", 3600),
    ],
};
const LAG: Spans = Spans {
    what: "the lag threshold",
    names: &[
        ("lag_threshold_seconds", 1),
        ("max_lag_seconds", 1),
        ("max_replication_lag_seconds", 1),
        ("replication_lag_threshold", 1),
        ("replication_lag_threshold_seconds", 1),
        ("lag_threshold_minutes", 60),
    ],
};
const INTERVAL: Spans = Spans {
    what: "the health check's interval",
    names: &[
        ("health_check_interval", 1),
        ("health_check_interval_seconds", 1),
        ("check_interval_seconds", 1),
    ],
};
const TTL: Spans = Spans {
    what: "the TTL",
    names: &[("ttl", 1), ("dns_ttl", 1), ("dns_ttl_seconds", 1), ("ttl_seconds", 1), ("record_ttl", 1)],
};

/// The tick of the plan that is written, in seconds: what EventBridge Scheduler can do.
const TICK: u64 = 60;

/// What may stand around a key without saying anything about it.
const WRAPPERS: &[&str] =
    &["dr", "disaster_recovery", "failover", "recovery", "app", "application", "config", "settings"];

/// Makes a plan file of a JSON configuration.
///
/// # Errors
/// What keeps it from being taken over; the first one, by its key.
pub fn import(json: &str) -> Result<Import, NoImport> {
    let value: Value = serde_json::from_str(json).map_err(|error| NoImport::Json(error.to_string()))?;
    if !value.is_object() {
        return Err(NoImport::NoObject);
    }
    let mut given = Given::default();
    given.gather(&value, &mut Vec::new());
    let mut page = Page::default();
    page.write(&mut given)?;
    let (used, ignored): (Vec<Leaf>, Vec<Leaf>) = given.leaves.into_iter().partition(|leaf| leaf.used);
    let ignored: Vec<String> = ignored.into_iter().map(|leaf| leaf.key).collect();
    if used.is_empty() {
        return Err(NoImport::Nothing(ignored));
    }
    Ok(Import { text: page.text, ignored, examples: page.examples })
}

/// The configuration, and which of its keys were used.
#[derive(Default)]
struct Given {
    leaves: Vec<Leaf>,
}

/// What is no object of its own, wherever it stands.
struct Leaf {
    /// The keys on the way to it, joined by dots.
    key: String,
    /// The names by which it may be known, the longest first.
    names: Vec<String>,
    value: Value,
    used: bool,
}

/// A value with the key that gave it.
struct Found<T> {
    key: String,
    value: T,
}

fn folded(key: &str) -> String {
    key.to_ascii_lowercase().replace('-', "_")
}

/// The ends of a path, the longest first. A single word, such as `name`, says nothing below anything but a wrapper.
fn names(path: &[String]) -> Vec<String> {
    let Some((last, around)) = path.split_last() else { return Vec::new() };
    let around: Vec<String> = around.iter().map(|key| folded(key)).collect();
    let wrapped = around.iter().all(|key| {
        WRAPPERS
            .iter()
            .any(|wrapper| key == wrapper || key.strip_prefix(wrapper).is_some_and(|rest| rest == "_config"))
    });
    let mut words: Vec<String> = around.iter().map(|key| singular(key).to_owned()).collect();
    words.push(folded(last));
    let ends = (0..words.len()).map(|from| words.get(from..).unwrap_or_default().join("_"));
    ends.filter(|name| wrapped || name.contains('_')).collect()
}

/// `regions` as `region`; `dns` stays what it is.
fn singular(key: &str) -> &str {
    key.strip_suffix('s').filter(|stem| stem.len() > 2).unwrap_or(key)
}

/// The keys that were not understood, for a message. Their values stay out: such files hold passwords.
fn named(keys: &[String]) -> String {
    if keys.is_empty() { String::new() } else { format!(" ({})", printable(&keys.join(", "))) }
}

impl Given {
    /// Notes all that is no object of its own.
    fn gather(&mut self, value: &Value, path: &mut Vec<String>) {
        if let Value::Object(object) = value {
            for (key, value) in object {
                path.push(key.clone());
                self.gather(value, path);
                path.pop();
            }
            return;
        }
        self.leaves.push(Leaf { key: path.join("."), names: names(path), value: value.clone(), used: false });
    }

    /// The one value that is known by one of `names`, and by which.
    fn find(
        &mut self,
        names: impl Iterator<Item = &'static str>,
        what: &'static str,
    ) -> Result<Option<(Found<Value>, &'static str)>, NoImport> {
        let names: Vec<&str> = names.collect();
        let known =
            |leaf: &Leaf| leaf.names.iter().find_map(|end| names.iter().find(|name| end == *name)).copied();
        let mut hits =
            self.leaves.iter_mut().filter(|leaf| !leaf.used).filter_map(|leaf| Some((known(leaf)?, leaf)));
        let Some((name, leaf)) = hits.next() else { return Ok(None) };
        if let Some((_, other)) = hits.next() {
            return Err(NoImport::Twice { one: leaf.key.clone(), other: other.key.clone(), what });
        }
        leaf.used = true;
        Ok(Some((Found { key: leaf.key.clone(), value: leaf.value.clone() }, name)))
    }

    fn one<T>(
        &mut self,
        names: Names,
        what: &'static str,
        expected: &'static str,
        read: fn(&Value) -> Option<T>,
    ) -> Result<Option<Found<T>>, NoImport> {
        let Some((Found { key, value }, _)) = self.find(names.iter().copied(), what)? else {
            return Ok(None);
        };
        match read(&value) {
            Some(value) => Ok(Some(Found { key, value })),
            None => Err(NoImport::Value { key, expected }),
        }
    }

    fn text(&mut self, names: Names, what: &'static str) -> Result<Option<Found<String>>, NoImport> {
        self.one(names, what, "a text", |value| {
            value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    fn truth(&mut self, names: Names, what: &'static str) -> Result<Option<Found<bool>>, NoImport> {
        self.one(names, what, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    fn number(&mut self, names: Names, what: &'static str) -> Result<Option<Found<u64>>, NoImport> {
        self.one(names, what, "a whole number above zero", whole)
    }

    /// In seconds.
    fn span(&mut self, spans: &Spans) -> Result<Option<Found<u64>>, NoImport> {
        let names = spans.names.iter().map(|(name, _)| *name);
        let Some((Found { key, value }, name)) = self.find(names, spans.what)? else { return Ok(None) };
        let scale = spans.names.iter().find(|(known, _)| *known == name).map_or(1, |(_, scale)| *scale);
        match whole(&value) {
            Some(value) => Ok(Some(Found { key, value: value.saturating_mul(scale) })),
            None => Err(NoImport::Value { key, expected: "a whole number above zero" }),
        }
    }
}

/// Scripts write numbers as texts, too.
fn whole(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0)
}

/// The file so far. Writing to a `String` cannot fail.
#[derive(Default)]
struct Page {
    text: String,
    examples: Vec<&'static str>,
}

impl Page {
    fn line(&mut self, line: &str) {
        _ = writeln!(self.text, "{line}");
    }

    /// A field that the configuration gave, or an example of it.
    fn field(&mut self, path: &'static str, found: Option<Found<String>>, example: &str) {
        // A field of a list's entry stands one deeper than its path is long.
        let depth = path.matches('.').count().saturating_add(path.matches("[]").count());
        let name = path.rsplit('.').next().unwrap_or(path);
        let (value, origin) = if let Some(found) = found {
            (quoted(&found.value), format!("from `{}`", printable(&found.key)))
        } else {
            self.examples.push(path);
            (example.to_owned(), "an example: replace it".to_owned())
        };
        let field = format!("{:indent$}{name}: {value}", "", indent = depth.saturating_mul(2));
        _ = writeln!(self.text, "{field:<47} # {origin}");
    }

    fn span(&mut self, path: &'static str, found: Option<Found<u64>>, example: &str) {
        let found = found.map(|found| Found { value: seconds(found.value), key: found.key });
        self.field(path, found, example);
    }

    fn write(&mut self, given: &mut Given) -> Result<(), NoImport> {
        let name = given.text(NAME, "the name")?;
        let title = name.as_ref().map(|name| Found { value: name.value.clone(), key: name.key.clone() });
        self.line("# Made from a JSON configuration. Run `understudy plan check` on it.");
        self.line("understudy: 1");
        self.field("plan", name.map(|name| Found { value: slug(&name.value), key: name.key }), "my-app");
        self.field("title", title, "My app");
        self.field("owner", None, "sre");
        self.line("\nregions:");
        self.field("regions.primary", given.text(PRIMARY, "the primary Region")?, "us-east-1");
        self.field("regions.standby", given.text(STANDBY, "the standby Region")?, "us-west-2");
        if let Some(witness) = given.text(WITNESS, "the witness Region")? {
            self.field("regions.witness", Some(witness), "");
        }
        self.line("\nobjectives:");
        self.span("objectives.rto", given.span(&RTO)?, "15m");
        let rpo = given.span(&RPO)?;
        self.span("objectives.rpo", rpo, "1h");
        self.line(&format!("\ntick: {TICK}s"));
        self.detection(given)?;
        self.line("\nlease: {ttl: 240s, commit_margin: 10s, drift: 1s, on_loss: stay}");
        self.line("\npolicy:");
        let automatic = given.truth(AUTOMATIC, "whether it starts by itself")?;
        let mode = automatic.map(|found| Found {
            value: if found.value { "automatic" } else { "approval" }.to_owned(),
            key: found.key,
        });
        self.field("policy.failover", mode, "approval");
        self.line("  approval_timeout: 5m");
        self.store(given)?;
        self.route(given)?;
        self.line("\nretention: {evidence_years: 7}");
        Ok(())
    }

    /// An interval times its failures is how long it must be bad; two ticks are the least that can be told.
    fn detection(&mut self, given: &mut Given) -> Result<(), NoImport> {
        let (interval, failures) = (given.span(&INTERVAL)?, given.number(FAILURES, "the failures")?);
        let window = interval.zip(failures).map(|(interval, failures)| Found {
            value: interval.value.saturating_mul(failures.value).max(2 * TICK),
            key: format!("{} x {}", interval.key, failures.key),
        });
        self.line("\ndetection:");
        self.span("detection.window", window, "120s");
        self.line("  quorum: 2\n  vote_max_age: 150s\n  probe_timeout: 10s\n  cooldown: 30m");
        self.line("  controls: [\"https://checkip.amazonaws.com/\"]");
        Ok(())
    }

    fn store(&mut self, given: &mut Given) -> Result<(), NoImport> {
        self.line("\nstores:\n  - name: main\n    kind: rds-postgres\n    required: true");
        self.field("stores[].database", given.text(DATABASE, "the database")?, "app");
        for (side, names, example) in
            [("primary", INSTANCE, "my-app"), ("standby", REPLICA, "my-app-replica")]
        {
            self.line(&format!("    {side}:"));
            let path = if side == "primary" { "stores[].primary.id" } else { "stores[].standby.id" };
            self.field(path, given.text(names, "the instance")?, example);
            self.field(
                if side == "primary" { "stores[].primary.host" } else { "stores[].standby.host" },
                None,
                &format!("db.{side}.example.com"),
            );
            self.line("      port: 5432");
        }
        self.line("    operator_role: understudy\n    writer_roles: [app]");
        self.field("stores[].application", None, "{role: app, secret: my-app/application}");
        self.field("stores[].tables", None, "[public.orders]");
        let lag = given.span(&LAG)?;
        let lag = lag.map(|found| Found {
            value: format!(
                "{{typical: {}s, warn: {}s, block: {}s}}",
                (found.value / 10).max(1),
                (found.value / 2).max(1),
                found.value
            ),
            key: found.key,
        });
        match lag {
            // A record, not a text: no quotes.
            Some(found) => {
                self.line(&format!("    lag: {}    # block from `{}`", found.value, printable(&found.key)));
            }
            None => self.field("stores[].lag", None, "{typical: 10s, warn: 5m, block: 10m}"),
        }
        self.line("    min_consistency: 0.99\n    promote_timeout: 15m");
        Ok(())
    }

    fn route(&mut self, given: &mut Given) -> Result<(), NoImport> {
        self.line("\nroutes:\n  - name: main");
        self.field("routes[].record", given.text(RECORD, "the record")?, "app.example.com");
        self.field("routes[].zone_id", given.text(ZONE, "the hosted zone")?, "Z0123456789EXAMPLE");
        self.span("routes[].ttl", given.span(&TTL)?, "60s");
        self.line("    strategy: switch-metric");
        self.field("routes[].primary", None, "https://primary.example.com");
        self.field("routes[].standby", None, "https://standby.example.com");
        self.field("routes[].verdict_record", None, "verdict.example.com");
        self.field("routes[].health_path", given.text(HEALTH_PATH, "the path")?, "/health");
        self.field("routes[].transaction_path", None, "/transactions");
        self.line("    hold: 60s\n    confirm_timeout: 10m");
        Ok(())
    }
}

fn seconds(seconds: u64) -> String {
    crate::time::Millis::from_secs(seconds).to_string()
}

/// Words and durations as they are, all else in single quotes.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && text.parse::<f64>().is_err();
    if plain { text.to_owned() } else { format!("'{}'", printable(text).replace('\'', "''")) }
}

fn printable(text: &str) -> String {
    super::problem::printable(text, 100)
}

/// A name that plans may have, as near to `text` as can be.
fn slug(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug: String = words.join("-").chars().skip_while(|c| !c.is_ascii_alphabetic()).take(31).collect();
    slug.trim_end_matches('-').to_owned()
}
