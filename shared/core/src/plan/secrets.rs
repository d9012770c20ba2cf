//! Finds what is shaped like a secret, so that it is refused and never shown.
//!
//! The scan runs over the raw text before any other code sees it, and everything downstream reads the masked copy:
//! no message can repeat what it never saw. Nothing here prints.

use super::codes;
use super::problem::{Draft, Span};
use std::cell::Cell;

/// Words that, at the end of a name, make its value a secret. Compared without `_`, `-` and case.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secretkey",
    "secretaccesskey",
    "accesskey",
    "apikey",
    "privatekey",
    "token",
    "signature",
    "credential",
    "credentials",
];

/// Something found, and the words for it.
pub(super) struct Hit {
    pub span: Span,
    what: &'static str,
}

impl Hit {
    /// The refusal. Its path is filled in once the tree is read.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            code: codes::SECRET,
            path: String::new(),
            span: self.span,
            message: format!("this looks like {}; it is not shown here", self.what),
            help: "take it out of the plan and treat it as leaked: rotate it. \
                   A plan names the Secrets Manager id (`secret: my-app/application`), never the secret"
                .to_owned(),
            related: None,
        }
    }
}

/// Every secret-shaped stretch of `text`, comments included.
pub(super) fn scan(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    access_keys(text, &mut hits);
    private_keys(text, &mut hits);
    user_infos(text, &mut hits);
    assignments(text, &mut hits);
    hits
}

/// Whether a field of this name would hold a secret. `secret` itself is the plan's word for an id.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.iter().any(|secret| plain.ends_with(secret))
}

pub(super) fn hit(span: Span, what: &'static str) -> Hit {
    Hit { span, what }
}

/// `text` with every character of `spans` masked. Blanks and line breaks stay and so does the length in bytes, so that
/// every line, column and span still holds.
pub(super) fn mask(text: &str, spans: &[Span]) -> String {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    let mut masked = String::with_capacity(text.len());
    let mut ahead = spans.iter().peekable();
    let mut end = 0;
    for (at, c) in text.char_indices() {
        while let Some(span) = ahead.next_if(|span| span.start <= at) {
            end = end.max(span.end);
        }
        masked.push(if at < end && !c.is_whitespace() { blot(c) } else { c });
    }
    masked
}

/// A character as long as `c` that closes no quote and opens no YAML construct.
const fn blot(c: char) -> char {
    match c.len_utf8() {
        1 => '_',
        2 => '\u{b7}',
        3 => '\u{2022}',
        _ => '\u{1f512}',
    }
}

fn access_keys(text: &str, hits: &mut Vec<Hit>) {
    for prefix in ["AKIA", "ASIA"] {
        let found = Found::default();
        for (start, _) in text.match_indices(prefix).filter(|(start, _)| found.is_past(*start)) {
            let length = run(tail(text, start), |c| c.is_ascii_uppercase() || c.is_ascii_digit());
            let joined =
                text.get(..start).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric()));
            if length >= 16 && !joined {
                hits.push(hit(found.span(start, length), "an AWS access key"));
            }
        }
    }
}

/// Where the last find ended. Looking no further back keeps each scan linear in the text.
#[derive(Default)]
struct Found(Cell<usize>);

impl Found {
    fn is_past(&self, at: usize) -> bool {
        at >= self.0.get()
    }

    fn span(&self, start: usize, length: usize) -> Span {
        let end = start.saturating_add(length);
        self.0.set(end);
        Span { start, end }
    }
}

fn tail(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

fn private_keys(text: &str, hits: &mut Vec<Hit>) {
    let found = Found::default();
    let last_end = text.rfind("-----END").unwrap_or(0);
    for (start, mark) in text.match_indices("-----BEGIN").filter(|(start, _)| found.is_past(*start)) {
        let key = tail(text, start);
        let closed = if start < last_end { key.find("-----END") } else { None };
        let length = match closed {
            Some(end) => end.saturating_add(line(tail(key, end))),
            None => open_key(key).max(mark.len()),
        };
        hits.push(hit(found.span(start, length), "a private key or certificate"));
    }
}

/// A key without its end: the first line, and the lines after it that are nothing but base64.
fn open_key(key: &str) -> usize {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let body = key.split_inclusive('\n').skip(1).take_while(|line| line.trim().chars().all(base64));
    line(key).saturating_add(1).saturating_add(body.map(str::len).sum::<usize>()).min(key.len())
}

/// `://user:word@host`: everything between `://` and the last `@` of the authority.
fn user_infos(text: &str, hits: &mut Vec<Hit>) {
    for (at, mark) in text.match_indices("://") {
        let start = at.saturating_add(mark.len());
        let tail = text.get(start..).unwrap_or_default();
        let authority =
            tail.get(..run(tail, |c| !c.is_whitespace() && !"/?#\"'<>,{}[]".contains(c))).unwrap_or_default();
        if let Some(end) = authority.rfind('@') {
            hits.push(hit(Span { start, end: start.saturating_add(end) }, "user information in an address"));
        }
    }
}

/// `password=...` and its like, as in connection strings, command lines and query strings.
fn assignments(text: &str, hits: &mut Vec<Hit>) {
    let found = Found::default();
    for (at, _) in text.match_indices('=').filter(|(at, _)| found.is_past(*at)) {
        if !names_a_secret(text.get(..at).unwrap_or_default()) {
            continue;
        }
        let after = tail(text, at.saturating_add(1));
        let value = after.trim_start_matches(['"', '\'']);
        let start = text.len().saturating_sub(value.len());
        let length = run(value, |c| !c.is_whitespace() && !"\"'&,;{}[]".contains(c));
        if length > 0 {
            hits.push(hit(found.span(start, length), "a password, key or token"));
        }
    }
}

/// Whether the last word of `before` is the name of a secret.
fn names_a_secret(before: &str) -> bool {
    let before = before.trim_end_matches(' ');
    let begin = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    let name =
        begin.map_or(before, |at| tail(before, at)).trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    name.eq_ignore_ascii_case("secret") || name.eq_ignore_ascii_case("sig") || is_secret_name(name)
}

/// Bytes of the longest prefix whose characters all satisfy `keep`.
fn run(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}

/// Bytes up to the end of the line, and not past a closing quote.
fn line(text: &str) -> usize {
    run(text, |c| c != '\n' && c != '"' && c != '\'')
}
