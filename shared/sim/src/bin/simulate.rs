//! `make simulate SEEDS=n`
use std::time::Instant;
use understudy_sim::asl::Machine;
use understudy_sim::checkers;
use understudy_sim::night::{Night, Plans};

fn main() {
    let machine = Machine::read(include_str!("../../../../infra/workflows/failover.asl.json")).unwrap();
    let plans = Plans::read().unwrap();
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = Instant::now();
    let mut ends = std::collections::BTreeMap::<String, u64>::new();
    let mut bad = 0;
    let mut runs = 0; let mut calls=0;
    let mut simt = 0i64; let mut events=0;
    let check = std::env::var("NOCHECK").is_err();
    for seed in 1..=n {
        let night = Night::of(seed);
        let s = night.live(&machine, &plans);
        for e in s.ends().values() { *ends.entry(e.clone()).or_default() += 1; runs += 1; }
        simt += s.world.now().as_second() - 1_795_000_000; events += s.world.trace().len();
        calls += s.world.count();
        if check {
        let broken = checkers::all(&s.case());
        if !broken.is_empty() && bad < 15 { bad += 1; println!("SEED {seed} {:?}\n  {}", night.variant, broken.iter().map(|b| b.to_string()).collect::<Vec<_>>().join("\n  ")); }
        }
    }
    let d = t.elapsed();
    println!("{n} nights {runs} failovers in {d:?}: {:.0} nights/min {:.0} failovers/min; sim {} s/night, {} events/night {} calls/night; {ends:?}", n as f64/d.as_secs_f64()*60.0, runs as f64/d.as_secs_f64()*60.0, simt/n as i64, events as u64/n, calls/n);
}
