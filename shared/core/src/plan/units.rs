//! One value from one scalar: each kind of value is a [`Unit`], a row that says what it expects, how it is read and
//! how it is written.
//!
//! Nothing here knows where a value stands or what stands beside it.

use super::calendar::Day;
use super::codes;
use super::model::{Environment, HookPoint, Mode, OnLeaseLoss, Region, StoreKind, Strategy, UncertainRows};
use super::problem::printable;
use super::promise::{
    BackupKind, Category, DeclaredKind, DrillKind, Framework, MetBy, Percent, Posture, RecoveredBy,
    Replication,
};
use super::schedule::Schedule;
use super::schema::Look;
use super::words::nearest;
use crate::time::Millis;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use std::str::FromStr;

/// A kind of value.
pub(super) struct Unit<T> {
    /// Ends the sentence "expected ...".
    pub expected: &'static str,
    pub shape: Shape,
    pub look: Look,
    pub parse: fn(&str) -> Result<T, Wrong>,
    /// What `parse` reads back.
    pub show: fn(&T) -> String,
}

/// What a scalar must look like before it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `5` and `true` need quotes to be text.
    Text,
    /// A number or truth value without quotes.
    Bare,
    /// Whatever: the parser has the better words.
    Any,
}

/// Why a scalar is refused. `what` goes on after the name of the field.
#[derive(Debug)]
pub(super) struct Wrong {
    pub code: &'static str,
    pub what: String,
    pub help: String,
}

