//! What stands in the way of one call: how long it takes, a closed link, or a trouble that was drawn or aimed at it.
//!
//! Every call takes virtual time before its effect, and sometimes after it. So between any two effects of an
//! invocation everybody else may act, the world may break, and the invocation may die.

use super::{Inner, Place, World};
use crate::queue::{Due, Moment};
use crate::trace::What;
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll};
use understudy_core::fault::Fault;
use understudy_core::steps::Step;
use understudy_core::time::Millis;

/// A call of an SDK gives up after this long, as the adapters are configured.
pub(super) const SDK_PATIENCE: i64 = 4_000;
/// `sql-agent` is waited for a little longer than it waits for its server.
pub(super) const SQL_PATIENCE: i64 = 9_000;
/// An effect whose caller has given up may come this much later.
const VERY_LATE: u64 = 60_000;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It fails before it had any effect.
    Before,
    /// Its effect happened; the reply was lost.
    LostReply,
    /// The invocation is killed before the call leaves.
    Killed,
    /// The invocation is killed once the call had its effect.
    KilledAfter,
    /// The caller gives up; the effect comes long after.
    Late,
}

impl Trouble {
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "call fails",
            Self::LostReply => "reply lost",
            Self::Killed => "killed before a call",
            Self::KilledAfter => "killed after a call",
            Self::Late => "effect comes late",
        }
    }
}

/// A trouble aimed at the `call`-th call of the first delivery of `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    pub step: Step,
    pub call: u32,
    pub trouble: Trouble,
}

/// A delivery that comes once more comes this late, in milliseconds.
pub(crate) const MUCH_LATER: i64 = 1_800_000;

/// How a task is handed to its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// Twice in a row; the second answer counts.
    Twice,
    /// Once more long after it was answered.
    AgainLater,
}

/// A call that got through; what remains open is whether, and when, its caller hears of it.
pub(crate) enum Passed {
    Heard,
    /// The reply takes this long.
    Slowly(i64),
    Lost,
    Killed,
    /// Its effect is to come at that moment; the caller gives up now.
    Late(Moment),
}

/// Nothing but time.
struct Sleep<'a> {
    world: &'a World,
    due: Moment,
    planned: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.world.moment() >= self.due {
            return Poll::Ready(());
        }
        if !self.planned {
            self.planned = true;
            self.world.wake_at(self.due);
        }
        Poll::Pending
    }
}

impl World {
    pub fn aim(&self, aim: Aim) {
        self.inner().aims.push(aim);
    }

    /// Whether any trouble is aimed at a step.
    pub(crate) fn is_aimed_at(&self) -> bool {
        !self.inner.borrow().aims.is_empty()
    }

    /// How many calls the first delivery of `step` made; `None` if it never ran.
    pub fn calls_of(&self, step: Step) -> Option<u32> {
        self.inner.borrow().calls.get(&step).copied()
    }

    /// The next delivery of each step is its first again.
    pub fn forget_calls(&self) {
        self.inner().calls.clear();
    }

    pub(crate) async fn sleep(&self, span: i64) {
        Sleep { world: self, due: self.moment().saturating_add(span), planned: false }.await;
    }

    /// Plans a poll of the invocation that runs just now.
    pub(crate) fn wake_at(&self, at: Moment) {
        let id = self.inner.borrow().current.as_ref().map(|invocation| (invocation.id, invocation.dies_at));
        if let Some((id, dies_at)) = id {
            self.plan_for(at.min(dies_at), Due::Poll(id));
        }
    }

    /// The invocation that runs just now ends here, and nobody hears of it.
    async fn die<T>(&self) -> T {
        if let Some(invocation) = &mut self.inner().current {
            invocation.dead = true;
        }
        std::future::pending().await
    }

    /// Lets one call from `from` to `to` through after a while, or says why not. Never returns if the caller dies.
    pub(crate) async fn pass(&self, from: Place, to: Place) -> Result<Passed, Fault> {
        self.pass_within(from, to, SDK_PATIENCE).await
    }

    /// As [`World::pass`], for a caller that waits for at most `patience` milliseconds.
    pub(crate) async fn pass_within(&self, from: Place, to: Place, patience: i64) -> Result<Passed, Fault> {
        if to == Place::Primary && from != to {
            self.reaches_for_primary();
        }
        self.pass_to_answer(from, to, patience).await
    }

