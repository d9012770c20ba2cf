use understudy_sim::*;
fn main() {
    let seed: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let machine = asl::Machine::read(include_str!("../../../../infra/workflows/failover.asl.json")).unwrap();
    let plans = night::Plans::read().unwrap();
    let mut s = night::Night::of(seed).live(&machine, &plans);
    println!("{:?}", s.deliver(functions::Function::ReportWriter, &serde_json::json!({"tick": true})));
    for (n, j) in s.case().journals {
        println!("{n}: {:?}", understudy_core::journal::verify_chain(&j).map(|r| r.len()));
    }
}
