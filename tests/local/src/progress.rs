//! What a person sees while something long goes on: one line for each part, with its time.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// Prints `what`, runs `work`, and prints how long it took.
pub async fn step<T, E>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let began = Instant::now();
    say(&format!("  … {what}"), false);
    let result = work.await;
    let mark = if result.is_ok() { paint("32", "ok") } else { paint("31", "no") };
    say(&format!("  {mark}  {what} ({:.1} s)", began.elapsed().as_secs_f64()), true);
    result
}

/// On a terminal the line that ends a step replaces the one that began it; elsewhere only the end is written.
fn say(line: &str, ends: bool) {
    let mut out = stderr();
    let written = match (out.is_terminal(), ends) {
        (true, false) => write!(out, "{line}\r"),
        (true, true) => writeln!(out, "\x1b[2K{line}"),
        (false, true) => writeln!(out, "{line}"),
        (false, false) => Ok(()),
    };
    // Whoever closed standard error does not want to see progress.
    drop(written.and_then(|()| out.flush()));
}

/// `text` in a colour, on a terminal only.
pub fn paint(code: &str, text: &str) -> String {
    if stderr().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
