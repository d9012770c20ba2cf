//! The plan as one page: the picture, the words, and what the linter says. Nothing is loaded from elsewhere.

use super::picture::drawing;
use super::{Section, explain};
use crate::budget::Budget;
use crate::lint::Finding;
use crate::plan::Plan;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.55 system-ui,sans-serif;\
background:light-dark(#fff,#15181c);color:light-dark(#1b1f24,#e6e8eb)}\
body{margin:0 auto;max-width:62rem;padding:2rem 1rem 4rem}h1{margin:0 0 .2rem;font-size:1.7rem}\
.quiet{color:light-dark(#57606a,#9aa4af)}figure{margin:1.5rem 0;overflow-x:auto}figure svg{min-width:44rem;width:100%}\
section{display:grid;grid-template-columns:8rem 1fr;gap:0 1rem;border-top:1px solid light-dark(#d0d7de,#3d444d);padding:.7rem 0}\
h2{font-size:1rem;margin:0}ul{margin:0;padding:0;list-style:none}pre{margin:.3rem 0;overflow-x:auto;font-size:.85rem}\
table{border-collapse:collapse}td{padding:0 1rem 0 0;vertical-align:top}code{overflow-wrap:anywhere}.takes{white-space:nowrap}\
.finding{padding:.7rem 0;border-top:1px solid light-dark(#d0d7de,#3d444d)}.error b{color:light-dark(#b42318,#ff8a80)}\
.warning b{color:light-dark(#8a5a00,#ffc46b)}@media(max-width:40rem){section{display:block}}";

/// The page, whole.
#[must_use]
pub fn page(plan: &Plan, budget: &Budget, findings: &[Finding]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (plan.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (plan.title) }
                p.quiet { "Plan " code { (plan.name) } ", digest " code { (plan.digest()) } }
                figure { (drawing(plan, budget)) }
                @for section in explain(plan) { (written(&section)) }
                (expected(budget))
                section { h2 { "The linter" } div { @if findings.is_empty() { "finds nothing" } @for one in findings { (found(one)) } } }
            }
        }
    }
    .into_string()
}

fn written(section: &Section) -> Markup {
    html! {
        section {
            h2 { (section.head) }
            ul { @for line in &section.lines { li { (line) } } }
        }
    }
}

fn expected(budget: &Budget) -> Markup {
    html! {
        section {
            h2 { "Expected" }
            div {
                table {
                    @for phase in &budget.phases {
                        tr { td { (phase.name) } td.takes { (phase.takes) } td.quiet { (phase.because) } }
                    }
                    tr { td { b { "sum" } } td.takes { b { (budget.rto) } } td {} }
                }
                p { (budget.loss()) }
            }
        }
    }
}

fn found(finding: &Finding) -> Markup {
    html! {
        div class=(format!("finding {}", finding.level.word())) {
            b { (finding.level.word()) " " (finding.id) } ": " (finding.message)
            @if !finding.sum.is_empty() { pre { (finding.sum.join("\n")) } }
            div.quiet { (finding.help) }
        }
    }
}
