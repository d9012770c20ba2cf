//! One service error, told as one of the four faults.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use understudy_core::fault::Fault;

/// Codes that come with a status of the 400s and yet say: the same call may succeed later.
const TRANSIENT: &[&str] = &[
    // S3's 409: another conditional put of the key is under way, and may yet fail. It is not the 412 of one that is there.
    "ConditionalRequestConflict",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// What a failed call means. Whatever had no answer is `Transient`, for its effect is unknown and must be observed; so
/// is whatever the service blames on itself, under whatever name.
pub fn fault<E: ProvideErrorMetadata>(what: &str, error: &SdkError<E, HttpResponse>) -> Fault {
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let said = format!("{what}: {status} {code}: {message}");
            if status == 429 || status >= 500 || TRANSIENT.contains(&code) {
                Fault::transient(said)
            } else {
                Fault::bug(said)
            }
        }
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

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::http::{Response, StatusCode};
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use aws_smithy_types::error::metadata::Builder as ErrorMetadataBuilder;

    #[derive(Debug)]
    struct Said(ErrorMetadata);

    impl ProvideErrorMetadata for Said {
        fn meta(&self) -> &ErrorMetadata {
            &self.0
        }
    }

    fn told(status: u16, code: Option<&str>) -> Fault {
        let said = ErrorMetadata::builder();
        let said = code.into_iter().fold(said, ErrorMetadataBuilder::code);
        let status = StatusCode::try_from(status).expect("a status");
        let answer = Response::new(status, SdkBody::empty());
        fault("ask", &SdkError::service_error(Said(said.build()), answer))
    }

    #[test]
    fn what_a_service_blames_on_itself_is_asked_again() {
        // As Lambda, Secrets Manager, CloudWatch and a load balancer in front of any of them say it.
        for (status, code) in [
            (500, Some("ServiceException")),
            (500, Some("InternalServiceError")),
            (502, Some("ENINotReadyException")),
            (503, None),
            (429, Some("TooManyRequestsException")),
            (400, Some("ThrottlingException")),
            (400, Some("ProvisionedThroughputExceededException")),
            (409, Some("ConditionalRequestConflict")),
        ] {
            assert!(matches!(told(status, code), Fault::Transient(_)), "{status} {code:?}");
        }
    }

    #[test]
    fn what_a_service_blames_on_us_is_not() {
        for (status, code) in [
            (400, Some("AccessDeniedException")),
            (404, Some("ResourceNotFoundException")),
            (403, None),
            (412, Some("PreconditionFailed")),
        ] {
            assert!(matches!(told(status, code), Fault::Bug(_)), "{status} {code:?}");
        }
    }
}
