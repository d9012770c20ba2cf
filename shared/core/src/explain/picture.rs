//! The way of a failover as a picture: every phase at its shortest and at its longest, who is asked when, the promise.
//!
//! One SVG file of its own, readable in light and dark. Places are in units of its view box, 1000 wide.

use crate::budget::{Budget, Range};
use crate::plan::{Mode, OnLeaseLoss, Plan};
use crate::time::Millis;
use crate::words::span;
use maud::{Markup, PreEscaped, html};

const WIDTH: u64 = 1000;
const LEFT: u64 = 96;
const RIGHT: u64 = 970;
const STRIP: u64 = 40;
const AXIS: u64 = 190;
/// Narrower than this, a phase's name does not fit into it.
const NAME_FITS: u64 = 56;
const LINE: u64 = 22;

/// Phases are told apart by their order and names too, not by colour alone.
const STYLE: &str = "svg{color-scheme:light dark;font:14px system-ui,sans-serif}\
text{fill:light-dark(#1b1f24,#e6e8eb)}.quiet{fill:light-dark(#57606a,#9aa4af)}\
.detect{fill:#4a6ea8}.decide{fill:#94691a}.fence{fill:#7b4cab}.promote{fill:#20756b}.switch{fill:#a84a5d}\
.name{fill:#fff}.axis{stroke:light-dark(#d0d7de,#3d444d)}\
.promise{stroke:light-dark(#b42318,#ff8a80);stroke-width:2;stroke-dasharray:6 4}\
.promise-name{fill:light-dark(#b42318,#ff8a80);font-weight:600}.mark{fill:light-dark(#57606a,#9aa4af)}";

struct Scale(Millis);

impl Scale {
    fn of(plan: &Plan, budget: &Budget) -> Self {
        // A promise far beyond the way is told at the edge, so that the way can be seen.
        let end = budget.rto.most.max(plan.objectives.rto).min(budget.rto.most.times(2));
        Self(Millis(end.0.saturating_add(end.0 / 20).max(1)))
    }

    fn x(&self, at: Millis) -> u64 {
        let along = u128::from(at.0.min(self.0.0)) * u128::from(RIGHT - LEFT) / u128::from(self.0.0);
        LEFT.saturating_add(u64::try_from(along).unwrap_or(RIGHT - LEFT))
    }

    fn holds(&self, at: Millis) -> bool {
        at <= self.0
    }

    /// About six round steps.
    fn step(&self) -> Millis {
        const STEPS: [u64; 12] = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400];
        let step = STEPS.into_iter().map(Millis::from_secs).find(|step| step.0 >= self.0.0 / 6);
        step.unwrap_or(Millis::from_secs(604_800))
    }
}

/// The picture, as the text of an SVG file.
#[must_use]
pub fn svg(plan: &Plan, budget: &Budget) -> String {
    drawing(plan, budget).into_string()
}

pub(super) fn drawing(plan: &Plan, budget: &Budget) -> Markup {
    let scale = &Scale::of(plan, budget);
    let marks = marks(plan, budget, scale);
    let height = AXIS + 60 + LINE * u64::try_from(marks.len()).unwrap_or(0);
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
            aria-labelledby="way-title way-desc" {
            title id="way-title" { "The way of a failover of " (plan.title) }
            desc id="way-desc" { (described(plan, budget)) }
            style { (PreEscaped(STYLE)) }
            (strip("at best", 54, budget, |takes| takes.least, scale))
            (strip("at worst", 120, budget, |takes| takes.most, scale))
            (axis(scale))
            (promise(plan, scale))
            @for (row, mark) in (0_u64..).zip(&marks) { (told(mark, row, scale)) }
        }
    }
}

fn described(plan: &Plan, budget: &Budget) -> String {
    let phases: Vec<String> =
        budget.phases.iter().map(|phase| format!("{} {}", phase.name, phase.takes)).collect();
    format!("{}. In all {}; promised within {}.", phases.join(", "), budget.rto, span(plan.objectives.rto))
}

