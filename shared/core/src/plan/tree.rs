//! YAML text as a tree in which every node knows its place.
//!
//! A plan must read as it stands, so this knows less YAML than the standard: no anchors, aliases, tags, merge keys or
//! second documents. Nothing here knows a field; nothing here recurses, so that no nesting exhausts the stack.

use super::codes;
use super::problem::{Draft, Span, is_invisible, printable};
use super::secrets;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

/// The deepest plan has seven levels; what lies beyond this is no plan.
const DEPTH_MAX: usize = 16;

/// In bytes. With it, finding and showing a problem costs the same wherever it stands.
const LINE_MAX: usize = 2000;

#[derive(Debug)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar {
        text: String,
        /// Written without quotes, so that `5` is a number and `true` a truth value.
        plain: bool,
    },
    List(Vec<Node>),
    Record(Vec<(Key, Node)>),
    /// Refused already; whoever reads it says nothing more.
    Refused,
}

#[derive(Debug)]
pub(super) struct Key {
    pub span: Span,
    pub text: String,
}

/// Lines that nobody can read, and that no message could show.
pub(super) fn long_lines(text: &str) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut at: usize = 0;
    for line in text.split_inclusive('\n') {
        if line.len() > LINE_MAX {
            let message =
                format!("a line of {} bytes, more than the {LINE_MAX} that a line may have", line.len());
            let fault = Fault {
                code: codes::TOO_LARGE,
                message,
                help: "break the line: one entry of a list on each",
            };
            drafts.push(fault.at(Span { start: at, end: at.saturating_add(1) }));
        }
        at = at.saturating_add(line.len());
    }
    drafts
}

/// Characters that must not stand in a plan, at most one problem a line.
pub(super) fn characters(text: &str) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut at: usize = 0;
    for line in text.split_inclusive('\n') {
        if let Some((offset, fault)) = strange(line) {
            let start = at.saturating_add(offset);
            drafts.push(fault.at(Span { start, end: start.saturating_add(1) }));
        }
        at = at.saturating_add(line.len());
    }
    drafts
}

struct Fault {
    code: &'static str,
    message: String,
    help: &'static str,
}

impl Fault {
    fn at(self, span: Span) -> Draft {
        let Self { code, message, help } = self;
        Draft { code, path: String::new(), span, message, help: help.to_owned(), related: None }
    }
}

fn strange(line: &str) -> Option<(usize, Fault)> {
    let indent = line.len().saturating_sub(line.trim_start_matches([' ', '\t']).len());
    let blank = line.trim().is_empty();
    if let Some(tab) = line.get(..indent).and_then(|blanks| blanks.find('\t')).filter(|_| !blank) {
        let message = "a tab is used as indentation".to_owned();
        return Some((
            tab,
            Fault { code: codes::CHARACTER, message, help: "indent with spaces, two for each level" },
        ));
    }
    let content = line.strip_suffix('\n').unwrap_or(line);
    let content = content.strip_suffix('\r').unwrap_or(content);
    let (at, c) = content.char_indices().find(|(_, c)| is_invisible(*c) || *c == '\r')?;
    let message = format!("a character that cannot be seen: U+{:04X}", u32::from(c));
    let help = "delete it, or type the value again; save the file as UTF-8 without a byte order mark";
    Some((at, Fault { code: codes::CHARACTER, message, help }))
}

/// The tree of the one document in `text`, `None` for an empty one. What is refused goes to `drafts`.
///
/// # Errors
/// When the text is not YAML, or has no single tree: then `drafts` says why.
pub(super) fn parse(text: &str, drafts: &mut Vec<Draft>) -> Result<Option<Node>, NoTree> {
    let mut builder =
        Builder { offsets: Offsets::of(text), drafts, stack: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let span = builder.offsets.span(span);
                builder.event(event, span)?;
            }
            Err(error) => return builder.syntax(&error),
        }
    }
    Ok(builder.root)
}

/// There is no tree to read, and the drafts say why.
#[derive(Debug)]
pub(super) struct NoTree;

/// The parser counts characters; spans count bytes.
struct Offsets(Vec<usize>);

