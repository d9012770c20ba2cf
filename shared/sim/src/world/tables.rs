//! The state tables of standby and witness: strong reads, conditional writes.
//!
//! Cells are kept as the values that they are; a body that somebody wrote as JSON is read as such.

use super::faults::Passed;
use super::{Effect, Place, World};
use crate::trace::What;
use foldhash::fast::FixedState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use understudy_core::fault::Fault;
use understudy_core::journal::Stored;
use understudy_core::lease::Lease;
use understudy_core::overrides::Overrides;
use understudy_core::ports::{Cell, Cells, Key, Series, Written};
use understudy_core::run::Run;
use understudy_core::state::{Flag, keys};
use understudy_core::switch::{Desired, standby_serves};
use understudy_core::votes::{History, Seen};

/// What lies in a cell.
#[derive(Clone)]
pub(crate) enum Body {
    Json(Value),
    Typed(Arc<dyn Any + Send + Sync>, fn(&(dyn Any + Send + Sync)) -> Value),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Body {
    fn of<T: Serialize + Send + Sync + 'static>(value: &Arc<T>) -> Self {
        Self::Typed(Arc::clone(value) as _, json::<T>)
    }

    fn value(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Typed(value, json) => json(value.as_ref()),
        }
    }

    fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self, key: &Key) -> Result<Arc<T>, Fault> {
        if let Self::Typed(value, _) = self
            && let Ok(value) = Arc::clone(value).downcast::<T>()
        {
            return Ok(value);
        }
        serde_json::from_value(self.value())
            .map(Arc::new)
            .map_err(|error| Fault::bug(format!("cell `{}/{}` does not read: {error}", key.kind, key.id)))
    }
}

fn json<T: Serialize + 'static>(value: &(dyn Any + Send + Sync)) -> Value {
    let value = value.downcast_ref::<T>().map(serde_json::to_value);
    value.and_then(Result::ok).unwrap_or_default()
}

/// One table. Nothing may depend on the order of its cells.
type Rows = HashMap<Key, Versioned, FixedState>;

struct Versioned {
    version: u64,
    body: Body,
}

/// Both tables.
#[derive(Default)]
pub(super) struct Tables {
    standby: Rows,
    witness: Rows,
}

impl Tables {
    fn at(&mut self, place: Place) -> &mut Rows {
        if place == Place::Witness { &mut self.witness } else { &mut self.standby }
    }

    /// What the switch's own endpoint reads.
    pub(super) fn standby_serves(&self) -> bool {
        let key = keys::switch();
        let there = self.get(Place::Standby, &key).and_then(|there| there.body.typed::<Desired>(&key).ok());
        standby_serves(there.as_deref())
    }

    fn get(&self, place: Place, key: &Key) -> Option<&Versioned> {
        if place == Place::Witness { self.witness.get(key) } else { self.standby.get(key) }
    }

    fn follow<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        place: Place,
        series: &Series<'_>,
        last: u64,
    ) -> Result<Vec<Arc<T>>, Fault> {
        let found = (last + 1..).map_while(|seq| {
            let key = series.key(seq);
            Some(self.get(place, &key)?.body.typed(&key))
        });
        found.collect()
    }
}

/// The table at `at`, as somebody in `from` uses it.
pub struct Table<'a> {
    pub world: &'a World,
    pub from: Place,
    pub at: Place,
}

impl Table<'_> {
    async fn put(&self, key: &Key, expected: Option<u64>, body: Body) -> Result<Written, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        if let Passed::Late(at) = passed {
            let effect = Effect::Write { at: self.at, key: key.clone(), expected, body };
            self.world.happens_late(at, effect);
            return self.world.gave_up().await;
        }
        let written = self.world.write_cell(self.at, key, expected, body);
        // The SDK asks again by itself: what it then finds is its own write.
        if matches!(passed, Passed::Lost) && self.world.draw() & 1 == 0 {
            return Ok(Written::Conflict);
        }
        self.world.reply(passed, written).await
    }
}

