//! Looks between two ticks.
//!
//! EventBridge Scheduler fires once a minute at the most, and anywhere within it. So each tick of a function sends to
//! that function's own queue the looks that are due until three ticks from now, as delayed messages: two ticks in a row
//! may lie almost two apart, and one may be lost, without a gap in the looks. They are due at whole multiples of the
//! plan's `look`, so that it does not matter where in its minute a tick came; and what was sent before is kept, so that
//! none is sent twice.
//!
//! A look is answered as a tick is, but sends nothing: no message leads to another. A tick whose looks could not be sent
//! has looked all the same.

use crate::call;
use crate::fault::Fault;
use crate::lease;
use crate::plan::Plan;
use crate::ports::{Cells, Clock, Looks};
use crate::state::{Change, keys, look, update_note};
use crate::time::{Millis, after, elapsed};
use futures_util::future::join;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many ticks ahead looks are sent.
const AHEAD: u64 = 3;
/// SQS delays no message for longer.
const LONGEST_DELAY: Millis = Millis::from_secs(900);

/// Until when the looks of one function were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub until: Timestamp,
}

/// Looks of which none is missing between the first and the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbroken {
    /// When the first of them was due.
    pub since: Timestamp,
    /// When the last of them was due.
    pub last: Timestamp,
}

/// Looks are counted on once this many ticks went by without one missing: a lease of four looks ends if four in a row are
/// lost and no tick comes, and where many are lost, one is lost within fifteen minutes, too.
const PROVED: u64 = 15;

/// For how long looks must come before the lease counts on them.
pub(crate) fn proved_after(plan: &Plan) -> Millis {
    plan.tick.times(PROVED)
}

/// How long a lease lasts that counts on ticks alone.
pub(crate) fn unproved_ttl(plan: &Plan) -> Millis {
    plan.lease.ttl.max(plan.tick.times(4))
}

impl Unbroken {
    /// `before` with the look that is due at `due`; a look that is missing between the two begins anew. So does one that
    /// lies further ahead than looks can come out of order: a wrong clock dated it.
    pub fn and(before: Option<&Self>, due: Timestamp, every: Millis) -> Self {
        let ahead = |before: &Self| elapsed(due, before.last) > every.times(LATE);
        match before {
            Some(before) if elapsed(before.last, due) <= every && !ahead(before) => {
                Self { since: before.since, last: before.last.max(due) }
            }
            _ => Self { since: due, last: due },
        }
    }

    /// The longer of two that two invocations saw at the same time.
    pub(crate) fn longer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).max_by_key(|looks| (looks.last, elapsed(looks.since, looks.last)))
    }

    /// Looks came for so long without a gap, and still come, that a lease may count on them.
    pub fn proved(&self, plan: &Plan, now: Timestamp) -> bool {
        let long = elapsed(self.since, self.last) >= proved_after(plan);
        let come =
            elapsed(self.last, now) <= plan.pace().times(LATE) && elapsed(now, self.last) <= lease::AHEAD;
        long && come
    }
}

/// A look that comes later than by so many looks says nothing any more.
const LATE: u64 = 2;

/// One function that looks between its ticks.
pub struct Eyes<'a, C, K, Q> {
    pub plan: &'a Plan,
    /// Where is kept what was sent.
    pub cells: &'a C,
    pub clock: &'a K,
    /// The queue that comes back to this function; `None`: it was deployed without one.
    pub queue: Option<&'a Q>,
    /// The function's name, as its plan's resources have it.
    pub function: &'static str,
}

/// What an event led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Looked<T> {
    /// `None`: it was a look that came too late to say anything.
    #[serde(flatten)]
    pub answer: Option<T>,
    /// When the look was due that came too late, or ahead of its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<Timestamp>,
    /// Why the looks ahead were not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks_missed: Option<String>,
}