pub(super) fn wrong<T>(
    code: &'static str,
    what: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, Wrong> {
    Err(Wrong { code, what: what.into(), help: help.into() })
}

/// A found text in backticks, fit for a message.
pub(super) fn quote(text: &str) -> String {
    format!("`{}`", printable(text, 60))
}

pub(super) const DURATION: Unit<Millis> = Unit {
    expected: "a duration such as `90s`, `15m` or `1h`",
    shape: Shape::Any,
    look: Look::Text(DURATION_LOOK),
    parse: duration,
    show: Millis::to_string,
};

const DURATION_LOOK: &str = "^[0-9]+(ms|s|m|h|d)$";

/// Of an objective that allows no loss at all.
pub(super) const LOSS: Unit<Millis> = Unit {
    expected: "a duration such as `15m`, or `0s` for no loss",
    look: Look::Text(DURATION_LOOK),
    parse: |text| if text == "0s" { Ok(Millis::ZERO) } else { duration(text) },
    ..DURATION
};

pub(super) const DNS_TTL: Unit<Millis> = Unit {
    expected: "a duration in whole seconds such as `60s`",
    look: Look::Text("^[0-9]+(s|m|h|d)$"),
    parse: dns_ttl,
    ..DURATION
};

/// A text of its own kind, read by `parse` and written as it is.
pub(super) const fn text(
    expected: &'static str,
    look: Look,
    parse: fn(&str) -> Result<String, Wrong>,
) -> Unit<String> {
    Unit { expected, shape: Shape::Text, look, parse, show: String::clone }
}

pub(super) const PLAN_NAME: Unit<String> =
    text("a name such as `financial-rag`", Look::Text("^[a-z][a-z0-9-]{1,30}$"), name);

pub(super) const REGION: Unit<Region> = Unit {
    expected: "an AWS Region such as `us-west-2`",
    shape: Shape::Text,
    look: Look::Text("^[a-z]{2,16}(-[a-z]{2,16}){1,3}-[0-9]{1,2}$"),
    parse: region,
    show: |region| region.0.clone(),
};

pub(super) const TEXT: Unit<String> = text("a text", Look::Text("^.{1,200}$"), line_of_text);

pub(super) const REASON: Unit<String> = text("a reason in words", Look::Text("^.{10,200}$"), reason);

pub(super) const DATE: Unit<Date> = Unit {
    expected: "a date such as `2026-11-01`",
    shape: Shape::Text,
    look: Look::Formatted("date"),
    parse: date,
    show: Date::to_string,
};

pub(super) const TIME: Unit<Time> = Unit {
    expected: "a time of day such as `\"09:30\"`",
    shape: Shape::Text,
    look: Look::Text("^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    parse: time,
    show: |time| time.strftime("%H:%M").to_string(),
};

pub(super) const INSTANT: Unit<Timestamp> = Unit {
    expected: "an instant such as `2026-11-28T02:00:00Z`",
    shape: Shape::Text,
    look: Look::Formatted("date-time"),
    parse: instant,
    show: Timestamp::to_string,
};

pub(super) const TIME_ZONE: Unit<String> =
    text("a time zone such as `America/New_York`", Look::Text("^[A-Z][A-Za-z0-9_+/-]*$"), time_zone);

pub(super) const SCHEDULE: Unit<Schedule> = Unit {
    expected: "a schedule such as `rate(1 day)` or `cron(0 6 15 * ? *)`",
    shape: Shape::Text,
    look: Look::Text("^(rate|cron)\\(.+\\)$"),
    parse: schedule,
    show: |schedule| schedule.text().to_owned(),
};

pub(super) const SQL_NAME: Unit<String> =
    text("a PostgreSQL name such as `rag_app`", Look::Text("^[a-z_][a-z0-9_]{0,62}$"), sql_name);

pub(super) const TABLE: Unit<String> = text(
    "a table such as `public.documents`",
    Look::Text("^[a-z_][a-z0-9_]{0,62}[.][a-z_][a-z0-9_]{0,62}$"),
    table,
);

pub(super) const INSTANCE_ID: Unit<String> = text(
    "a DB instance identifier such as `my-app-replica`",
    Look::Text("^[a-z](-?[a-z0-9])*$"),
    instance_id,
);

pub(super) const SECRET_ID: Unit<String> = text(
    "a Secrets Manager id such as `my-app/application`",
    Look::Text("^[A-Za-z0-9/_+=.@:-]{1,512}$"),
    secret_id,
);

pub(super) const ZONE_ID: Unit<String> =
    text("a hosted zone id such as `Z0123456789EXAMPLE`", Look::Text("^Z[A-Z0-9]{1,31}$"), zone_id);

pub(super) const SIGNING_KEY: Unit<String> = text(
    "`create` or the ARN of a key of KMS",
    Look::Text("^(create|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$"),
    signing_key,
);

pub(super) const TRUTH: Unit<bool> = Unit {
    expected: "`true` or `false`",
    shape: Shape::Bare,
    look: Look::Truth,
    parse: truth,
    show: bool::to_string,
};

/// A whole number without quotes.
const fn number(expected: &'static str, look: Look, parse: fn(&str) -> Result<u32, Wrong>) -> Unit<u32> {
    Unit { expected, shape: Shape::Bare, look, parse, show: u32::to_string }
}

pub(super) const FORMAT: Unit<u32> = number("the format version `1`", Look::Whole(1, 1), format);

pub(super) const QUORUM: Unit<u32> =
    number("a number of votes, `1` to `3`", Look::Whole(1, 3), |text| whole(text, 1, 3));

pub(super) const YEARS: Unit<u32> =
    number("a number of years such as `7`", Look::Whole(1, 100), |text| whole(text, 1, 100));

/// Of people, instances, steps of an order.
pub(super) const COUNT: Unit<u32> =
    number("a whole number such as `2`", Look::Whole(1, 10_000), |text| whole(text, 1, 10_000));

pub(super) const APPROVERS: Unit<u32> =
    number("a number of people, `1` to `5`", Look::Whole(1, 5), |text| whole(text, 1, 5));

pub(super) const SHADOW_DAYS: Unit<u32> =
    number("a number of days such as `45`", Look::Whole(30, 10_000), shadow_days);

pub(super) const PORT: Unit<u16> = Unit {
    expected: "a port such as `5432`",
    shape: Shape::Bare,
    look: Look::Whole(1, 65_535),
    parse: port,
    show: u16::to_string,
};

pub(super) const SHARE: Unit<f64> = Unit {
    expected: "a share from `0` to `1` such as `0.99`",
    shape: Shape::Any,
    look: Look::Number(0.0, 1.0),
    parse: share,
    show: f64::to_string,
};

pub(super) const PERCENT: Unit<Percent> = Unit {
    expected: "a percentage such as `99.95%`",
    shape: Shape::Any,
    look: Look::Text("^[0-9]{1,2}([.][0-9]{1,4})?%$"),
    parse: percent,
    show: Percent::to_string,
};

/// One of the words of a closed choice; written and read by the same rows.
macro_rules! choices {
    ($($(#[doc = $doc:literal])* $unit:ident: $type:ident, $expected:literal { $($word:literal = $value:ident),* $(,)? })*) => { $(
        $(#[doc = $doc])*
        pub(super) const $unit: Unit<$type> = {
            const WORDS: Words<$type> = &[$(($word, $type::$value)),*];
            Unit {
                expected: $expected,
                shape: Shape::Text,
                look: Look::Words(|| WORDS.iter().map(|(word, _)| *word).collect()),
                parse: |text| choice(text, WORDS),
                show: |value| word(WORDS, value).to_owned(),
            }
        };
    )* };
}

choices! {
    ON_LOSS: OnLeaseLoss, "`stay` or `fence`" { "stay" = Stay, "fence" = Fence }
    UNCERTAIN: UncertainRows, "`warn` or `ask`" { "warn" = Warn, "ask" = Ask }
    MODE: Mode, "`approval` or `automatic`" { "approval" = Approval, "automatic" = Automatic }
    ENVIRONMENT: Environment, "`production` or `rehearsal`" { "production" = Production, "rehearsal" = Rehearsal }
    POSTURE: Posture, "`hot`, `warm` or `cold`" { "hot" = Hot, "warm" = Warm, "cold" = Cold }
    STORE_KIND: StoreKind, "`rds-postgres`" { "rds-postgres" = RdsPostgres }
    DECLARED_KIND: DeclaredKind, "a kind of store such as `elasticache`" {
        "aurora-global" = AuroraGlobal, "postgres" = Postgres, "elasticache" = Elasticache,
        "s3-replication" = S3Replication, "vector-index" = VectorIndex, "files" = Files, "other" = Other,
    }
    REPLICATION: Replication, "`synchronous`, `asynchronous`, `shipped` or `none`" {
        "synchronous" = Synchronous, "asynchronous" = Asynchronous, "shipped" = Shipped, "none" = None,
    }
    STRATEGY: Strategy, "`switch-metric`" { "switch-metric" = SwitchMetric }
    HOOK_POINT: HookPoint, "`capacity`, `recycle` or `consumers`" {
        "capacity" = Capacity, "recycle" = Recycle, "consumers" = Consumers,
    }
    DAY: Day, "a day such as `mon`" {
        "mon" = Mon, "tue" = Tue, "wed" = Wed, "thu" = Thu, "fri" = Fri, "sat" = Sat, "sun" = Sun,
    }
    MET_BY: MetBy, "`understudy`, `on-site` or `vendor`" {
        "understudy" = Understudy, "on-site" = OnSite, "vendor" = Vendor,
    }
    CATEGORY: Category, "a category such as `outage`" {
        "outage" = Outage, "component" = Component, "partition" = Partition, "corruption" = Corruption,
        "security" = Security,
    }
    RECOVERED_BY: RecoveredBy, "`failover`, `restore` or `repair`" {
        "failover" = Failover, "restore" = Restore, "repair" = Repair,
    }
    BACKUP_KIND: BackupKind, "`continuous`, `snapshot`, `full` or `incremental`" {
        "continuous" = Continuous, "snapshot" = Snapshot, "full" = Full, "incremental" = Incremental,
    }
    DRILL_KIND: DrillKind, "a kind of drill such as `region-failover`" {
        "region-failover" = RegionFailover, "application-failover" = ApplicationFailover,
        "database-promotion" = DatabasePromotion, "restore-test" = RestoreTest, "backup-check" = BackupCheck,
        "fault-injection" = FaultInjection, "alert-path" = AlertPath, "readiness" = Readiness,
        "walkthrough" = Walkthrough, "on-site" = OnSite,
    }
    FRAMEWORK: Framework, "a framework such as `finra-4370`" {
        "finra-4370" = Finra4370, "reg-sci" = RegSci, "sec-17a-4" = Sec17a4, "sox" = Sox, "glba" = Glba,
        "soc-2" = Soc2, "iso-22301" = Iso22301, "iso-27001" = Iso27001, "nist-csf" = NistCsf, "pci-dss" = PciDss,
        "mifid-ii" = MifidIi, "dora" = Dora, "gdpr" = Gdpr, "ccpa" = Ccpa,
    }
}

/// The words of a closed choice.
type Words<T> = &'static [(&'static str, T)];

/// The word for a value.
fn word<T: PartialEq>(words: Words<T>, value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

const DURATION_MAX: Millis = Millis::from_secs(400 * 86_400);

/// One whole number, one unit.
fn duration(text: &str) -> Result<Millis, Wrong> {
    let digits = text.len().saturating_sub(text.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let (Ok(number), Some(scale)) = (number.parse::<u64>(), scale(unit)) else {
        return not_a_duration(text);
    };
    let span = Millis(number.saturating_mul(scale));
    if span == Millis::ZERO {
        return wrong(codes::DURATION_RANGE, "is zero", "write a duration above zero, such as `1s`");
    }
    if span > DURATION_MAX {
        let what = format!("is {}, longer than any plan waits", quote(text));
        return wrong(codes::DURATION_RANGE, what, "write `400d` at most; look at the unit");
    }
    Ok(span)
}

impl FromStr for Millis {
    type Err = String;

    /// As a plan writes it: `90s`, `15m`, `1h`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.help))
    }
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

fn not_a_duration<T>(text: &str) -> Result<T, Wrong> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let shown = printable(text, 20);
        let help = format!("write the unit, `{shown}s` or `{shown}m`, not `{shown}`");
        return wrong(codes::DURATION, format!("has no unit: `{shown}`"), help);
    }
    let help = match generous(text) {
        Some(span) if span > Millis::ZERO => {
            format!("write `{span}`: one whole number and one of ms, s, m, h, d")
        }
        _ => "write one whole number and one of ms, s, m, h, d: `90s`, `15m`, `1h`".to_owned(),
    };
    wrong(codes::DURATION, format!("is not a duration: {}", quote(text)), help)
}

/// What the writer of `1h30m`, `5 min` or `1.5h` most likely meant; for the help line only.
fn generous(text: &str) -> Option<Millis> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        millis += number.parse::<f64>().ok()? * f64::from(generous_scale(unit)?);
        rest = tail.trim_start();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what saturates is not suggested"
    )]
    let whole = Millis(millis.round() as u64);
    (whole <= DURATION_MAX).then_some(whole)
}

