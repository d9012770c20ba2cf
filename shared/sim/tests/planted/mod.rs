//! What the tests of checkers and rules share: lawful cases, and ways to spoil them.

use crate::support::{machine, minutes, settled, start};
use understudy_core::journal::{Entry, GENESIS, Record, Stored};
use understudy_core::plan::Plan;
use understudy_core::time::Millis;
use understudy_sim::checkers::{Case, all};
use understudy_sim::example;
use understudy_sim::functions::Function;
use understudy_sim::simulation::{People, Simulation};
use understudy_sim::trace::What;
use understudy_sim::world::{Break, Place, Settings};

/// Changes one record into what it must not be.
pub type PlantRecord = fn(&mut Record);

/// A lawful recovery from an isolated primary.
pub fn lawful() -> Case {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.break_now(Break::Isolate(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(5));
    simulation.case()
}

/// As if the stored bytes of every record had been changed by who also keeps the hashes: the chain is whole.
pub fn rewrite(case: &mut Case, change: impl Fn(&mut Vec<Record>)) {
    for (_, chain) in &mut case.journals {
        let mut records: Vec<Record> =
            chain.iter().map(|stored| stored.record().expect("a record").as_ref().clone()).collect();
        change(&mut records);
        let mut prev = GENESIS.to_owned();
        chain.clear();
        for (seq, mut record) in (1..).zip(records) {
            (record.seq, record.prev) = (seq, prev.clone());
            let stored = Stored::of(serde_json::to_string(&record).expect("it serialises"));
            stored.sha256().clone_into(&mut prev);
            chain.push(stored);
        }
    }
}

pub fn rewritten(change: impl Fn(&mut Vec<Record>)) -> String {
    broken_after(|case| rewrite(case, change))
}

pub fn broken_after(change: impl FnOnce(&mut Case)) -> String {
    let mut case = lawful();
    assert_eq!(all(&case), Vec::new());
    change(&mut case);
    let broken: Vec<String> = all(&case).iter().map(ToString::to_string).collect();
    broken.join("\n")
}

pub fn position(case: &Case, is: impl Fn(&What) -> bool) -> usize {
    case.trace.iter().position(|event| is(&event.what)).expect("it happened")
}

pub fn is_record(what: &What, is: impl Fn(&Entry) -> bool) -> bool {
    matches!(what, What::Journaled(record) if is(&record.entry))
}

/// The primary dies, people are asked by a plan that was changed so, and say yes.
pub fn answered(change: impl FnOnce(&mut Plan)) -> Case {
    let machine = machine();
    let mut plan = example::automatic().expect("a plan");
    change(&mut plan);
    let mut simulation = Simulation::new(&machine, plan, Settings::default());
    simulation.people = People::Answer { after: Millis::from_secs(60), yes: true };
    simulation.run_for(minutes(5));
    simulation.break_now(Break::Kill(Place::Primary));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(3));
    simulation.case()
}

/// A living primary gives way.
pub fn planned() -> Case {
    let machine = machine();
    let mut simulation = settled(&machine);
    simulation.deliver(Function::AlarmHandler, &start("switchover"));
    assert!(simulation.run_until(minutes(60), |s| !s.ends().is_empty()));
    simulation.run_for(minutes(3));
    simulation.case()
}

/// Each change of the records of a lawful case leads to what is said of it.
pub fn finds(lawful: &Case, planted: &[(&str, PlantRecord)]) {
    assert_eq!(all(lawful), Vec::new());
    for (said, change) in planted {
        let mut case = lawful.clone();
        rewrite(&mut case, |records| records.iter_mut().for_each(change));
        let broken: Vec<String> = all(&case).iter().map(ToString::to_string).collect();
        assert!(broken.join("\n").contains(said), "{said}: {broken:?}");
    }
}
