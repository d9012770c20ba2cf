//! The first nights, each from its seed: whatever happens in them, no law is broken. `make simulate` lives as many as
//! one has time for.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "these stories are told by their laws")]
mod support;

use support::machine;
use understudy_sim::night::{Night, Plans};
use understudy_sim::tally::Tally;

#[test]
fn no_law_is_broken_in_the_first_nights() {
    let (machine, plans) = (machine(), Plans::read().expect("the plans"));
    let mut tally = Tally::default();
    for seed in 1..=400 {
        let lawful = tally.add(seed, &machine, &plans);
        assert!(lawful, "`make simulate SEED={seed}`: {:?}", tally.broken);
    }
    for end in ["Recovered", "Refused", "RolledBack", "NeedsOperator"] {
        assert!(tally.ends.contains_key(end), "no night ended {end}: {:?}", tally.ends);
    }
}

#[test]
fn the_same_seed_is_the_same_night() {
    let (machine, plans) = (machine(), Plans::read().expect("the plans"));
    for seed in [7, 8, 9] {
        let first = Night::of(seed).live(&machine, &plans).case().trace;
        assert!(first == Night::of(seed).live(&machine, &plans).case().trace, "seed {seed} gave two nights");
    }
}

#[test]
fn states_that_no_night_reached_are_named() {
    let (machine, plans) = (machine(), Plans::read().expect("the plans"));
    let mut tally = Tally::default();
    assert!(tally.unmet(&machine).contains(&"Promote"), "nothing was lived");
    for seed in 1..=400 {
        tally.add(seed, &machine, &plans);
    }
    assert!(!tally.unmet(&machine).contains(&"Promote"));
}
