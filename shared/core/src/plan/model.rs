//! The plan: the declared recovery of one application, as types.
//!
//! What stands here is executed. What a plan promises beside it stands in [`super::promise`]. Every value has been
//! read and checked; nothing downstream validates again. Spans carry their unit in the type, sizes in the name. A plan
//! is data: it knows no AWS type and no clock.

use super::addresses::{ADDRESS, ENDPOINT, HOST, PATH, RECORD, endpoint};
use super::calendar::{Calendar, Maintenance};
use super::promise::{
    Backup, CheckListItem, Communication, Contact, DeclaredStore, Drill, DrillGuard, Escalation, Posture,
    Regulation, Review, Scenario, Service, Tier, Upkeep,
};
use super::record::{list, many, rec, record};
use super::units::{
    APPROVERS, DATE, DNS_TTL, DURATION, ENVIRONMENT, FORMAT, HOOK_POINT, INSTANCE_ID, LOSS, MODE, ON_LOSS,
    PERCENT, PLAN_NAME, PORT, POSTURE, QUORUM, REASON, REGION, SECRET_ID, SHADOW_DAYS, SHARE, SIGNING_KEY,
    SQL_NAME, STORE_KIND, STRATEGY, TABLE, TEXT, TRUTH, UNCERTAIN, YEARS, ZONE_ID,
};
use crate::parameters::host;
use crate::switch::Side;
use crate::time::Millis;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

record! {
    /// The declared recovery of one application, read whole or not at all.
    Plan, "the fields of a plan" {
        /// The version of this format.
        format as "understudy": u32 = need(FORMAT, "1");
        /// The plan's own name; part of every resource name.
        name as "plan": String = need(PLAN_NAME, "my-app");
        /// The application's name, for people; it stands at the head of every page and report.
        title: String = need(TEXT, "My app, hot standby");
        /// What the stacks may touch; `rehearsal` is written by `understudy package --rehearsal`. Absent: production.
        environment: Environment = or(Environment::Production, ENVIRONMENT, "rehearsal");
        /// Who answers for the plan: a role, not a person.
        owner: String = need(TEXT, "sre");
        /// Who reviews the plan, and how often. Declared only.
        review: Option<Review> = may(rec(), "{by: [cto], last: 2026-11-01, every: 365d}");
        /// Where the application serves, where it goes, and who watches.
        regions: Regions = need(rec(), "{primary: us-east-1, standby: us-west-2, witness: us-east-2}");
        /// What the standby costs in normal times and how fast it can be: hot, warm or cold. Declared only.
        posture: Option<Posture> = may(POSTURE, "hot");
        /// What is promised of the application as a whole.
        objectives: Objectives = need(rec(), "{rto: 15m, rpo: 1h}");
        /// Classes of service, for services to name. Declared only.
        tiers: Vec<Tier> = any(many("a list of tiers", rec()), "[{name: critical, rto: 15m, rpo: 1h}]");
        /// What the application is made of, and what each part is promised. Measured together, never one by one.
        services: Vec<Service> = any(many("a list of services", rec()), "[{name: api, tier: critical}]");
        /// When the application matters most. Without it every hour is like any other.
        calendar: Option<Calendar> = may(rec(), super::calendar::EXAMPLE);
        /// Planned work during which nothing moves by itself; people are paged instead. Absent: none.
        maintenance: Vec<Maintenance> =
            any(many("a list of maintenance windows", rec()), super::calendar::MAINTENANCE_EXAMPLE);
        /// How often every function that watches looks by its schedule.
        tick: Millis = need(DURATION, "60s");
        /// How often probers, decider and guard look between two ticks, too. Absent: at ticks only.
        look: Option<Millis> = may(DURATION, "15s");
        /// When the primary counts as down.
        detection: Detection = need(rec(), DETECTION);
        /// The writer's right to write.
        lease: Lease = need(rec(), "{ttl: 240s, commit_margin: 10s, drift: 1s, on_loss: stay}");
        /// What may happen without a person.
        policy: Policy = need(rec(), "{failover: approval, approval_timeout: 5m}");
        /// What holds data and is promoted.
        stores: Vec<Store> = need(many("a list of stores", rec()), STORES);
        /// What holds data and Understudy neither watches nor promotes. A required one refuses the package.
        declared_stores: Vec<DeclaredStore> =
            any(many("a list of stores", rec()), "[{name: cache, kind: elasticache, required: false}]");
        /// Names that clients use, and how they are moved.
        routes: Vec<Route> = need(many("a list of routes", rec()), ROUTES);
        /// Calls to something of the user's own at named moments. Absent: none.
        hooks: Vec<Hook> = any(list("a list of hooks", rec()), HOOKS);
        /// What else must be in order for the standby to be fit. Declared only.
        upkeep: Option<Upkeep> = may(rec(), "{tls_expiry: 30d, version_parity: true}");
        /// What is copied aside, how often and for how long. Declared only.
        backups: Vec<Backup> =
            any(many("a list of backups", rec()), "[{name: daily, kind: snapshot, every: 24h, max_age: 26h}]");
        /// What may go wrong, and which road leads out of it. Declared only.
        scenarios: Vec<Scenario> = any(
            many("a list of scenarios", rec()),
            "[{name: region, category: outage, recovered_by: failover, rto: 15m, rpo: 1h}]"
        );
        /// What is rehearsed, and when.
        drills: Vec<Drill> =
            any(many("a list of drills", rec()), "[{name: quarterly, kind: region-failover, at_least_every: 92d}]");
        /// When no drill may start. Absent: the plan's calendar alone says.
        drill_guard: Option<DrillGuard> = may(rec(), "{outside_sessions: true, rest: 30m}");
        /// Who is told when nobody has answered. Declared only.
        escalation: Vec<Escalation> =
            any(many("a list of levels", rec()), "[{after: 15m, to: [infra-lead]}]");
        /// Who is told what, how soon. Declared only.
        communications: Vec<Communication> =
            any(many("a list of communications", rec()), "[{to: clients, within: 15m}]");
        /// How the roles of this plan are reached. Roles, not persons. Declared only.
        contacts: Vec<Contact> = any(many("a list of contacts", rec()), "[{role: on-call, by: pagerduty}]");
        /// What people look through once traffic has moved. Declared only.
        after_recovery: Vec<CheckListItem> = any(many("a list of steps", rec()), "[{check: positions reconciled}]");
        /// The rules that the plan's evidence is to support.
        frameworks: Vec<Regulation> = any(many("a list of frameworks", rec()), "[{name: finra-4370}]");
        /// How long evidence is kept.
        retention: Retention = need(rec(), "{evidence_years: 7}");
        /// Where this plan is rehearsed; without it no drill can start.
        rehearsal: Option<Rehearsal> = may(rec(), "{stores: [...], routes: [...]}");
    }
}

