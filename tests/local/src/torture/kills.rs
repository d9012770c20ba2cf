//! Runs in which the workers of functions are killed while a failover goes on: on whole local clouds, with the packages
//! and the emulator.
//!
//! A cloud is brought up once. Between runs its servers, network and state tables are made as they were; what the
//! evidence bucket holds stays, as it would.

use super::judge::{self, Judgement, Written};
use super::{Ended, Torture, TortureError};
use crate::aws::Aws;
use crate::breaks::{self, Break};
use crate::compare::{clock, line, seconds};
use crate::config::Place;
use crate::logs;
use crate::postgres::{Server, Stop};
use crate::processes::Processes;
use crate::progress::paint;
use crate::python::run as run_command;
use crate::ready;
use crate::up::{self, Options, Up};
use fastrand::Rng;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use understudy_aws::dynamodb::Table;
use understudy_core::handler::OpenRuns;
use understudy_core::incident::Incident;
use understudy_core::journal::{Entry, Stored};
use understudy_core::plan::Plan;
use understudy_core::run::End;
use understudy_core::state::{Flag, keys, load, set_flag};
use understudy_core::steps::Step;
use understudy_core::steps::close::{record_key, report_key};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ticks within which an execution must have ended.
const END_TICKS: u32 = 150;
/// Ticks after which an attempt that may be repeated would have been.
const QUIET_TICKS: u32 = 6;
const EMULATOR: &str = "emulator";

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
    let next = Rc::new(std::cell::Cell::new(0));
    let tally = Rc::new(std::cell::RefCell::new(Tally::default()));
    let lanes = LocalSet::new();
    lanes
        .run_until(async {
            let mut all = tokio::task::JoinSet::new();
            for number in 0..torture.lanes.min(torture.rounds) {
                // One after the other: each packages the functions with its own plan.
                let lane = Lane::make(torture.options_of(&format!("cloud-{number}"))).await?;
                let (torture, next, tally) = (torture.clone(), Rc::clone(&next), Rc::clone(&tally));
                all.spawn_local(async move { lane.runs(&torture, &next, &tally).await });
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
    fn ended(&self) -> Ended {
        match (self.disagreed.is_empty(), self.unplayed.is_empty()) {
            (false, _) => Ended::Disagreed,
            (true, false) => Ended::Unplayed,
            (true, true) => Ended::Agreed,
        }
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
             disagreed:{}\n  not played:{}\n  {} runs in {took}, {} disagreed, {} not played",
            self.records,
            self.promotions,
            seeds(&self.disagreed),
            seeds(&self.unplayed),
            self.runs,
            self.disagreed.len(),
            self.unplayed.len()
        )
    }
}

/// One local cloud.
struct Lane {
    options: Options,
    up: Up,
}

/// What one run left.
struct Left {
    written: Vec<Written>,
    judged: Judgement,
    killed: Vec<(&'static str, String)>,
    promotions: usize,
}

impl Lane {
    async fn make(options: Options) -> Result<Self, TortureError> {
        let up = up::up(&options).await?;
        let lane = Self { options, up };
        lane.keep_servers().await?;
        Ok(lane)
    }

    async fn runs(
        &self,
        torture: &Torture,
        next: &std::cell::Cell<u64>,
        tally: &std::cell::RefCell<Tally>,
    ) -> Result<(), TortureError> {
        loop {
            let number = next.get();
            if number >= torture.rounds {
                return Ok(up::down(&self.options).await?);
            }
            next.set(number + 1);
            let run = Run::drawn(torture.first.wrapping_add(number));
            let began = Instant::now();
            let left = match self.reset().await {
                Ok(()) => self.play(&run).await,
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

    /// Servers, network and state as after `up`, and ready.
    async fn reset(&self) -> Result<(), TortureError> {
        let processes = self.processes();
        // What was seen before the reset must start nothing after it.
        self.hold(true).await?;
        // Nothing may be called meanwhile, and what was under way is over.
        processes.signal(EMULATOR, Signal::STOP).map_err(up::UpError::from)?;
        for (pid, _) in workers(&processes) {
            end(pid);
        }
        let made = self.restore().await;
        processes.signal(EMULATOR, Signal::CONT).map_err(up::UpError::from)?;
        made?;
        for place in [Place::Standby, Place::Witness] {
            let aws = Aws::at(&self.up.cloud, place).await;
            aws.clear_table(&self.up.plan.name, &keys::hold()).await.map_err(up::UpError::from)?;
        }
        // Whoever looked at something older has ended by then.
        tokio::time::sleep(self.up.plan.tick.as_std() * 2).await;
        self.hold(false).await?;
        Ok(ready::wait(&self.up.cloud, &self.up.plan).await.map_err(up::UpError::from)?)
    }

    async fn hold(&self, raised: bool) -> Result<(), TortureError> {
        let table = Aws::at(&self.up.cloud, Place::Standby).await.table(&self.up.plan.name);
        let flag = Flag {
            raised,
            by: "torture".to_owned(),
            why: "between two runs".to_owned(),
            at: Timestamp::now(),
            category: None,
        };
        Ok(set_flag(&table, &keys::hold(), &flag).await?)
    }

    async fn restore(&self) -> Result<(), TortureError> {
        let (cloud, options) = (&self.up.cloud, &self.options);
        let processes = self.processes();
        for place in [Place::Standby, Place::Primary] {
            Server::at(cloud, place)?.stop(Stop::Immediate).await?;
            processes.end(&up::web_name(place)).map_err(up::UpError::from)?;
        }
        processes.end("network").map_err(up::UpError::from)?;
        let (data, made) = (cloud.state_dir.join("pg"), cloud.state_dir.join("made"));
        fs::remove_dir_all(&data).map_err(|source| TortureError::File { path: data.clone(), source })?;
        run_command(Command::new("cp").arg("-a").arg(&made).arg(&data)).await?;
        self.start_servers().await?;
        up::start_network(options, cloud, &processes).await?;
        for place in [Place::Standby, Place::Primary] {
            up::start_web_at(options, cloud, &self.up.plan, &processes, place)?;
        }
        Ok(())
    }

    async fn start_servers(&self) -> Result<(), TortureError> {
        let cloud = &self.up.cloud;
        let (primary, standby) = (Server::at(cloud, Place::Primary)?, Server::at(cloud, Place::Standby)?);
        tokio::try_join!(primary.start(), standby.start())?;
        Ok(())
    }

    /// A copy of both servers, stopped in order, for every reset.
    async fn keep_servers(&self) -> Result<(), TortureError> {
        let cloud = &self.up.cloud;
        for place in [Place::Standby, Place::Primary] {
            Server::at(cloud, place)?.stop(Stop::Fast).await?;
        }
        let (data, made) = (cloud.state_dir.join("pg"), cloud.state_dir.join("made"));
        run_command(Command::new("cp").arg("-a").arg(&data).arg(&made)).await?;
        self.start_servers().await
    }

    fn processes(&self) -> Processes {
        Processes::of(&self.up.cloud.state_dir)
    }

    async fn play(&self, run: &Run) -> Result<Left, TortureError> {
        let (cloud, plan) = (&self.up.cloud, &self.up.plan);
        let broken_at = Timestamp::now();
        breaks::apply(run.harm, cloud, plan).await.map_err(TortureError::Break)?;
        let table = Aws::at(cloud, Place::Standby).await.table(&plan.name);
        let mut watch =
            Watch { table: &table, killed: Vec::new(), left: run.kills.clone(), chains: BTreeMap::new() };
        watch.until_sealed(&self.processes(), plan, Instant::now()).await?;
        let (chains, killed) = (watch.chains, watch.killed);
        let mut written = Vec::new();
        for (name, chain) in chains {
            written.push(self.written(name, chain).await);
        }
        let statuses = logs::calls(cloud, "PromoteReadReplica", broken_at);
        let promotions = statuses.iter().filter(|status| **status == Some(200)).count();
        let judged = self.judge(&written, promotions).await?;
        Ok(Left { written, judged, killed, promotions })
    }

    async fn written(&self, name: String, chain: Vec<Stored>) -> Written {
        let aws = Aws::at(&self.up.cloud, Place::Standby).await;
        let plan = &self.up.plan.name;
        let sealed = aws.object(&aws.evidence_bucket(plan), &report_key(plan, &name)).await;
        let report = sealed.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Written { name, chain, report }
    }

    async fn judge(&self, written: &[Written], promotions: usize) -> Result<Judgement, TortureError> {
        let mut judged = Judgement::default();
        for one in written {
            judge::journal(&self.up.plan, one, &mut judged);
            self.sealed(one, &mut judged).await;
        }
        let ended = judged.ends.len() == written.len() && !judged.ends.is_empty();
        judged.lines.push(line(
            ended,
            "every execution has an end, and there is one",
            format!("{:?}", judged.ends),
        ));
        let standby = Server::at(&self.up.cloud, Place::Standby)?;
        let alone = !standby.is_standby();
        let recovered = judged.ends.contains(&End::Recovered);
        let fits = promotions <= 1 && alone == (promotions == 1) && (!recovered || alone);
        let told = format!("{promotions} taken on, stands alone: {alone}");
        judged.lines.push(line(fits, "RDS took on one promotion at most, and a recovery has one", told));
        Ok(judged)
    }

    /// Each record lies in the bucket, byte by byte.
    async fn sealed(&self, written: &Written, judged: &mut Judgement) {
        let aws = Aws::at(&self.up.cloud, Place::Standby).await;
        let plan = &self.up.plan.name;
        let bucket = aws.evidence_bucket(plan);
        let mut lost = Vec::new();
        for (seq, stored) in (1..).zip(&written.chain) {
            let object = aws.object(&bucket, &record_key(plan, &written.name, seq)).await;
            if !object.is_ok_and(|bytes| bytes == stored.bytes.as_bytes()) {
                lost.push(seq.to_string());
            }
        }
        let told = format!("{} records, not there: {}", written.chain.len(), lost.join(", "));
        judged.lines.push(line(lost.is_empty(), "every record of the table is sealed in the bucket", told));
    }
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
            && let Some(report) = written.iter().rev().find_map(|one| one.report.as_ref())
        {
            println!("       {}: {}", report.end, report.cause);
        }
        if !judged.holds() {
            self.disagreed.push(run.seed);
        }
        for line in judged.lines.iter().filter(|line| !line.holds) {
            println!("       {}: {}", line.what, line.told);
        }
    }
}

/// Follows the journals as they grow, and kills by them.
struct Watch<'a> {
    table: &'a Table,
    killed: Vec<(&'static str, String)>,
    left: Vec<(When, &'static str)>,
    chains: BTreeMap<String, Vec<Stored>>,
}

impl Watch<'_> {
    /// Until every execution is closed, sealed and told, or the time is up.
    async fn until_sealed(
        &mut self,
        processes: &Processes,
        plan: &Plan,
        began: Instant,
    ) -> Result<(), TortureError> {
        let limit = plan.tick.as_std() * END_TICKS;
        let mut since = Instant::now();
        while began.elapsed() < limit {
            tokio::time::sleep(LOOK_EVERY).await;
            let ticks = began.elapsed().as_secs_f64() / plan.tick.as_std().as_secs_f64();
            self.kill_due(processes, |when| matches!(when, When::After(at) if f64::from(u32::try_from(at).unwrap_or(u32::MAX)) / 1000.0 <= ticks)).await;
            // The emulator loses a call now and then when its workers die.
            let fresh = self.grow().await.unwrap_or_default();
            for step in fresh {
                self.kill_due(processes, |when| matches!(when, When::Within(at, _) if at == step)).await;
            }
            let open = load::<OpenRuns>(self.table, &keys::open_runs()).await;
            let sealed = open.is_ok_and(|open| open.is_some_and(|open| open.executions.is_empty()));
            let closed = self.chains.values().all(|chain| chain.last().is_some_and(Stored::is_closing));
            if !sealed || !closed || self.chains.is_empty() {
                since = Instant::now();
                continue;
            }
            // What was refused may be tried again by itself; nothing else is.
            let refused = self.chains.values().any(|chain| end_of(chain) == Some(End::Refused));
            if !refused || since.elapsed() > plan.tick.as_std() * QUIET_TICKS {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads what is new, and returns what is intended in it.
    async fn grow(&mut self) -> Result<Vec<Step>, TortureError> {
        let incident = load::<Incident>(self.table, &keys::incident()).await?;
        let mut intended = Vec::new();
        for attempt in incident.map(|incident| incident.attempts).unwrap_or_default() {
            let chain = self.chains.entry(attempt.execution.clone()).or_default();
            while let Some(stored) =
                load::<Stored>(self.table, &keys::journal(&attempt.execution, chain.len() as u64 + 1)).await?
            {
                if let Entry::Intent { step, .. } = stored.record()?.entry {
                    intended.push(step);
                }
                chain.push(stored);
            }
        }
        Ok(intended)
    }

    async fn kill_due(&mut self, processes: &Processes, due: impl Fn(When) -> bool) {
        let (now, later) = self.left.iter().partition(|(when, _)| due(*when));
        self.left = later;
        let now: Vec<(When, &'static str)> = now;
        for (when, function) in now {
            if let When::Within(_, wait) = when {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let mut hit = false;
            for (pid, name) in workers(processes) {
                if name.contains(function) {
                    end(pid);
                    hit = true;
                }
            }
            if hit {
                self.killed.push((function, format!("{function} {when:?} at {}", clock(Timestamp::now()))));
            }
        }
    }
}

fn end_of(chain: &[Stored]) -> Option<End> {
    judge::end_of(&[chain.last()?.record().ok()?])
}

/// The workers of this emulator: each process with the name of its function.
fn workers(processes: &Processes) -> Vec<(i32, String)> {
    let Ok(all) = processes.all() else { return Vec::new() };
    let Some(emulator) = all.iter().find(|process| process.name == EMULATOR) else { return Vec::new() };
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(emulator.pid()))
        .filter_map(|pid| Some((pid, function(pid)?)))
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn function(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let named = environment
        .split(|byte| *byte == 0)
        .find_map(|one| one.strip_prefix(b"AWS_LAMBDA_FUNCTION_NAME="))?;
    String::from_utf8(named.to_vec()).ok()
}

fn end(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone in this very moment is as good as killed.
        let _ = kill_process(pid, Signal::KILL);
    }
}
