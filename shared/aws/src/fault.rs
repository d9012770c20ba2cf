//! One service error, told as one of the four faults.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use understudy_core::fault::Fault;

/// Codes that say: the same call may succeed later.
const TRANSIENT: &[&str] = &[
    "DependencyTimeoutException",
    "InternalServerError",
    "InternalFailure",
    "InternalError",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// What a failed call means. Whatever had no answer is `Transient`: its effect is unknown and must be observed.
pub fn fault<E: ProvideErrorMetadata, R>(what: &str, error: &SdkError<E, R>) -> Fault {
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    match error {
        SdkError::ServiceError(_) if TRANSIENT.contains(&code) => {
            Fault::transient(format!("{what}: {code}: {message}"))
        }
        SdkError::ServiceError(_) => Fault::bug(format!("{what}: {code}: {message}")),
        SdkError::ConstructionFailure(_) => Fault::bug(format!("{what}: the request could not be built")),
        SdkError::TimeoutError(_) => Fault::transient(format!("{what}: no answer in time")),
        SdkError::DispatchFailure(failure) => {
            let why = failure.as_connector_error().map(|error| why(error)).unwrap_or_default();
            Fault::transient(format!("{what}: not reached: {why}"))
        }
        _ => Fault::transient(format!("{what}: the answer could not be read")),
    }
}

/// An error with what lies at its bottom: the layers between say the same again.
fn why(error: &dyn Error) -> String {
    let mut bottom = error;
    while let Some(inner) = bottom.source() {
        bottom = inner;
    }
    let (top, bottom) = (error.to_string(), bottom.to_string());
    if top == bottom { top } else { format!("{top}: {bottom}") }
}
