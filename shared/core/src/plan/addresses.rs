//! Host names, record names, paths and http addresses from text.
//!
//! A plan needs less of a URL than the standard allows, and refuses the rest by name. Nothing here resolves anything.

use super::codes;
use super::model::Scheme;
use super::schema::Look;
use super::units::{Unit, Wrong, port, quote, text, wrong};
use std::net::IpAddr;

pub(super) const HOST: Unit<String> =
    text("a host name such as `db.example.com`", Look::Text("^[a-z0-9:.-]{1,253}$"), host);

pub(super) const RECORD: Unit<String> =
    text("a DNS name such as `app.example.com`", Look::Text("^[a-z0-9_-]+([.][a-z0-9_-]+)+$"), record);

pub(super) const PATH: Unit<String> = text("a path such as `/health`", Look::Text("^/[!-~]*$"), path);

pub(super) const ADDRESS: Unit<String> =
    text("an address such as `https://app.example.com/hook`", Look::Text("^https?://[!-~]+$"), address);

pub(super) const ENDPOINT: Unit<String> =
    text("an address such as `https://primary.example.com`", Look::Text("^https?://[^/?#]+$"), |text| {
        endpoint(text).map(|endpoint| endpoint.text)
    });

/// Scheme, host and port of a service, and the text that said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub text: String,
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
}

fn host(text: &str) -> Result<String, Wrong> {
    match host_fault(text, false) {
        None => Ok(text.to_owned()),
        Some(fault) => {
            let help =
                "write the host alone, such as `db.example.com` or an IP address: no scheme, port or path";
            wrong(codes::HOST, format!("is not a host name: {} {fault}", quote(text)), help)
        }
    }
}

/// A public name. Underscores may lead a label, as in TXT records.
fn record(text: &str) -> Result<String, Wrong> {
    let fault = if text.ends_with('.') {
        Some("ends in a dot")
    } else if !text.contains('.') {
        Some("is a single label")
    } else if text.parse::<IpAddr>().is_ok() {
        Some("is an IP address")
    } else {
        host_fault(text, true)
    };
    match fault {
        None => Ok(text.to_owned()),
        Some(fault) => {
            let bare = text.trim_end_matches('.').to_ascii_lowercase();
            let bare = if bare.contains('.') && host_fault(&bare, true).is_none() {
                &bare
            } else {
                "app.example.com"
            };
            let help = format!("write the full lower-case name without the last dot, such as `{bare}`");
            wrong(codes::RECORD, format!("is not a record name: {} {fault}", quote(text)), help)
        }
    }
}

/// Why `text` is neither an IP address nor a name by RFC 1123, in lower case.
fn host_fault(text: &str, underscores: bool) -> Option<&'static str> {
    if text.parse::<IpAddr>().is_ok() {
        return None;
    }
    if text.is_empty() {
        return Some("is empty");
    }
    if text.len() > 253 {
        return Some("is longer than 253 characters");
    }
    if text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()) && !last.is_empty())
    {
        return Some("ends in a number and is no IP address");
    }
    text.split('.').find_map(|label| label_fault(label, underscores))
}

fn label_fault(label: &str, underscores: bool) -> Option<&'static str> {
    let label = if underscores { label.strip_prefix('_').unwrap_or(label) } else { label };
    if label.is_empty() {
        return Some("has an empty part between dots");
    }
    if label.len() > 63 {
        return Some("has a part longer than 63 characters");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Some("has a part that begins or ends with `-`");
    }
    if label.chars().any(|c| c.is_ascii_uppercase()) {
        return Some("has capital letters");
    }
    let fits = label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (!fits).then_some("has characters that no host name has")
}

fn path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        let help = "begin it with `/`, such as `/health`; host and port come from the route's own addresses";
        return wrong(codes::PATH, format!("is not a path: {}", quote(text)), help);
    }
    if text.len() > 512 || !text.chars().all(|c| c.is_ascii_graphic() && !"?#\"'<>\\`{}|^".contains(c)) {
        let help = "write at most 512 plain characters, without blanks, `?` or `#`; encode others as `%20`";
        return wrong(codes::PATH, format!("is not a plain path: {}", quote(text)), help);
    }
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<String, Wrong> {
    split(text).map(|_| text.to_owned())
}

/// The host that an address names; `None` for what is no address.
pub(super) fn host_of(text: &str) -> Option<String> {
    split(text).ok().map(|(endpoint, _)| endpoint.host)
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    let (endpoint, rest) = split(text)?;
    if rest.is_empty() {
        return Ok(endpoint);
    }
    let base = text.strip_suffix(rest).unwrap_or(text);
    let help = format!("write {} alone: the paths are `health_path` and `transaction_path`", quote(base));
    wrong(codes::URL, format!("goes on after the host: {}", quote(text)), help)
}

/// The endpoint, and what follows it.
fn split(text: &str) -> Result<(Endpoint, &str), Wrong> {
    let no_url = |fault: &str| {
        let help = "write `https://` or `http://`, a host, and if need be `:port` and a path";
        wrong(codes::URL, format!("is not a usable address: {} {fault}", quote(text)), help)
    };
    let (scheme, tail) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(tail), _) => (Scheme::Https, tail),
        (_, Some(tail)) => (Scheme::Http, tail),
        _ => return no_url("does not begin with `https://` or `http://`"),
    };
    let (authority, rest) =
        tail.split_at_checked(tail.find(['/', '?', '#']).unwrap_or(tail.len())).unwrap_or((tail, ""));
    if text.len() > 1024 || !rest.chars().all(|c| c.is_ascii_graphic() && !"#\"'<>\\`{}|^".contains(c)) {
        return no_url("has a fragment, a blank or another character that does not belong there");
    }
    if authority.contains('@') {
        return no_url("carries user information");
    }
    let (host, port) = host_and_port(authority, scheme)?;
    if let Some(fault) = host_fault(&host, false) {
        return no_url(&format!("names a host that {fault}"));
    }
    Ok((Endpoint { text: text.to_owned(), scheme, host, port }, rest))
}

fn host_and_port(authority: &str, scheme: Scheme) -> Result<(String, u16), Wrong> {
    let standard = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    // `[::1]:8080`: the brackets keep the address's own colons apart from the port's.
    let (host, tail) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, tail)) => (inner, tail),
        None => authority
            .split_at_checked(authority.find(':').unwrap_or(authority.len()))
            .unwrap_or((authority, "")),
    };
    match tail.strip_prefix(':') {
        Some(digits) => Ok((host.to_owned(), port(digits)?)),
        None => Ok((host.to_owned(), standard)),
    }
}
