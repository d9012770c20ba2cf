//! Typed cells of the state table: where each lives, how it is read and how it is changed.
//!
//! Every change is read, decide, conditional write; on a conflict all three again. The deciding closure must
//! be idempotent: after a lost reply it sees its own effect and says [`Change::Keep`] (L5).

use crate::fault::Fault;
use crate::ports::{Cells, Key, Series, Written};
use crate::words::same_name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Conflicts in a row after which a cell counts as contended; each one means that somebody else got through.
const MAX_CONFLICTS: u32 = 16;

/// What to do with a cell after looking at it.
pub enum Change<T> {
    Keep,
    Write(T),
}

/// Reads a typed cell; a body that does not fit its type is a `Bug`, never a default.
pub async fn load<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    cells: &impl Cells,
    key: &Key,
) -> Result<Option<T>, Fault> {
    Ok(look(cells, key).await?.map(Arc::unwrap_or_clone))
}

/// As [`load`], for who keeps nothing of it.
pub async fn look<T: DeserializeOwned + Send + Sync + 'static>(
    cells: &impl Cells,
    key: &Key,
) -> Result<Option<Arc<T>>, Fault> {
    Ok(cells.load(key).await?.map(|(_, value)| value))
}

/// Changes a cell by `decide` and returns what stands there afterwards.
pub async fn update<T, F>(cells: &impl Cells, key: &Key, decide: F) -> Result<Option<Arc<T>>, Fault>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: FnMut(Option<&T>) -> Result<Change<T>, Fault>,
{
    change(cells, key, decide, async || Ok(Found::of(cells.load::<T>(key).await?))).await
}

/// As [`update`], of a cell that nothing hangs on but itself: one that does not read is as if it was never there, and is
/// written anew. A newer version of this code may have written it, or a hand.
pub async fn update_note<T, F>(cells: &impl Cells, key: &Key, decide: F) -> Result<Option<Arc<T>>, Fault>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: FnMut(Option<&T>) -> Result<Change<T>, Fault>,
{
    change(cells, key, decide, async || find_note(cells, key).await).await
}

/// A cell as a change of it finds it.
struct Found<T> {
    version: Option<u64>,
    value: Option<Arc<T>>,
}

impl<T> Found<T> {
    fn of(cell: Option<(u64, Arc<T>)>) -> Self {
        let (version, value) = cell.unzip();
        Self { version, value }
    }
}

async fn find_note<T: DeserializeOwned + Send + Sync + 'static>(
    cells: &impl Cells,
    key: &Key,
) -> Result<Found<T>, Fault> {
    match cells.load::<T>(key).await {
        Err(Fault::Bug(_)) => {}
        read => return read.map(Found::of),
    }
    match cells.read(key).await {
        Ok(cell) => Ok(Found { version: cell.map(|cell| cell.version), value: None }),
        // Not even a version: what is written first stands.
        Err(Fault::Bug(_)) => Ok(Found { version: None, value: None }),
        Err(fault) => Err(fault),
    }
}

async fn change<T, F>(
    cells: &impl Cells,
    key: &Key,
    mut decide: F,
    find: impl AsyncFn() -> Result<Found<T>, Fault>,
) -> Result<Option<Arc<T>>, Fault>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: FnMut(Option<&T>) -> Result<Change<T>, Fault>,
{
    for _ in 0..MAX_CONFLICTS {
        let found = find().await?;
        let next = match decide(found.value.as_deref())? {
            Change::Keep => return Ok(found.value),
            Change::Write(next) => Arc::new(next),
        };
        if cells.store(key, found.version, &next).await? == Written::Done {
            return Ok(Some(next));
        }
    }
    let (kind, id) = (key.kind, &key.id);
    Err(Fault::transient(format!("cell `{kind}/{id}` changed {MAX_CONFLICTS} times while it was written")))
}

/// Writes a cell whatever stands there.
pub async fn replace<T>(cells: &impl Cells, key: &Key, value: &T) -> Result<(), Fault>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    update_note::<T, _>(cells, key, |_| Ok(Change::Write(value.clone()))).await.map(|_| ())
}

