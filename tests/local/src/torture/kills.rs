//! Runs in which the workers of functions are killed while a failover goes on: on whole local clouds, with the packages
//! and the emulator.
//!
//! A cloud is brought up once. Between runs its servers, network and state tables are made as they were; what the
//! evidence bucket holds stays, as it would.

mod lane;
mod watch;

use super::judge::{Judgement, Written};
use super::{Ended, Torture, TortureError};
use crate::breaks::Break;
use crate::compare::seconds;
use crate::progress::paint;
use fastrand::Rng;
use lane::Lane;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use understudy_core::run::End;
use understudy_core::steps::Step;

/// Whose workers die.
const FUNCTIONS: [&str; 9] = [
    "alarm-handler",
    "preflight-verifier",
    "store-promoter",
    "step-runner",
    "dns-switcher",
    "route-prober",
    "report-writer",
    "sql-agent",
    "primary-guard",
];

/// When a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// So many ticks' thousandths after the harm.
    After(u64),
    /// So many milliseconds after the intent to run this step was on record: in the middle of it.
    Within(Step, u64),
}

/// One run, drawn from its number.
#[derive(Clone, Debug)]
struct Run {
    seed: u64,
    harm: Break,
    kills: Vec<(When, &'static str)>,
}

impl Run {
    fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let harm =
            rng.choice([Break::Kill, Break::Isolate, Break::Hang, Break::Refuse]).unwrap_or(Break::Kill);
        let kills = (0..rng.usize(3..=10)).map(|_| kill(&mut rng)).collect();
        Self { seed, harm, kills }
    }
}

/// The steps that announce what they do, with the function that does it.
const INTENDED: [(Step, &str); 7] = [
    (Step::RaiseCapacity, "step-runner"),
    (Step::Freeze, "step-runner"),
    (Step::CloseLease, "store-promoter"),
    (Step::Promote, "store-promoter"),
    (Step::Unfence, "store-promoter"),
    (Step::MoveTraffic, "dns-switcher"),
    (Step::Thaw, "step-runner"),
];

fn kill(rng: &mut Rng) -> (When, &'static str) {
    if rng.bool() {
        let (step, function) = rng.choice(INTENDED).unwrap_or((Step::Promote, "store-promoter"));
        return (When::Within(step, rng.u64(0..150)), function);
    }
    (When::After(rng.u64(0..14_000)), rng.choice(FUNCTIONS).unwrap_or("store-promoter"))
}

/// Plays every run, tells each, and tells all of them at the end.
pub async fn run(torture: &Torture) -> Result<Ended, TortureError> {
    let began = Instant::now();
    let next = Rc::new(Cell::new(0));
    let tally = Rc::new(RefCell::new(Tally::default()));
    let lanes = LocalSet::new();
    lanes
        .run_until(async {
            let mut all = tokio::task::JoinSet::new();
            for number in 0..torture.lanes.min(torture.rounds) {
                // One after the other: each packages the functions with its own plan.
                let lane = Lane::make(torture.options_of(&format!("cloud-{number}"))).await?;
                let (torture, next, tally) = (torture.clone(), Rc::clone(&next), Rc::clone(&tally));
                all.spawn_local(async move { runs(&lane, &torture, &next, &tally).await });
            }
            while let Some(ended) = all.join_next().await {
                ended.map_err(|_| TortureError::Lane)??;
            }
            Ok::<_, TortureError>(())
        })
        .await?;
    let tally = tally.borrow();
    println!("{}", tally.text(began.elapsed()));
    Ok(tally.ended())
}