fn generous_scale(unit: &str) -> Option<u32> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" | "msec" | "millis" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 604_800_000,
        _ => return None,
    })
}

fn dns_ttl(text: &str) -> Result<Millis, Wrong> {
    let ttl = duration(text)?;
    if !ttl.0.is_multiple_of(1000) {
        let help = format!(
            "write `{}`: DNS counts a TTL in whole seconds, from `1s` on",
            Millis::from_secs(ttl.secs_ceil())
        );
        return wrong(codes::DURATION_RANGE, format!("is {}, not whole seconds", quote(text)), help);
    }
    Ok(ttl)
}

/// Lower-case letters, digits and hyphens: it becomes part of resource names.
fn name(text: &str) -> Result<String, Wrong> {
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if begins && fits && (2..=31).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let rule = "2 to 31 lower-case letters, digits or hyphens, beginning with a letter";
    let help = slug(text).map_or_else(|| format!("write {rule}"), |slug| format!("write `{slug}`: {rule}"));
    wrong(codes::NAME, format!("is not a usable name: {}", quote(text)), help)
}

/// The usable name nearest to `text`, for the help line only.
fn slug(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug = words.join("-");
    (slug.starts_with(|c: char| c.is_ascii_lowercase()) && (2..=31).contains(&slug.len())).then_some(slug)
}

