//! What a plan promises beside what is executed: services, copies, drills, people, rules.
//!
//! Most of it is *declared only*: it is read, shown, linted and printed in reports, and no function acts on it. What is
//! executed says so.

use super::Day;
use super::calendar::DAYS_EXAMPLE;
use super::model::Lag;
use super::record::{many, rec, record};
use super::schedule::Schedule;
use super::units::{
    BACKUP_KIND, CATEGORY, COUNT, DATE, DAY, DECLARED_KIND, DRILL_KIND, DURATION, FRAMEWORK, LOSS, MET_BY,
    PERCENT, PLAN_NAME, RECOVERED_BY, REPLICATION, SCHEDULE, TEXT, TIME, TIME_ZONE, TRUTH,
};
use crate::time::Millis;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Of 100; below it.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

record! {
    /// Who reviews the plan, and how often.
    Review, "the fields of the review" {
        /// Roles.
        by: Vec<String> = need(many("a list of roles", TEXT), "[cto]");
        /// When it was last reviewed.
        last: Date = need(DATE, "2026-11-01");
        every: Millis = need(DURATION, "365d");
    }
}

/// What the standby costs in normal times and how fast it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Posture {
    /// Everything runs.
    Hot,
    /// Data runs, compute is small.
    Warm,
    /// Copies only: everything is built at the time.
    Cold,
}

record! {
    /// A class of service.
    Tier, "the fields of a tier" {
        name: String = need(PLAN_NAME, "critical");
        rto: Millis = need(DURATION, "15m");
        rpo: Millis = need(LOSS, "1h");
        availability: Option<Percent> = may(PERCENT, "99.95%");
        /// What somebody computed from the availability; the linter computes it again.
        downtime_per_month: Option<Millis> = may(DURATION, "21m");
    }
}

record! {
    /// One part of the application, and what it is promised: by its tier, or by itself.
    Service, "the fields of a service" {
        name: String = need(PLAN_NAME, "api");
        /// Whose promises it shares.
        tier: Option<String> = may(PLAN_NAME, "critical");
        rto: Option<Millis> = may(DURATION, "15m");
        rpo: Option<Millis> = may(LOSS, "1h");
        availability: Option<Percent> = may(PERCENT, "99.95%");
        /// Who keeps the promise: `on-site` and `vendor` are measured and reported, never executed. Absent: understudy.
        met_by: MetBy = or(MetBy::Understudy, MET_BY, "on-site");
        /// The order in which parts come back, from 1.
        phase: Option<u32> = may(COUNT, "1");
        /// Instances in normal times, and after a move.
        capacity: Option<Capacity> = may(rec(), "{normal: 2, after: 6}");
    }
}

/// Who keeps a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetBy {
    Understudy,
    /// High availability within one Region or building.
    OnSite,
    Vendor,
}

record! {
    /// Instances.
    Capacity, "the fields of the capacity" {
        normal: u32 = need(COUNT, "2");
        after: u32 = need(COUNT, "6");
    }
}

