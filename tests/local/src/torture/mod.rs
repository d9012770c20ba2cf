//! Torture: rounds of broken primaries and unfinished transactions on a real pair of PostgreSQL servers, each judged.
//!
//! One process, several lanes beside each other, each with a pair of servers and wires of its own. A round copies a
//! fresh pair, arms it, lets clients write, breaks something, and lets the deployed workflow and the functions' own code
//! go on by themselves. What AWS would do besides is played in memory, so that a round is seconds long.
//!
//! Here the rounds are made, played and judged; what is right is said in `judge` alone.

mod draw;
mod functions;
mod judge;
mod kills;
mod load;
mod pair;
mod region;
mod round;
mod table;
mod wires;
mod workflow;

use crate::breaks::BreakError;
use crate::config::{Cloud, ConfigError, Place};
use crate::links::{BindError, Forwarders, Links};
use crate::postgres::PostgresError;
use crate::progress::paint;
use crate::python::{Python, PythonError};
use crate::up::{self, Options, UpError};
use draw::Round;
use judge::Judgement;
use pair::Pair;
use round::Lane;
use std::fmt::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};
use table::Table;
use tokio::sync::mpsc;
use understudy_core::fault::Fault;
use understudy_core::journal::Stored;
use understudy_core::report::line as told;
use understudy_sim::asl::{AslError, Machine};

/// RDS takes its time for a promotion; these rounds are about what comes before it and after it.
const RDS_SPEED: f64 = 1_000.0;