/// `us-west-2`, `us-gov-east-1`, `eusc-de-east-1`: words, then a number.
fn region(text: &str) -> Result<Region, Wrong> {
    let mut parts = text.split('-').rev();
    let number = parts
        .next()
        .is_some_and(|part| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    let word = |part: &&str| (2..=16).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
    if number && (2..=4).contains(&words.len()) && words.iter().all(word) {
        return Ok(Region(text.to_owned()));
    }
    let zone = text.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|stem| region(stem).is_ok());
    let help = match zone {
        Some(stem) => format!("write the Region `{stem}`; `{text}` is one of its zones"),
        None => "write the Region's code, such as `us-west-2`".to_owned(),
    };
    wrong(codes::REGION, format!("is not a Region: {}", quote(text)), help)
}

fn line_of_text(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        return wrong(codes::TEXT, "is an empty text", "write a few words");
    }
    if text.chars().count() > 200 {
        return wrong(
            codes::TEXT,
            "is longer than 200 characters",
            "shorten it: it stands in every report's head",
        );
    }
    if text.chars().any(char::is_control) {
        return wrong(
            codes::TEXT,
            "is broken over lines or holds a control character",
            "write it on one line",
        );
    }
    Ok(text.to_owned())
}

fn reason(text: &str) -> Result<String, Wrong> {
    let text = line_of_text(text)?;
    if text.trim().chars().count() < 10 {
        let help = "say in ten characters or more why nobody waited 30 days; every report prints it";
        return wrong(
            codes::WAIVER_REASON,
            format!("gives no reason worth printing: {}", quote(&text)),
            help,
        );
    }
    Ok(text)
}

