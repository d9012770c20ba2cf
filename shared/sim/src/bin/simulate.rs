//! `make simulate SEEDS=n`: lives the nights 1 to n and judges each; `make simulate SEED=s`: one night, as small as it
//! can be made, told.
//!
//! The only place of the simulator that knows threads and a wall clock: they share the seeds out and time the whole.
//! Exit: 0 no law was broken, 1 one was, or so many nights left a state of the workflow out, 2 the arguments are wrong.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, thread};
use understudy_core::steps::STEPS;
use understudy_core::words::span;
use understudy_sim::asl::Machine;
use understudy_sim::checkers::Violation;
use understudy_sim::matching::differences;
use understudy_sim::night::{Night, Plans};
use understudy_sim::shrink::shrink;
use understudy_sim::story::story;
use understudy_sim::tally::{Tally, spread};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKFLOW: &str = include_str!("../../../../infra/workflows/failover.asl.json");
/// So many nights reach every state of the workflow, each with some fault.
const ENOUGH: u64 = 100_000;
const USAGE: &str = "usage: simulate --seeds <how many, from 1 on> | --seed <which one>";

/// A line to standard output. Who stops listening (`| head`) is no error.
macro_rules! say {
    ($($text:tt)*) => { drop(writeln!(stdout(), $($text)*)) };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = arguments.get(1).and_then(|text| text.parse::<u64>().ok());
    match (arguments.first().map(String::as_str), number) {
        (Some("--seeds"), Some(count)) if arguments.len() == 2 => many(count),
        (Some("--seed"), Some(seed)) if arguments.len() == 2 => one(seed),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn read() -> Result<(Machine, Plans), String> {
    let machine = Machine::read(WORKFLOW).map_err(|error| error.to_string())?;
    Ok((machine, Plans::read().map_err(|problems| problems.to_string())?))
}

/// What the nights cannot tell, because the steps look before they act: the order of the file against the table.
fn unmatched() -> Result<Vec<String>, String> {
    let (machine, _) = read()?;
    Ok(differences(&machine, &STEPS.iter().collect::<Vec<_>>()))
}

fn many(count: u64) -> ExitCode {
    match unmatched() {
        Ok(differences) if differences.is_empty() => {}
        Ok(differences) => {
            say!("SEED 0 breaks L3 workflow and table: {}", differences.join("; "));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    let begin = Instant::now();
    let nights = Nights { count, first: AtomicU64::new(u64::MAX), lived: AtomicU64::new(0) };
    let total = match nights.live() {
        Ok(total) => total,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    tell(&total, begin.elapsed().as_secs_f64());
    match &total.broken {
        None => covered(&total),
        Some((seed, broken)) => {
            say!("SEED {seed} breaks {}", laws(broken));
            say!("replay: make simulate SEED={seed}");
            one(*seed)
        }
    }
}

/// The nights 1 to `count`, shared out among threads.
struct Nights {
    count: u64,
    /// The first that broke a law: nobody goes on behind it.
    first: AtomicU64,
    lived: AtomicU64,
}

impl Nights {
    /// Every core lives its share.
    fn live(&self) -> Result<Tally, String> {
        let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
        thread::scope(|scope| {
            let all: Vec<_> =
                (0..threads).map(|thread| scope.spawn(move || self.share(thread, threads))).collect();
            let _until_all_are_lived = stderr().is_terminal().then(|| {
                let (over, ends) = channel::<()>();
                scope.spawn(move || self.tell_progress(&ends));
                over
            });
            let mut total = Tally::default();
            for one in all {
                total.join(one.join().map_err(|_| "a night panicked".to_owned())??);
            }
            Ok(total)
        })
    }

    fn share(&self, thread: u64, threads: u64) -> Result<Tally, String> {
        let (machine, plans) = read()?;
        let mut tally = Tally::default();
        let mut seed = thread + 1;
        while seed <= self.count.min(self.first.load(Ordering::Relaxed)) {
            let lived = catch_unwind(AssertUnwindSafe(|| tally.add(seed, &machine, &plans)));
            // Set for a panic too, so that nobody lives on behind it for minutes before it is told.
            if !matches!(lived, Ok(true)) {
                self.first.fetch_min(seed, Ordering::Relaxed);
            }
            lived.map_err(|_| format!("SEED {seed} panicked; replay: make simulate SEED={seed}"))?;
            self.lived.fetch_add(1, Ordering::Relaxed);
            seed += threads;
        }
        Ok(tally)
    }

    /// One line of a terminal that is written anew until it `ends`.
    fn tell_progress(&self, ends: &Receiver<()>) {
        while ends.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            eprint!("\r{} of {} nights", self.lived.load(Ordering::Relaxed), self.count);
        }
        eprint!("\r\x1b[K");
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a line to be read")]
fn tell(total: &Tally, seconds: f64) {
    let failovers = total.failovers();
    let share = |times: u64| times as f64 * 100.0 / failovers.max(1) as f64;
    let ends: Vec<String> =
        total.ends.iter().map(|(end, times)| format!("{end} {:.1} %", share(*times))).collect();
    say!(
        "{:.0} failovers/min: {failovers} in {} nights and {seconds:.1} s; {:.0} hours simulated, {:.0} calls a night; {}",
        failovers as f64 * 60.0 / seconds,
        total.nights,
        total.simulated.0 as f64 / 3_600_000.0,
        total.calls as f64 / total.nights.max(1) as f64,
        ends.join(", ")
    );
    for (eyes, times) in ["at ticks", "between ticks, too"].iter().zip(&total.detected) {
        if let Some((median, late, longest)) = spread(times) {
            say!(
                "looking {eyes}: an outage was accepted {} after the last good probe (median of {}), 99 of 100 within {}, \
                 at worst {}",
                span(median),
                times.len(),
                span(late),
                span(longest)
            );
        }
    }
    if let Ok((machine, _)) = read() {
        say!("{}", total.coverage_table(&machine).trim_end());
    }
}

/// Speed without coverage is vanity: a state that no night reaches is tried by none.
fn covered(total: &Tally) -> ExitCode {
    let Ok((machine, _)) = read() else { return ExitCode::FAILURE };
    let unmet = total.unmet(&machine);
    if unmet.is_empty() {
        return ExitCode::SUCCESS;
    }
    say!("no fault met {}", unmet.join(", "));
    if total.nights < ENOUGH {
        return ExitCode::SUCCESS;
    }
    say!(
        "{ENOUGH} nights should reach every state: let `night.rs` draw what leads there, or take the state out"
    );
    ExitCode::FAILURE
}

fn laws(broken: &[Violation]) -> String {
    broken.first().map(ToString::to_string).unwrap_or_default()
}

fn one(seed: u64) -> ExitCode {
    let (machine, plans) = match read() {
        Ok(read) => read,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let night = Night::of(seed);
    let broken = night.live(&machine, &plans).broken();
    let Some(law) = broken.first().map(|violation| violation.law) else {
        say!("SEED {seed} breaks no law");
        return ExitCode::SUCCESS;
    };
    let (small, simulation, broken) = shrink(&night, law, &machine, &plans);
    say!("{small:#?}");
    say!("{}", story(&simulation.world.trace()).trim_end());
    for violation in broken {
        say!("{violation}");
    }
    ExitCode::FAILURE
}