    /// As [`World::pass_within`], where a name decides who answers: that it is the primary is nobody's reaching.
    pub(crate) async fn pass_to_answer(
        &self,
        from: Place,
        to: Place,
        patience: i64,
    ) -> Result<Passed, Fault> {
        let (wait, trouble) = {
            let mut inner = self.inner();
            let trouble = inner.next_trouble(self.settings.trouble_permille);
            (inner.latency(from, to, self.settings.slow_permille), trouble)
        };
        if trouble == Some(Trouble::Killed) {
            return self.die().await;
        }
        if wait > patience {
            self.sleep(patience).await;
            return Err(Fault::transient(format!("{to:?} did not answer within {patience} ms")));
        }
        self.sleep(wait).await;
        if !self.inner.borrow().open(from, to) {
            self.sleep(patience.min(1_000)).await;
            return Err(Fault::transient(format!("{to:?} cannot be reached from {from:?}")));
        }
        Ok(match trouble {
            Some(Trouble::Before) => return Err(Fault::transient("throttled")),
            Some(Trouble::LostReply) => Passed::Lost,
            Some(Trouble::KilledAfter) => Passed::Killed,
            Some(Trouble::Late) => Passed::Late(self.moment() + self.inner().very_late()),
            _ => match self.inner().reply_latency() {
                0 => Passed::Heard,
                span => Passed::Slowly(span),
            },
        })
    }

    /// Notes that a step reaches for the Region of the primary.
    pub(super) fn reaches_for_primary(&self) {
        let mut inner = self.inner();
        let Some(invocation) = &inner.current else { return };
        let execution = invocation.event.get("execution").and_then(Value::as_str);
        if let Some((step, execution)) = invocation.step.zip(execution.map(str::to_owned)) {
            inner.note(What::ReachedForPrimary { step, execution });
        }
    }

    /// The reply as the caller hears it.
    pub(crate) async fn reply<T>(&self, passed: Passed, value: T) -> Result<T, Fault> {
        match passed {
            Passed::Heard => Ok(value),
            Passed::Slowly(span) => {
                self.sleep(span).await;
                Ok(value)
            }
            Passed::Lost => Err(Fault::transient("the reply was lost")),
            Passed::Killed => self.die().await,
            Passed::Late(_) => self.gave_up().await,
        }
    }

    /// What the caller hears of a call whose effect is still to come.
    pub(crate) async fn gave_up<T>(&self) -> Result<T, Fault> {
        self.sleep(SDK_PATIENCE).await;
        Err(Fault::transient("no answer in time"))
    }
}

impl Inner {
    fn next_trouble(&mut self, permille: u64) -> Option<Trouble> {
        let invocation = self.current.as_mut()?;
        invocation.calls += 1;
        let (call, step) = (invocation.calls, invocation.step.filter(|_| invocation.first));
        if let Some(step) = step {
            self.calls.insert(step, call);
            if let Some(aim) = self.aims.iter().find(|aim| aim.step == step && aim.call == call) {
                return Some(aim.trouble);
            }
        }
        self.count += 1;
        let trouble = match &self.only {
            Some(only) => only.iter().find(|(count, _)| *count == self.count).map(|(_, trouble)| *trouble),
            None => self.drawn_trouble(permille),
        }?;
        let (call, step) = (self.count, self.current.as_ref().and_then(|invocation| invocation.step));
        self.troubles.push((call, trouble));
        self.note(What::Troubled { call, step, trouble });
        self.cover(trouble.name());
        Some(trouble)
    }

    fn drawn_trouble(&mut self, permille: u64) -> Option<Trouble> {
        if !self.trouble.happens(permille.max(self.throttled)) {
            return None;
        }
        // Most trouble is a failed call; deaths and very late effects are rarer.
        Some(match self.trouble.below(20) {
            0 | 1 => Trouble::Killed,
            2 | 3 => Trouble::KilledAfter,
            4 | 5 => Trouble::Late,
            6..=12 => Trouble::LostReply,
            _ => Trouble::Before,
        })
    }

    /// How long a call is under way before its effect.
    fn latency(&mut self, from: Place, to: Place, slow_permille: u64) -> i64 {
        let drawn = self.chance.draw();
        let base = if from == to { 3 } else { 35 };
        let usual = base + (drawn & 31);
        let slow = !self.calm && (drawn >> 8) % 1000 < slow_permille;
        let slow = slow || (self.slow.contains(to) && (drawn >> 24).is_multiple_of(5));
        let wait = if slow { 150 + (drawn >> 32) % 6_000 } else { usual };
        i64::try_from(wait).unwrap_or(0)
    }

    /// One reply in eight takes a while longer than the way there.
    fn reply_latency(&mut self) -> i64 {
        let drawn = self.chance.draw();
        if drawn & 7 != 0 {
            return 0;
        }
        i64::try_from(5 + (drawn >> 8) % 90).unwrap_or(0)
    }

    fn very_late(&mut self) -> i64 {
        i64::try_from(SDK_PATIENCE.unsigned_abs() + self.trouble.below(VERY_LATE)).unwrap_or(SDK_PATIENCE)
    }

    /// Counts that a fault met the state in which the execution is just now.
    pub(super) fn cover(&mut self, fault: &'static str) {
        let state = self.state.clone();
        *self.coverage.entry(fault).or_default().entry(state).or_insert(0) += 1;
    }
}

/// A span as the world's clockwork counts it.
pub(crate) fn span(millis: Millis) -> i64 {
    i64::try_from(millis.0).unwrap_or(i64::MAX / 4)
}