fn date(text: &str) -> Result<Date, Wrong> {
    match text.parse::<Date>() {
        // Other spellings of a date parse too, but a signature has one.
        Ok(date) if date.to_string() == text => Ok(date),
        _ => wrong(
            codes::DATE,
            format!("is not a date: {}", quote(text)),
            "write year-month-day, such as `2026-11-01`",
        ),
    }
}

fn time(text: &str) -> Result<Time, Wrong> {
    match Time::strptime("%H:%M", text) {
        Ok(time) if text.len() == 5 => Ok(time),
        _ => wrong(
            codes::DATE,
            format!("is not a time of day: {}", quote(text)),
            "write hours and minutes of 24, such as `\"09:30\"`",
        ),
    }
}

fn instant(text: &str) -> Result<Timestamp, Wrong> {
    match text.parse::<Timestamp>() {
        // Two spellings of one instant would be two plans.
        Ok(instant) if instant.to_string() == text => Ok(instant),
        Ok(instant) => wrong(
            codes::DATE,
            format!("is not written in UTC: {}", quote(text)),
            format!("write `{instant}`"),
        ),
        Err(_) => wrong(
            codes::DATE,
            format!("is not an instant: {}", quote(text)),
            "write date and time in UTC, such as `2026-11-28T02:00:00Z`",
        ),
    }
}

fn time_zone(text: &str) -> Result<String, Wrong> {
    let found = jiff::tz::TimeZone::get(text).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
    match found {
        Some(name) if name == text => Ok(name),
        Some(name) => wrong(
            codes::TIME_ZONE,
            format!("is not how the zone is written: {}", quote(text)),
            format!("write `{name}`"),
        ),
        None => wrong(
            codes::TIME_ZONE,
            format!("is not a time zone: {}", quote(text)),
            "write a name of the IANA time zone database, such as `America/New_York` or `UTC`; \
             an offset such as `-05:00` does not know daylight saving",
        ),
    }
}

