//! The report as one page: self-contained, without script, readable on paper.
//!
//! Pure and total, and the same bytes for the same report, since the page is sealed write-once beside it. Every
//! text of the report is escaped by the template; the page's own policy forbids scripts and the network besides.

use super::words::{self, Phase, Sign, Tone, time};
use super::{Figure, Line, Report, picture};
use crate::checks::{Finding, Grade, Verdict};
use crate::overrides;
use crate::run::{Position, Receipt};
use crate::steps::close::record_key;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole page.
pub fn page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.end) ": " (report.plan_title) ", " (report.execution) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (at_a_glance(report))
                    (clock(report))
                    (timeline(report))
                    (findings(report))
                    (fence(report))
                    (not_measured(report))
                    (waiver(report))
                    (attestation(report))
                    (footer(report))
                }
            }
        }
    };
    page.into_string()
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Caution => "caution",
        Tone::Bad => "bad",
    }
}

fn sign(sign: Sign) -> Markup {
    html! { span class={ "sign " (tone(sign.tone)) } { span aria-hidden="true" { (sign.mark) } (sign.word) } }
}

/// Text with its `quoted` parts set as code.
fn prose(text: &str) -> Markup {
    let whole = text.matches('`').count().is_multiple_of(2);
    html! {
        @if whole {
            @for (n, part) in text.split('`').enumerate() {
                @if n % 2 == 0 { (part) } @else { code { (part) } }
            }
        } @else { (text) }
    }
}

/// A record's text with the step that it is about set off.
fn told(text: &str) -> Markup {
    let step = text.split_once(": ").filter(|(head, _)| head.chars().all(|c| c.is_ascii_alphanumeric()));
    html! {
        @match step {
            Some((step, rest)) => { b { (step) } ": " (prose(rest)) }
            None => (prose(text)),
        }
    }
}

fn at_a_glance(report: &Report) -> Markup {
    let (end, meaning) = words::end(report.end);
    html! {
        header {
            p.over { "Understudy report" }
            h1 { (report.plan_title) }
            div class={ "verdict " (tone(end.tone)) } {
                div.mark aria-hidden="true" { span { (end.mark) } }
                div {
                    strong { (end.word) }
                    small { (meaning) }
                    p { (prose(&report.cause)) }
                }
            }
            div.figures { (recovery(report)) (loss(report)) }
            dl.facts {
                dt { "When" } dd { (words::when(report)) }
                dt { "Plan" } dd { (report.plan) ", digest " code { (report.plan_digest) } }
                dt { "Execution" } dd { (report.execution) ", " (report.kind.name()) ", attempt " (report.attempt) " of incident " (report.incident) }
                dt { "Standby checks" } dd { (words::tally(&report.findings)) @if let Some(verdict) = report.verdict { ", verdict " (answer(verdict)) } }
                dt { "Old primary" } dd { @match &report.receipt {
                    Some(receipt) => { "fence receipt " (sign(words::receipt(receipt).0)) ", epoch " (receipt.epoch()) }
                    None => { "no fence receipt on record" }
                } }
                @let overridden = overrides::shown(&report.findings);
                @if !overridden.is_empty() { dt { "Overridden" } dd { (prose(&overridden)) } }
                @if report.shadow_waived.is_some() {
                    dt { "Waiver" } dd { a href="#waiver" { "The shadow period was waived" } }
                }
            }
        }
    }
}

fn answer(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ready => "ready",
        Verdict::Refused => "refused",
    }
}

fn recovery(report: &Report) -> Markup {
    let rto = &report.rto;
    html! {
        div.figure {
            h3 { "Recovery time (RTO)" (sign(words::met(rto.met))) }
            div.value { (words::recovery(rto)) }
            (gauge(rto.at_least.ms, rto.at_most.ms, rto.objective_ms))
            p { "Objective: " (words::duration(rto.objective_ms)) }
            @if let Some(predicted) = words::predicted(report, "sum") { p { "Predicted by the plan: " (predicted) } }
            @for reason in words::recovery_unknown(rto) { p { "Not measured: " (reason) } }
        }
    }
}

fn loss(report: &Report) -> Markup {
    let rpo = &report.rpo;
    html! {
        div.figure {
            h3 { "Data loss (RPO)" (sign(words::met(rpo.met))) }
            div.value { (words::loss(&rpo.bound)) }
            (gauge(None, rpo.bound.ms, rpo.objective_ms))
            p { "Objective: " (words::duration(rpo.objective_ms)) }
            @for reason in words::reason(&rpo.bound) { p { "Not measured: " (reason) } }
            p { "Known to be missing: " (observed(&rpo.observed)) }
        }
    }
}

fn observed(observed: &Figure) -> String {
    match observed.ms {
        Some(ms) => words::duration(ms),
        None => "not measured".to_owned(),
    }
}

