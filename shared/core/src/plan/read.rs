//! From the text of a plan file to a [`Plan`], or to all that is wrong with it.
//!
//! This is the shape of the file, section by section, in the order of the file. What one value must look like is in
//! `units` and `addresses`, what two values must be to each other in `rules`. Nothing here opens a file.

use super::addresses::{ADDRESS, ENDPOINT, Endpoint, HOST, PATH, RECORD};
use super::codes;
use super::model::{
    Application, Arming, Detection, Environment, Hook, Instance, Lag, Lease, Objectives, Plan, Policy,
    Regions, Rehearsal, Retention, Route, Shadow, Store, TwinHook, TwinRoute, TwinStore,
};
use super::node::{Reader, Record, Value};
use super::problem::{Draft, Problems, Span};
use super::tree::{self, Kind, NoTree, Node};
use super::units::{
    DATE, DNS_TTL, DURATION, ENVIRONMENT, FORMAT, HOOK_POINT, INSTANCE_ID, MODE, ON_LOSS, PLAN_NAME, PORT,
    QUORUM, REASON, REGION, SECRET_ID, SHADOW_DAYS, SHARE, SQL_NAME, STORE_KIND, STRATEGY, TABLE, TEXT,
    TRUTH, Unit, YEARS, ZONE_ID,
};
use super::{rules, secrets};

/// No plan is longer; what is longer is not read.
const BYTES_MAX: usize = 256 * 1024;

/// Fields that may be left out, what then holds, and why. There are no other defaults.
pub const DEFAULTS: &[(&str, &str, &str)] = &[
    (
        "regions.witness",
        "none",
        "two Regions are enough to fail over by approval; without it no fence by a lost lease",
    ),
    ("lease.arming", "none", "belongs to `on_loss: fence` alone"),
    ("environment", "production", "written by `understudy package --rehearsal`, and seldom by hand"),
    ("rehearsal", "none", "a plan may wait for its twin; until then no drill can start"),
    ("rehearsal.hooks", "none", "the twin has a hook exactly where the plan has one"),
    ("rehearsal.hooks[].undo", "none", "the twin undoes what the plan undoes"),
    ("hooks", "none", "most applications need no call of their own"),
    ("hooks[].undo", "none", "only what runs before the one-way step (`at: capacity`) must be undone"),
];

/// The plan in `text`, read whole or not at all. `name` is the file's name, for messages.
///
/// # Errors
/// Every problem that the file has, in the order of its lines.
pub fn read(name: &str, text: &str) -> Result<Plan, Problems> {
    if text.len() > BYTES_MAX {
        return Err(Problems::new(name, String::new(), vec![too_large(text.len())]));
    }
    let secrets = secrets::scan(text);
    let spans: Vec<Span> = secrets.iter().map(|hit| hit.span).collect();
    let masked = secrets::mask(text, &spans);
    let long = tree::long_lines(&masked);
    if !long.is_empty() {
        return Err(Problems::new(name, masked, long));
    }
    let mut reader =
        Reader { drafts: secrets.iter().map(secrets::Hit::draft).collect(), ..Reader::default() };
    let plan = masked_plan(&mut reader, &masked);
    match plan {
        Some(plan) if reader.drafts.is_empty() => Ok(plan),
        _ => Err(problems(name, &masked, reader)),
    }
}

fn masked_plan(reader: &mut Reader, text: &str) -> Option<Plan> {
    let strange = tree::characters(text);
    if !strange.is_empty() {
        reader.drafts.extend(strange);
        return None;
    }
    match tree::parse(text, &mut reader.drafts) {
        Err(NoTree) => None,
        Ok(root) => {
            let empty = Node { span: Span::default(), kind: Kind::Record(Vec::new()) };
            let plan = plan(reader, root.as_ref().unwrap_or(&empty));
            rules::check(reader);
            plan
        }
    }
}

/// A value that holds a secret has one problem: the secret.
fn problems(name: &str, text: &str, reader: Reader) -> Problems {
    let Reader { mut drafts, seen } = reader;
    let is_secret = |draft: &Draft| draft.code == codes::SECRET;
    let secret: Vec<Span> = drafts.iter().filter(|draft| is_secret(draft)).map(|draft| draft.span).collect();
    let masked = secrets::mask(text, &secret);
    drafts.retain(|draft| is_secret(draft) || !secret.iter().any(|span| span.overlaps(draft.span)));
    for draft in drafts.iter_mut().filter(|draft| is_secret(draft)) {
        draft.path = seen.path_at(draft.span);
    }
    Problems::new(name, masked, drafts)
}