impl<C: Cells, K: Clock, Q: Looks> Eyes<'_, C, K, Q> {
    /// Answers an event by `inner`. A look reaches it as `{"look": "2026-11-30T12:00:15Z"}`, and a tick as it came.
    pub async fn answer<T>(
        &self,
        event: &Value,
        inner: impl AsyncFnOnce(&Value) -> Result<T, Fault>,
    ) -> Result<Looked<T>, Fault> {
        if let Some(due) = delivered(event)? {
            // An outage of Lambda or of the queue must not end in a crowd of old looks.
            // And one that is ahead was dated by a wrong clock.
            let now = self.clock.now();
            if elapsed(due, now) > self.plan.pace().times(LATE) || elapsed(now, due) > lease::AHEAD {
                return Ok(Looked { answer: None, late: Some(due), looks_missed: None });
            }
            let answer = inner(&json!({ "look": due })).await?;
            return Ok(Looked { answer: Some(answer), late: None, looks_missed: None });
        }
        if !call::is_tick(event)? {
            let answer = inner(event).await?;
            return Ok(Looked { answer: Some(answer), late: None, looks_missed: None });
        }
        let (answer, sent) = join(inner(event), self.send_ahead()).await;
        let looks_missed = sent.err().map(|fault| fault.to_string());
        Ok(Looked { answer: Some(answer?), late: None, looks_missed })
    }

    async fn send_ahead(&self) -> Result<(), Fault> {
        let Some(every) = self.plan.look else { return Ok(()) };
        let Some(queue) = self.queue else {
            return Err(Fault::bug(
                "the plan has `look`, and this stack was deployed without the parameter `Look`",
            ));
        };
        let horizon = self.plan.tick.times(AHEAD).min(LONGEST_DELAY);
        let key = keys::looks(self.function);
        // What cannot be read was perhaps not sent: a look too many costs nothing but itself.
        let sent = look::<Sent>(self.cells, &key).await.ok().flatten().map(|sent| sent.until);
        let now = self.clock.now();
        let due = due(now, sent, every, horizon);
        let Some(until) = due.last().copied() else { return Ok(()) };
        queue.send(&due.iter().map(|due| (*due, elapsed(now, *due))).collect::<Vec<_>>()).await?;
        // Behind the sending, and whatever comes of it: what is not on record is sent twice rather than not at all.
        let _ = update_note::<Sent, _>(self.cells, &key, |_| Ok(Change::Write(Sent { until }))).await;
        Ok(())
    }
}

/// The instants at which a look is due, behind `now` and what was `sent`, up to `horizon` from now: whole multiples of
/// `every`, in order. A `sent` that no tick can have written yet was dated by a wrong clock, and counts for nothing.
pub fn due(now: Timestamp, sent: Option<Timestamp>, every: Millis, horizon: Millis) -> Vec<Timestamp> {
    let end = after(now, horizon);
    let begin = sent.filter(|sent| *sent <= end).map_or(now, |sent| sent.max(now)).as_millisecond();
    let Some(every) = i64::try_from(every.0).ok().filter(|every| *every > 0) else { return Vec::new() };
    let first = begin.div_euclid(every).saturating_add(1);
    (first..)
        .map_while(|n| n.checked_mul(every).and_then(|at| Timestamp::from_millisecond(at).ok()))
        .take_while(|at| *at <= end)
        .collect()
}

/// When the look was due that a queue delivered; `None`: the event came by no queue.
fn delivered(event: &Value) -> Result<Option<Timestamp>, Fault> {
    let Some(record) = event.pointer("/Records/0") else { return Ok(None) };
    if record.get("eventSource").and_then(Value::as_str) != Some("aws:sqs") {
        return Ok(None);
    }
    let body = record.get("body").and_then(Value::as_str).unwrap_or_default();
    let body: Value =
        serde_json::from_str(body).map_err(|_| Fault::invalid("Records[0].body: must be JSON"))?;
    call::look_due(&body)?.map(Some).ok_or_else(|| Fault::invalid("Records[0].body.look: must be an instant"))
}
