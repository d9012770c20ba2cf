//! `understudy-local`: the local cloud from the command line. `understudy local …` calls it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use understudy_local::aws::operator_environment;
use understudy_local::breaks::{self, Break};
use understudy_local::config::Cloud;
use understudy_local::deliveries::Order;
use understudy_local::python::Python;
use understudy_local::torture::{self, Torture};
use understudy_local::up::{Options, People, down, fastest, running_plan, up};
use understudy_local::{adopt, demo, progress, serve};

#[derive(Parser)]
#[command(name = "understudy-local", about = "Three Regions and the world outside, on this machine", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a local cloud up and arm the plan.
    Up(Setup),
    /// End everything that `up` started.
    Down(Setup),
    /// Down and up in one: a new, healthy cloud, whatever was done to the old one. Nothing of that one is kept, and
    /// it is made as this command says, not as the old one was.
    Reset(Setup),
    /// Break the primary of a running cloud.
    Break {
        what: Break,
        #[command(flatten)]
        setup: Setup,
    },
    /// Mend what a break did.
    Heal {
        what: Heal,
        #[command(flatten)]
        setup: Setup,
    },
    /// Up, break, watch, compare with the client outside, down.
    Demo {
        #[arg(long, default_value = "kill")]
        what: Break,
        #[command(flatten)]
        deliveries: Repeated,
        #[command(flatten)]
        setup: Setup,
    },
    /// Up, `plan check --live` on a healthy cloud and on planted faults, down.
    Adopt(Setup),
    /// Break a pair of servers over and over, under transactions that are left open, and judge each round.
    Torture(TortureArguments),
    /// What points `understudy` at a running cloud: `eval "$(understudy local env)"`.
    Env(Setup),
    /// Install the Python parts: emulator, SAM, PostgreSQL.
    Python(Setup),
    /// The network of a cloud; started by `up`.
    #[command(hide = true)]
    Serve { cloud: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
enum Heal {
    /// Open every link.
    Links,
    /// Let the replica replay again.
    Replica,
    /// Build the old primary anew, as a replica of the standby that serves.
    Primary,
}

#[derive(Args)]
struct Setup {
    /// The checkout.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The plan to run.
    #[arg(long, default_value = "infra/plans/financial-rag.yaml")]
    plan: PathBuf,
    /// Run the plan of its rehearsal environment instead; a drill always does.
    #[arg(long)]
    rehearsal: bool,
    /// Divides every period and every duration of the plan, as far as its looks allow: none comes sooner than a second
    /// behind the one before it.
    #[arg(long, default_value_t = 20.0)]
    speed: f64,
    /// What people do when the plan asks.
    #[arg(long, default_value = "auto")]
    approve: People,
    /// Do not arm the dead-man: `on_loss: stay`.
    #[arg(long)]
    unarmed: bool,
}

#[derive(Args)]
struct TortureArguments {
    /// How many; one, where `--seed` names it.
    #[arg(long)]
    rounds: Option<u64>,
    /// The number of the first round, as an earlier run printed it.
    #[arg(long)]
    seed: Option<u64>,
    /// Whole local clouds, on which the workers of functions are killed while a failover goes on.
    #[arg(long)]
    kill: bool,
    /// So many rounds at the same time, each on servers of its own.
    #[arg(long, default_value_t = 4)]
    lanes: u64,
    /// The checkout.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The plan to run.
    #[arg(long, default_value = "infra/plans/financial-rag.yaml")]
    plan: PathBuf,
    /// Divides every duration of the plan: by 60, or with `--kill` by 20, where nothing else is said.
    #[arg(long)]
    speed: Option<f64>,
}

#[derive(Args)]
struct Repeated {
    /// Deliver the alarm so many times more, in every shape, shuffled, from the break to the end.
    #[arg(long, value_name = "COUNT")]
    deliveries: Option<NonZeroUsize>,
    /// The order of an earlier run, as it printed it.
    #[arg(long, requires = "deliveries")]
    seed: Option<u64>,
}

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { cloud } => network(cloud).await,
        command => operate(command).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            explain(error.as_ref());
            ExitCode::from(3)
        }
    }
}

/// An error with everything behind it, outermost first.
fn explain(error: &dyn std::error::Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
}

async fn network(cloud: PathBuf) -> Result<ExitCode, Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    serve::serve(Cloud::load(&cloud)?).await?;
    Ok(ExitCode::SUCCESS)
}