// What to write where a whole section is missing: each reads as it stands, a test says so.
const DETECTION: &str = "{window: 120s, quorum: 2, vote_max_age: 150s, probe_timeout: 10s, cooldown: 30m, \
                         controls: [\"https://checkip.amazonaws.com/\"]}";
const INSTANCE: &str = "{id: my-app, host: my-app.cexample7k2p.us-east-1.rds.amazonaws.com, port: 5432}";
const APPLICATION: &str = "{role: my_app, secret: my-app/application}";
const LAG: &str = "{typical: 10s, warn: 5m, block: 10m}";
const STORES: &str = "[{name: main, kind: rds-postgres, required: true, database: app, \
    primary: {id: my-app, host: my-app.cexample7k2p.us-east-1.rds.amazonaws.com, port: 5432}, \
    standby: {id: my-app-replica, host: my-app-replica.cexample7k2p.us-west-2.rds.amazonaws.com, port: 5432}, \
    operator_role: understudy, writer_roles: [my_app], application: {role: my_app, secret: my-app/application}, \
    tables: [public.documents], lag: {typical: 10s, warn: 5m, block: 10m}, min_consistency: 0.99, promote_timeout: 15m}]";
const ROUTES: &str = "[{name: api, record: app.example.com, zone_id: Z0123456789EXAMPLE, ttl: 60s, \
    strategy: switch-metric, primary: \"https://primary.example.com\", standby: \"https://standby.example.com\", \
    verdict_record: verdict.example.com, health_path: /health, transaction_path: /transactions, \
    hold: 60s, confirm_timeout: 10m}]";
const HOOKS: &str = "[{name: raise, at: recycle, http: \"https://standby.example.com/raise\", timeout: 10s}]";
const TWIN_STORES: &str = "[{name: main, primary: {id: my-app-drill, host: my-app-drill.cexample7k2p.us-east-1.rds.amazonaws.com, port: 5432}, \
    standby: {id: my-app-drill-replica, host: my-app-drill-replica.cexample7k2p.us-west-2.rds.amazonaws.com, port: 5432}, secret: my-app-drill/application}]";