/// Writes a cell that only has to be recent. Whoever loses the race leaves the other's value there: it was written
/// in the same moment, and a crowd must not fail over a note.
pub async fn note<T>(cells: &impl Cells, key: &Key, value: &T) -> Result<(), Fault>
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let mut lost = false;
    update_note::<T, _>(cells, key, |_| {
        let again = std::mem::replace(&mut lost, true);
        Ok(if again { Change::Keep } else { Change::Write(value.clone()) })
    })
    .await
    .map(|_| ())
}

/// The cells, by what they hold. The kind is the table's partition and the unit of permission.
pub mod keys {
    use super::{Key, Series};

    pub fn lease() -> Key {
        Key::new("lease", "current")
    }

    /// How often the dead-man would have acted. Of the same kind as the lease: the guard writes both.
    pub fn shadow() -> Key {
        Key::new("lease", "shadow")
    }

    /// What the guard of an old primary found there.
    pub fn returned() -> Key {
        Key::new("lease", "returned")
    }

    /// When this Region first saw the present renewal of a keeper.
    pub fn sighting(keeper: &str) -> Key {
        Key::new("sighting", keeper.to_owned())
    }

    pub fn votes(observer: &str) -> Key {
        Key::new("votes", observer.to_owned())
    }

    /// When the witness last saw the standby decide. Of the kind that the witness's prober writes anyway.
    pub fn watched() -> Key {
        Key::new("votes", "watched")
    }

    /// What clients last saw by the public names. Of the kind that the standby's prober writes anyway.
    pub fn served() -> Key {
        Key::new("votes", "served")
    }

    pub fn watermark(store: &str) -> Key {
        Key::new("watermark", store.to_owned())
    }

    pub fn incident() -> Key {
        Key::new("incident", "current")
    }

    pub fn run(execution: &str) -> Key {
        Key::new("run", execution.to_owned())
    }

    /// The executions that have no sealed end yet.
    pub fn open_runs() -> Key {
        Key::new("run", "open")
    }

    /// The records of an execution.
    pub fn journal(execution: &str) -> Series<'_> {
        Series { kind: "journal", id: execution }
    }

    pub fn journal_head(execution: &str) -> Key {
        Key::new("journal", format!("{execution}/head"))
    }

    /// What people were asked for an execution.
    pub fn approval(execution: &str) -> Key {
        Key::new("approval", execution.to_owned())
    }

    /// Which side the routes should serve.
    pub fn switch() -> Key {
        Key::new("switch", "desired")
    }

    /// What the last looks at the switch's records, checks and alarm found. Of the kind that the switcher writes anyway.
    pub fn wiring() -> Key {
        Key::new("switch", "wiring")
    }

    /// Until when the looks of this function were sent.
    pub fn looks(function: &'static str) -> Key {
        Key::new("looks", function)
    }

    pub fn readiness() -> Key {
        Key::new("readiness", "latest")
    }

    /// The last decision on a hint of this source.
    pub fn decision(source: &str) -> Key {
        Key::new("decision", source.to_owned())
    }

    /// Who vouches for the journal of an execution, as first said.
    pub fn attestation(execution: &str) -> Key {
        Key::new("attestation", execution.to_owned())
    }

    /// When a matter was last paged.
    pub fn paged(dedup: &str) -> Key {
        Key::new("paged", dedup.to_owned())
    }

    /// The checks that people override.
    pub fn overrides() -> Key {
        Key::new("override", "given")
    }

    pub fn hold() -> Key {
        Key::new("flag", "hold")
    }

    pub fn freeze() -> Key {
        Key::new("flag", "freeze")
    }

    pub fn abort(execution: &str) -> Key {
        Key::new("flag", format!("abort/{execution}"))
    }
}

/// What no move mends: a replica receives it as faithfully as everything else (L8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Corruption,
    Security,
}

impl Category {
    pub fn name(self) -> &'static str {
        match self {
            Self::Corruption => "corruption",
            Self::Security => "security",
        }
    }

    /// What to do in the place of a move.
    pub fn road(self) -> &'static str {
        match self {
            Self::Corruption => {
                "the replica holds the same corruption, so nothing moves, whoever asks. The road: stop what writes it, \
                 restore from a backup taken before it began, and only then `understudy resume`"
            }
            Self::Security => {
                "the replica and its Region may be compromised as well, so nothing moves, whoever asks. The road: \
                 contain it first, keep the evidence, restore from a backup taken before it began, and only then \
                 `understudy resume`"
            }
        }
    }
}

