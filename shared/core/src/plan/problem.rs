//! What is wrong with a plan file: structured for tools, rendered for people.
//!
//! Every problem says where it is, what was found and what to write instead. Nothing here judges a value, and
//! nothing here colours its output; the text that is kept for rendering has its secrets masked already.

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Bytes of the file, from `start` up to but without `end`; never longer than one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub(super) const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// One mistake, with the way to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable, see [`super::codes::CODES`].
    pub code: &'static str,
    /// The field, such as `stores[0].lag.block`; empty for the file as a whole.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub span: Span,
    pub message: String,
    pub help: String,
    /// The other value of a comparison, or the first of two that are the same.
    pub related: Option<Related>,
}

/// A second place that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub line: usize,
    pub column: usize,
    pub span: Span,
    pub label: String,
}

/// All that is wrong with one file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    pub file: String,
    pub problems: Vec<Problem>,
    /// The file with every secret masked. Not serialized: readers of `--json` have the file.
    #[serde(skip)]
    masked: String,
}

impl std::error::Error for Problems {}

/// More problems than this help nobody who reads; `--json` has them all.
const SHOWN: usize = 100;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = Lines::of(&self.masked);
        for problem in self.problems.iter().take(SHOWN) {
            writeln!(f, "{}\n", render(problem, &self.file, &lines))?;
        }
        match self.problems.len() {
            1 => write!(f, "1 problem in {}", self.file),
            n if n > SHOWN => write!(f, "{n} problems in {}; the first {SHOWN} are shown", self.file),
            n => write!(f, "{n} problems in {}", self.file),
        }
    }
}

impl Problems {
    pub(super) fn new(file: &str, masked: String, drafts: Vec<Draft>) -> Self {
        let lines = Lines::of(&masked);
        let mut problems: Vec<Problem> = drafts.into_iter().map(|draft| draft.place(&lines)).collect();
        problems.sort_by(|a, b| (a.span, a.code, &a.path).cmp(&(b.span, b.code, &b.path)));
        Self { file: printable(file, 200), problems, masked }
    }
}

/// A problem before its line is looked up.
#[derive(Debug)]
pub(super) struct Draft {
    pub code: &'static str,
    pub path: String,
    pub span: Span,
    pub message: String,
    pub help: String,
    pub related: Option<(Span, String)>,
}

impl Draft {
    fn place(self, lines: &Lines<'_>) -> Problem {
        let (line, column, span) = lines.place(self.span);
        let related = self.related.map(|(span, label)| {
            let (line, column, span) = lines.place(span);
            Related { line, column, span, label }
        });
        let Self { code, path, message, help, .. } = self;
        Problem { code, path, line, column, span, message, help, related }
    }
}

/// Where every value of a plan that was read stands in its file.
#[derive(Clone, Debug)]
pub struct Places {
    file: String,
    masked: String,
    spans: BTreeMap<String, Span>,
}

impl Places {
    pub(super) fn new(file: &str, masked: String, spans: BTreeMap<String, Span>) -> Self {
        Self { file: printable(file, 200), masked, spans }
    }

    /// Line and column from 1 of `path`, or of the record that it would stand in; the file's head for what has no
    /// place. `stores[].lag` is the first store's.
    #[must_use]
    pub fn at(&self, path: &str) -> (usize, usize) {
        let (line, column, _) = Lines::of(&self.masked).place(self.span(path));
        (line, column)
    }

    /// Every value that holds no other, by its path.
    pub fn leaves(&self) -> impl Iterator<Item = (&str, Span)> {
        let holds = |path: &str| {
            let below = self.spans.range(path.to_owned()..).skip(1).map(|(other, _)| other);
            below
                .take_while(|other| other.starts_with(path))
                .any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
        };
        self.spans.iter().filter(move |(path, _)| !holds(path)).map(|(path, span)| (path.as_str(), *span))
    }

    fn span(&self, path: &str) -> Span {
        let mut path = path.replace("[]", "[0]");
        loop {
            if let Some(span) = self.spans.get(&path) {
                return *span;
            }
            match path.rfind(['.', '[']) {
                Some(at) => path.truncate(at),
                None => return Span::default(),
            }
        }
    }

    /// A finding shown at its place, as a problem is: `level[id]: message`, the line, its `notes` and the `help`.
    #[must_use]
    pub fn show(&self, finding: &crate::lint::Finding) -> String {
        let lines = Lines::of(&self.masked);
        let (line, _, span) = lines.place(self.span(finding.fields.first().map_or("", String::as_str)));
        let level = match finding.level {
            crate::lint::Level::Error => Level::ERROR,
            crate::lint::Level::Warning => Level::WARNING,
            crate::lint::Level::Note => Level::NOTE,
        };
        let title = level.primary_title(&finding.message).id(finding.id);
        let mark = Mark { kind: AnnotationKind::Primary, span, label: None };
        let notes = finding.sum.join("\n");
        let mut group = title.element(snippet(&lines, &self.file, line, line, &[mark]));
        if !notes.is_empty() {
            group = group.element(Level::NOTE.message(&notes));
        }
        Renderer::plain().render(&[group.element(Level::HELP.message(wrapped(&finding.help)))])
    }
}