const TWIN_ROUTES: &str = "[{name: api, record: app.drill.example.com, zone_id: Z0123456789EXAMPLE, \
    primary: \"https://primary.drill.example.com\", standby: \"https://standby.drill.example.com\", \
    verdict_record: verdict.drill.example.com}]";
const TWIN_HOOKS: &str = "[{name: raise, http: \"https://standby.drill.example.com/raise\"}]";

/// What a plan's stacks may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    Production,
    /// A twin that serves nobody; the only place where a drill starts anything (L9).
    Rehearsal,
}

/// An AWS Region name such as `us-west-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub String);

record! {
    /// Three places that do not fail together.
    Regions, "the fields of the Regions" {
        /// Serves in normal times.
        primary: Region = need(REGION, "us-east-1");
        /// Takes over; everything of Understudy but the guard runs here.
        standby: Region = need(REGION, "us-west-2");
        /// Only watches: a second prober and the second keeper of the lease. Without it no fence by a lost lease.
        witness: Option<Region> = may(REGION, "us-east-2");
    }
}

record! {
    /// What is promised of the application as a whole, and measured.
    Objectives, "the fields of the objectives" {
        /// Longest outage, from the first bad moment to lasting success, DNS caches included.
        rto: Millis = need(DURATION, "15m");
        /// Largest loss of acknowledged writes, in time; `0s` needs synchronous evidence.
        rpo: Millis = need(LOSS, "1h");
        /// Share of time in which the application serves.
        availability: Option<super::promise::Percent> = may(PERCENT, "99.95%");
    }
}

record! {
    /// When the primary counts as down.
    Detection, "the fields of detection" {
        /// How long votes must be bad without a break.
        window: Millis = need(DURATION, "120s");
        /// How many of the outside votes (standby, witness, Route 53) must be bad.
        quorum: u32 = need(QUORUM, "2");
        /// A vote older than this is Unknown.
        vote_max_age: Millis = need(DURATION, "150s");
        /// One probe may take this long.
        probe_timeout: Millis = need(DURATION, "10s");
        /// After an execution ended, no new incident is opened for this long.
        cooldown: Millis = need(DURATION, "30m");
        /// What a prober asks first to prove itself: addresses outside the primary Region.
        controls: Vec<String> =
            need(many("a list of addresses", ADDRESS), "[\"https://checkip.amazonaws.com/\"]");
    }
}

