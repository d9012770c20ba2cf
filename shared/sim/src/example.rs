//! The plans that are lived with: one that looks at its ticks, by which stories are told, and the example plan as it ships,
//! which looks more often; armed and automatic.

use understudy_core::plan::{Arming, Mode, OnLeaseLoss, Plan, Problems, read};

const EXAMPLE: &str = include_str!("../../../tests/plans/minute-ticks.yaml");
const SHIPPED: &str = include_str!("../../../infra/plans/financial-rag.yaml");

/// The example of the stories: asks a person, and stays on a lost lease.
pub fn plan() -> Result<Plan, Problems> {
    read("minute-ticks.yaml", EXAMPLE)
}

/// The same with looks between its ticks, as it ships.
pub fn shipped() -> Result<Plan, Problems> {
    read("financial-rag.yaml", SHIPPED)
}

/// The example with its dead-man armed and no person in the loop, so that an execution runs through.
pub fn automatic() -> Result<Plan, Problems> {
    plan().map(in_no_hands)
}

/// As [`in_no_hands`], where people hold the door while the market is open: from a few minutes after the dawn of the
/// stories on.
pub fn opens_soon(mut plan: Plan) -> Plan {
    let open = jiff::civil::time(6, 14, 0, 0);
    plan.calendar.iter_mut().flat_map(|calendar| &mut calendar.sessions).for_each(|hours| hours.open = open);
    plan = in_no_hands(plan);
    plan.policy.in_session = Some(Mode::Approval);
    plan
}

/// Its rehearsal environment's plan, as [`automatic`].
pub fn rehearsal() -> Result<Option<Plan>, Problems> {
    Ok(plan()?.rehearsal().map(in_no_hands))
}

/// A plan with its dead-man armed and no person in the loop.
pub fn in_no_hands(mut plan: Plan) -> Plan {
    plan.policy.failover = Mode::Automatic;
    plan.policy.in_session = None;
    plan.lease.on_loss = OnLeaseLoss::Fence;
    plan.lease.arming = Some(Arming {
        by: "sre-lead".to_owned(),
        signed_on: jiff::civil::date(2026, 11, 1),
        shadow_days: None,
        shadow_waived: Some("a simulation".to_owned()),
    });
    plan
}