/// Lines further apart than this are shown as two snippets.
const NEAR: usize = 6;

fn render(problem: &Problem, file: &str, lines: &Lines<'_>) -> String {
    let primary = Mark { kind: AnnotationKind::Primary, span: problem.span, label: None };
    let title = Level::ERROR.primary_title(&problem.message).id(problem.code);
    let group =
        match &problem.related {
            None => title.element(snippet(lines, file, problem.line, problem.line, &[primary])),
            Some(related) => {
                let context =
                    Mark { kind: AnnotationKind::Context, span: related.span, label: Some(&related.label) };
                let (first, last) = (problem.line.min(related.line), problem.line.max(related.line));
                if last.saturating_sub(first) <= NEAR {
                    title.element(snippet(lines, file, first, last, &[primary, context]))
                } else {
                    title
                        .element(snippet(lines, file, problem.line, problem.line, &[primary]))
                        .element(snippet(lines, file, related.line, related.line, &[context]))
                }
            }
        };
    Renderer::plain().render(&[group.element(Level::HELP.message(wrapped(&problem.help)))])
}

struct Mark<'p> {
    kind: AnnotationKind,
    span: Span,
    label: Option<&'p str>,
}

/// Lines `first..=last` with their marks. The renderer is given no other line, so that it stays linear in the file.
fn snippet<'p>(
    lines: &Lines<'p>,
    file: &'p str,
    first: usize,
    last: usize,
    marks: &[Mark<'p>],
) -> Snippet<'p, Annotation<'p>> {
    let (offset, source) = lines.between(first, last);
    let annotations = marks.iter().map(|mark| {
        let local = |at: usize| at.saturating_sub(offset).min(source.len());
        mark.kind.span(local(mark.span.start)..local(mark.span.end)).label(mark.label)
    });
    Snippet::source(source).path(file).line_start(first).annotations(annotations)
}

/// Prose broken at [`WIDTH`]. Lines of YAML to be copied are left whole.
fn wrapped(help: &str) -> String {
    let lines: Vec<String> =
        help.lines().map(|line| if line.contains('{') { line.to_owned() } else { broken(line) }).collect();
    lines.join("\n")
}

const WIDTH: usize = 100;

fn broken(line: &str) -> String {
    let mut broken = String::with_capacity(line.len());
    let mut column: usize = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if column > 0 && column.saturating_add(width) > WIDTH {
            broken.push('\n');
            column = 0;
        } else if column > 0 {
            broken.push(' ');
        }
        broken.push_str(word);
        column = column.saturating_add(width).saturating_add(1);
    }
    broken
}

/// Where each line of a text begins.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let breaks =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at.saturating_add(1));
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Line and column from 1, and the span cut to that line.
    fn place(&self, span: Span) -> (usize, usize, Span) {
        let start = floor(self.text, span.start);
        let line = self.starts.partition_point(|begin| *begin <= start).max(1);
        let (begin, content) = self.between(line, line);
        // A span at the line break itself is shown at the end of the line.
        let start = start.min(begin.saturating_add(content.len()));
        let column = self.text.get(begin..start).map_or(1, |before| before.chars().count().saturating_add(1));
        let end = floor(self.text, span.end).min(begin.saturating_add(content.len())).max(start);
        (line, column, Span { start, end })
    }

    /// The text of lines `first..=last` without its last line break, and where it begins.
    fn between(&self, first: usize, last: usize) -> (usize, &'t str) {
        let begin = self.starts.get(first.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.starts.get(last).copied().unwrap_or(self.text.len());
        let content = self.text.get(begin..end).unwrap_or_default();
        let content = content.strip_suffix('\n').unwrap_or(content);
        (begin, content.strip_suffix('\r').unwrap_or(content))
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

/// Text from a file, fit to stand in a message: one line, no control characters, at most `limit` characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().take(limit).flat_map(seen).collect();
    if text.chars().nth(limit).is_some() {
        shown.push_str("...");
    }
    shown
}

fn seen(c: char) -> Vec<char> {
    if is_invisible(c) || c == '\n' || c == '\r' || c == '\t' {
        c.escape_default().collect()
    } else {
        vec![c]
    }
}

/// Characters that a reader of the file would not see, or that reorder what is seen.
pub(super) fn is_invisible(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}');
    unseen || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}