record! {
    /// The writer's right to write: how long it lasts, and what happens when it ends.
    Lease, "the fields of the lease" {
        /// A renewal is good for this long.
        ttl: Millis = need(DURATION, "240s");
        /// Longest that a statement or an idle transaction of a writer may live past the lease.
        commit_margin: Millis = need(DURATION, "10s");
        /// Bound on the drift of two clocks over one lease.
        drift: Millis = need(DURATION, "1s");
        /// What the dead-man in the database does when the lease runs out: page (`stay`), or stop the writers (`fence`).
        on_loss: OnLeaseLoss = need(ON_LOSS, "stay");
        /// Who armed `on_loss: fence`, and on what evidence.
        arming: Option<Arming> = may(rec(), "{by: sre, signed_on: 2026-11-01, shadow_days: 45}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLeaseLoss {
    /// Keep serving, page, and count what would have happened. No *expired* receipt exists.
    Stay,
    /// The dead-man in the database stops the writers.
    Fence,
}

record! {
    /// Who armed `on_loss: fence`, and on what evidence: exactly one of the two.
    Arming, "the fields of an arming" {
        /// The role that signed.
        by: String = need(TEXT, "sre");
        signed_on: Date = need(DATE, "2026-11-01");
        /// Days without a single would-have-fenced; at least 30.
        shadow_days: Option<u32> = may(SHADOW_DAYS, "45");
        /// Why nobody waited; every report prints it.
        shadow_waived: Option<String> = may(REASON, "demonstration only, no data at risk");
    }
}

record! {
    /// What may happen without a person (L8).
    Policy, "the fields of the policy" {
        /// Whether a failover waits for people.
        failover: Mode = need(MODE, "approval");
        /// The same while the calendar has a session. Absent: as `failover`.
        in_session: Option<Mode> = may(MODE, "approval");
        /// An unanswered question is a no after this long.
        approval_timeout: Millis = need(DURATION, "5m");
        /// How many different people must say yes; one no is enough for a no. Absent: 1.
        approvals: u32 = or(1, APPROVERS, "2");
        /// The roles that may answer; nobody else is heard. Absent: anybody who may call the approver.
        approvers: Vec<String> = any(many("a list of roles", TEXT), "[cto, cro]");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Approval,
    Automatic,
}

record! {
    /// Something that holds data and has a replica in the standby.
    Store, "the fields of a store" {
        name: String = need(PLAN_NAME, "main");
        /// What it is, which says how it is promoted.
        kind: StoreKind = need(STORE_KIND, "rds-postgres");
        /// A required store gates the failover and counts in the RPO.
        required: bool = need(TRUTH, "true");
        database: String = need(SQL_NAME, "app");
        primary: Instance = need(rec(), INSTANCE);
        standby: Instance = need(rec(), INSTANCE);
        /// The role that Understudy logs in as; never a superuser.
        operator_role: String = need(SQL_NAME, "understudy");
        /// Login roles that may write; fenced and un-fenced together.
        writer_roles: Vec<String> = need(many("a list of login roles", SQL_NAME), "[my_app]");
        application: Application = need(rec(), APPLICATION);
        /// `schema.table` names that the statement gate guards.
        tables: Vec<String> = need(many("a list of tables", TABLE), "[public.documents]");
        /// Those whose rows are counted and compared; absent: all that are guarded. One that takes longer than a second to count
        /// is not counted.
        counted: Vec<String> = any(many("a list of tables", TABLE), "[public.documents]");
        /// What follows where rows could not be counted, or are fewer though by its position the replica holds all, or lags within
        /// what the plan allows: `warn`, as without it, or `ask` people before it goes on.
        uncertain_rows: Option<UncertainRows> = may(UNCERTAIN, "ask");
        lag: Lag = need(rec(), LAG);
        /// Smallest share of the watermark's row count that the standby must hold.
        min_consistency: f64 = need(SHARE, "0.99");
        /// Promotion is given up after this long.
        promote_timeout: Millis = need(DURATION, "15m");
    }
}

impl Store {
    /// The tables whose rows are counted.
    #[must_use]
    pub fn counted(&self) -> &[String] {
        if self.counted.is_empty() { &self.tables } else { &self.counted }
    }
}

/// What follows where rows could not be compared for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UncertainRows {
    Warn,
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// An RDS for PostgreSQL cross-Region read replica.
    RdsPostgres,
}

record! {
    /// One database server.
    Instance, "the fields of an instance" {
        /// `DBInstanceIdentifier`.
        id: String = need(INSTANCE_ID, "my-app");
        host: String = need(HOST, "db.example.com");
        port: u16 = need(PORT, "5432");
    }
}

record! {
    /// The login that the application itself uses; promotion is believed only when it can write and read back.
    Application, "the fields of an application" {
        role: String = need(SQL_NAME, "my_app");
        /// Secrets Manager id, in the standby Region, of a JSON object with `username` and `password`.
        secret: String = need(SECRET_ID, "my-app/application");
    }
}

record! {
    /// How far the replica may be behind. Lag blocks; it never triggers.
    #[derive(Copy, Eq)]
    Lag, "the fields of the lag" {
        /// In normal times.
        typical: Millis = need(DURATION, "10s");
        /// People are told from here on.
        warn: Millis = need(DURATION, "5m");
        /// No failover from here on without an override.
        block: Millis = need(DURATION, "10m");
    }
}

record! {
    /// A name that clients use, and the way to move it.
    Route, "the fields of a route" {
        name: String = need(PLAN_NAME, "api");
        /// The public record, without trailing dot.
        record: String = need(RECORD, "app.example.com");
        zone_id: String = need(ZONE_ID, "Z0123456789EXAMPLE");
        /// How long resolvers keep an answer.
        ttl: Millis = need(DNS_TTL, "60s");
        strategy: Strategy = need(STRATEGY, "switch-metric");
        /// Whether Route 53's checkers ask the standby every ten seconds, beside the metric.
        fast: bool = or(false, TRUTH, "true");
        /// Where the primary answers by its own name, whatever the public record says.
        primary: String = need(ENDPOINT, "https://primary.example.com");
        /// Where the standby does; same scheme and port, which are those of the public name too.
        standby: String = need(ENDPOINT, "https://standby.example.com");
        /// TXT record pair on Route 53's endpoint check of the primary: `up` or `down`.
        verdict_record: String = need(RECORD, "verdict.example.com");
        /// A read that must answer 2xx within the probe timeout.
        health_path: String = need(PATH, "/health");
        /// A write that must answer 2xx: the confirmation transacts through it, and a planned move before it begins.
        transaction_path: String = need(PATH, "/transactions");
        /// How long success must last, seen from outside, before traffic counts as moved.
        hold: Millis = need(DURATION, "60s");
        /// Give up confirming after this long.
        confirm_timeout: Millis = need(DURATION, "10m");
    }
}

impl Regions {
    #[must_use]
    pub fn of(&self, side: Side) -> &Region {
        match side {
            Side::Primary => &self.primary,
            Side::Standby => &self.standby,
        }
    }
}

impl Store {
    #[must_use]
    pub fn instance(&self, side: Side) -> &Instance {
        match side {
            Side::Primary => &self.primary,
            Side::Standby => &self.standby,
        }
    }
}

impl Route {
    /// Where that side's application answers by its own name.
    #[must_use]
    pub fn endpoint(&self, side: Side) -> &str {
        match side {
            Side::Primary => &self.primary,
            Side::Standby => &self.standby,
        }
    }

    /// The host of that side's endpoint.
    #[must_use]
    pub fn host(&self, side: Side) -> String {
        host(self.endpoint(side))
    }

    /// Where clients ask: by the public name.
    #[must_use]
    pub fn public(&self) -> String {
        let scheme = match self.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}:{}", self.record, self.port())
    }

    /// Scheme of the public name.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        endpoint(&self.primary).map_or(Scheme::Https, |endpoint| endpoint.scheme)
    }