/// One side of every phase, gapless from the first bad moment.
fn strip(name: &str, y: u64, budget: &Budget, side: fn(Range) -> Millis, scale: &Scale) -> Markup {
    let mut end = Millis::ZERO;
    let mut parts = Vec::new();
    for phase in &budget.phases {
        let from = scale.x(end);
        end = end.saturating_add(side(phase.takes));
        // A sliver is still drawn: what takes a second is a phase too.
        parts.push((phase.name, from, scale.x(end).saturating_sub(from).max(2), side(phase.takes)));
    }
    html! {
        text.quiet x="0" y=(y + STRIP / 2 + 5) { (name) }
        @for (phase, x, width, takes) in parts {
            rect class=(phase) x=(x) y=(y) width=(width) height=(STRIP) { title { (phase) " " (span(takes)) } }
            @if width >= NAME_FITS { text.name x=(x + 8) y=(y + STRIP / 2 + 5) { (phase) } }
        }
        text x=(scale.x(end)) y=(y + STRIP + 16) text-anchor="end" { (span(end)) }
    }
}

fn axis(scale: &Scale) -> Markup {
    let step = scale.step();
    let ticks = (0..=12_u64).map(|n| step.times(n)).take_while(|at| scale.holds(*at));
    html! {
        line.axis x1=(LEFT) y1=(AXIS) x2=(RIGHT) y2=(AXIS) {}
        @for at in ticks {
            line.axis x1=(scale.x(at)) y1=(AXIS) x2=(scale.x(at)) y2=(AXIS + 6) {}
            text.quiet x=(scale.x(at)) y=(AXIS + 22) text-anchor="middle" { (span(at)) }
        }
    }
}

fn promise(plan: &Plan, scale: &Scale) -> Markup {
    let rto = plan.objectives.rto;
    let name = format!("promised within {}", span(rto));
    let x = scale.x(rto);
    html! {
        @if scale.holds(rto) {
            line.promise x1=(x) y1="38" x2=(x) y2=(AXIS) {}
            text.promise-name x=(x) y="28" text-anchor=(if x > WIDTH / 2 { "end" } else { "start" }) { (name) }
        } @else {
            text.promise-name x=(RIGHT) y="28" text-anchor="end" { (name) ", beyond this picture" }
        }
    }
}

/// Something that happens to people along the way.
struct Mark {
    at: Millis,
    text: String,
}

fn told(mark: &Mark, row: u64, scale: &Scale) -> Markup {
    let (x, y) = (scale.x(mark.at), AXIS + 50 + LINE * row);
    let left = x > WIDTH / 2;
    html! {
        circle.mark cx=(x) cy=(y - 5) r="4" {}
        text x=(if left { x - 10 } else { x + 10 }) y=(y) text-anchor=(if left { "end" } else { "start" }) {
            (mark.text)
        }
    }
}

/// Who is asked and told when, at worst; in order, those that the picture reaches.
fn marks(plan: &Plan, budget: &Budget, scale: &Scale) -> Vec<Mark> {
    let begins = |name: &str| {
        let before = budget.phases.iter().take_while(|phase| phase.name != name);
        before.fold(Millis::ZERO, |sum, phase| sum.saturating_add(phase.takes.most))
    };
    let policy = &plan.policy;
    let who = if policy.approvers.is_empty() { "people".to_owned() } else { policy.approvers.join(", ") };
    let mut marks = Vec::new();
    if policy.failover == Mode::Approval || policy.in_session == Some(Mode::Approval) {
        let text =
            format!("{who} asked: may the standby take over? A no after {}", span(policy.approval_timeout));
        marks.push(Mark { at: begins("decide"), text });
    }
    if plan.lease.on_loss == OnLeaseLoss::Stay {
        let text = format!(
            "{who} asked to accept the risk of two writers; a no after {}",
            span(policy.approval_timeout)
        );
        marks.push(Mark { at: begins("fence"), text });
    }
    let opened = begins("decide");
    marks.extend(plan.escalation.iter().map(|level| Mark {
        at: opened.saturating_add(level.after),
        text: format!("{} told", level.to.join(", ")),
    }));
    marks.sort_by_key(|mark| mark.at);
    marks.retain(|mark| scale.holds(mark.at));
    marks
}