async fn operate(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(setup) => bring_up(&setup.options()?).await,
        Command::Reset(setup) => {
            let options = setup.options()?;
            down(&options).await?;
            bring_up(&options).await
        }
        Command::Down(setup) => {
            down(&setup.options()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Env(setup) => {
            let cloud = Cloud::load(&setup.options()?.cloud_file())?;
            for (name, value) in operator_environment(&cloud) {
                println!("export {name}={value}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Python(setup) => {
            let python = Python::at(&setup.options()?.root);
            progress::step("Python parts: emulator, SAM, PostgreSQL", python.install()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Break { what, setup } => {
            let options = setup.options()?;
            let cloud = Cloud::load(&options.cloud_file())?;
            let plan = running_plan(&options)?;
            breaks::prepare(what, &cloud, &plan).await?;
            breaks::apply(what, &cloud, &plan).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Heal { what, setup } => {
            let options = setup.options()?;
            let cloud = Cloud::load(&options.cloud_file())?;
            match what {
                Heal::Links => breaks::heal_links(&cloud).await?,
                Heal::Primary => breaks::rebuild_primary(&cloud).await?,
                Heal::Replica => breaks::heal_replica(&cloud, &running_plan(&options)?).await?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { what, deliveries, mut setup } => {
            setup.rehearsal |= what == Break::Drill;
            let options = setup.options()?;
            println!(
                "speed {}: every duration of the plan and every period of AWS is divided by it",
                options.speed
            );
            and_down(&options, play(&options, what, deliveries.order())).await
        }
        Command::Adopt(setup) => {
            let options = setup.options()?;
            and_down(&options, first_look(&options)).await
        }
        Command::Torture(rounds) => torture(&rounds.torture()?).await,
        Command::Serve { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Whatever happens, also Ctrl-C, no server is left behind.
async fn torture(torture: &Torture) -> Result<ExitCode, Failure> {
    let result = tokio::select! {
        ended = torture::run(torture) => ended,
        _ = tokio::signal::ctrl_c() => {
            torture::stop(torture).await?;
            return Ok(ExitCode::from(130));
        }
    };
    torture::stop(torture).await?;
    Ok(ExitCode::from(result?.code()))
}

async fn bring_up(options: &Options) -> Result<ExitCode, Failure> {
    if let Err(error) = up(options).await {
        down(options).await?;
        return Err(error.into());
    }
    println!("up; `understudy local down` ends it");
    Ok(ExitCode::SUCCESS)
}

/// Whatever happens, also Ctrl-C, nothing is left behind.
async fn and_down(
    options: &Options,
    work: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let result = tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
    };
    down(options).await?;
    result
}

async fn first_look(options: &Options) -> Result<ExitCode, Failure> {
    let up = up(options).await?;
    adopt::run(options, &up).await?;
    println!("every planted fault was found");
    Ok(ExitCode::SUCCESS)
}

async fn play(options: &Options, what: Break, deliveries: Option<Order>) -> Result<ExitCode, Failure> {
    let up = up(options).await?;
    let agrees = demo::run(options, &up, what, deliveries).await?;
    println!(
        "\n{}",
        if agrees { "both accounts agree" } else { "the accounts DISAGREE: see the lines above" }
    );
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

impl Repeated {
    fn order(&self) -> Option<Order> {
        let seed = || self.seed.unwrap_or_else(|| fastrand::u64(..));
        self.deliveries.map(|count| Order { count: count.get(), seed: seed() })
    }
}

/// Rounds that nobody counted.
const ROUNDS: u64 = 200;

impl TortureArguments {
    fn torture(self) -> Result<Torture, Failure> {
        let rounds = self.rounds.unwrap_or(if self.seed.is_some() { 1 } else { ROUNDS });
        let first = self.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
        let setup = Setup {
            root: self.root,
            plan: self.plan,
            rehearsal: false,
            speed: self.speed.unwrap_or(if self.kill { 20.0 } else { 60.0 }),
            approve: People::Auto,
            unarmed: false,
        };
        Ok(Torture { options: setup.options()?, rounds, first, lanes: self.lanes.max(1), kill: self.kill })
    }
}

impl Setup {
    fn options(self) -> Result<Options, Failure> {
        let root = self.root.canonicalize()?;
        let binaries =
            std::env::current_exe()?.parent().map(PathBuf::from).ok_or("this binary has no folder")?;
        let plan = root.join(self.plan);
        let speed = self.speed.min(fastest(&plan));
        Ok(Options {
            plan,
            root,
            binaries,
            folder: "run".to_owned(),
            rehearsal: self.rehearsal,
            speed,
            people: self.approve,
            armed: !self.unarmed,
        })
    }
}