    /// Port of the public name.
    #[must_use]
    pub fn port(&self) -> u16 {
        endpoint(&self.primary).map_or(443, |endpoint| endpoint.port)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Metric, alarm and health check: data plane only.
    SwitchMetric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

record! {
    /// A call to something of the user's own at a named moment.
    Hook, "the fields of a hook" {
        name: String = need(PLAN_NAME, "raise-capacity");
        at: HookPoint = need(HOOK_POINT, "capacity");
        /// `POST` here must answer 2xx.
        http: String = need(ADDRESS, "https://standby.example.com/raise");
        /// `POST` here undoes it. Required at `capacity`, which comes before the one-way step.
        undo: Option<String> = may(ADDRESS, "https://standby.example.com/lower");
        timeout: Millis = need(DURATION, "10s");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// From the assessment on: compute in the standby rises.
    Capacity,
    /// After promotion, before verification: pools reconnect.
    Recycle,
    /// After traffic moved: queues and consumers run.
    Consumers,
}

record! {
    /// How long evidence is kept.
    Retention, "the fields of the retention" {
        /// Years for which journals and reports can be neither changed nor deleted.
        evidence_years: u32 = need(YEARS, "7");
        /// Who signs the journals: `create` for a key of the standby's stack, or the ARN of your own (`ECC_NIST_P256`,
        /// `SIGN_VERIFY`, in the standby's Region). Without it reports say `self_attested`.
        signing_key: Option<String> = may(SIGNING_KEY, "create");
    }
}

record! {
    /// The twin's own resources, one for each of the plan's; all else is the plan's.
    Rehearsal, "the fields of a rehearsal" {
        stores: Vec<TwinStore> = need(many("a list of the twin's stores", rec()), TWIN_STORES);
        routes: Vec<TwinRoute> = need(many("a list of the twin's routes", rec()), TWIN_ROUTES);
        /// One exactly where the plan has one.
        hooks: Vec<TwinHook> = any(list("a list of the twin's hooks", rec()), TWIN_HOOKS);
    }
}

record! {
    /// Stands in for the plan's store of the same name.
    TwinStore, "the fields of a twin's store" {
        name: String = need(PLAN_NAME, "main");
        primary: Instance = need(rec(), INSTANCE);
        standby: Instance = need(rec(), INSTANCE);
        /// Secrets Manager id of the application's login to the twin.
        secret: String = need(SECRET_ID, "my-app-drill/application");
    }
}

record! {
    /// Stands in for the plan's route of the same name.
    TwinRoute, "the fields of a twin's route" {
        name: String = need(PLAN_NAME, "api");
        record: String = need(RECORD, "app.drill.example.com");
        /// May be the plan's zone: the records in it are the twin's own.
        zone_id: String = need(ZONE_ID, "Z0123456789EXAMPLE");
        primary: String = need(ENDPOINT, "https://primary.drill.example.com");
        standby: String = need(ENDPOINT, "https://standby.drill.example.com");
        verdict_record: String = need(RECORD, "verdict.drill.example.com");
    }
}

record! {
    /// Stands in for the plan's hook of the same name.
    TwinHook, "the fields of a twin's hook" {
        name: String = need(PLAN_NAME, "raise-capacity");
        http: String = need(ADDRESS, "https://standby.drill.example.com/raise");
        /// Where the plan's hook has one.
        undo: Option<String> = may(ADDRESS, "https://standby.drill.example.com/lower");
    }
}
