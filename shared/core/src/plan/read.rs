//! From the text of a plan file to a [`Plan`], or to all that is wrong with it.
//!
//! The shape of the file is in `model` and `promise`, what one value must look like in `units` and `addresses`, what two
//! values must be to each other in `rules`. Nothing here opens a file.

use super::codes;
use super::model::Plan;
use super::node::{Reader, Value};
use super::problem::{Draft, Places, Problems, Span};
use super::record::Fields;
use super::tree::{self, Kind, NoTree, Node};
use super::{rules, secrets};

/// No plan is longer; what is longer is not read.
const BYTES_MAX: usize = 256 * 1024;

/// The plan in `text`, read whole or not at all. `name` is the file's name, for messages.
///
/// # Errors
/// Every problem that the file has, in the order of its lines.
pub fn read(name: &str, text: &str) -> Result<Plan, Problems> {
    read_placed(name, text).map(|(plan, _)| plan)
}

/// The same, with the place of every value, for whoever has more to say about them.
///
/// # Errors
/// As [`read`].
pub fn read_placed(name: &str, text: &str) -> Result<(Plan, Places), Problems> {
    if text.len() > BYTES_MAX {
        return Err(Problems::new(name, String::new(), vec![too_large(text.len())]));
    }
    let secrets = secrets::scan(text);
    let spans: Vec<Span> = secrets.iter().map(|hit| hit.span).collect();
    let masked = secrets::mask(text, &spans);
    let long = tree::long_lines(&masked);
    if !long.is_empty() {
        return Err(Problems::new(name, masked, long));
    }
    let mut reader =
        Reader { drafts: secrets.iter().map(secrets::Hit::draft).collect(), ..Reader::default() };
    match masked_plan(&mut reader, &masked) {
        Some(plan) if reader.drafts.is_empty() => {
            Ok((plan, Places::new(name, masked, reader.seen.into_places())))
        }
        _ => Err(problems(name, &masked, reader)),
    }
}

fn masked_plan(reader: &mut Reader, text: &str) -> Option<Plan> {
    let strange = tree::characters(text);
    if !strange.is_empty() {
        reader.drafts.extend(strange);
        return None;
    }
    match tree::parse(text, &mut reader.drafts) {
        Err(NoTree) => None,
        Ok(root) => {
            let empty = Node { span: Span::default(), kind: Kind::Record(Vec::new()) };
            let plan = plan(reader, root.as_ref().unwrap_or(&empty));
            rules::check(reader);
            plan
        }
    }
}

/// A value that holds a secret has one problem: the secret.
fn problems(name: &str, text: &str, reader: Reader) -> Problems {
    let Reader { mut drafts, seen } = reader;
    let is_secret = |draft: &Draft| draft.code == codes::SECRET;
    let secret: Vec<Span> = drafts.iter().filter(|draft| is_secret(draft)).map(|draft| draft.span).collect();
    let masked = secrets::mask(text, &secret);
    drafts.retain(|draft| is_secret(draft) || !secret.iter().any(|span| span.overlaps(draft.span)));
    for draft in drafts.iter_mut().filter(|draft| is_secret(draft)) {
        draft.path = seen.path_at(draft.span);
    }
    Problems::new(name, masked, drafts)
}

fn too_large(bytes: usize) -> Draft {
    Draft {
        code: codes::TOO_LARGE,
        path: String::new(),
        span: Span::default(),
        message: format!("the file is {bytes} bytes long, more than the {BYTES_MAX} that a plan may have"),
        help: "give the plan's own file; a plan is a few kilobytes".to_owned(),
        related: None,
    }
}

fn plan(reader: &mut Reader, root: &Node) -> Option<Plan> {
    let value = Value { node: root, path: String::new(), at: root.span, example: "understudy: 1".to_owned() };
    Plan::read(reader, &value)
}