fn too_large(bytes: usize) -> Draft {
    Draft {
        code: codes::TOO_LARGE,
        path: String::new(),
        span: Span::default(),
        message: format!("the file is {bytes} bytes long, more than the {BYTES_MAX} that a plan may have"),
        help: "give the plan's own file; a plan is a few kilobytes".to_owned(),
        related: None,
    }
}

fn plan(reader: &mut Reader, root: &Node) -> Option<Plan> {
    let value = Value { node: root, path: String::new(), at: root.span, example: "understudy: 1".to_owned() };
    let mut r = reader.record(&value, "the fields of a plan")?;
    let format = r.unit("understudy", "1", &FORMAT);
    let name = r.unit("plan", "my-app", &PLAN_NAME);
    let title = r.unit("title", "My app, hot standby", &TEXT);
    let environment = r.may("environment", "rehearsal", |reader, value| reader.unit(value, &ENVIRONMENT));
    let owner = r.unit("owner", "sre", &TEXT);
    let regions = r.need("regions", "{primary: us-east-1, standby: us-west-2, witness: us-east-2}", regions);
    let objectives = r.need("objectives", "{rto: 15m, rpo: 1h}", objectives);
    let tick = r.unit("tick", "60s", &DURATION);
    let detection = r.need("detection", DETECTION, detection);
    let lease = r.need("lease", "{ttl: 180s, commit_margin: 10s, drift: 1s, on_loss: stay}", lease);
    let policy = r.need("policy", "{failover: approval, approval_timeout: 5m}", policy);
    let stores = r.need("stores", STORES, |reader, value| entries(reader, value, "a list of stores", store));
    let routes = r.need("routes", ROUTES, |reader, value| entries(reader, value, "a list of routes", route));
    let hooks = r.may("hooks", HOOKS, |reader, value| reader.list(value, "a list of hooks", hook));
    let retention = r.need("retention", "{evidence_years: 7}", retention);
    let rehearsal = r.may("rehearsal", REHEARSAL, rehearsal);
    r.close();
    format?;
    Some(Plan {
        name: name?,
        title: title?,
        environment: environment?.unwrap_or(Environment::Production),
        owner: owner?,
        regions: regions?,
        objectives: objectives?,
        tick: tick?,
        detection: detection?,
        lease: lease?,
        policy: policy?,
        stores: stores?,
        routes: routes?,
        hooks: hooks?.unwrap_or_default(),
        retention: retention?,
        rehearsal: rehearsal?,
    })
}

// What to write where a whole section is missing: each reads as it stands, a test says so.
const DETECTION: &str = "{window: 120s, quorum: 2, vote_max_age: 150s, probe_timeout: 10s, cooldown: 30m, \
                         controls: [\"https://checkip.amazonaws.com/\"]}";
const INSTANCE: &str = "{id: my-app, host: db.example.com, port: 5432}";
const APPLICATION: &str = "{role: my_app, secret: my-app/application}";
const LAG: &str = "{typical: 10s, warn: 5m, block: 10m}";
const STORES: &str = "[{name: main, kind: rds-postgres, required: true, database: app, \
    primary: {id: my-app, host: db.primary.example.com, port: 5432}, \
    standby: {id: my-app-replica, host: db.standby.example.com, port: 5432}, \
    operator_role: understudy, writer_roles: [my_app], application: {role: my_app, secret: my-app/application}, \
    tables: [public.documents], lag: {typical: 10s, warn: 5m, block: 10m}, min_consistency: 0.99, promote_timeout: 15m}]";
const ROUTES: &str = "[{name: api, record: app.example.com, zone_id: Z0123456789EXAMPLE, ttl: 60s, \
    strategy: switch-metric, primary: \"https://primary.example.com\", standby: \"https://standby.example.com\", \
    verdict_record: verdict.example.com, health_path: /health, transaction_path: /transactions, \
    hold: 60s, confirm_timeout: 10m}]";
const HOOKS: &str = "[{name: raise, at: recycle, http: \"https://standby.example.com/raise\", timeout: 10s}]";
const REHEARSAL: &str = "{stores: [...], routes: [...]}";
const TWIN_STORES: &str = "[{name: main, primary: {id: my-app-drill, host: db.primary.drill.example.com, port: 5432}, \
    standby: {id: my-app-drill-replica, host: db.standby.drill.example.com, port: 5432}, secret: my-app-drill/application}]";