record! {
    /// Something that holds data and that Understudy neither watches nor promotes yet.
    DeclaredStore, "the fields of a declared store" {
        name: String = need(PLAN_NAME, "cache");
        kind: DeclaredKind = need(DECLARED_KIND, "elasticache");
        /// One without which the application cannot serve. It refuses the package.
        required: bool = need(TRUTH, "false");
        /// How it gets to the standby.
        replication: Replication = need(REPLICATION, "asynchronous");
        /// How often it is shipped, where it is shipped in pieces.
        shipped_every: Option<Millis> = may(DURATION, "300s");
        lag: Option<Lag> = may(rec(), "{typical: 10s, warn: 5m, block: 10m}");
        /// What comes of it after a move, in words.
        after_a_move: Option<String> = may(TEXT, "rebuilt from the primary store within the hour");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeclaredKind {
    AuroraGlobal,
    Postgres,
    Elasticache,
    S3Replication,
    VectorIndex,
    Files,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// A write is acknowledged once the standby has it: the only evidence for no loss.
    Synchronous,
    Asynchronous,
    /// In pieces, such as log files.
    Shipped,
    /// Rebuilt or lost.
    None,
}

record! {
    /// What else must be in order for the standby to be fit.
    Upkeep, "the fields of the upkeep" {
        /// A certificate that ends sooner is a finding.
        tls_expiry: Option<Millis> = may(DURATION, "30d");
        /// Whether both sides must run the same version.
        version_parity: bool = or(false, TRUTH, "true");
    }
}

record! {
    /// What is copied aside.
    Backup, "the fields of a backup" {
        name: String = need(PLAN_NAME, "daily");
        kind: BackupKind = need(BACKUP_KIND, "snapshot");
        /// The longest time between two.
        every: Millis = need(DURATION, "24h");
        /// From here on the newest one is a finding.
        max_age: Option<Millis> = may(DURATION, "26h");
        /// How long one is kept.
        keep: Option<Millis> = may(DURATION, "35d");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// Any point in time, up to `every` ago.
    Continuous,
    Snapshot,
    Full,
    Incremental,
}

record! {
    /// What may go wrong, and which road leads out of it.
    Scenario, "the fields of a scenario" {
        name: String = need(PLAN_NAME, "region");
        category: Category = need(CATEGORY, "outage");
        recovered_by: RecoveredBy = need(RECOVERED_BY, "failover");
        rto: Millis = need(DURATION, "15m");
        rpo: Option<Millis> = may(LOSS, "1h");
        /// Where the steps for people stand, in words.
        procedure: Option<String> = may(TEXT, "restore beside, validate, then cut over");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// The Region, or the application in it, is gone.
    Outage,
    /// A part of it is.
    Component,
    /// The Regions do not see each other.
    Partition,
    /// The data is wrong; the replica has it too.
    Corruption,
    /// Somebody is in.
    Security,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveredBy {
    Failover,
    /// From a copy that was made before it.
    Restore,
    /// In place.
    Repair,
}

record! {
    /// Something that is rehearsed. `region-failover` in the rehearsal environment is executed by `drill-runner`; every
    /// other is declared only.
    Drill, "the fields of a drill" {
        name: String = need(PLAN_NAME, "quarterly");
        kind: DrillKind = need(DRILL_KIND, "region-failover");
        /// When it starts by itself. Absent: on demand.
        schedule: Option<Schedule> = may(SCHEDULE, "cron(0 14 15 3,6,9,12 ? *)");
        /// Of the schedule. Absent: UTC.
        time_zone: Option<String> = may(TIME_ZONE, "America/New_York");
        /// The longest time between two that the plan allows itself.
        at_least_every: Option<Millis> = may(DURATION, "92d");
        /// The time that is set aside.
        window: Option<Millis> = may(DURATION, "4h");
        /// What is done within the window, in this order.
        phases: Vec<Phase> = any(many("a list of phases", rec()), "[{name: promote, takes: 30m}]");
        rto: Option<Millis> = may(DURATION, "15m");
        rpo: Option<Millis> = may(LOSS, "1h");
        /// How long before it people are told.
        notice: Option<Millis> = may(DURATION, "48h");
        /// Roles that look on.
        observers: Vec<String> = any(many("a list of roles", TEXT), "[external-auditor]");
    }
}

impl Drill {
    /// The longest time without one, in the schedule's own time zone; `None`: it never starts by itself.
    #[must_use]
    pub fn longest_gap(&self) -> Option<Millis> {
        // A plan's time zones are known ones.
        let zone = self.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        self.schedule.as_ref()?.longest_gap(&zone.unwrap_or(TimeZone::UTC))
    }
}

/// The closed list of what can be rehearsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillKind {
    /// The whole move.
    RegionFailover,
    /// The application's part of it.
    ApplicationFailover,
    DatabasePromotion,
    /// A copy is restored and looked at.
    RestoreTest,
    /// A copy is there, whole and young enough.
    BackupCheck,
    /// Something is broken on purpose.
    FaultInjection,
    /// An alarm reaches a person.
    AlertPath,
    /// The standby is looked at.
    Readiness,
    /// People talk it through.
    Walkthrough,
    /// High availability within one Region or building.
    OnSite,
}

impl DrillKind {
    /// As the plan writes it.
    pub(crate) fn words(self) -> String {
        (DRILL_KIND.show)(&self)
    }
}

record! {
    /// A part of a drill.
    Phase, "the fields of a phase" {
        name: String = need(TEXT, "promote");
        takes: Millis = need(DURATION, "30m");
    }
}

record! {
    /// When no drill may start.
    DrillGuard, "the fields of the drill guard" {
        /// Never while the plan's calendar has a session. Executed by `drill-runner`.
        outside_sessions: bool = or(false, TRUTH, "true");
        /// Nor within these hours.
        not_between: Option<Hours> = may(rec(), super::promise::HOURS_EXAMPLE);
        /// Time between two drills.
        rest: Option<Millis> = may(DURATION, "30m");
        /// What stops a drill that runs, in words.
        stop_when: Vec<String> = any(many("a list of conditions", TEXT), "[error rate above 10 %]");
    }
}

pub(super) const HOURS_EXAMPLE: &str =
    "{days: [mon, tue, wed, thu, fri], from: \"08:00\", to: \"18:00\", time_zone: UTC}";

record! {
    /// Hours of the week.
    Hours, "the fields of the hours" {
        days: Vec<Day> = need(many("a list of days", DAY), DAYS_EXAMPLE);
        from: Time = need(TIME, "\"08:00\"");
        to: Time = need(TIME, "\"18:00\"");
        time_zone: String = need(TIME_ZONE, "UTC");
    }
}

record! {
    /// Who is told when nobody has answered.
    Escalation, "the fields of a level" {
        /// Since the incident was opened.
        after: Millis = need(LOSS, "15m");
        /// Roles.
        to: Vec<String> = need(many("a list of roles", TEXT), "[infra-lead]");
        acknowledge_within: Option<Millis> = may(DURATION, "15m");
        /// In which case alone, in words.
        when: Option<String> = may(TEXT, "a legal matter");
    }
}

record! {
    /// Who is told what, how soon.
    Communication, "the fields of a communication" {
        to: String = need(TEXT, "clients");
        /// Since the incident was opened.
        within: Millis = need(DURATION, "15m");
        then_every: Option<Millis> = may(DURATION, "30m");
    }
}

record! {
    /// How a role is reached.
    Contact, "the fields of a contact" {
        role: String = need(TEXT, "on-call");
        /// The channel: never a number, an address or a key.
        by: String = need(TEXT, "pagerduty");
    }
}

record! {
    /// One thing that people look at once traffic has moved.
    CheckListItem, "the fields of a step" {
        check: String = need(TEXT, "positions reconciled against the exchange");
        within: Option<Millis> = may(DURATION, "30m");
    }
}

record! {
    /// A rule that the plan's evidence is to support. Never a claim of compliance.
    Regulation, "the fields of a framework" {
        name: Framework = need(FRAMEWORK, "finra-4370");
        /// What the firm takes it to ask, in words.
        because: Option<String> = may(TEXT, "annual review; data back-up and recovery");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framework {
    Finra4370,
    RegSci,
    Sec17a4,
    Sox,
    Glba,
    Soc2,
    Iso22301,
    Iso27001,
    NistCsf,
    PciDss,
    MifidIi,
    Dora,
    Gdpr,
    Ccpa,
}
