//! Pages about one matter: many notice it, one tells it.
//!
//! A claim is written before the page goes out and is marked once it is out. A claim that never became a page runs
//! out, so a matter may be told twice and is never lost; what is told twice has the same `dedup`.

use crate::fault::Fault;
use crate::ports::Cells;
use crate::state::{Change, keys, note, update_note};
use crate::time::{Millis, elapsed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whose turn it is to page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The caller's: page, then say so with [`told`].
    Mine,
    /// It was told already.
    Told,
    /// Somebody else's, who is about to; or was killed, and then it is the caller's at the next tick.
    Others,
}

/// When a matter was last paged, or taken by somebody who is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Paged {
    at: Timestamp,
    /// The page went out.
    out: bool,
}

/// Takes the matter for oneself: of many that come at once, one pages. A claim that did not become a page runs out
/// before the next `tick`, which then tries again; one that did is good for `again`, or for ever.
pub async fn claim(
    cells: &impl Cells,
    dedup: &str,
    now: Timestamp,
    tick: Millis,
    again: Option<Millis>,
) -> Result<Turn, Fault> {
    let ours = Paged { at: now, out: false };
    let mut turn = Turn::Others;
    update_note::<Paged, _>(cells, &keys::paged(dedup), |paged| {
        turn = paged.map_or(Turn::Mine, |paged| match (paged.out, again) {
            _ if *paged == ours => Turn::Mine,
            (true, None) => Turn::Told,
            (true, Some(again)) if elapsed(paged.at, now) < again => Turn::Told,
            (false, _) if elapsed(paged.at, now) < Millis(tick.0 / 2) => Turn::Others,
            _ => Turn::Mine,
        });
        Ok(if turn == Turn::Mine { Change::Write(ours) } else { Change::Keep })
    })
    .await?;
    Ok(turn)
}

/// The page that was claimed at `now` went out.
pub async fn told(cells: &impl Cells, dedup: &str, now: Timestamp) -> Result<(), Fault> {
    note(cells, &keys::paged(dedup), &Paged { at: now, out: true }).await
}