const TWIN_ROUTES: &str = "[{name: api, record: app.drill.example.com, zone_id: Z0123456789EXAMPLE, \
    primary: \"https://primary.drill.example.com\", standby: \"https://standby.drill.example.com\", \
    verdict_record: verdict.drill.example.com}]";
const TWIN_HOOKS: &str = "[{name: raise, http: \"https://standby.drill.example.com/raise\"}]";

fn entries<'t, T>(
    reader: &mut Reader,
    value: &Value<'t>,
    expected: &str,
    read: fn(&mut Reader, &Value<'t>) -> Option<T>,
) -> Option<Vec<T>> {
    let list = reader.list(value, expected, read);
    reader.filled(value, list)
}

fn values<T>(reader: &mut Reader, value: &Value<'_>, expected: &str, unit: &Unit<T>) -> Option<Vec<T>> {
    let list = reader.list(value, expected, |reader, entry| reader.unit(entry, unit));
    reader.filled(value, list)
}

fn regions(reader: &mut Reader, value: &Value<'_>) -> Option<Regions> {
    let mut r = reader.record(value, "the fields of the Regions")?;
    let primary = r.unit("primary", "us-east-1", &REGION);
    let standby = r.unit("standby", "us-west-2", &REGION);
    let witness = r.may("witness", "us-east-2", |reader, value| reader.unit(value, &REGION));
    r.close();
    Some(Regions { primary: primary?, standby: standby?, witness: witness? })
}

fn objectives(reader: &mut Reader, value: &Value<'_>) -> Option<Objectives> {
    let mut r = reader.record(value, "the fields of the objectives")?;
    let rto = r.unit("rto", "15m", &DURATION);
    let rpo = r.unit("rpo", "1h", &DURATION);
    r.close();
    Some(Objectives { rto: rto?, rpo: rpo? })
}

fn detection(reader: &mut Reader, value: &Value<'_>) -> Option<Detection> {
    let mut r = reader.record(value, "the fields of detection")?;
    let window = r.unit("window", "120s", &DURATION);
    let quorum = r.unit("quorum", "2", &QUORUM);
    let vote_max_age = r.unit("vote_max_age", "150s", &DURATION);
    let probe_timeout = r.unit("probe_timeout", "10s", &DURATION);
    let cooldown = r.unit("cooldown", "30m", &DURATION);
    let controls = r.need("controls", "[\"https://checkip.amazonaws.com/\"]", |reader, value| {
        values(reader, value, "a list of addresses", &ADDRESS)
    });
    r.close();
    Some(Detection {
        window: window?,
        quorum: quorum?,
        vote_max_age: vote_max_age?,
        probe_timeout: probe_timeout?,
        cooldown: cooldown?,
        controls: controls?,
    })
}

fn lease(reader: &mut Reader, value: &Value<'_>) -> Option<Lease> {
    let mut r = reader.record(value, "the fields of the lease")?;
    let ttl = r.unit("ttl", "180s", &DURATION);
    let commit_margin = r.unit("commit_margin", "10s", &DURATION);
    let drift = r.unit("drift", "1s", &DURATION);
    let on_loss = r.unit("on_loss", "stay", &ON_LOSS);
    let arming = r.may("arming", "{by: sre, signed_on: 2026-11-01, shadow_days: 45}", arming);
    r.close();
    Some(Lease {
        ttl: ttl?,
        commit_margin: commit_margin?,
        drift: drift?,
        on_loss: on_loss?,
        arming: arming?,
    })
}

fn arming(reader: &mut Reader, value: &Value<'_>) -> Option<Arming> {
    let mut r = reader.record(value, "the fields of an arming")?;
    let by = r.unit("by", "sre", &TEXT);
    let signed_on = r.unit("signed_on", "2026-11-01", &DATE);
    let days = r.may("shadow_days", "45", |reader, value| reader.unit(value, &SHADOW_DAYS));
    let waived = r.may("shadow_waived", "demonstration only, no data at risk", |reader, value| {
        reader.unit(value, &REASON)
    });
    r.close();
    let shadow = match (days?, waived?) {
        (Some(days), None) => Shadow::Days(days),
        (None, Some(reason)) => Shadow::Waived(reason),
        // Both or neither: `rules` has told it.
        _ => return None,
    };
    Some(Arming { by: by?, signed_on: signed_on?, shadow })
}

