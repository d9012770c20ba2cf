//! Promises beside each other: tiers, services, availability.

use super::{Finding, Level, Look, finding};
use crate::plan::{MetBy, Percent, Plan, Posture, Service};
use crate::time::Millis;
use crate::words::{list, span};

/// A month on average: 365.25 days by twelve.
const MONTH: Millis = Millis::from_secs(2_629_800);
const YEAR: Millis = Millis::from_secs(31_557_600);

/// What one service is promised, by itself or by its tier, and where that stands in the plan.
pub(super) struct Promise {
    pub name: String,
    pub tier: Option<String>,
    pub rto: Option<Millis>,
    pub rto_at: String,
    pub rpo: Option<Millis>,
    pub rpo_at: String,
    /// Promised to the service itself, not by its tier.
    pub own_rpo: bool,
}

/// The services that a move brings back, and not somebody else.
pub(super) fn ours(plan: &Plan) -> impl Iterator<Item = Promise> + '_ {
    let mine = plan.services.iter().enumerate().filter(|(_, service)| service.met_by == MetBy::Understudy);
    mine.map(|(index, service)| promise(plan, index, service))
}

fn promise(plan: &Plan, index: usize, service: &Service) -> Promise {
    let named = |tier: &&String| plan.tiers.iter().position(|known| known.name == **tier);
    let tier = service.tier.as_ref().filter(|tier| named(tier).is_some());
    let at = |own: bool, field: &str| match tier.as_ref().and_then(named).filter(|_| !own) {
        Some(of) => format!("tiers[{of}].{field}"),
        None => format!("services[{index}].{field}"),
    };
    let of_tier = plan.tiers.iter().find(|known| Some(&known.name) == service.tier.as_ref());
    Promise {
        name: service.name.clone(),
        tier: service.tier.clone(),
        rto: service.rto.or_else(|| of_tier.map(|tier| tier.rto)),
        rto_at: at(service.rto.is_some(), "rto"),
        rpo: service.rpo.or_else(|| of_tier.map(|tier| tier.rpo)),
        rpo_at: at(service.rpo.is_some(), "rpo"),
        own_rpo: service.rpo.is_some(),
    }
}

/// The part of `whole` in which it may be down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a year in milliseconds is far within the exact integers, and the share is below one"
)]
fn allowed(availability: Percent, whole: Millis) -> Millis {
    Millis(((100.0 - availability.0) / 100.0 * whole.0 as f64).round() as u64)
}

/// Availability promised of something with an RTO: where, how much, and the RTO.
fn promised(plan: &Plan) -> Vec<(String, Percent, Millis, String)> {
    let mut all = Vec::new();
    all.extend(plan.objectives.availability.map(|share| {
        ("objectives.availability".to_owned(), share, plan.objectives.rto, "the application".to_owned())
    }));
    for (index, tier) in plan.tiers.iter().enumerate() {
        all.extend(tier.availability.map(|share| {
            (format!("tiers[{index}].availability"), share, tier.rto, format!("tier `{}`", tier.name))
        }));
    }
    for (index, service) in plan.services.iter().enumerate() {
        let rto = promise(plan, index, service).rto;
        all.extend(service.availability.zip(rto).map(|(share, rto)| {
            (format!("services[{index}].availability"), share, rto, format!("`{}`", service.name))
        }));
    }
    all
}

pub(super) fn availability(look: &Look<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, share, rto, who) in promised(look.plan) {
        let (month, year) = (allowed(share, MONTH), allowed(share, YEAR));
        let sum = vec![
            format!("{share} of a month of 30.44 days leaves {}", span(month)),
            format!("{share} of a year leaves {}", span(year)),
        ];
        let (level, message) = if rto > year {
            (
                Level::Error,
                format!(
                    "{who} is promised {share}, and one recovery of {rto} uses up more than the whole year's {}",
                    span(year)
                ),
            )
        } else if rto > month {
            (
                Level::Warning,
                format!(
                    "{who} is promised {share}, and one recovery of {rto} uses up more than a month's {}",
                    span(month)
                ),
            )
        } else {
            continue;
        };
        let help = "promise a shorter RTO or a smaller share, or say over which time the share is counted and how many \
                    failures it allows for";
        findings.push(finding(level, message, help).at([at]).computed(sum));
    }
    findings
}

