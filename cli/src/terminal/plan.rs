//! A plan as text for a terminal: in words, and as what to expect of it.

use super::{BOLD, DIM, Out, paint, tame};
use understudy_core::budget::{Budget, Source};
use understudy_core::explain::Section;
use understudy_core::plan::Plan;
use understudy_core::words::{count, span};

/// Where the text beside a heading begins.
const BESIDE: usize = 14;

/// The plan in words, and what a failover is expected to take.
pub fn explained(plan: &Plan, sections: &[Section], budget: &Budget) -> String {
    let mut out = Out::default();
    out.line(&format!("{}  {}", paint(BOLD, &tame(&plan.title)), paint(DIM, &plan.name)));
    for section in sections {
        for (index, line) in section.lines.iter().enumerate() {
            let head = if index == 0 { paint(BOLD, section.head) } else { String::new() };
            out.beside(&head, BESIDE, line);
        }
    }
    out.line("");
    expected(&mut out, budget);
    out.text
}

/// What a failover is expected to take and to lose, beside what is promised.
pub fn predicted(plan: &Plan, budget: &Budget, given: usize) -> String {
    let mut out = Out::default();
    out.line(&paint(BOLD, &format!("{}: an unplanned failover, before it happens", tame(&plan.title))));
    expected(&mut out, budget);
    out.line("");
    let (rto, rpo) = (plan.objectives.rto, plan.objectives.rpo);
    out.beside("promised", BESIDE, &format!("back within {}, losing at most {}", span(rto), span(rpo)));
    let unused = given.saturating_sub(budget.runs);
    if unused > 0 {
        let what = count(unused, "report");
        out.beside(
            "not used",
            BESIDE,
            &format!(
                "{what}: of another plan or another promise, or of a run that did not come to its success"
            ),
        );
    }
    out.text
}

fn expected(out: &mut Out, budget: &Budget) {
    for phase in &budget.phases {
        let source = match phase.source {
            Source::Plan => "",
            Source::Service => " (of the service, not measured)",
            Source::Runs => " (measured)",
        };
        let head = format!("{:<9} {:<24}", phase.name, phase.takes.to_string());
        out.beside(&head, 36, &format!("{}{source}", phase.because));
    }
    let head = paint(BOLD, &format!("{:<9} {:<24}", "sum", budget.rto.to_string()));
    out.beside(
        &head,
        36,
        &format!("from the first bad moment; then {} of success before it is believed", span(budget.hold)),
    );
    out.beside("", 36, &budget.loss());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use understudy_core::budget::budget;
    use understudy_core::explain::explain;
    use understudy_core::plan::read;
    use understudy_core::report::Report;

    fn plan(text: &str) -> Plan {
        read("plan.yaml", text).unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_plans_explained() {
        let plans = [
            include_str!("../../../infra/plans/financial-rag.yaml"),
            include_str!("../../../infra/plans/ml-ta.yaml"),
            include_str!("../../../infra/plans/financial-planning.yaml"),
            include_str!("../../../infra/plans/rtx-trading.yaml"),
            include_str!("../../../infra/plans/hft.yaml"),
        ];
        for plan in plans.map(plan) {
            let text = plain(&explained(&plan, &explain(&plan), &budget(&plan, &[])));
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            insta::assert_snapshot!(format!("explained_{}", plan.name), text);
        }
    }

    /// A run of the same plan replaces what is assumed of AWS; one of another plan does not.
    #[test]
    fn what_was_measured_replaces_what_is_assumed() {
        let plan = plan(include_str!("../../../infra/plans/financial-rag.yaml"));
        let mut report: Report =
            serde_json::from_str(include_str!("../../../tests/reports/recovered.json")).unwrap();
        assert_eq!(budget(&plan, std::slice::from_ref(&report)).runs, 0, "a run in fast motion");
        report.rto.objective_ms = plan.objectives.rto.0;
        let stranger = Report { plan: "another".to_owned(), ..report.clone() };
        let budget = budget(&plan, &[report, stranger]);
        assert_eq!(budget.runs, 1);
        insta::assert_snapshot!("predicted", plain(&predicted(&plan, &budget, 2)));
    }
}