fn policy(reader: &mut Reader, value: &Value<'_>) -> Option<Policy> {
    let mut r = reader.record(value, "the fields of the policy")?;
    let failover = r.unit("failover", "approval", &MODE);
    let approval_timeout = r.unit("approval_timeout", "5m", &DURATION);
    r.close();
    Some(Policy { failover: failover?, approval_timeout: approval_timeout? })
}

fn store(reader: &mut Reader, value: &Value<'_>) -> Option<Store> {
    let mut r = reader.record(value, "the fields of a store")?;
    let name = r.unit("name", "main", &PLAN_NAME);
    let kind = r.unit("kind", "rds-postgres", &STORE_KIND);
    let required = r.unit("required", "true", &TRUTH);
    let database = r.unit("database", "app", &SQL_NAME);
    let primary = r.need("primary", INSTANCE, instance);
    let standby = r.need("standby", INSTANCE, instance);
    let operator_role = r.unit("operator_role", "understudy", &SQL_NAME);
    let writer_roles = r.need("writer_roles", "[my_app]", |reader, value| {
        values(reader, value, "a list of login roles", &SQL_NAME)
    });
    let application = r.need("application", APPLICATION, application);
    let tables = r.need("tables", "[public.documents]", |reader, value| {
        values(reader, value, "a list of tables", &TABLE)
    });
    let lag = r.need("lag", LAG, lag);
    let min_consistency = r.unit("min_consistency", "0.99", &SHARE);
    let promote_timeout = r.unit("promote_timeout", "15m", &DURATION);
    r.close();
    Some(Store {
        name: name?,
        kind: kind?,
        required: required?,
        database: database?,
        primary: primary?,
        standby: standby?,
        operator_role: operator_role?,
        writer_roles: writer_roles?,
        application: application?,
        tables: tables?,
        lag: lag?,
        min_consistency: min_consistency?,
        promote_timeout: promote_timeout?,
    })
}

fn instance(reader: &mut Reader, value: &Value<'_>) -> Option<Instance> {
    let mut r = reader.record(value, "the fields of an instance")?;
    let id = r.unit("id", "my-app", &INSTANCE_ID);
    let host = r.unit("host", "db.example.com", &HOST);
    let port = r.unit("port", "5432", &PORT);
    r.close();
    Some(Instance { id: id?, host: host?, port: port? })
}

fn application(reader: &mut Reader, value: &Value<'_>) -> Option<Application> {
    let mut r = reader.record(value, "the fields of an application")?;
    let role = r.unit("role", "my_app", &SQL_NAME);
    let secret = r.unit("secret", "my-app/application", &SECRET_ID);
    r.close();
    Some(Application { role: role?, secret: secret? })
}

fn lag(reader: &mut Reader, value: &Value<'_>) -> Option<Lag> {
    let mut r = reader.record(value, "the fields of the lag")?;
    let typical = r.unit("typical", "10s", &DURATION);
    let warn = r.unit("warn", "5m", &DURATION);
    let block = r.unit("block", "10m", &DURATION);
    r.close();
    Some(Lag { typical: typical?, warn: warn?, block: block? })
}

fn route(reader: &mut Reader, value: &Value<'_>) -> Option<Route> {
    let mut r = reader.record(value, "the fields of a route")?;
    let name = r.unit("name", "api", &PLAN_NAME);
    let record = r.unit("record", "app.example.com", &RECORD);
    let zone_id = r.unit("zone_id", "Z0123456789EXAMPLE", &ZONE_ID);
    let ttl = r.unit("ttl", "60s", &DNS_TTL);
    let strategy = r.unit("strategy", "switch-metric", &STRATEGY);
    let (primary, standby) = endpoints(&mut r);
    let verdict_record = r.unit("verdict_record", "verdict.example.com", &RECORD);
    let health_path = r.unit("health_path", "/health", &PATH);
    let transaction_path = r.unit("transaction_path", "/transactions", &PATH);
    let hold = r.unit("hold", "60s", &DURATION);
    let confirm_timeout = r.unit("confirm_timeout", "10m", &DURATION);
    r.close();
    let (primary, standby) = (primary?, standby?);
    Some(Route {
        name: name?,
        record: record?,
        zone_id: zone_id?,
        ttl: ttl?,
        strategy: strategy?,
        // `rules` holds both ends to one scheme and port.
        scheme: primary.scheme,
        port: primary.port,
        primary: primary.text,
        standby: standby.text,
        verdict_record: verdict_record?,
        health_path: health_path?,
        transaction_path: transaction_path?,
        hold: hold?,
        confirm_timeout: confirm_timeout?,
    })
}

