//! Many nights, one after the other, and what they add up to.

use crate::asl::{Machine, State};
use crate::checkers::Violation;
use crate::night::{Night, Plans};
use crate::world::Coverage;
use std::collections::BTreeMap;
use understudy_core::report::Report;
use understudy_core::run::Kind;
use understudy_core::time::{Millis, elapsed};

/// What many nights add up to.
#[derive(Debug, Default)]
pub struct Tally {
    pub nights: u64,
    pub ends: BTreeMap<String, u64>,
    pub simulated: Millis,
    /// Calls of ports.
    pub calls: u64,
    pub coverage: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// From the last good probe to the accepted outage, of every unplanned failover that was sealed: of plans that look at
    /// their ticks, and of those that look between them.
    pub detected: [Vec<Millis>; 2],
    /// The first night that broke a law, by its seed.
    pub broken: Option<(u64, Vec<Violation>)>,
}

impl Tally {
    /// Lives one night and judges it; false when it broke a law.
    pub fn add(&mut self, seed: u64, machine: &Machine, plans: &Plans) -> bool {
        let drawn = Night::of(seed);
        let night = drawn.live(machine, plans);
        self.nights += 1;
        for (execution, end) in night.ends() {
            *self.ends.entry(end.clone()).or_insert(0) += 1;
            let [ticks, looks] = &mut self.detected;
            let times = if drawn.looks { looks } else { ticks };
            times.extend(night.report(execution).as_ref().and_then(detection));
        }
        let spent = elapsed(crate::simulation::DAWN, night.world.now());
        self.simulated = self.simulated.saturating_add(spent);
        self.calls += night.world.count();
        self.cover(&night.world.coverage());
        let broken = night.broken();
        let lawful = broken.is_empty();
        if !lawful && self.broken.as_ref().is_none_or(|(known, _)| seed < *known) {
            self.broken = Some((seed, broken));
        }
        lawful
    }

    fn cover(&mut self, coverage: &Coverage) {
        for (fault, states) in coverage {
            let known = self.coverage.entry(fault).or_default();
            for (state, times) in states {
                match known.get_mut(state.as_ref()) {
                    Some(known) => *known += times,
                    None => drop(known.insert(state.to_string(), *times)),
                }
            }
        }
    }

    pub fn join(&mut self, other: Self) {
        self.nights += other.nights;
        self.calls += other.calls;
        self.simulated = self.simulated.saturating_add(other.simulated);
        for (ours, theirs) in self.detected.iter_mut().zip(other.detected) {
            ours.extend(theirs);
        }
        for (end, times) in other.ends {
            *self.ends.entry(end).or_insert(0) += times;
        }
        for (fault, states) in other.coverage {
            let known = self.coverage.entry(fault).or_default();
            for (state, times) in states {
                *known.entry(state).or_insert(0) += times;
            }
        }
        let first = [self.broken.take(), other.broken].into_iter().flatten().min_by_key(|(seed, _)| *seed);
        self.broken = first;
    }

    /// Executions that reached an end.
    pub fn failovers(&self) -> u64 {
        self.ends.values().sum()
    }

    /// The states of the workflow that no fault ever met: what happens there, these nights do not know.
    pub fn unmet<'m>(&self, machine: &'m Machine) -> Vec<&'m str> {
        let met = |state: &&str| self.coverage.values().any(|states| states.contains_key(*state));
        columns(machine).into_iter().filter(|state| !met(state)).collect()
    }

    /// Which fault met which state of the workflow: a row a fault, a column a state, a digit the order of magnitude.
    pub fn coverage_table(&self, machine: &Machine) -> String {
        let states: Vec<&str> = columns(machine);
        let legend = states.iter().enumerate().map(|(at, state)| format!("{:>2} {state}", at + 1));
        let title = "fault met state (digit: 1 = once or more, 2 = ten times or more, …)\n";
        let mut table = vec![title.to_owned()];
        for line in legend.collect::<Vec<_>>().chunks(4) {
            let cells: Vec<String> = line.iter().map(|cell| format!("{cell:<26}")).collect();
            table.push(format!("  {}\n", cells.concat().trim_end()));
        }
        let heads: Vec<String> = (1..=states.len()).map(|at| format!("{at:>3}")).collect();
        table.push(format!("{:<24}{}  states\n", "", heads.concat()));
        for (fault, met) in &self.coverage {
            let cells: Vec<String> = states.iter().map(|state| digit(met.get(*state))).collect();
            let count = states.iter().filter(|state| met.contains_key(**state)).count();
            table.push(format!("{fault:<24}{}  {count} of {}\n", cells.concat(), states.len()));
        }
        table.concat()
    }
}

/// How long an outage lasted before it was accepted; a planned move has none.
fn detection(report: &Report) -> Option<Millis> {
    let last_good = report.clock.last_good.filter(|_| report.kind == Kind::Failover)?;
    Some(elapsed(last_good, report.clock.accepted))
}

/// The median, the 99th of a hundred and the longest of what was measured.
pub fn spread(times: &[Millis]) -> Option<(Millis, Millis, Millis)> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at =
        |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
    Some((at(50)?, at(99)?, *times.last()?))
}

/// Tasks and waits: what takes time, so that something can meet it.
fn columns(machine: &Machine) -> Vec<&str> {
    let states = machine.states.iter();
    let lasting = states.filter(|(_, state)| matches!(state, State::Task(_) | State::Wait(_)));
    std::iter::once("-").chain(lasting.map(|(name, _)| name.as_str())).collect()
}

fn digit(times: Option<&u64>) -> String {
    times.map_or_else(|| "  .".to_owned(), |times| format!("{:>3}", times.ilog10() + 1))
}
