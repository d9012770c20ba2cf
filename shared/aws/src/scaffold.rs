//! What every Lambda starts with: its environment, all errors of it at once, and the runtime loop.
//!
//! SDK clients are built here with one TLS stack and bounded time: a Region that accepts and never answers must
//! cost seconds, not the invocation.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::tls;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use understudy_core::fault::Fault;
use understudy_core::looks::Eyes;
use understudy_core::plan::{self, Plan};
use understudy_core::ports::{Cells, Clock, Looks, Role};

/// One attempt of one call. Regional APIs answer in milliseconds; another Region is a fifth of a second away.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// One call with its retries.
const OPERATION: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 3;

/// The wall clock of this Region's hosts.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Why a function cannot start.
#[derive(Debug, thiserror::Error)]
#[error("this function cannot start:\n{}", .0.join("\n"))]
pub struct StartError(Vec<String>);

/// What a function is told by its deployment: its role, the plan beside it, and names by convention.
#[derive(Clone, Debug)]
pub struct Environment {
    pub plan: Plan,
    pub plan_digest: String,
    pub role: Role,
}

impl Environment {
    /// Reads all of it before reporting what is wrong with any of it.
    pub fn load() -> Result<Self, StartError> {
        tracing_subscriber::fmt().json().with_target(false).with_current_span(false).init();
        let mut errors = Vec::new();
        let role = role().map_err(|error| errors.push(error)).ok();
        let plan = packaged_plan().map_err(|error| errors.push(error)).ok();
        match (role, plan) {
            (Some(role), Some(plan)) => Ok(Self { plan_digest: plan.digest(), plan, role }),
            _ => Err(StartError(errors)),
        }
    }

    /// The prefix of every resource of this plan.
    pub fn prefix(&self) -> String {
        format!("understudy-{}", self.plan.name)
    }

    /// The Region of this role.
    pub fn region(&self) -> &plan::Region {
        // A witness function in a plan without witness cannot be deployed; its own Region then is as good.
        self.role.region(&self.plan.regions).unwrap_or(&self.plan.regions.standby)
    }

    /// A value that the template sets for this function only.
    pub fn value(name: &str) -> Result<String, StartError> {
        std::env::var(name)
            .map_err(|_| StartError(vec![format!("environment: `{name}` must be set by the template")]))
    }
}

fn role() -> Result<Role, String> {
    let text = std::env::var("UNDERSTUDY_ROLE").unwrap_or_default();
    serde_json::from_value(Value::String(text.clone())).map_err(|_| {
        format!("environment: `UNDERSTUDY_ROLE` is `{text}`; it must be standby, primary or witness")
    })
}

/// The plan lies beside the binary, put there when the package was made.
fn packaged_plan() -> Result<Plan, String> {
    let folder = std::env::var("LAMBDA_TASK_ROOT").map_or_else(|_| PathBuf::from("."), PathBuf::from);
    let path = folder.join("plan.yaml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    plan::read("plan.yaml", &text).map_err(|problems| problems.to_string())
}

/// The configuration of an operator's commands for `region`: credentials from the environment or a profile.
pub async fn operator_config(region: &plan::Region, profile: Option<&str>) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.0.clone()))
        .http_client(http);
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}

/// Why there are no credentials to ask anything with, in one line; `None`: there are.
pub async fn no_credentials(config: &SdkConfig) -> Option<String> {
    let Some(provider) = config.credentials_provider() else { return Some("none are configured".to_owned()) };
    let failed = provider.provide_credentials().await.err()?;
    let mut why = failed.to_string();
    let mut inner = std::error::Error::source(&failed);
    while let Some(cause) = inner {
        why = cause.to_string();
        inner = cause.source();
    }
    Some(why)
}

/// The configuration of every SDK client for `region`. Lambda always provides credentials in the environment,
/// so no other source is asked.
pub async fn sdk_config(region: &plan::Region) -> SdkConfig {
    sdk_config_with(region, ATTEMPT, OPERATION, ATTEMPTS).await
}

/// As [`sdk_config`], for calls that may take longer and must not be repeated by the SDK.
pub async fn patient_sdk_config(region: &plan::Region, operation: Duration) -> SdkConfig {
    sdk_config_with(region, operation, operation, 1).await
}

async fn sdk_config_with(
    region: &plan::Region,
    attempt: Duration,
    operation: Duration,
    attempts: u32,
) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.0.clone()))
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .load()
        .await
}

/// A fault as the Lambda runtime reports it: its type is the name that the workflow matches.
struct Edge(Fault);

impl std::fmt::Debug for Edge {
    /// What the runtime writes to the log: `Transient: …`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.error_type(), self.0)
    }
}

impl From<Edge> for Diagnostic {
    fn from(Edge(fault): Edge) -> Self {
        Self { error_type: fault.error_type().to_owned(), error_message: fault.to_string() }
    }
}

/// As [`serve`], for a function that looks between its ticks, too. Looks that could not be sent ahead are an error in the
/// log, and cost the tick nothing.
pub async fn serve_looking<C, K, Q, H, R>(
    eyes: &Eyes<'_, C, K, Q>,
    handle: H,
) -> Result<(), lambda_runtime::Error>
where
    C: Cells,
    K: Clock,
    Q: Looks,
    H: AsyncFn(&Value) -> Result<R, Fault>,
    R: Serialize,
{
    let handle = &handle;
    serve(|event| async move {
        let looked = eyes.answer(&event, handle).await?;
        if let Some(why) = &looked.looks_missed {
            tracing::error!(%why, "the looks until the next tick could not be sent");
        }
        Ok(looked)
    })
    .await
}

/// Answers invocations with `handle` until the environment ends.
pub async fn serve<H, F, R>(handle: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Value) -> F,
    F: Future<Output = Result<R, Fault>>,
    R: Serialize,
{
    let handle = &handle;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        // Read here and not by the runtime, whose own error would be a fifth kind.
        let event: Value = serde_json::from_str(event.payload.get())
            .map_err(|error| Edge(Fault::invalid(format!("event: {error}"))))?;
        // Boxed: the steps nest deeper than the compiler follows a future's layout.
        match Box::pin(handle(event)).await {
            Ok(answer) => {
                let answer = serde_json::to_value(&answer).map_err(|error| Edge(Fault::bug(error)))?;
                tracing::info!(%answer);
                Ok(answer)
            }
            Err(fault) => Err(Edge(fault)),
        }
    }))
    .await
}