/// A figure against its objective: sure part filled, possible part hatched, the objective as an upright line.
fn gauge(at_least: Option<u64>, at_most: Option<u64>, objective: u64) -> Markup {
    let largest = [at_least, at_most].into_iter().flatten().fold(objective, u64::max).max(1);
    // A whole objective fills nine tenths, so that its mark stands inside the rail.
    let share = |ms: u64| u64::try_from(u128::from(ms) * 900 / u128::from(largest)).unwrap_or(900);
    let percent = |share: u64| format!("{}.{}%", share / 10, share % 10);
    let sure = at_least.map_or(0, share);
    let possible = at_most.map_or(0, share);
    html! {
        svg.gauge width="100%" height="12" aria-hidden="true" {
            rect.rail x="0" y="2" width="100%" height="8" rx="4" {}
            @if possible > 0 { rect.uncertain x="0" y="2" width=(percent(possible.max(4))) height="8" fill="url(#hatch)" {} }
            @if sure > 0 { rect.sure x="0" y="2" width=(percent(sure.max(4))) height="8" {} }
            line.due x1=(percent(share(objective))) y1="0" x2=(percent(share(objective))) y2="12" {}
        }
    }
}

fn clock(report: &Report) -> Markup {
    html! {
        section aria-labelledby="clock" {
            h2 id="clock" { "The clock" }
            (picture::clock(report))
        }
    }
}

fn timeline(report: &Report) -> Markup {
    html! {
        section aria-labelledby="timeline" {
            h2 id="timeline" { "What happened" }
            @if let Some(first) = report.timeline.first() { p.aside { "On " (words::date(first.at)) ", UTC" } }
            table.journal {
                thead { tr {
                    th.number scope="col" { "No." } th scope="col" { "Time" } th.number scope="col" { "Outage" }
                    th scope="col" { "Function" } th scope="col" { "Record" }
                } }
                tbody {
                    @for phase in words::phases(report) {
                        (heading(&phase))
                        @for line in phase.lines {
                            @if words::begins_day(report, line) {
                                tr.day { td colspan="5" { "On " (words::date(line.at)) ", UTC" } }
                            }
                            (entry(report, line))
                        }
                    }
                }
            }
        }
    }
}

fn heading(phase: &Phase<'_>) -> Markup {
    html! {
        tr.phase { th colspan="5" scope="colgroup" {
            span class={ "swatch " (phase_swatch(phase)) } aria-hidden="true" {}
            (phase.name) small { (words::phase_note(phase)) }
        } }
    }
}

