//! The state tables of standby and witness: strong reads, conditional writes.

use super::{Place, World};
use crate::trace::What;
use serde_json::Value;
use understudy_core::fault::Fault;
use understudy_core::journal::Stored;
use understudy_core::ports::{Cell, Cells, Key, Written};
use understudy_core::state::keys;

/// The table at `at`, as somebody in `from` uses it.
pub struct Table<'a> {
    pub world: &'a World,
    pub from: Place,
    pub at: Place,
}

impl Cells for Table<'_> {
    async fn read(&self, key: &Key) -> Result<Option<Cell>, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        let cell = self.world.inner().tables.get(&(self.at, key.clone())).cloned();
        passed.reply(cell).await
    }

    async fn write(&self, key: &Key, expected: Option<u64>, body: &Value) -> Result<Written, Fault> {
        let passed = self.world.pass(self.from, self.at).await?;
        let written = self.world.write_cell(self.at, key, expected, body);
        passed.reply(written).await
    }
}

impl World {
    fn write_cell(&self, at: Place, key: &Key, expected: Option<u64>, body: &Value) -> Written {
        let mut inner = self.inner();
        let place = (at, key.clone());
        let version = inner.tables.get(&place).map(|cell| cell.version);
        if version != expected {
            return Written::Conflict;
        }
        let version = version.map_or(1, |version| version + 1);
        inner.tables.insert(place, Cell { version, body: body.clone() });
        if let Some(record) = journal_record(key, body) {
            inner.note(What::Journaled(Box::new(record)));
        }
        Written::Done
    }

    /// A cell as it stands, without a call.
    pub fn peek(&self, at: Place, key: &Key) -> Option<Value> {
        self.inner.borrow().tables.get(&(at, key.clone())).map(|cell| cell.body.clone())
    }

    /// Puts a cell there, as a person with a command line does.
    pub fn put(&self, at: Place, key: &Key, body: Value) {
        let mut inner = self.inner();
        let version = inner.tables.get(&(at, key.clone())).map_or(1, |cell| cell.version + 1);
        inner.tables.insert((at, key.clone()), Cell { version, body });
    }

    /// The journal of an execution as it lies in the standby's table.
    pub fn journal(&self, execution: &str) -> Vec<Stored> {
        let stored = |seq| self.peek(Place::Standby, &keys::journal(execution, seq));
        (1..).map_while(stored).filter_map(|body| serde_json::from_value(body).ok()).collect()
    }
}

fn journal_record(key: &Key, body: &Value) -> Option<understudy_core::journal::Record> {
    if key.kind != "journal" || key.id.ends_with("/head") {
        return None;
    }
    serde_json::from_value::<Stored>(body.clone()).ok()?.record().ok()
}