/// A flag with who raised it and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    pub raised: bool,
    pub by: String,
    pub why: String,
    pub at: jiff::Timestamp,
    /// Of a hold: that it is for something which never promotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Who else raised it: it is up until each of them lowers it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Holder>,
}

/// Somebody who raised a flag that was raised already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub by: String,
    pub why: String,
    pub at: jiff::Timestamp,
}

impl Flag {
    /// That it is raised, by whom and why.
    pub fn told(&self) -> String {
        let also: Vec<String> =
            self.also.iter().map(|other| format!("; and by `{}`: {}", other.by, other.why)).collect();
        let also = also.concat();
        match self.category {
            None => format!("on hold by `{}`: {}{also}", self.by, self.why),
            Some(category) => format!("{} declared by `{}`: {}{also}", category.name(), self.by, self.why),
        }
    }

    /// What there is to do about it.
    pub fn road(&self) -> &'static str {
        self.category.map_or("`understudy resume` lifts the hold", Category::road)
    }
}

/// The flag if it is raised. One that does not read may be raised (L4), until somebody sets it.
pub async fn raised(cells: &impl Cells, key: &Key, now: jiff::Timestamp) -> Result<Option<Flag>, Fault> {
    match look::<Flag>(cells, key).await {
        Err(Fault::Bug(why)) => Ok(Some(Flag {
            raised: true,
            by: "nobody who is known".to_owned(),
            why: format!("what stands there does not read ({why})"),
            at: now,
            category: None,
            also: Vec::new(),
        })),
        read => Ok(read?.filter(|flag| flag.raised).map(Arc::unwrap_or_clone)),
    }
}

/// Raises or lowers a flag and says what stands then. One that does not read counts as raised, so that lowering it writes
/// also where nothing seems to stand. Of two who raised it, each lowers their own (L8).
pub async fn set_flag(cells: &impl Cells, key: &Key, flag: &Flag) -> Result<Flag, Fault> {
    let stands = update_note::<Flag, _>(cells, key, |current| {
        Ok(match current {
            Some(now) if now.raised && flag.raised => also_raised(now, flag),
            Some(now) if now.raised => lowered(now, flag),
            Some(now) if !flag.raised && !now.raised => Change::Keep,
            _ => Change::Write(flag.clone()),
        })
    })
    .await?;
    Ok(stands.map_or_else(|| flag.clone(), Arc::unwrap_or_clone))
}

/// A plain hold takes no declaration away; only lowering the flag does.
fn also_raised(now: &Flag, flag: &Flag) -> Change<Flag> {
    let holder = |flag: &Flag| Holder { by: flag.by.clone(), why: flag.why.clone(), at: flag.at };
    if flag.category.is_some() && flag.category != now.category {
        let also =
            now.also.iter().cloned().chain([holder(now)]).filter(|other| !same_name(&other.by, &flag.by));
        return Change::Write(Flag { also: also.collect(), ..flag.clone() });
    }
    if same_name(&now.by, &flag.by) || now.also.iter().any(|other| same_name(&other.by, &flag.by)) {
        return Change::Keep;
    }
    let also = now.also.iter().cloned().chain([holder(flag)]).collect();
    Change::Write(Flag { also, ..now.clone() })
}

/// Who lowers it lowers their own; where they raised none, the last one that stands alone.
fn lowered(now: &Flag, flag: &Flag) -> Change<Flag> {
    let mut also: Vec<Holder> =
        now.also.iter().filter(|other| !same_name(&other.by, &flag.by)).cloned().collect();
    let theirs = same_name(&now.by, &flag.by);
    if also.is_empty() && (theirs || now.also.is_empty()) {
        return Change::Write(flag.clone());
    }
    if !theirs {
        return if also.len() == now.also.len() {
            Change::Keep
        } else {
            Change::Write(Flag { also, ..now.clone() })
        };
    }
    let next = also.remove(0);
    // A declaration goes with who made it.
    Change::Write(Flag { by: next.by, why: next.why, at: next.at, also, category: None, raised: true })
}
