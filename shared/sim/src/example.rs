//! The plan that the stories are told with: the example plan, armed and automatic.

use understudy_core::plan::{Arming, Mode, OnLeaseLoss, Plan, Problems, read};

const EXAMPLE: &str = include_str!("../../../infra/plans/financial-rag.yaml");

/// The example as it stands in the repository: asks a person, and stays on a lost lease.
pub fn plan() -> Result<Plan, Problems> {
    read("financial-rag.yaml", EXAMPLE)
}

/// The example with its dead-man armed and no person in the loop, so that an execution runs through.
pub fn automatic() -> Result<Plan, Problems> {
    plan().map(in_no_hands)
}

/// As [`automatic`], where people hold the door while the market is open: from a few minutes after the dawn of the stories
/// on.
pub fn opens_soon() -> Result<Plan, Problems> {
    let text = EXAMPLE.replace("open: \"09:30\"", "open: \"06:14\"");
    let mut plan = in_no_hands(read("financial-rag.yaml", &text)?);
    plan.policy.in_session = Some(Mode::Approval);
    Ok(plan)
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