fn schedule(text: &str) -> Result<Schedule, Wrong> {
    text.parse::<Schedule>().or_else(|fault| {
        wrong(codes::SCHEDULE, format!("is not a schedule: {} {}", quote(text), fault.what), fault.help)
    })
}

/// Stands in DDL without quotes, so it must need none.
fn sql_name(text: &str) -> Result<String, Wrong> {
    if is_sql_name(text) {
        return Ok(text.to_owned());
    }
    let help = "write 1 to 63 lower-case letters, digits or `_`, not beginning with a digit, and no word that SQL reserves; \
                names that need quotes in SQL are not supported";
    wrong(codes::SQL_NAME, format!("is not a plain PostgreSQL name: {}", quote(text)), help)
}

/// The words that PostgreSQL takes for something else where a plain name stands, among them what stands for other roles.
#[rustfmt::skip]
const RESERVED: [&str; 80] = [
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both", "case", "cast", "check", "collate",
    "column", "constraint", "create", "current_catalog", "current_date", "current_role", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "false",
    "fetch", "for", "foreign", "from", "grant", "group", "having", "in", "initially", "intersect", "into", "lateral",
    "leading", "limit", "localtime", "localtimestamp", "none", "not", "null", "offset", "on", "only", "or", "order",
    "placing", "primary", "public", "references", "returning", "select", "session_user", "some", "symmetric",
    "system_user", "table", "then", "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "when",
    "where", "window", "with",
];

fn is_sql_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    begins
        && !RESERVED.contains(&text)
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn table(text: &str) -> Result<String, Wrong> {
    match text.split_once('.') {
        Some((schema, table)) if (schema == "public" || is_sql_name(schema)) && is_sql_name(table) => {
            Ok(text.to_owned())
        }
        None if is_sql_name(text) => {
            let help = format!("write the schema too, such as `public.{text}`");
            wrong(codes::SQL_NAME, format!("names no schema: {}", quote(text)), help)
        }
        _ => {
            let help =
                "write `schema.table`, both in lower-case letters, digits or `_`, such as `public.documents`";
            wrong(codes::SQL_NAME, format!("is not a plain table name: {}", quote(text)), help)
        }
    }
}

fn instance_id(text: &str) -> Result<String, Wrong> {
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if begins && fits && text.len() <= 63 && !text.ends_with('-') && !text.contains("--") {
        return Ok(text.to_owned());
    }
    let help = "write the DBInstanceIdentifier as RDS shows it: lower-case letters, digits and single hyphens, \
                beginning with a letter; not the host name, not the ARN";
    wrong(codes::AWS_ID, format!("is not a DB instance identifier: {}", quote(text)), help)
}

fn secret_id(text: &str) -> Result<String, Wrong> {
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+=.@:-".contains(c));
    if fits && (1..=512).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let help = "write the secret's name or ARN in the standby Region, such as `my-app/application`";
    wrong(codes::AWS_ID, format!("is not a Secrets Manager id: {}", quote(text)), help)
}

fn signing_key(text: &str) -> Result<String, Wrong> {
    let parts: Vec<&str> = text.split(':').collect();
    let key = match parts.as_slice() {
        ["arn", partition, "kms", region, account, key] => {
            let word =
                |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let number = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            number && word(partition) && word(region) && key.strip_prefix("key/").is_some_and(word)
        }
        _ => text == "create",
    };
    if key {
        return Ok(text.to_owned());
    }
    let help = "write `create`, or the key's ARN such as `arn:aws:kms:us-west-2:111122223333:key/…`; an alias is not taken";
    wrong(codes::AWS_ID, format!("is no key of KMS: {}", quote(text)), help)
}

fn zone_id(text: &str) -> Result<String, Wrong> {
    if is_zone_id(text) {
        return Ok(text.to_owned());
    }
    let bare = text.trim_start_matches("/hostedzone/");
    let bare = if is_zone_id(bare) { bare } else { "Z0123456789EXAMPLE" };
    let help = format!("write the id alone, such as `{bare}`: `Z` and 1 to 31 capital letters or digits");
    wrong(codes::AWS_ID, format!("is not a hosted zone id: {}", quote(text)), help)
}