impl Cells for Table<'_> {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        let cell = {
            let inner = self.world.inner.borrow();
            let there = inner.tables.get(self.at, key);
            there.map(|there| Cell { version: there.version, body: there.body.value() })
        };
        self.world.reply(passed, cell).await
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        self.put(key, expected, Body::Json(body.clone())).await
    }

    async fn load<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        key: &Key,
    ) -> Result<Option<(u64, Arc<T>)>, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        let there = {
            let inner = self.world.inner.borrow();
            let there = inner.tables.get(self.at, key);
            there.map(|there| Ok((there.version, there.body.typed::<T>(key)?))).transpose()?
        };
        self.world.reply(passed, there).await
    }

    async fn store<T: Serialize + Send + Sync + 'static>(
        &self,
        key: &Key,
        expected: Option<u64>,
        value: &Arc<T>,
    ) -> Result<Written, Fault> {
        self.put(key, expected, Body::of(value)).await
    }

    async fn follow<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        series: &Series<'_>,
        last: u64,
    ) -> Result<Vec<Arc<T>>, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        let found = self.world.inner.borrow().tables.follow(self.at, series, last)?;
        self.world.reply(passed, found).await
    }
}

impl World {
    pub(super) fn write_cell(&self, at: Place, key: &Key, expected: Option<u64>, body: Body) -> Written {
        let mut inner = self.inner();
        let cells = inner.tables.at(at);
        let there = cells.get_mut(key);
        if there.as_ref().map(|there| there.version) != expected {
            return Written::Conflict;
        }
        let shown = shown(at, key, &body, there.as_ref().map(|there| &there.body));
        match there {
            Some(there) => {
                there.version += 1;
                there.body = body;
            }
            None => drop(cells.insert(key.clone(), Versioned { version: 1, body })),
        }
        if let Some(what) = shown {
            inner.note(what);
        }
        Written::Done
    }

    /// A cell as it stands, without a call.
    pub fn peek(&self, at: Place, key: &Key) -> Option<Value> {
        self.inner.borrow().tables.get(at, key).map(|there| there.body.value())
    }

    /// Puts a cell there, as a person with a command line does.
    pub fn put(&self, at: Place, key: &Key, body: Value) {
        let mut inner = self.inner();
        let cells = inner.tables.at(at);
        let version = cells.get(key).map_or(1, |there| there.version + 1);
        let body = Body::Json(body);
        let shown = shown(at, key, &body, cells.get(key).map(|there| &there.body));
        cells.insert(key.clone(), Versioned { version, body });
        if let Some(what) = shown {
            inner.note(what);
        }
    }

    /// The journal of an execution as it lies in the standby's table.
    pub fn journal(&self, execution: &str) -> Vec<Arc<Stored>> {
        let records = self.inner.borrow().tables.follow(Place::Standby, &keys::journal(execution), 0);
        records.unwrap_or_default()
    }
}

/// What a write shows to whoever watches: records, epochs and flags.
fn shown(at: Place, key: &Key, body: &Body, before: Option<&Body>) -> Option<What> {
    match key.kind {
        "journal" if !key.id.ends_with("/head") => {
            let record = body.typed::<Stored>(key).ok()?.record().ok()?;
            Some(What::Journaled(record))
        }
        "lease" => {
            let lease = body.typed::<Lease>(key).ok()?;
            let same = before.and_then(|before| before.typed::<Lease>(key).ok());
            let changed = same.is_none_or(|same| (same.epoch, &same.holder) != (lease.epoch, &lease.holder));
            changed.then(|| What::Lease { keeper: at, epoch: lease.epoch, holder: lease.holder.clone() })
        }
        "run" => {
            let asked = |body: &Body| body.typed::<Run>(key).is_ok_and(|run| run.promotion_asked);
            let now = asked(body) && !before.is_some_and(asked);
            now.then(|| What::ThroughTheDoor { execution: key.id.to_string() })
        }
        "votes" if at == Place::Standby => {
            let history = body.typed::<History>(key).ok()?;
            let last = history.probes.last()?;
            Some(What::Looked { observer: key.id.to_string(), at: last.at, up: last.seen == Seen::Up })
        }
        "flag" => {
            let flag = body.typed::<Flag>(key).ok()?;
            Some(What::Flag { name: key.id.to_string(), raised: flag.raised, by: flag.by.clone() })
        }
        "override" => {
            let given = body.typed::<Overrides>(key).ok()?;
            let last = given.given.last()?;
            Some(What::Overridden { check: last.check.clone(), by: last.by.clone(), until: last.until })
        }
        _ => None,
    }
}
