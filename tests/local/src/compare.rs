//! The product's figures beside the client's: two accounts of one outage, kept by two programs.
//!
//! Pure. A figure that either side did not measure fails its line; it is never taken as agreement.

use crate::ledger::{Account, RATE};
use jiff::Timestamp;
use understudy_core::plan::Plan;
use understudy_core::report::Report;
use understudy_core::run::Receipt;
use understudy_core::time::{Millis, after, before, elapsed};

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub holds: bool,
    pub what: String,
    pub told: String,
}

pub fn line(holds: bool, what: &str, told: String) -> Line {
    Line { holds, what: what.to_owned(), told }
}

/// The client looks once in this time.
const CLIENT_PERIOD: Millis = Millis(1000 / RATE as u64);

/// Everything that a recovery must show.
pub fn compare(plan: &Plan, report: &Report, account: &Account, unexplained: &[String]) -> Vec<Line> {
    vec![
        recovered(report),
        began(report, account),
        ended(plan, report, account),
        lasted(report, account),
        lost(report, account),
        one_writer(account),
        self::unexplained(unexplained),
    ]
}

pub fn unexplained(errors: &[String]) -> Line {
    let told = if errors.is_empty() { "none".to_owned() } else { errors.join("\n      ") };
    line(errors.is_empty(), "no function logged an error that the run does not explain", told)
}

fn recovered(report: &Report) -> Line {
    let wanted = report.kind.success();
    line(
        report.end == wanted,
        &format!("the execution ended `{wanted}`"),
        format!("{}: {}", report.end, report.cause),
    )
}

fn began(report: &Report, account: &Account) -> Line {
    let what = "the client's first failure lies between the last good and the first failed probe";
    let (Some(good), Some(outage)) = (report.clock.last_good, &account.outage) else {
        return line(false, what, not_measured(account));
    };
    let (earliest, latest) = (before(good, CLIENT_PERIOD), after(report.clock.zero(), CLIENT_PERIOD));
    // An attempt that was under way when service stopped was sent before, and failed after.
    let (sent, failed) = (outage.first_failure.sent_at, outage.first_failure.done_at);
    line(
        earliest <= failed && sent <= latest,
        what,
        format!("{} in {}", range(sent, failed), range(earliest, latest)),
    )
}

/// When the client's success began to last.
pub fn success(account: &Account) -> Option<Timestamp> {
    Some(account.outage.as_ref()?.first_lasting_success.as_ref()?.done_at)
}

/// What a line says that lacks a figure: who has none, and why.
fn not_measured(account: &Account) -> String {
    let Some(outage) = &account.outage else { return "the client saw no failure".to_owned() };
    let Some(reason) = &outage.reason else { return "the product did not measure it".to_owned() };
    let last = &outage.last_failure;
    let error = last.error.as_deref().unwrap_or("it gave no reason");
    format!("{reason}; the client's last failure was sent at {}: {error}", clock(last.sent_at))
}

/// How long the client was without service.
pub fn outage(account: &Account) -> Option<Millis> {
    Some(elapsed(account.outage.as_ref()?.first_failure.sent_at, success(account)?))
}

fn ended(plan: &Plan, report: &Report, account: &Account) -> Line {
    let what = "the client's lasting success is within one probe period and TTL of the product's";
    let (Some(served), Some(succeeded)) = (report.clock.served, success(account)) else {
        return line(false, what, not_measured(account));
    };
    let ttl = plan.routes.iter().map(|route| route.ttl).max().unwrap_or_default();
    let apart = plan.tick.saturating_add(ttl);
    let (earliest, latest) = (before(served, apart), after(served, apart));
    let holds = earliest <= succeeded && succeeded <= latest;
    line(holds, what, format!("{} in {}", clock(succeeded), range(earliest, latest)))
}

fn lasted(report: &Report, account: &Account) -> Line {
    let what = "the client's outage lies inside the product's RTO range";
    let (Some(least), Some(most), Some(seen)) =
        (report.rto.at_least.ms, report.rto.at_most.ms, outage(account))
    else {
        return line(false, what, not_measured(account));
    };
    let holds = Millis(least) <= seen.saturating_add(CLIENT_PERIOD)
        && seen <= Millis(most).saturating_add(CLIENT_PERIOD);
    line(holds, what, format!("{} in {} … {}", seconds(seen.0), seconds(least), seconds(most)))
}

fn lost(report: &Report, account: &Account) -> Line {
    if let Some(Receipt::Accepted { by, .. }) = &report.receipt {
        // What was accepted is not known, and must not look as if it were.
        let told = report.rpo.bound.why_null.clone().unwrap_or_default();
        let what = "an accepted fence gives no RPO bound, and says so";
        return line(
            report.rpo.bound.ms.is_none() && !told.is_empty(),
            what,
            format!("accepted by {by}: {told}"),
        );
    }
    if report.rpo.observed.ms == Some(0) {
        let told = format!("{} missing", account.missing.count);
        return line(account.missing.count == 0, "nothing was lost, as the product says", told);
    }
    let what = "every acknowledged write that is missing lies within the RPO bound";
    let (Some(received), Some(possible)) =
        (report.rpo.last_received_commit_at, report.rpo.last_commit_possible_at)
    else {
        return line(false, what, "the product gave no bound".to_owned());
    };
    let bound = report.rpo.bound.ms.map_or_else(|| "unknown".to_owned(), seconds);
    match (account.missing.first_done_at, account.missing.last_done_at) {
        (None, None) if account.missing.count == 0 => line(true, what, format!("0 missing, bound {bound}")),
        (Some(first), Some(last)) => line(
            received <= first && last <= possible,
            what,
            format!(
                "{} missing, {}, bound {}",
                account.missing.count,
                range(first, last),
                range(received, possible)
            ),
        ),
        _ => line(false, what, "the client does not say when they were acknowledged".to_owned()),
    }
}

fn one_writer(account: &Account) -> Line {
    let what = "no write was acknowledged by the old Region after the new one's first";
    match account.regions.overlap {
        Some(overlap) => line(overlap == 0, what, format!("{overlap} overlap")),
        None => line(false, what, "the client saw no second Region".to_owned()),
    }
}

pub fn seconds(ms: u64) -> String {
    format!("{}.{:01} s", ms / 1000, ms % 1000 / 100)
}

pub fn clock(at: Timestamp) -> String {
    jiff::fmt::strtime::format("%H:%M:%S%.3f", at).unwrap_or_else(|_| at.to_string())
}

fn range(from: Timestamp, to: Timestamp) -> String {
    format!("{} … {}", clock(from), clock(to))
}
