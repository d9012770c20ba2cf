//! Who watches the watcher: the witness looks whether the standby still decides.
//!
//! A handler that dies at every look, schedules that somebody switched off, or a Region that is lost altogether start no
//! failover and tell nobody. What the standby last decided lies in its own table with its instant; the witness reads that
//! at each tick of its prober, and pages by a topic of its own.

use crate::fault::Fault;
use crate::handler::{Decided, TICK};
use crate::paging::{self, Turn};
use crate::plan::Plan;
use crate::ports::{Cells, Page, Pager, Severity};
use crate::state::{Change, keys, look, update_note};
use crate::time::elapsed;
use crate::words::instant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A standby that decided nothing for so many ticks is told of: two that came anywhere in theirs, one that was lost, and
/// time to be seen.
const SILENT_TICKS: u64 = 5;
/// It is told again after so many ticks.
const AGAIN_TICKS: u64 = 15;

/// What the witness needs to watch the standby.
pub struct Watch<'a, C, P> {
    /// The standby's table.
    pub standby: &'a C,
    pub pager: &'a P,
}

/// The newest decision of the standby that the witness saw, or since when it looks for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    at: Timestamp,
}

impl<C: Cells, P: Pager> Watch<'_, C, P> {
    /// Looks once, at `now`; `ours`: the witness's own table.
    pub async fn look(&self, plan: &Plan, ours: &C, now: Timestamp) -> Result<(), Fault> {
        let decided = look::<Decided>(self.standby, &keys::decision(TICK)).await;
        let newest = decided.as_ref().ok().and_then(|decided| decided.as_ref().map(|decided| decided.at));
        let seen = update_note::<Seen, _>(ours, &keys::watched(), |seen| {
            let at = newest.max(seen.map(|seen| seen.at)).unwrap_or(now);
            // A clock that runs ahead must not make it look awake for long.
            let next = Seen { at: at.min(now) };
            Ok(if seen == Some(&next) { Change::Keep } else { Change::Write(next) })
        })
        .await?;
        let since = seen.map_or(now, |seen| seen.at);
        if elapsed(since, now) < plan.tick.times(SILENT_TICKS) {
            return Ok(());
        }
        let why = match decided {
            Ok(_) => "its alarm-handler decides nothing: it fails, or its schedule does not fire".to_owned(),
            Err(fault) => format!("its table cannot be read from here: {fault}"),
        };
        self.page(plan, ours, since, &why, now).await
    }

    async fn page(
        &self,
        plan: &Plan,
        ours: &C,
        since: Timestamp,
        why: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let dedup = "standby-does-not-look";
        let again = plan.tick.times(AGAIN_TICKS);
        if paging::claim(ours, dedup, now, plan.tick, Some(again)).await? != Turn::Mine {
            return Ok(());
        }
        let text = format!(
            "{}: THE STANDBY DOES NOT LOOK, since {}, as the witness sees it: {why}. While that lasts no failover starts and \
             nobody else tells of anything. See that the standby's schedules are on and that its functions run",
            plan.title,
            instant(since)
        );
        let page = Page {
            severity: Severity::Critical,
            plan: plan.name.clone(),
            incident: None,
            text,
            dedup: dedup.to_owned(),
        };
        self.pager.page(&page).await?;
        paging::told(ours, dedup, now).await
    }
}