/// One of the page's own classes, never a word of the report.
fn phase_swatch(phase: &Phase<'_>) -> &'static str {
    let known =
        words::SEGMENTS.iter().find(|(name, _)| *name == phase.name).map_or("after", |(name, _)| *name);
    if phase.ms.is_none() && known != "after" { "open" } else { known }
}

fn entry(report: &Report, line: &Line) -> Markup {
    html! {
        tr {
            td.seq { (line.seq) }
            td.at { (time(line.at)) }
            td.since { (words::since_outage(&report.clock, line.at)) }
            td.writer { (line.writer) }
            td.text { (told(&line.text)) }
        }
    }
}

fn findings(report: &Report) -> Markup {
    html! {
        section aria-labelledby="findings" {
            h2 id="findings" { "Was the standby fit to take over?" }
            p { (words::tally(&report.findings)) @if let Some(verdict) = report.verdict { "; verdict: " b { (answer(verdict)) } } "." }
            @if !report.findings.is_empty() {
                table.findings {
                    thead { tr {
                        th scope="col" { "Check" } th scope="col" { "Answer" } th scope="col" { "About" } th scope="col" { "Evidence" }
                    } }
                    tbody { @for finding in &report.findings { (one_finding(finding)) } }
                }
            }
        }
    }
}

fn one_finding(finding: &Finding) -> Markup {
    let class = match finding.grade {
        Grade::Pass => "",
        Grade::Warn => "attend",
        Grade::Block | Grade::Unknown => "attend bad",
    };
    html! {
        tr class=(class) {
            td.id { b { (finding.id) } }
            td { (sign(words::grade(finding.grade))) }
            td.about { (finding.subject) }
            td.said {
                @if let Some(question) = words::question(finding) { small { (question) } br; }
                (prose(&finding.evidence))
                @if !finding.fix.is_empty() { p.fix { b { "Fix: " } (prose(&finding.fix)) } }
                @if let Some(given) = &finding.overridden { p.fix { b { "Taken on: " } (prose(&given.told())) } }
            }
        }
    }
}

fn fence(report: &Report) -> Markup {
    html! {
        section aria-labelledby="fence" {
            h2 id="fence" { "The old primary, and the data" }
            @match &report.receipt {
                Some(receipt) => (fenced(receipt)),
                None => p { "No fence receipt is on record: nothing here shows that the old primary had stopped writing." },
            }
            @if report.positions.is_empty() {
                p { "No position of a store was captured." }
            } @else {
                (positions(&report.positions))
            }
            (how_the_bound_comes_about(report))
        }
    }
}

fn fenced(receipt: &Receipt) -> Markup {
    let (kind, meaning) = words::receipt(receipt);
    html! {
        p { "Fence receipt: " (sign(kind)) " " (meaning) }
        dl.facts {
            dt { "Epoch" } dd { (receipt.epoch()) }
            @match receipt {
                Receipt::Proved { quiet_since, proved_at, last_written, .. } => {
                    dt { "No writer left since" } dd { (time(*quiet_since)) ", seen again " (time(*proved_at)) }
                    @for last in last_written {
                        dt { "Last written in " (last.store) } dd { (last.position.to_string()) ", " (time(last.committed_at)) }
                    }
                }
                Receipt::Expired { last_renewal_seen_at, lapsed_at, .. } => {
                    dt { "Last renewal seen" } dd { (time(*last_renewal_seen_at)) }
                    dt { "No commit passes the gates after" } dd { (time(*lapsed_at)) }
                }
                Receipt::Accepted { by, at, risk, .. } => {
                    dt { "Accepted by" } dd { b { (by) } " at " (time(*at)) }
                    dt { "Stated risk" } dd { (prose(risk)) }
                }
            }
        }
    }
}

fn positions(positions: &[Position]) -> Markup {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    html! {
        table.positions {
            thead { tr {
                th scope="col" { "Store" } th scope="col" { "Received" } th scope="col" { "Replayed" } th scope="col" { "Last commit received" }
            } }
            tbody {
                @for position in positions {
                    tr {
                        th scope="row" { (position.store) " " small { (if position.required { "required" } else { "optional" }) } }
                        td.mono { (or_unknown(position.received.map(|lsn| lsn.to_string()))) }
                        td.mono { (or_unknown(position.replayed.map(|lsn| lsn.to_string()))) }
                        td { (or_unknown(position.commit_at.map(time))) }
                    }
                }
            }
        }
    }
}

fn how_the_bound_comes_about(report: &Report) -> Markup {
    let rpo = &report.rpo;
    html! {
        @if rpo.observed.ms == Some(0) {
            p.aside {
                "Nothing is missing: the old primary said what it had written last, and the standby had replayed all of \
                 it before it was promoted."
            }
        } @else if let (Some(possible), Some(received), Some(bound)) =
            (rpo.last_commit_possible_at, rpo.last_received_commit_at, rpo.bound.ms)
        {
            p.aside {
                "The bound on data loss: the old primary could commit until " (time(possible))
                ", and the last commit received is of " (time(received)) ", by the old primary's clock. Between them lie "
                (words::at_most(bound)) "."
            }
        }
    }
}

fn not_measured(report: &Report) -> Markup {
    html! {
        section aria-labelledby="not-measured" {
            h2 id="not-measured" { "What was not measured, and why" }
            @if report.not_measured.is_empty() {
                p { "Every figure above was measured." }
            } @else {
                ul { @for line in &report.not_measured { li { (line) } } }
            }
        }
    }
}

fn waiver(report: &Report) -> Markup {
    html! {
        @if let Some(reason) = &report.shadow_waived {
            section.waiver aria-labelledby="waiver" {
                h2 id="waiver" { span aria-hidden="true" { "! " } "The shadow period was waived" }
                blockquote { (reason) }
                p {
                    "Before its dead-man may fence a primary by itself, an installation runs for days in the shadow and counts how \
                     often it would have fenced a healthy one. Here it was armed without that count, for the reason given."
                }
            }
        }
    }
}

fn attestation(report: &Report) -> Markup {
    let (name, meaning) = words::attestation(&report.attestation);
    let head = record_key(&report.plan, &report.execution, report.journal.records);
    html! {
        section aria-labelledby="attestation" {
            h2 id="attestation" { "Who vouches for this" }
            p { "Attestation: " b { (name) } ". " (meaning) }
            dl.facts {
                dt { "Records" } dd { (report.journal.records) }
                dt { "Head, SHA-256" } dd { code { (report.journal.head_sha256) } }
                dt { "Head record" } dd { code { (head) } }
                @for (name, value) in words::signature(&report.attestation) {
                    dt { (name) } dd { code { (value) } }
                }
            }
            p.aside { "To check it, copy the journal from the evidence bucket and run:" }
            pre { code { "understudy journal check FOLDER" } }
            p { small { "It reads every record, follows the chain and prints the hash of the head: it must be the one above." } }
            @if let Some(openssl) = words::openssl(report) {
                p.aside { "It checks the signature as well. So does this, in the same folder, with nothing of ours:" }
                pre { code { (openssl) } }
                p { small { "The public key that lies there came with the journal: ask KMS for its own, or the owner of the key." } }
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    html! {
        footer {
            p { "Rendered from the journal and its attestation alone: this page computes nothing that they do not hold. Schema " (report.schema) "." }
        }
    }
}
