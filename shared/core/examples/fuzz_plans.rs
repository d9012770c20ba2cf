//! Spoiled plan files, many: whatever is read must be answered, and never with a panic. `make fuzz CASES=10000000`.
//!
//! Each case takes a plan of the repository, spoils it in one to four places (bytes, lines, words of YAML, pieces of
//! other plans), reads it, and now and then renders what was found, lints what was read, and imports it as JSON. A case
//! is its number: the same number is the same text.

use std::num::NonZero;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};
use understudy_core::lint::lint;
use understudy_core::plan::{import, read};

const FOLDERS: [&str; 3] = ["infra/plans", "tests/plans", "tests/plans/contradictions"];

/// In bytes.
const SHORT: usize = 2500;

/// What YAML makes much of, and what plans do.
const WORDS: &[&str] = &[
    ": ",
    "- ",
    "\n",
    "\n  ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "#",
    "|",
    ">",
    "&a ",
    "*a",
    "!t ",
    "<<: ",
    "? ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\r\n",
    "\r",
    "\u{feff}",
    "\u{200b}",
    "é",
    "\u{1f512}",
    "\\",
    "null",
    "~",
    "true",
    "60",
    "-1",
    "1e9",
    "90s",
    "0s",
    "99999999999d",
    "99.95%",
    "100%",
    "2026-02-30",
    "\"09:30\"",
    "25:00",
    "cron(0 0 31 2 ? *)",
    "rate(0 days)",
    "America/New_York",
    "password=x",
    "-----BEGIN X",
    "https://a:b@c",
    "AKIAIOSFODNN7EXAMPLE",
    "stores:\n  - ",
    "drills: ",
    "calendar: ",
    "lease: {on_loss: fence}\n",
];

/// xorshift64*: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn of(case: u64) -> Self {
        Self(case.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or(0) % bound.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len())).copied()
    }
}

fn corpus() -> std::io::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut plans = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                plans.push(fs::read_to_string(path)?);
            }
        }
    }
    // The shortest first.
    plans.sort_by_key(String::len);
    Ok(plans)
}

/// The boundary of a character at or before a place that is drawn.
fn place(text: &str, chance: &mut Chance) -> usize {
    let at = chance.below(text.len().saturating_add(1));
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn spoiled(case: u64, corpus: &[&str]) -> String {
    let chance = &mut Chance::of(case);
    // Most of the time a short one: it is read faster, and what can be wrong is wrong in it too.
    let short = corpus.partition_point(|plan| plan.len() < SHORT);
    let from = if chance.below(16) == 0 { corpus } else { corpus.get(..short).unwrap_or(corpus) };
    let mut text = chance.pick(from).unwrap_or_default().to_owned();
    for _ in 0..=chance.below(4) {
        let (one, other) = (place(&text, chance), place(&text, chance));
        let (from, to) = (one.min(other), one.max(other));
        let piece = match chance.below(5) {
            // Taken away; most of the time not much of it.
            0 => String::new(),
            1 => text.get(from..to).unwrap_or_default().repeat(2),
            2 => {
                let stranger = chance.pick(corpus).unwrap_or_default();
                let (begin, end) = (place(stranger, chance), place(stranger, chance));
                stranger.get(begin.min(end)..begin.max(end)).unwrap_or_default().chars().take(200).collect()
            }
            3 => char::from_u32(u32::try_from(chance.below(0x3000)).unwrap_or(0))
                .map(String::from)
                .unwrap_or_default(),
            _ => chance.pick(WORDS).unwrap_or_default().to_owned(),
        };
        let near = from.saturating_add(chance.below(24)).min(to);
        let near = (from..=near).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(from);
        text.replace_range(from..near, &piece);
    }
    text
}

/// True if the text is a plan all the same.
fn answered(case: u64, text: &str) -> bool {
    let seldom = case.is_multiple_of(64);
    if seldom {
        let _ = import(text).map(|made| made.problems("plan.yaml"));
    }
    match read("plan.yaml", text) {
        Ok(plan) => {
            let _ = lint(&plan, jiff::civil::date(2026, 12, 1));
            true
        }
        Err(problems) => {
            if seldom {
                let _ = problems.to_string();
            }
            false
        }
    }
}

fn main() -> ExitCode {
    let cases = env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000_u64);
    let corpus = match corpus() {
        Ok(corpus) => corpus,
        Err(error) => {
            eprintln!("error: the plans of the repository: {error}");
            return ExitCode::from(3);
        }
    };
    let corpus: Vec<&str> = corpus.iter().map(String::as_str).collect();
    let (next, plans, panics) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        break;
                    }
                    let text = spoiled(case, &corpus);
                    if let Ok(plan) = catch_unwind(|| answered(case, &text)) {
                        plans.fetch_add(u64::from(plan), Ordering::Relaxed);
                    } else {
                        panics.fetch_add(1, Ordering::Relaxed);
                        eprintln!("case {case} panics on\n{text}");
                    }
                    if case > 0 && case.is_multiple_of(1_000_000) {
                        eprintln!("{case} cases");
                    }
                }
            });
        }
    });
    let (plans, panics) = (plans.into_inner(), panics.into_inner());
    println!("{cases} spoiled plans of {} files: {plans} read all the same, {panics} panics", corpus.len());
    if panics == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
