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
use crate::time::{Millis, elapsed};
use crate::words::instant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// It is a replica and takes no writes of its own; of whom, the service must say.
    Follows,
    /// It was told to stop its writers, and some are left: they may be gone by the next look.
    Unquiet { why: String },
    /// Whether it takes writes is not known (L4).
    Unknown { reason: String },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("fenced"),
            Self::Follows => f.write_str("a replica, takes no writes of its own"),
            Self::Unquiet { why } => write!(f, "NOT FENCED: {why}"),
            Self::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}

/// Fences every store of this Region under the epoch of `lease`, which another one holds, and leaves in the standby
/// what was found (L2). One store that does not answer keeps the fence from no other. Beside it why the standby does not
/// hear of it, where it does not: the fence stands all the same, and the next tick says so again.
pub async fn fence_again(
    plan: &Plan,
    keepers: &[Keeper<'_, impl Cells>],
    sql: &impl Sql,
    lease: &Lease,
    now: Timestamp,
) -> (Returned, Option<String>) {
    let mut stores = Vec::new();
    for store in &plan.stores {
        let (epoch, holder) = (lease.epoch, lease.holder.0.clone());
        let order = Statement::Fence { store: store.name.clone(), epoch, holder };
        stores.push(Found { store: store.name.clone(), state: found(sql.ask(&order).await) });
    }
    let returned = Returned { at: now, epoch: lease.epoch, holder: lease.holder.0.clone(), stores };
    let standby = keepers.iter().find(|keeper| keeper.name == STANDBY);
    let told = match standby {
        Some(standby) => note(standby.cells, &keys::returned(), &returned).await,
        None => Err(Fault::bug("the plan has no keeper in the standby")),
    };
    (returned, told.err().map(|fault| fault.to_string()))
}

fn found(answer: Result<Answer, Fault>) -> State {
    match answer {
        Ok(Answer::Fence(look)) => match look.unquiet() {
            None => State::Fenced,
            Some(why) => State::Unquiet { why },
        },
        Ok(Answer::Failed { class: FailureClass::ReadOnly, .. }) => State::Follows,
        Ok(Answer::Failed { class, detail }) => State::Unknown { reason: format!("{class}: {detail}") },
        Ok(other) => State::Unknown { reason: format!("sql-agent answered a fence with {other:?}") },
        Err(fault) => State::Unknown { reason: fault.to_string() },
    }
}

/// Tells people of an old primary that came back: again and again while its writers are there, else once. What
/// was found under an epoch that is over tells nobody anything. `half_way`: the execution that stopped and holds the lease, where
/// one does: then nobody may serve, and what is fenced may hold the only whole copy.
pub async fn tell(
    plan: &Plan,
    cells: &impl Cells,
    pager: &impl Pager,
    standing: &Standing,
    half_way: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let Standing::Moved { epoch } = standing else { return Ok(()) };
    let returned = match load::<Returned>(cells, &keys::returned()).await {
        // The next tick of that guard writes it anew.
        Err(Fault::Bug(_)) => None,
        read => read?,
    };
    let Some(returned) = returned else { return Ok(()) };
    if returned.epoch != *epoch {
        return Ok(());
    }
    let page = page(plan, &returned, half_way);
    let again = (returned.sum() == Sum::Writes).then(|| plan.tick.times(REPAGE_TICKS));
    if paging::claim(cells, &page.dedup, now, plan.tick, again).await? != Turn::Mine {
        return Ok(());
    }
    pager.page(&page).await?;
    paging::told(cells, &page.dedup, now).await
}

/// What all stores together come to; the worst decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sum {
    Follows,
    Fenced,
    Unknown,
    Writes,
}

impl Sum {
    const ALL: [Self; 4] = [Self::Follows, Self::Fenced, Self::Unknown, Self::Writes];

    fn of(state: &State) -> Self {
        match state {
            State::Follows => Self::Follows,
            State::Fenced => Self::Fenced,
            State::Unknown { .. } => Self::Unknown,
            State::Unquiet { .. } => Self::Writes,
        }
    }

    /// Under which people are told of it.
    fn matter(self, epoch: u64) -> String {
        let word = match self {
            Self::Follows => "follows",
            Self::Fenced => "fenced",
            Self::Unknown => "unknown",
            Self::Writes => "writes",
        };
        format!("returned-{epoch}-{word}")
    }
}

impl Returned {
    /// Whether the primary is there: its guard leaves this at each tick, and one of two ticks ago counts, if every database answered
    /// it. A guard that runs beside a dead database says nothing of a primary that lives.
    pub(crate) fn is_there(&self, now: Timestamp, tick: Millis) -> bool {
        let answered = |found: &Found| matches!(found.state, State::Fenced | State::Unquiet { .. });
        elapsed(self.at, now) <= tick.times(2) && !self.stores.is_empty() && self.stores.iter().all(answered)
    }

    /// No store at all is no good news (L4).
    fn sum(&self) -> Sum {
        self.stores.iter().map(|found| Sum::of(&found.state)).max().unwrap_or(Sum::Unknown)
    }

    /// Every matter that people may be told of under this epoch.
    pub fn matters(&self) -> [String; 4] {
        Sum::ALL.map(|sum| sum.matter(self.epoch))
    }
}

fn page(plan: &Plan, returned: &Returned, half_way: Option<&str>) -> Page {
    let Returned { at, epoch, holder, stores } = returned;
    let sum = returned.sum();
    let told = stores.iter().map(|found| format!("`{}`: {}", found.store, found.state));
    let told = told.collect::<Vec<_>>().join("; ");
    let (severity, text) = match sum {
        Sum::Follows => (Severity::Info, "is a replica now and takes no writes of its own: `understudy failback` says whether it may serve again".to_owned()),
        Sum::Fenced if let Some(stopped) = half_way => {
            let text = format!(
                "is fenced and takes no writes, for `{stopped}`, which stopped half-way. It may hold the only whole copy: rebuild \
                 nothing, and `understudy continue` first"
            );
            (Severity::Warning, text)
        }
        Sum::Fenced => {
            let text = "is fenced and takes no writes. What it wrote last and nobody received lies there alone: keep it \
                        until that is looked at, then rebuild it as a replica";
            (Severity::Warning, text.to_owned())
        }
        Sum::Unknown => {
            let text = format!(
                "could not be fenced, and whether it takes writes is not known: {told}. See to it before it starts"
            );
            (Severity::Critical, text)
        }
        Sum::Writes => {
            let text = format!("has WRITERS LEFT: {told}. Stop its instances, or cut its application off");
            (Severity::Critical, text)
        }
    };
    let primary = &plan.regions.primary.0;
    let (serves, matter) = match half_way {
        Some(_) => (
            format!("`{holder}` holds the lease of epoch {epoch}; how far it got says `understudy status`"),
            "-half-way",
        ),
        None => (format!("`{holder}` writes since epoch {epoch}"), ""),
    };
    Page {
        severity,
        plan: plan.name.clone(),
        incident: None,
        text: format!(
            "{}: the old primary in {primary} was there at {} and {text}. {serves}",
            plan.title,
            instant(*at)
        ),
        dedup: format!("{}{matter}", sum.matter(*epoch)),
    }
}