/// Computed figures that stand in the plan are computed again.
pub(super) fn downtime(look: &Look<'_>) -> Vec<Finding> {
    let tiers = look.plan.tiers.iter().enumerate();
    let wrong = tiers.filter_map(|(index, tier)| {
        let (share, stated) = (tier.availability?, tier.downtime_per_month?);
        let right = allowed(share, MONTH);
        // A month has 28 to 31 days; what no month gives is wrong.
        let off = stated.0.abs_diff(right.0).saturating_mul(10) > right.0;
        off.then(|| {
            let message = format!(
                "tier `{}` states {} of downtime a month, and {share} leaves {}",
                tier.name,
                span(stated),
                span(right)
            );
            let help =
                format!("write `{}s`, or delete the figure: it follows from the share", right.secs_ceil());
            finding(Level::Error, message, &help)
                .at([format!("tiers[{index}].downtime_per_month"), format!("tiers[{index}].availability")])
                .computed(vec![format!("(100 % - {share}) of 30.44 days = {}", span(right))])
        })
    });
    wrong.collect()
}

pub(super) fn nested(look: &Look<'_>) -> Vec<Finding> {
    let plan = look.plan;
    let tighter = plan.services.iter().enumerate().filter_map(|(index, service)| {
        let tier = plan.tiers.iter().find(|tier| Some(&tier.name) == service.tier.as_ref())?;
        let slower = service.rto.filter(|rto| *rto > tier.rto);
        slower.map(|rto| {
            let message = format!(
                "`{}` is promised back within {rto}, later than its tier `{}`: {}",
                service.name, tier.name, tier.rto
            );
            finding(Level::Warning, message, "name another tier, or keep the tier's promise")
                .at([format!("services[{index}].rto")])
        })
    });
    let sooner = ours(plan)
        .filter(|one| one.rpo.is_some_and(|rpo| rpo < plan.objectives.rpo && rpo > Millis::ZERO))
        .collect::<Vec<_>>();
    let data = sooner.first().map(|first| {
        let names: Vec<String> = sooner.iter().map(|one| format!("`{}`", one.name)).collect();
        let message = format!("{} may lose less than the application as a whole, {}", list(&names), plan.objectives.rpo);
        let help = "one move serves them all, and is measured by `objectives.rpo`: write there the smallest loss that it must keep, \
                    or give what needs less a plan of its own";
        finding(Level::Warning, message, help).at([first.rpo_at.clone(), "objectives.rpo".to_owned()])
    });
    tighter.chain(data).collect()
}

pub(super) fn posture(look: &Look<'_>) -> Vec<Finding> {
    let (rto, Some(posture)) = (look.plan.objectives.rto, look.plan.posture) else { return Vec::new() };
    let (usual, word) = match posture {
        Posture::Hot => return Vec::new(),
        Posture::Warm => (Millis::from_secs(2 * 3600), "warm"),
        Posture::Cold => (Millis::from_secs(24 * 3600), "cold"),
    };
    if rto >= usual {
        return Vec::new();
    }
    let message = format!("a {word} standby takes {} and more, and the RTO is {rto}", span(usual));
    vec![
        finding(Level::Warning, message, "keep the standby hot, or promise what it can keep")
            .at(["posture", "objectives.rto"]),
    ]
}

pub(super) fn measured_only(look: &Look<'_>) -> Vec<Finding> {
    let of = |met_by: MetBy| {
        let names = look.plan.services.iter().filter(move |service| service.met_by == met_by);
        names.map(|service| format!("`{}`", service.name)).collect::<Vec<_>>()
    };
    let told = [(MetBy::OnSite, "high availability on site"), (MetBy::Vendor, "a vendor")];
    told.into_iter()
        .filter_map(|(met_by, who)| {
            let names = of(met_by);
            (!names.is_empty()).then(|| {
                let message = format!("measured, not executed: {who} keeps the promises of {}", list(&names));
                let help =
                    "nothing to change: reports name them as such, and no failover is started for them";
                finding(Level::Note, message, help).at(["services"])
            })
        })
        .collect()
}
