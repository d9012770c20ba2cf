//! What stands in the way of one call: a closed link, or a trouble that was aimed at it.

use super::{Inner, Place, World};
use understudy_core::fault::Fault;
use understudy_core::steps::Step;

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
}

/// A trouble aimed at the `call`-th call of the first delivery of `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    pub step: Step,
    pub call: u32,
    pub trouble: Trouble,
}

/// How a task is handed to its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Once,
    /// Twice in a row; the second answer counts.
    Twice,
    /// Once more long after it was answered.
    AgainLater,
}

pub(super) struct Invocation {
    step: Option<Step>,
    first: bool,
    calls: u32,
}

/// A call that got through; what remains open is whether its caller hears of it.
pub(crate) enum Passed {
    Heard,
    Lost,
    Killed,
}

impl World {
    pub fn aim(&self, aim: Aim) {
        self.inner().aims.push(aim);
    }

    /// How many calls the first delivery of `step` made; `None` if it never ran.
    pub fn calls_of(&self, step: Step) -> Option<u32> {
        self.inner.borrow().calls.get(&step).copied()
    }

    pub(crate) fn begin(&self, step: Option<Step>) {
        let mut inner = self.inner();
        let first = step.is_some_and(|step| !inner.calls.contains_key(&step));
        inner.invocation = Some(Invocation { step, first, calls: 0 });
    }

    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        let Some(done) = inner.invocation.take() else { return };
        if let (Some(step), true) = (done.step, done.first) {
            inner.calls.insert(step, done.calls);
        }
    }

    /// Lets one call from `from` to `to` through, or says why not. Never returns if the caller dies here.
    pub(crate) async fn pass(&self, from: Place, to: Place) -> Result<Passed, Fault> {
        let trouble = {
            let mut inner = self.inner();
            if !inner.open(from, to) {
                return Err(Fault::transient(format!("{to:?} cannot be reached from {from:?}")));
            }
            inner.next_trouble(self.settings.trouble_permille)
        };
        match trouble {
            None => Ok(Passed::Heard),
            Some(Trouble::Before) => Err(Fault::transient("throttled")),
            Some(Trouble::LostReply) => Ok(Passed::Lost),
            Some(Trouble::KilledAfter) => Ok(Passed::Killed),
            Some(Trouble::Killed) => std::future::pending().await,
        }
    }
}

impl Passed {
    /// The reply as the caller hears it.
    pub(crate) async fn reply<T>(self, value: T) -> Result<T, Fault> {
        match self {
            Self::Heard => Ok(value),
            Self::Lost => Err(Fault::transient("the reply was lost")),
            Self::Killed => std::future::pending().await,
        }
    }
}

impl Inner {
    fn next_trouble(&mut self, permille: u64) -> Option<Trouble> {
        let invocation = self.invocation.as_mut()?;
        invocation.calls += 1;
        let call = invocation.calls;
        if let (Some(step), true) = (invocation.step, invocation.first) {
            let hit = self.aims.iter().find(|aim| aim.step == step && aim.call == call);
            if let Some(aim) = hit {
                return Some(aim.trouble);
            }
        }
        if !self.chance.happens(permille) {
            return None;
        }
        let troubles = [Trouble::Before, Trouble::LostReply, Trouble::Killed, Trouble::KilledAfter];
        let pick = usize::try_from(self.chance.below(20)).unwrap_or(0);
        // Most trouble is a failed call; deaths are rarer.
        Some(troubles.get(pick).copied().unwrap_or(if pick < 12 {
            Trouble::Before
        } else {
            Trouble::LostReply
        }))
    }
}
