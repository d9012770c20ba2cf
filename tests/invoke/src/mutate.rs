//! The mutations themselves.

use crate::random::Random;
use crate::tree::Node;
use serde_json::Value;

/// One event gone wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What was done to it, in order.
    pub done: Vec<&'static str>,
    pub text: String,
}

type Change = fn(&mut Node, &mut Random);

/// Every kind of change, equally likely. Each is given one node and changes it or what lies right below it.
const CHANGES: [(&str, Change); 12] = [
    ("drop", drop_child),
    ("type", change_type),
    ("null", |node, _| *node = Node::Raw("null".to_owned())),
    ("huge number", huge_number),
    ("nested junk", nest),
    ("truncate", truncate),
    ("stretch", stretch),
    ("odd text", odd_text),
    ("repeat a key", repeat_key),
    ("swap", swap),
    ("rename a key", rename_key),
    ("add a key", add_key),
];

/// `count` mutations of the event `original`: one change each at first, later up to three.
pub fn mutations(original: &Value, seed: u64, count: usize) -> Vec<Mutation> {
    let random = &mut Random::new(seed);
    let original = Node::of(original);
    let before = original.write();
    (0..count)
        .map(|index| {
            let mut mutation = mutate(&original, 1 + index % 3, random);
            // Two changes may undo each other.
            while mutation.text == before {
                mutation = mutate(&original, 1, random);
            }
            mutation
        })
        .collect()
}

fn mutate(original: &Node, changes: usize, random: &mut Random) -> Mutation {
    let mut node = original.clone();
    let mut done = Vec::new();
    // Many a change does nothing to many a node.
    while done.len() < changes {
        let Some((name, change)) = random.one_of(&CHANGES) else { break };
        let index = random.below(node.size());
        if let Some(target) = node.at(index) {
            let was = target.write();
            change(target, random);
            if target.write() != was {
                done.push(*name);
            }
        }
    }
    Mutation { done, text: node.write() }
}

fn drop_child(node: &mut Node, random: &mut Random) {
    match node {
        Node::List(list) if !list.is_empty() => drop(list.remove(random.below(list.len()))),
        Node::Object(fields) if !fields.is_empty() => drop(fields.remove(random.below(fields.len()))),
        _ => {}
    }
}

fn change_type(node: &mut Node, random: &mut Random) {
    let literals =
        ["true", "false", "0", "-1", "1.5", "\"\"", "\"text\"", "[]", "{}", "[[]]", "[null]", "{\"\":{}}"];
    replace(node, &literals, random);
}

fn huge_number(node: &mut Node, random: &mut Random) {
    let numbers = [
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1e308",
        "-1e308",
        "1e-400",
        "9007199254740993",
    ];
    replace(node, &numbers, random);
}

fn replace(node: &mut Node, literals: &[&str], random: &mut Random) {
    if let Some(literal) = random.one_of(literals) {
        *node = Node::Raw((*literal).to_owned());
    }
}

/// Wraps the node in up to a hundred lists or objects.
fn nest(node: &mut Node, random: &mut Random) {
    let (depth, in_lists) = (1 + random.below(100), random.below(2) == 0);
    let (open, close) = if in_lists { ("[", "]") } else { ("{\"a\":", "}") };
    *node = Node::Raw(format!("{}{}{}", open.repeat(depth), node.write(), close.repeat(depth)));
}

fn truncate(node: &mut Node, random: &mut Random) {
    let whole = match node {
        Node::Text(text) => text.clone(),
        Node::Inner(inner) => inner.write(),
        _ => return,
    };
    let keep = random.below(whole.chars().count());
    *node = Node::Text(whole.chars().take(keep).collect());
}

fn stretch(node: &mut Node, random: &mut Random) {
    if let Node::Text(text) = node {
        *text = text.repeat(2 + random.below(60));
    }
}

fn odd_text(node: &mut Node, random: &mut Random) {
    let odd =
        ["\0", "\u{7f}\r\n", "../../etc", "名前", "\u{202e}", "😀", "a: b", "`", "%s%n", "' or 1=1 --", " "];
    if let (Node::Text(text), Some(odd)) = (node, random.one_of(&odd)) {
        let at = text.char_indices().map(|(at, _)| at).nth(random.below(text.chars().count())).unwrap_or(0);
        text.insert_str(at, odd);
    }
}

fn repeat_key(node: &mut Node, random: &mut Random) {
    if let Node::Object(fields) = node
        && let Some((key, _)) = random.one_of(fields).cloned()
    {
        let at = random.below(fields.len() + 1);
        let literals = ["null", "1", "\"text\"", "{}", "true"];
        let literal = random.one_of(&literals).copied().unwrap_or("null");
        fields.insert(at, (key, Node::Raw(literal.to_owned())));
    }
}

/// Two values change places; the keys stay.
fn swap(node: &mut Node, random: &mut Random) {
    match node {
        Node::List(list) if list.len() > 1 => {
            let (one, other) = (random.below(list.len()), random.below(list.len()));
            list.swap(one, other);
        }
        Node::Object(fields) if fields.len() > 1 => {
            let (one, other) = (random.below(fields.len()), random.below(fields.len()));
            let nodes = (fields.get(one).map(|f| f.1.clone()), fields.get(other).map(|f| f.1.clone()));
            if let (Some(first), Some(second)) = nodes {
                set(fields, one, second);
                set(fields, other, first);
            }
        }
        _ => {}
    }
}

fn set(fields: &mut [(String, Node)], index: usize, node: Node) {
    if let Some(field) = fields.get_mut(index) {
        field.1 = node;
    }
}

fn rename_key(node: &mut Node, random: &mut Random) {
    if let Node::Object(fields) = node {
        let index = random.below(fields.len());
        if let Some((key, _)) = fields.get_mut(index) {
            *key = match random.below(4) {
                0 => key.to_uppercase(),
                1 => key.to_lowercase(),
                2 => format!("{key} "),
                _ => String::new(),
            };
        }
    }
}

/// Adds a key that means something in one event or another.
fn add_key(node: &mut Node, random: &mut Random) {
    let keys =
        ["tick", "Records", "detail", "alarmData", "step", "end", "statement", "store", "login", "extra"];
    let literals = ["true", "null", "\"text\"", "[]", "{}", "[{}]", "\"Report\"", "\"heartbeat\""];
    if let (Node::Object(fields), Some(key), Some(literal)) =
        (node, random.one_of(&keys), random.one_of(&literals))
    {
        fields.push(((*key).to_owned(), Node::Raw((*literal).to_owned())));
    }
}