fn is_zone_id(text: &str) -> bool {
    let tail = text.strip_prefix('Z').unwrap_or_default();
    (1..=31).contains(&tail.len()) && tail.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

fn truth(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => wrong(
            codes::WRONG_TYPE,
            format!("is not true or false: {}", quote(text)),
            "write `true` or `false`",
        ),
    }
}

fn format(text: &str) -> Result<u32, Wrong> {
    if text == "1" {
        return Ok(1);
    }
    let help = "write `understudy: 1`, or read this plan with a build that knows its format";
    wrong(codes::FORMAT, format!("is {}, a format that this build does not read", quote(text)), help)
}

fn whole(text: &str, least: u32, most: u32) -> Result<u32, Wrong> {
    let number = digits(text).and_then(|digits| digits.parse::<u32>().ok());
    if let Some(number) = number.filter(|number| (least..=most).contains(number)) {
        return Ok(number);
    }
    let help = format!("write a whole number from `{least}` to `{most}`");
    wrong(codes::NUMBER_RANGE, format!("is {}, out of range", quote(text)), help)
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn shadow_days(text: &str) -> Result<u32, Wrong> {
    let days = whole(text, 0, 10_000)?;
    if days < 30 {
        let help = "write `30` or more once as many days have passed without a single would-have-fenced; \
                    or give `shadow_waived` with a reason instead";
        return wrong(codes::SHADOW_DAYS, format!("is {days}, too few to trust a fence with"), help);
    }
    Ok(days)
}

pub(super) fn port(text: &str) -> Result<u16, Wrong> {
    if let Some(port) = digits(text).and_then(|digits| digits.parse::<u16>().ok()).filter(|port| *port > 0) {
        return Ok(port);
    }
    wrong(
        codes::NUMBER_RANGE,
        format!("is not a port: {}", quote(text)),
        "write a whole number from `1` to `65535`",
    )
}

fn share(text: &str) -> Result<f64, Wrong> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = text.parse::<f64>().ok().filter(|_| plain);
    if let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) {
        return Ok(share);
    }
    let percent = text.strip_suffix('%').map_or(text, str::trim_end).parse::<f64>().ok();
    let help = match percent.filter(|percent| *percent > 1.0 && *percent <= 100.0) {
        Some(percent) => format!("write `{}` for {percent} %", percent / 100.0),
        None => "write a number from `0` to `1`, such as `0.99`".to_owned(),
    };
    wrong(codes::NUMBER_RANGE, format!("is not a share of 1: {}", quote(text)), help)
}

/// Written with its sign, so that nobody takes it for a share of 1.
fn percent(text: &str) -> Result<Percent, Wrong> {
    let digits = text.strip_suffix('%').filter(|digits| {
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        plain(whole, 2) && plain(part, 4)
    });
    if let Some(percent) = digits.and_then(|digits| digits.parse::<f64>().ok()) {
        return Ok(Percent(percent));
    }
    let help = match text.parse::<f64>() {
        Ok(bare) if (0.0..100.0).contains(&bare) => format!("write the sign too: `{bare}%`"),
        _ => "write a number below 100 with its sign, such as `99.95%`".to_owned(),
    };
    wrong(codes::NUMBER_RANGE, format!("is not a percentage: {}", quote(text)), help)
}

fn choice<T: Copy>(text: &str, options: &[(&'static str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = options.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<String> = options.iter().map(|(word, _)| format!("`{word}`")).collect();
    let all = words.join(" or ");
    let help = match nearest(text, options.iter().map(|(word, _)| *word)) {
        Some(word) if options.len() > 1 => format!("did you mean `{word}`? The words here are {all}"),
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write {all}"),
    };
    wrong(codes::CHOICE, format!("does not know the word {}", quote(text)), help)
}
