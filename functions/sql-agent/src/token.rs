//! The RDS IAM login token: a presigned request that is never sent, signed with this function's own role.

use crate::connect::{Refusal, Target};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as sign_request,
};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};
use understudy_core::sql::FailureClass;

/// RDS accepts a token for at most this long.
const VALID: Duration = Duration::from_mins(15);

pub fn sign(
    target: &Target<'_>,
    user: &str,
    region: &str,
    credentials: Credentials,
) -> Result<String, Refusal> {
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(VALID);
    settings.signature_location = SignatureLocation::QueryParams;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(failed)?
        .into();
    // The plan allows no character in a role's name that would need escaping in a query.
    let url = format!("https://{}:{}/?Action=connect&DBUser={user}", target.host, target.port);
    let request =
        SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[])).map_err(failed)?;
    let (instructions, _) = sign_request(request, &params).map_err(failed)?.into_parts();
    let signature = instructions
        .params()
        .iter()
        .fold(String::new(), |query, (name, value)| format!("{query}&{name}={}", escaped(value)));
    Ok(format!("{}{signature}", url.trim_start_matches("https://")))
}

/// Percent-encodes what a query value may not hold.
fn escaped(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        use std::fmt::Write;
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The function's own role, as Lambda hands it over.
pub fn from_environment() -> Result<Credentials, Refusal> {
    let read =
        |name: &str| std::env::var(name).map_err(|_| failed(format!("environment: `{name}` is not set")));
    let session = std::env::var("AWS_SESSION_TOKEN").ok();
    Ok(Credentials::new(
        read("AWS_ACCESS_KEY_ID")?,
        read("AWS_SECRET_ACCESS_KEY")?,
        session,
        None,
        "environment",
    ))
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal { class: FailureClass::Login, detail: format!("the login token could not be signed: {error}") }
}
