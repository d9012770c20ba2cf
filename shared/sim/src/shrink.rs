//! Makes a night that breaks a law as small as it can: part after part is left out, and what is left must still
//! break the same law.

use crate::asl::Machine;
use crate::checkers::Violation;
use crate::night::{Night, Plans};
use crate::simulation::{People, Simulation};
use understudy_core::time::Millis;

/// Nights that are lived at most while one is made smaller.
const PATIENCE: u32 = 400;

struct Shrinking<'a> {
    machine: &'a Machine,
    plans: &'a Plans,
    law: &'static str,
    lived: u32,
}

/// A smaller night that breaks `law` too, and what it breaks.
pub fn shrink<'m>(
    night: &Night,
    law: &'static str,
    machine: &'m Machine,
    plans: &Plans,
) -> (Night, Simulation<'m>, Vec<Violation>) {
    let mut shrinking = Shrinking { machine, plans, law, lived: 0 };
    let mut night = night.clone();
    night.only = Some(night.live(machine, plans).world.troubles());
    shrinking.flatten(&mut night);
    shrinking.thin_out(&mut night, |night| &mut night.breaks);
    shrinking.thin_out(&mut night, |night| &mut night.deeds);
    shrinking.thin_out(&mut night, |night| &mut night.holds);
    shrinking.keep(&mut night, |night| night.aborts = None);
    shrinking.keep(&mut night, |night| night.back = None);
    if night.back.is_some() {
        shrinking.thin_out(&mut night, |night| night.back.get_or_insert_default());
    }
    shrinking.halve(&mut night);
    let simulation = night.live(machine, plans);
    let broken = simulation.broken();
    (night, simulation, broken)
}

impl Shrinking<'_> {
    fn breaks(&mut self, night: &Night) -> bool {
        self.lived += 1;
        if self.lived > PATIENCE {
            return false;
        }
        night.live(self.machine, self.plans).broken().iter().any(|violation| violation.law == self.law)
    }

    fn keep(&mut self, night: &mut Night, change: impl FnOnce(&mut Night)) {
        let mut next = night.clone();
        change(&mut next);
        if next != *night && self.breaks(&next) {
            *night = next;
        }
    }

    /// Everything that is drawn all the time, each left out as a whole.
    fn flatten(&mut self, night: &mut Night) {
        self.keep(night, |night| night.only = Some(Vec::new()));
        self.keep(night, |night| night.settings.lambda_permille = 0);
        self.keep(night, |night| night.settings.slow_permille = 0);
        self.keep(night, |night| night.settings.drift = false);
        self.keep(night, |night| night.settings.primary_ahead = Millis::ZERO);
        self.keep(night, |night| night.twice_permille = 0);
        self.keep(night, |night| night.lost_permille = 0);
        self.keep(night, |night| night.people = People::Absent);
    }

    fn thin_out<T>(&mut self, night: &mut Night, list: impl Fn(&mut Night) -> &mut Vec<T>) {
        let mut at = list(night).len();
        while at > 0 {
            at -= 1;
            self.keep(night, |night| drop(list(night).remove(at)));
        }
    }

    /// Troubles in ever smaller groups.
    fn halve(&mut self, night: &mut Night) {
        let mut size = night.only.as_ref().map_or(0, Vec::len);
        while size > 0 {
            let mut at = 0;
            while let Some(only) = night.only.as_ref().filter(|only| at < only.len()) {
                let before = only.len();
                let end = before.min(at + size);
                self.keep(night, |night| {
                    if let Some(only) = &mut night.only {
                        only.drain(at..end);
                    }
                });
                if night.only.as_ref().map_or(0, Vec::len) == before {
                    at = end;
                }
            }
            size /= 2;
        }
    }
}