/// One run after the other, until there is none left.
async fn runs(
    lane: &Lane,
    torture: &Torture,
    next: &Cell<u64>,
    tally: &RefCell<Tally>,
) -> Result<(), TortureError> {
    loop {
        let number = next.get();
        if number >= torture.rounds {
            return lane.down().await;
        }
        next.set(number + 1);
        let run = Run::drawn(torture.first.wrapping_add(number));
        let began = Instant::now();
        let left = match lane.reset().await {
            Ok(()) => lane.play(&run).await,
            Err(error) => Err(error),
        };
        let mut tally = tally.borrow_mut();
        tally.runs += 1;
        let head = format!(
            "{:>4}/{} SEED={} {:<8}",
            tally.runs,
            torture.rounds,
            run.seed,
            format!("{:?}", run.harm)
        );
        let took = began.elapsed().as_secs_f64();
        match left {
            Err(error) => {
                tally.unplayed.push(run.seed);
                println!("  {} {head} not played: {error} ({took:.1} s)", paint("33", "--"));
            }
            Ok(left) => tally.add(&run, &left, &format!("{head} ({took:.1} s)")),
        }
    }
}

/// What one run left.
struct Left {
    written: Vec<Written>,
    judged: Judgement,
    killed: Vec<(&'static str, String)>,
    promotions: usize,
}

/// What all runs came to.
#[derive(Default)]
struct Tally {
    runs: u64,
    ends: BTreeMap<String, u64>,
    killed: BTreeMap<&'static str, u64>,
    records: usize,
    promotions: usize,
    unplayed: Vec<u64>,
    disagreed: Vec<u64>,
}

impl Tally {
    fn add(&mut self, run: &Run, left: &Left, head: &str) {
        let Left { written, judged, killed, promotions } = left;
        for end in &judged.ends {
            *self.ends.entry(end.to_string()).or_default() += 1;
        }
        for (function, _) in killed {
            *self.killed.entry(function).or_default() += 1;
        }
        self.records += written.iter().map(|one| one.chain.len()).sum::<usize>();
        self.promotions += promotions;
        let ends = judged.ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let told = killed.iter().map(|(_, told)| told.as_str()).collect::<Vec<_>>().join(", ");
        let mark = if judged.holds() { paint("32", "ok") } else { paint("31", "NO") };
        println!("  {mark} {head} {ends}; {} of {} killed: {told}", killed.len(), run.kills.len());
        if judged.ends.iter().any(|end| *end != End::Recovered)
            && let Some((one, report)) =
                written.iter().rev().find_map(|one| Some((one, one.report.as_ref()?)))
        {
            println!("       {}: {}", report.end, report.cause);
            // The next run begins with empty tables: what led there is told now or never.
            super::story(&one.chain).lines().for_each(|line| println!("         {line}"));
        }
        if !judged.holds() {
            self.disagreed.push(run.seed);
        }
        for line in judged.lines.iter().filter(|line| !line.holds) {
            println!("       {}: {}", line.what, line.told);
        }
    }

    fn recovered(&self) -> u64 {
        self.ends.get(&End::Recovered.to_string()).copied().unwrap_or_default()
    }

    fn ended(&self) -> Ended {
        Ended::of(self.runs, self.recovered(), &self.unplayed, &self.disagreed)
    }

    fn text(&self, took: Duration) -> String {
        let counted = |all: Vec<String>| all.join(", ");
        let ends = counted(self.ends.iter().map(|(end, count)| format!("{count} {end}")).collect());
        let killed =
            counted(self.killed.iter().map(|(function, count)| format!("{count} {function}")).collect());
        let seeds = |all: &[u64]| all.iter().map(|seed| format!(" SEED={seed}")).collect::<Vec<_>>().concat();
        let took = seconds(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        format!(
            "\n  ends: {ends}\n  killed: {killed}\n  {} records, all whole and sealed where nothing is said; {} promotions\n  \
             disagreed:{}\n  not played:{}\n{}  {} runs in {took}, {} disagreed, {} not played",
            self.records,
            self.promotions,
            seeds(&self.disagreed),
            seeds(&self.unplayed),
            Ended::idle_text(self.runs, self.recovered()),
            self.runs,
            self.disagreed.len(),
            self.unplayed.len()
        )
    }
}