fn endpoints(r: &mut Record<'_, '_>) -> (Option<Endpoint>, Option<Endpoint>) {
    let primary = r.unit("primary", "https://primary.example.com", &ENDPOINT);
    let standby = r.unit("standby", "https://standby.example.com", &ENDPOINT);
    (primary, standby)
}

fn hook(reader: &mut Reader, value: &Value<'_>) -> Option<Hook> {
    let mut r = reader.record(value, "the fields of a hook")?;
    let name = r.unit("name", "raise-capacity", &PLAN_NAME);
    let at = r.unit("at", "capacity", &HOOK_POINT);
    let http = r.unit("http", "https://standby.example.com/raise", &ADDRESS);
    let undo =
        r.may("undo", "https://standby.example.com/lower", |reader, value| reader.unit(value, &ADDRESS));
    let timeout = r.unit("timeout", "10s", &DURATION);
    r.close();
    Some(Hook { name: name?, at: at?, http: http?, undo: undo?, timeout: timeout? })
}

fn retention(reader: &mut Reader, value: &Value<'_>) -> Option<Retention> {
    let mut r = reader.record(value, "the fields of the retention")?;
    let evidence_years = r.unit("evidence_years", "7", &YEARS);
    r.close();
    Some(Retention { evidence_years: evidence_years? })
}

fn rehearsal(reader: &mut Reader, value: &Value<'_>) -> Option<Rehearsal> {
    let mut r = reader.record(value, "the fields of a rehearsal")?;
    let stores = r.need("stores", TWIN_STORES, |reader, value| {
        entries(reader, value, "a list of the twin's stores", twin_store)
    });
    let routes = r.need("routes", TWIN_ROUTES, |reader, value| {
        entries(reader, value, "a list of the twin's routes", twin_route)
    });
    let hooks = r.may("hooks", TWIN_HOOKS, |reader, value| {
        reader.list(value, "a list of the twin's hooks", twin_hook)
    });
    r.close();
    Some(Rehearsal { stores: stores?, routes: routes?, hooks: hooks?.unwrap_or_default() })
}

fn twin_store(reader: &mut Reader, value: &Value<'_>) -> Option<TwinStore> {
    let mut r = reader.record(value, "the fields of a twin's store")?;
    let name = r.unit("name", "main", &PLAN_NAME);
    let primary = r.need("primary", INSTANCE, instance);
    let standby = r.need("standby", INSTANCE, instance);
    let secret = r.unit("secret", "my-app-drill/application", &SECRET_ID);
    r.close();
    Some(TwinStore { name: name?, primary: primary?, standby: standby?, secret: secret? })
}

fn twin_route(reader: &mut Reader, value: &Value<'_>) -> Option<TwinRoute> {
    let mut r = reader.record(value, "the fields of a twin's route")?;
    let name = r.unit("name", "api", &PLAN_NAME);
    let record = r.unit("record", "app.drill.example.com", &RECORD);
    let zone_id = r.unit("zone_id", "Z0123456789EXAMPLE", &ZONE_ID);
    let (primary, standby) = endpoints(&mut r);
    let verdict_record = r.unit("verdict_record", "verdict.drill.example.com", &RECORD);
    r.close();
    let (primary, standby) = (primary?, standby?);
    Some(TwinRoute {
        name: name?,
        record: record?,
        zone_id: zone_id?,
        scheme: primary.scheme,
        port: primary.port,
        primary: primary.text,
        standby: standby.text,
        verdict_record: verdict_record?,
    })
}

fn twin_hook(reader: &mut Reader, value: &Value<'_>) -> Option<TwinHook> {
    let mut r = reader.record(value, "the fields of a twin's hook")?;
    let name = r.unit("name", "raise-capacity", &PLAN_NAME);
    let http = r.unit("http", "https://standby.drill.example.com/raise", &ADDRESS);
    let undo = r
        .may("undo", "https://standby.drill.example.com/lower", |reader, value| reader.unit(value, &ADDRESS));
    r.close();
    Some(TwinHook { name: name?, http: http?, undo: undo? })
}