/// Why a round could not be played.
#[derive(Debug, thiserror::Error)]
pub enum TortureError {
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Break(BreakError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Sql(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Python(#[from] PythonError),
    #[error("the links cannot start")]
    Links(#[from] BindError),
    #[error("the workflow does not read")]
    Workflow(#[from] AslError),
    #[error("the functions cannot be wired: {0}")]
    Wiring(#[from] Fault),
    #[error("cannot use `{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the standby does not stream")]
    NotStreaming,
    #[error("the lease was not renewed, or an observer does not see the primary; is this machine very busy?")]
    NotReady,
    #[error("a lane ended without a word")]
    Lane,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Torture {
    pub options: Options,
    pub rounds: u64,
    /// The number of the first round; the others follow it.
    pub first: u64,
    pub lanes: u64,
    /// Workers of functions are killed, on whole local clouds.
    pub kill: bool,
}

impl Torture {
    /// Rounds and clouds do not tread on each other.
    fn name(&self) -> &'static str {
        if self.kill { "torture-kill" } else { "torture" }
    }

    fn folder(&self) -> PathBuf {
        self.options.root.join(".local").join(self.name())
    }

    /// The local cloud of one lane.
    fn options_of(&self, lane: &str) -> Options {
        Options { folder: format!("{}/{lane}", self.name()), ..self.options.clone() }
    }
}

/// What one round came to, for whoever tells it.
struct Played {
    round: Round,
    judged: Result<Judgement, TortureError>,
    acknowledged: usize,
    took: Duration,
}

#[cfg(test)]
impl Played {
    fn of_test(judged: Judgement) -> Self {
        Self { round: Round::drawn(0), judged: Ok(judged), acknowledged: 0, took: Duration::ZERO }
    }
}

/// How it all ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Agreed,
    /// Rounds that could not be played prove nothing, nor do many that hardly ever moved anything.
    Unplayed,
    Disagreed,
}

impl Ended {
    /// So many rounds are not all refused for good reasons.
    const MANY: u64 = 20;

    /// Whether so many rounds recovered so seldom that their agreement shows nothing.
    fn is_idle(rounds: u64, recovered: u64) -> bool {
        rounds >= Self::MANY && recovered.saturating_mul(10) < rounds
    }

    /// What is told of it, for an exit code alone tells nobody why.
    fn idle_text(rounds: u64, recovered: u64) -> String {
        if !Self::is_idle(rounds, recovered) {
            return String::new();
        }
        format!(
            "  NOTHING SHOWN: {recovered} of {rounds} recovered, and below a tenth refusals alone may agree\n"
        )
    }

    fn of(rounds: u64, recovered: u64, unplayed: &[u64], disagreed: &[u64]) -> Self {
        if !disagreed.is_empty() {
            Self::Disagreed
        } else if Self::is_idle(rounds, recovered) || !unplayed.is_empty() {
            Self::Unplayed
        } else {
            Self::Agreed
        }
    }

    /// As every command of the local cloud exits.
    pub fn code(self) -> u8 {
        match self {
            Self::Agreed => 0,
            Self::Unplayed => 3,
            Self::Disagreed => 4,
        }
    }
}

/// Plays every round, tells each, and tells all of them at the end.
pub async fn run(torture: &Torture) -> Result<Ended, TortureError> {
    let python = Python::at(&torture.options.root);
    crate::progress::step("Python parts: PostgreSQL", python.install()).await?;
    let folder = torture.folder();
    clear(torture).await?;
    if torture.kill {
        return kills::run(torture).await;
    }
    let next = Arc::new(AtomicU64::new(0));
    let claims = Arc::new(Mutex::new(()));
    let (results, mut played) = mpsc::unbounded_channel();
    let began = Instant::now();
    for number in 0..torture.lanes.min(torture.rounds) {
        let lane = Setup {
            torture: torture.clone(),
            python: python.clone(),
            state: folder.join(format!("lane-{number}")),
            next: Arc::clone(&next),
            claims: Arc::clone(&claims),
            results: results.clone(),
        };
        thread::spawn(move || lane.run());
    }
    drop(results);
    let mut table = Table::default();
    while let Some(result) = played.recv().await {
        let played = result?;
        tell(torture, table.rounds() + 1, &played);
        table.add(&played);
    }
    println!("{}", table.text(began.elapsed()));
    if table.rounds() < torture.rounds {
        return Err(TortureError::Lane);
    }
    Ok(table.ended())
}

/// Whatever an earlier run left, processes first.
async fn clear(torture: &Torture) -> Result<(), TortureError> {
    stop(torture).await?;
    let folder = &torture.folder();
    let failed = |source| TortureError::File { path: folder.clone(), source };
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

/// Ends everything that a run started, also one that was killed.
pub async fn stop(torture: &Torture) -> Result<(), TortureError> {
    for lane in fs::read_dir(torture.folder()).into_iter().flatten().flatten() {
        let options = torture.options_of(&lane.file_name().to_string_lossy());
        if options.cloud_file().exists() {
            up::down(&options).await?;
        }
    }
    Ok(())
}

/// One lane before it is made: it lives on a thread of its own.
struct Setup {
    torture: Torture,
    python: Python,
    state: PathBuf,
    next: Arc<AtomicU64>,
    claims: Arc<Mutex<()>>,
    results: mpsc::UnboundedSender<Result<Played, TortureError>>,
}

impl Setup {
    fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        let work = tokio::task::LocalSet::new();
        if let Err(error) = runtime.block_on(work.run_until(self.rounds())) {
            // Nobody hears it only where everything is over.
            let _ = self.results.send(Err(error));
        }
    }

    async fn rounds(&self) -> Result<(), TortureError> {
        let (cloud, _claim) = self.claim()?;
        let lane = self.lane(cloud).await?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.torture.rounds {
                return Ok(());
            }
            let round = Round::drawn(self.torture.first.wrapping_add(number));
            let played = self.play(&lane, round).await?;
            if self.results.send(Ok(played)).is_err() {
                return Ok(());
            }
        }
    }

    /// Room for one more cloud, held by a socket in its block.
    fn claim(&self) -> Result<(Cloud, TcpListener), TortureError> {
        let _one_at_a_time = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| TortureError::File { path: self.state.clone(), source };
        fs::create_dir_all(self.state.join("pg")).map_err(failed)?;
        fs::create_dir_all(self.state.join("logs")).map_err(failed)?;
        let mut cloud = up::describe(&self.state, &self.python)?;
        let claim = TcpListener::bind((Ipv4Addr::new(127, cloud.block, 99, 99), 0)).map_err(failed)?;
        cloud.speed = RDS_SPEED;
        Ok((cloud, claim))
    }

    async fn lane(&self, mut cloud: Cloud) -> Result<Lane, TortureError> {
        let options = &self.torture.options;
        let given = up::given_plan(options)?;
        up::name_hosts(&mut cloud, &given);
        let mut plan = up::localised(given, &cloud, options);
        for store in &mut plan.stores {
            // Each `sql-agent` sits beside its own server, and no name stands between.
            store.primary.host = cloud.link(Place::Primary, Place::Primary).to_string();
            store.standby.host = cloud.link(Place::Standby, Place::Standby).to_string();
        }
        cloud.save(&self.state.join("cloud.json"))?;
        let pair = Pair::make(&cloud, &plan).await?;
        let links = Links::new();
        tokio::task::spawn_local(Forwarders::bind(&cloud, &links).await?.run());
        let path = options.root.join("infra/workflows/failover.asl.json");
        let text = fs::read_to_string(&path).map_err(|source| TortureError::File { path, source })?;
        let machine = Rc::new(Machine::read(&text)?);
        Ok(Lane { cloud, links, pair: Rc::new(pair), plan, machine })
    }

    async fn play(&self, lane: &Lane, round: Round) -> Result<Played, TortureError> {
        let began = Instant::now();
        match round::play(lane, &round).await {
            Ok((plan, evidence)) => {
                let judged = judge::judge(&plan, &evidence);
                if !judged.holds() {
                    self.keep(&round, &judged, &evidence)?;
                }
                let acknowledged = evidence.told.len();
                Ok(Played { round, judged: Ok(judged), acknowledged, took: began.elapsed() })
            }
            Err(error) => {
                lane.pair.end().await?;
                Ok(Played { round, judged: Err(error), acknowledged: 0, took: began.elapsed() })
            }
        }
    }

    /// All that is known of a round that broke something.
    fn keep(&self, round: &Round, judged: &Judgement, left: &judge::Evidence) -> Result<(), TortureError> {
        let mut text = format!("{round:#?}\n");
        for line in &judged.lines {
            let mark = if line.holds { "ok" } else { "NO" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark} {}: {}", line.what, line.told);
        }
        for written in &left.executions {
            text.push_str(&story(&written.chain));
        }
        for told in &left.told {
            let _ = writeln!(text, "{} {} {}", told.done_at, told.by, told.tx);
        }
        let path = self.state.with_file_name(format!("round-{}.txt", round.seed));
        fs::write(&path, text).map_err(|source| TortureError::File { path, source })
    }
}

/// A journal, a line a record; one that does not read is said elsewhere.
fn story(chain: &[Stored]) -> String {
    let records = chain.iter().filter_map(|stored| stored.record().ok());
    let lines = records.map(|record| {
        let line = told(&record);
        format!("{} {:<18} {}\n", line.at, line.writer, line.text)
    });
    lines.collect()
}

fn tell(torture: &Torture, number: u64, played: &Played) {
    let Round { seed, harm, .. } = &played.round;
    let took = played.took.as_secs_f64();
    let head = format!("{number:>4}/{} SEED={seed} {harm:<8}", torture.rounds);
    match &played.judged {
        Ok(judged) => {
            let mark = if judged.holds() { paint("32", "ok") } else { paint("31", "NO") };
            println!("  {mark} {head} {} ({took:.1} s)", table::one(judged));
            for line in judged.lines.iter().filter(|line| !line.holds) {
                println!("       {}: {}", line.what, line.told);
            }
        }
        Err(error) => println!("  {} {head} not played: {error} ({took:.1} s)", paint("33", "--")),
    }
}
