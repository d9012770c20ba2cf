//! One function's process: its package, its environment, its life.

use super::endpoint::{Endpoint, FAR, NEAR};
use super::runtime::{Answer, Runtime};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Every function ends its work, or gives it up, well within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// A warm process behind a Runtime API of its own.
pub struct Lambda {
    pub endpoint: Endpoint,
    log: PathBuf,
    runtime: Runtime,
    child: Child,
}

impl Lambda {
    pub async fn start(name: &str, binaries: &Path) -> io::Result<Self> {
        let (endpoint, runtime) = (Endpoint::open()?, Runtime::open().await?);
        let package = package(name, "stub", endpoint.port)?;
        let log = package.join("log");
        let mut command = Command::new(binaries.join(name));
        environment(&mut command, name, &package, endpoint.port);
        command.env("AWS_LAMBDA_RUNTIME_API", runtime.address.to_string());
        let file = File::create(&log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { endpoint, log, runtime, child })
    }

    /// Hands the process one event and waits for what it makes of it.
    pub async fn invoke(&mut self, event: String) -> Result<Answer, String> {
        let gone = |why: &str, log: &Path| Err(format!("{why}; see {}", log.display()));
        if self.runtime.events.send(event).await.is_err() {
            return gone("the Runtime API has ended", &self.log);
        }
        let since = Instant::now();
        loop {
            tokio::select! {
                Some(answer) = self.runtime.answers.recv() => return Ok(answer),
                () = sleep(Duration::from_millis(100)) => {}
            }
            if let Some(status) = self.ended() {
                return gone(&format!("the process ended with {status}"), &self.log);
            }
            if since.elapsed() > PATIENCE {
                return gone("no answer", &self.log);
            }
        }
    }

    /// All that the process has said so far.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(&self.log)
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of the function's own with the plan in it, as a deployed package has it.
pub fn package(name: &str, suite: &str, port: u16) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{suite}-{name}"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("plan.yaml"), plan(port)?)?;
    Ok(folder)
}

/// The example plan with every address led to the endpoint.
fn plan(port: u16) -> io::Result<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/plans/financial-rag.yaml");
    let mut text = fs::read_to_string(example)?;
    for (from, to) in [
        ("https://primary.rag.example.com", format!("http://{FAR}:{port}")),
        ("https://standby.rag.example.com", format!("http://{NEAR}:{port}")),
        ("https://checkip.amazonaws.com", format!("http://{NEAR}:{port}")),
        (
            "financial-rag.cexample7k2p.us-east-1.rds.amazonaws.com, port: 5432",
            format!("{FAR}, port: {port}"),
        ),
        (
            "financial-rag-replica.cexample7k2p.us-west-2.rds.amazonaws.com, port: 5432",
            format!("{NEAR}, port: {port}"),
        ),
        ("probe_timeout: 10s", "probe_timeout: 1s".to_owned()),
    ] {
        if !text.contains(from) {
            return Err(io::Error::other(format!("the example plan no longer says `{from}`")));
        }
        text = text.replace(from, &to);
    }
    Ok(text)
}

/// What Lambda and the template would set, and nothing else.
pub fn environment(command: &mut Command, name: &str, package: &Path, port: u16) {
    let role = if name == "primary-guard" { "primary" } else { "standby" };
    command
        .env_clear()
        .env("AWS_LAMBDA_FUNCTION_NAME", format!("understudy-financial-rag-{name}"))
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/understudy-financial-rag-{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/21/[1]tested")
        .env("AWS_REGION", if role == "primary" { "us-east-1" } else { "us-west-2" })
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "EXAMPLE")
        .env("AWS_SESSION_TOKEN", "EXAMPLE")
        .env("AWS_ENDPOINT_URL", format!("http://{NEAR}:{port}"))
        .env("LAMBDA_TASK_ROOT", package)
        .env("UNDERSTUDY_ROLE", role)
        .env(
            "STATE_MACHINE",
            "arn:aws:states:us-west-2:123456789012:stateMachine:understudy-financial-rag-failover",
        )
        .env("PAGES_TOPIC", "arn:aws:sns:us-west-2:123456789012:understudy-financial-rag-pages")
        .env("SIGNING_KEY", "")
        .env("EVIDENCE_BUCKET", "understudy-financial-rag-evidence")
        .env("DATABASE_TLS", "off");
}
