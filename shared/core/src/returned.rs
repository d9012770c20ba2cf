//! The old primary, once another Region holds the newest epoch: its guard fences it before anything else, every tick,
//! and says what it found; the standby tells people.
//!
//! A Region that comes back brings its databases with it, and they know nothing of what happened meanwhile. Nothing
//! here renews or grants anything.

use crate::fault::Fault;
use crate::keepers::{Keeper, STANDBY};
use crate::lease::{Lease, Standing};
use crate::paging::{self, Turn};
use crate::plan::Plan;
use crate::ports::{Cells, Page, Pager, Severity, Sql};
use crate::sql::{Answer, FailureClass, Statement};
use crate::state::{keys, load, note};
use crate::words::instant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An old primary whose writers do not stop is paged again after so many ticks.
const REPAGE_TICKS: u64 = 15;

/// What the guard of the old primary found, and left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    pub at: Timestamp,
    /// The epoch under which another Region writes.
    pub epoch: u64,
    pub holder: String,
    pub stores: Vec<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub store: String,
    pub state: State,
}

/// What became of one store of the old primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Its writers are locked out and none is left.
    Fenced,
    /// It is a replica: it takes no writes of its own.
    Follows,
    /// It was told to stop its writers, and some are left: they may be gone by the next look.
    Unquiet { why: String },
    /// Whether it takes writes is not known (L4).
    Unknown { reason: String },
}

/// Fences every store of this Region under the epoch of `lease`, which another one holds, and leaves in the standby
/// what was found (L2). One store that does not answer keeps the fence from no other.
pub async fn fence_again(
    plan: &Plan,
    keepers: &[Keeper<'_, impl Cells>],
    sql: &impl Sql,
    lease: &Lease,
    now: Timestamp,
) -> Returned {
    let mut stores = Vec::new();
    for store in &plan.stores {
        let (epoch, holder) = (lease.epoch, lease.holder.0.clone());
        let order = Statement::Fence { store: store.name.clone(), epoch, holder };
        stores.push(Found { store: store.name.clone(), state: found(sql.ask(&order).await) });
    }
    let returned = Returned { at: now, epoch: lease.epoch, holder: lease.holder.0.clone(), stores };
    // The fence stands whether or not anybody hears of it; the next tick says so again.
    if let Some(standby) = keepers.iter().find(|keeper| keeper.name == STANDBY) {
        let _ = note(standby.cells, &keys::returned(), &returned).await;
    }
    returned
}

fn found(answer: Result<Answer, Fault>) -> State {
    match answer {
        Ok(Answer::Fence(look)) => match look.unquiet() {
            None => State::Fenced,
            Some(why) => State::Unquiet { why },
        },
        Ok(Answer::Failed { class: FailureClass::ReadOnly, .. }) => State::Follows,
        Ok(Answer::Failed { class, detail }) => State::Unknown { reason: format!("{class:?}: {detail}") },
        Ok(other) => State::Unknown { reason: format!("sql-agent answered a fence with {other:?}") },
        Err(fault) => State::Unknown { reason: fault.to_string() },
    }
}

/// Tells people of an old primary that came back: again and again while its writers are there, else once. What was
/// found under an epoch that is over tells nobody anything.
pub async fn tell(
    plan: &Plan,
    cells: &impl Cells,
    pager: &impl Pager,
    standing: &Standing,
    now: Timestamp,
) -> Result<(), Fault> {
    let Standing::Moved { epoch } = standing else { return Ok(()) };
    let Some(returned) = load::<Returned>(cells, &keys::returned()).await? else { return Ok(()) };
    if returned.epoch != *epoch {
        return Ok(());
    }
    let page = page(plan, &returned);
    let writes = returned.stores.iter().any(|found| matches!(found.state, State::Unquiet { .. }));
    let again = writes.then(|| plan.tick.times(REPAGE_TICKS));
    if paging::claim(cells, &page.dedup, now, plan.tick, again).await? != Turn::Mine {
        return Ok(());
    }
    pager.page(&page).await?;
    paging::told(cells, &page.dedup, now).await
}

fn page(plan: &Plan, returned: &Returned) -> Page {
    let Returned { at, epoch, holder, stores } = returned;
    let open: Vec<String> = stores.iter().filter_map(may_write).collect();
    let follows = stores.iter().all(|found| found.state == State::Follows);
    let (severity, word, text) = if !open.is_empty() {
        let text = format!(
            "is NOT known to be fenced: {}. Two writers are possible: stop its instances, or cut its application off",
            open.join("; ")
        );
        (Severity::Critical, "open", text)
    } else if follows {
        (Severity::Info, "follows", "follows the new one: `understudy failback` is possible".to_owned())
    } else {
        let text = "is fenced and takes no writes. What it wrote last and nobody received lies there alone: keep it \
                    until that is looked at, then rebuild it as a replica";
        (Severity::Warning, "fenced", text.to_owned())
    };
    let primary = &plan.regions.primary.0;
    Page {
        severity,
        plan: plan.name.clone(),
        incident: None,
        text: format!(
            "{}: the old primary in {primary} was there at {} and {text}. `{holder}` writes since epoch {epoch}",
            plan.title,
            instant(*at)
        ),
        dedup: format!("returned-{epoch}-{word}"),
    }
}

fn may_write(found: &Found) -> Option<String> {
    match &found.state {
        State::Fenced | State::Follows => None,
        State::Unquiet { why } => Some(format!("`{}`: {why}", found.store)),
        State::Unknown { reason } => Some(format!("`{}`: {reason}", found.store)),
    }
}