impl Offsets {
    fn of(text: &str) -> Self {
        Self(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
    }

    fn byte(&self, index: usize) -> usize {
        self.0.get(index).or(self.0.last()).copied().unwrap_or(0)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span { start, end: self.byte(span.end.index()).max(start) }
    }
}

/// A collection that has begun and not ended.
enum Open {
    List { start: Span, items: Vec<Node> },
    Record { start: Span, entries: Vec<(Key, Node)>, key: Option<Waiting> },
}

/// A key whose value comes next.
enum Waiting {
    Named(Key),
    /// Refused together with its value.
    Dropped,
}

struct Builder<'d> {
    offsets: Offsets,
    drafts: &'d mut Vec<Draft>,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), NoTree> {
        match event {
            Event::DocumentStart(_) => return self.document(span),
            Event::Alias(_) => {
                self.refuse(
                    codes::FORBIDDEN_YAML,
                    span,
                    "an alias (`*name`) stands for text elsewhere",
                    AS_IT_STANDS,
                );
                self.attach(Node { span, kind: Kind::Refused });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorated(anchor, tag.is_some(), span);
                self.scalar(text.into_owned(), style, span);
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorated(anchor, tag.is_some(), span);
                return self.open(Open::List { start: span, items: Vec::new() }, span);
            }
            Event::MappingStart(anchor, tag) => {
                self.decorated(anchor, tag.is_some(), span);
                return self.open(Open::Record { start: span, entries: Vec::new(), key: None }, span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn document(&mut self, span: Span) -> Result<(), NoTree> {
        self.documents = self.documents.saturating_add(1);
        if self.documents == 1 {
            return Ok(());
        }
        let help = "keep one plan in one file: move the rest to a file of its own";
        self.refuse(codes::FORBIDDEN_YAML, span, "a second YAML document begins here", help);
        Err(NoTree)
    }

    fn open(&mut self, collection: Open, span: Span) -> Result<(), NoTree> {
        if self.stack.len() >= DEPTH_MAX {
            self.too_deep(span);
            return Err(NoTree);
        }
        self.stack.push(collection);
        Ok(())
    }

    fn close(&mut self, end: Span) {
        let node = match self.stack.pop() {
            Some(Open::List { start, items }) => Node { span: join(start, end), kind: Kind::List(items) },
            Some(Open::Record { start, entries, .. }) => {
                Node { span: join(start, end), kind: Kind::Record(entries) }
            }
            None => return,
        };
        self.attach(node);
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, span: Span) {
        // Escapes can hide a secret from the scan of the raw text: `"\x41KIA..."`.
        let hidden = style == ScalarStyle::DoubleQuoted && !secrets::scan(&text).is_empty();
        if hidden {
            self.drafts.push(secrets::hit(span, "a secret written with escapes").draft());
            return self.attach(Node { span, kind: Kind::Refused });
        }
        self.attach(Node { span, kind: Kind::Scalar { text, plain: style == ScalarStyle::Plain } });
    }

    fn attach(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Record { entries, key, .. }) => match key.take() {
                Some(Waiting::Named(name)) => {
                    let node = guarded(&name, node, self.drafts);
                    entries.push((name, node));
                }
                Some(Waiting::Dropped) => {}
                None => *key = Some(named(node, self.drafts)),
            },
        }
    }

    fn decorated(&mut self, anchor: usize, tagged: bool, span: Span) {
        if anchor != 0 {
            self.refuse(codes::FORBIDDEN_YAML, span, "this value carries an anchor (`&name`)", AS_IT_STANDS);
        }
        if tagged {
            let help = "delete the tag: each field knows its own type";
            self.refuse(codes::FORBIDDEN_YAML, span, "this value carries a tag (`!name`)", help);
        }
    }

    fn refuse(&mut self, code: &'static str, span: Span, message: &str, help: &'static str) {
        self.drafts.push(Fault { code, message: message.to_owned(), help }.at(span));
    }

    fn too_deep(&mut self, span: Span) {
        let message = format!("nested deeper than {DEPTH_MAX} levels");
        self.refuse(
            codes::TOO_LARGE,
            span,
            &message,
            "a plan has seven levels at most; look for a bracket too many",
        );
    }

    fn syntax(&mut self, error: &ScanError) -> Result<Option<Node>, NoTree> {
        let at = self.offsets.byte(error.marker().index());
        let info = error.info();
        if info.contains("recursion limit") {
            self.too_deep(Span { start: at, end: at.saturating_add(1) });
            return Err(NoTree);
        }
        let (message, help) = SYNTAX.iter().find(|(words, ..)| info.contains(words)).map_or_else(
            || (format!("this is not YAML: {}", printable(info, 160)), SYNTAX_OTHER),
            |(_, message, help)| (format!("this is not YAML: {message}"), *help),
        );
        self.refuse(codes::SYNTAX, Span { start: at, end: at.saturating_add(1) }, &message, help);
        Err(NoTree)
    }
}

const AS_IT_STANDS: &str = "write the value out where it is used: a plan must read as it stands";

const SYNTAX_OTHER: &str = "look at this line and the one before it: a missing `:` or space after it, \
                            an unclosed quote or bracket, or indentation that does not line up";

const CLOSE_IT: &str = "close each `[` with `]` and each `{` with `}`, and put a comma between two entries";
const LINE_UP: &str = "give it the same number of spaces as the names or dashes that it belongs with";

/// The parser's words, what they mean, and what to do. The first row that fits counts.
const SYNTAX: &[(&str, &str, &str)] = &[
    (
        "escape",
        "an escape (`\\`) that YAML does not know",
        "write the text in single quotes, or double the backslash",
    ),
    ("trailing content", "text follows a closing quote", "put the whole value inside the quotes"),
    (
        "in quoted scalar",
        "a quoted text goes on in a line that is not indented",
        "close the quote on its own line",
    ),
    ("quoted scalar", "a quote is opened and never closed", "close the quote on its own line"),
    (
        "mapping values are not",
        "a `:` where no field can begin",
        "quote the value if it contains `: `, or line the name up",
    ),
    ("expect ':'", "a name without `: ` and a value", "write `name: value`, with a space after the `:`"),
    ("simple key", "a name without `: ` and a value", "write `name: value`, with a space after the `:`"),
    ("',' or", "a `{` or `[` is never closed", CLOSE_IT),
    ("flow", "a `{` or `[` is never closed", CLOSE_IT),
    ("bracket", "a `}` or `]` closes nothing", CLOSE_IT),
    ("expected key", "this is not lined up with the names above it", LINE_UP),
    ("<document start>", "this is not lined up with the names above it", LINE_UP),
    ("block sequence entries", "a list begins where a value stands already", LINE_UP),
    ("'-'", "a `-` without a space after it", "write `- value`"),
    (
        "block scalar",
        "a text after `|` or `>` is not indented evenly",
        "write the text on one line, in quotes",
    ),
    ("indentation", "this is not lined up with the names above it", LINE_UP),
    (
        "cannot start any token",
        "a value begins with a character that YAML keeps for itself",
        "put the value in quotes",
    ),
    ("next token", "a value begins with a character that YAML keeps for itself", "put the value in quotes"),
    ("anchor", "an `&` or `*` without a name", "put the value in quotes"),
];

fn join(start: Span, end: Span) -> Span {
    Span { start: start.start, end: end.end.max(start.end) }
}

fn named(node: Node, drafts: &mut Vec<Draft>) -> Waiting {
    let fault = match node.kind {
        Kind::Scalar { text, plain } if !(plain && text == "<<") => {
            return Waiting::Named(Key { span: node.span, text });
        }
        Kind::Refused => return Waiting::Dropped,
        Kind::Scalar { .. } => Fault {
            code: codes::FORBIDDEN_YAML,
            message: "a merge key (`<<`) copies fields from elsewhere".to_owned(),
            help: AS_IT_STANDS,
        },
        Kind::List(_) | Kind::Record(_) => Fault {
            code: codes::FORBIDDEN_YAML,
            message: "the name of a field is a list or a record".to_owned(),
            help: "write a plain name before the `:`; a template placeholder such as `{{name}}` must be filled in first",
        },
    };
    drafts.push(fault.at(node.span));
    Waiting::Dropped
}

/// A value under a name such as `password` is refused whatever it looks like.
fn guarded(name: &Key, node: Node, drafts: &mut Vec<Draft>) -> Node {
    let filled = matches!(&node.kind, Kind::Scalar { text, .. } if !text.is_empty());
    if !filled || !secrets::is_secret_name(&name.text) {
        return node;
    }
    drafts.push(secrets::hit(node.span, "a password, key or token").draft());
    Node { span: node.span, kind: Kind::Refused }
}
