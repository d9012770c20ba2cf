//! The answers that people get: every code has a mistake here, and its answer stands on the line of the mistake.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeSet;
use understudy_core::plan::{Problems, codes, read, schema};

const EXAMPLE: &str = include_str!("../../../tests/plans/base.yaml");
const TEN_MISTAKES: &str = include_str!("../../../tests/plans/ten-mistakes.yaml");
const BROKEN: &str = include_str!("../../../tests/plans/broken.txt");

fn refused(text: &str) -> Problems {
    read("plan.yaml", text).expect_err("this plan must be refused")
}

#[test]
fn ten_mistakes_get_ten_answers_in_one_run() {
    let problems = read("ten-mistakes.yaml", TEN_MISTAKES).expect_err("ten mistakes");
    let rendered = problems.to_string();
    assert_eq!(problems.problems.len(), 10, "{rendered}");
    assert!(!rendered.contains("hunter2"), "a secret is repeated");
    let secret = problems.problems.iter().find(|problem| problem.code == codes::SECRET);
    assert_eq!(secret.map(|problem| problem.path.as_str()), Some("stores[0].application.secret"));
    insta::assert_snapshot!("ten_mistakes", rendered);
}

#[test]
fn an_empty_file_is_told_all_that_a_plan_needs() {
    insta::assert_snapshot!("empty_file", refused("# nothing yet\n").to_string());
}

#[test]
fn problems_serialize_for_tools() {
    let problems = refused(&EXAMPLE.replace("tick: 60s", "tick: 60"));
    insta::assert_snapshot!("as_json", serde_json::to_string_pretty(&problems).expect("JSON"));
}

/// One mistake: what is replaced in the example, by what, the code it gets, and a word of the line it is told on.
struct Mistake {
    code: &'static str,
    from: &'static str,
    to: &'static str,
    line: &'static str,
}

/// `tests/plans/broken.txt`: four lines a mistake, `code` / `from` / `to` / `line`; `\n` and `\t` are escapes.
fn mistakes() -> Vec<Mistake> {
    let rows: Vec<&str> = BROKEN.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let value = |line: &'static str| line.split_once(": ").map_or("", |(_, value)| value);
    let rows = rows.chunks(4).map(|row| match row {
        [code, from, to, line] => {
            Mistake { code: value(code), from: value(from), to: value(to), line: value(line) }
        }
        _ => panic!("four lines a mistake: {row:?}"),
    });
    rows.collect()
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\u200b", "\u{200b}")
}

#[test]
fn every_mistake_is_told_once_where_it_is() {
    for Mistake { code, from, to, line } in mistakes() {
        let (from, to) = (unescaped(from), unescaped(to));
        assert!(EXAMPLE.contains(&from), "the example has no `{from}`");
        let text = EXAMPLE.replacen(&from, &to, 1);
        let problems = refused(&text);
        let told: Vec<_> = problems.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(told, [code], "{to}\n{problems}");
        let problem = problems.problems.first().expect("one problem");
        let source = text.lines().nth(problem.line - 1).unwrap_or_default();
        assert!(source.contains(&unescaped(line)), "`{line}` expected on the line of\n{problems}");
        assert!(!problem.help.is_empty() && !problem.message.is_empty());
    }
}

#[test]
fn every_answer_is_worth_reading() {
    let mut page = Vec::new();
    for Mistake { from, to, .. } in mistakes() {
        let text = EXAMPLE.replacen(&unescaped(from), &unescaped(to), 1);
        for problem in refused(&text).problems {
            let help = problem.help.replace('\n', "\n      ");
            page.push(format!("{} {}\n      {help}", problem.code, problem.message));
        }
    }
    insta::assert_snapshot!("every_answer", page.join("\n"));
}

#[test]
fn every_code_has_a_mistake() {
    let told: BTreeSet<&str> = mistakes().iter().map(|mistake| mistake.code).collect();
    // A file over the limit does not fit a row; it has a test of its own.
    let all: BTreeSet<&str> =
        codes::CODES.iter().map(|(code, _)| *code).filter(|code| *code != codes::TOO_LARGE).collect();
    assert_eq!(told, all);
    assert!(codes::CODES.is_sorted_by(|(a, _), (b, _)| a < b), "codes are unique and in order");
}

#[test]
fn a_file_that_is_no_plan_by_its_size_is_not_read() {
    let long = format!("# {}\n{EXAMPLE}", "x".repeat(256 * 1024));
    let wide = format!("{EXAMPLE}# {}\n", "x".repeat(3000));
    let (deep, deeper) = (format!("title: {}", "[".repeat(20)), format!("title: {}", "[".repeat(1900)));
    for text in [long, wide, deep, deeper] {
        let problems = refused(&text);
        assert_eq!(
            problems.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(),
            [codes::TOO_LARGE]
        );
    }
}

#[test]
fn hostile_files_are_refused_in_time() {
    let size = 60 * 1024;
    let units = [
        "- ",
        "? ",
        "a: ",
        "{a: ",
        "[a,",
        "{",
        "\"",
        "'",
        "&a ",
        "!a ",
        "*",
        ": ",
        "=",
        "- AKIA",
        "password=a ",
        "password=",
        "AKIA",
        "://a@",
        "-----BEGIN",
        "-----BEGIN\n!\n",
        "\n",
        "a\n",
        "- a\n",
        "a: b\n",
        "'': a\n",
        "tick: 60\n",
        "|\n",
        "hooks: [a,a,a,a]\n",
        "- {a: password=b}\n",
        "  ",
    ];
    for unit in units {
        // Once on one line, once on lines as long as a line may be.
        let line = unit.repeat(1900 / unit.len());
        for text in [unit.repeat(size / unit.len()), format!("{line}\n").repeat(size / 1901)] {
            let begun = std::time::Instant::now();
            assert!(!refused(&text).to_string().is_empty());
            assert!(begun.elapsed().as_secs() < 10, "{unit:?} repeated takes {:?}", begun.elapsed());
        }
    }
}

#[test]
fn what_may_be_left_out_is_listed_and_nothing_else() {
    let optional = optional_fields();
    for (index, line) in EXAMPLE.lines().enumerate() {
        let Some((key, value)) = line.trim_start().trim_start_matches("- ").split_once(": ") else {
            continue;
        };
        if key.starts_with('#') || line.trim_start().starts_with("- https") || value.trim().is_empty() {
            continue;
        }
        // The first field of a list entry carries the dash; without it the entry is another file.
        if line.trim_start().starts_with("- ") {
            continue;
        }
        let kept = EXAMPLE.lines().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| line);
        let text = kept.collect::<Vec<_>>().join("\n");
        let listed = optional.contains(key);
        let told = read("plan.yaml", &text).err().is_some_and(|problems| {
            problems.problems.iter().any(|problem| {
                problem.message.contains(&format!("lacks `{key}`")) || problem.code == codes::CAPACITY_UNDO
            })
        });
        assert!(told || listed, "`{key}` may be left out without a word");
    }
}

#[test]
fn the_help_for_a_missing_section_is_the_cure() {
    let sections =
        ["regions", "objectives", "tick", "detection", "lease", "policy", "stores", "routes", "retention"];
    for section in sections {
        let text = without(section);
        let problems = refused(&text);
        let [problem] = problems.problems.as_slice() else { panic!("{section}: {problems}") };
        let line = problem.help.trim_start_matches("add `").trim_end_matches('`');
        let cured = format!("{text}\n{line}\n");
        read("plan.yaml", &cured).unwrap_or_else(|problems| panic!("{section}: {problems}"));
    }
}

/// The example without one top-level section.
fn without(section: &str) -> String {
    let mut keep = true;
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        if line.starts_with(|c: char| c.is_ascii_lowercase()) {
            // The twin stands in for sections that this takes away.
            keep = !line.starts_with(&format!("{section}:")) && !line.starts_with("rehearsal:");
        }
        if keep {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn a_secret_is_never_repeated() {
    // Put together here, so that no scanner takes this file for a leak.
    let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
    let escaped = ["\\x41KIA", "IOSFODNN7EXAMPLE"].concat();
    let pem = ["-----BEGIN", " PRIVATE KEY-----\n# c2VjcmV0Zm9vYmFy\n# -----END PRIVATE KEY-----"].concat();
    let rows = [
        (format!("title: {key}"), key.as_str()),
        (format!("title: \"{escaped}\""), "7EXAMPLE"),
        (format!("titel: {key} and more"), key.as_str()),
        (format!("title: ok # {key}"), key.as_str()),
        (format!("title: ok\n# {pem}"), "c2VjcmV0Zm9vYmFy"),
        ("title: ok\npassword: hunter2".to_owned(), "hunter2"),
        ("title: ok\ndb_password:\n  hunter2".to_owned(), "hunter2"),
        ("title: \"host=db password='hunter2'\"".to_owned(), "hunter2"),
        ("title: https://bob:hunter2@example.com/".to_owned(), "hunter2"),
        ("title: https://example.com/?token=hunter2&x=1".to_owned(), "hunter2"),
        ("title: [password=hunter2".to_owned(), "hunter2"),
        ("title: pässword=x password=hünter2".to_owned(), "nter2"),
    ];
    for (line, secret) in rows {
        let problems = refused(&EXAMPLE.replacen("title: Financial RAG, hot standby", &line, 1));
        let told = format!("{problems}{problems:?}{}", serde_json::to_string(&problems).expect("JSON"));
        assert!(!told.contains(secret), "repeated:\n{problems}");
        assert!(problems.problems.iter().any(|problem| problem.code == codes::SECRET), "{problems}");
    }
}

#[test]
fn words_about_secrets_are_no_secrets() {
    for comment in
        ["# the password: see Secrets Manager", "# no password= here", "# AKIA is the prefix", "# a@b://c"]
    {
        read("plan.yaml", &format!("{EXAMPLE}{comment}\n")).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// The fields that the schema does not require, of every record.
fn optional_fields() -> std::collections::BTreeSet<String> {
    let schema = schema();
    let records = schema.get("$defs").and_then(serde_json::Value::as_object).expect("definitions").values();
    records
        .flat_map(|record| {
            let required = record.get("required").and_then(serde_json::Value::as_array).expect("a list");
            let names =
                record.get("properties").and_then(serde_json::Value::as_object).expect("properties").keys();
            names.filter(|name| !required.iter().any(|one| one == *name)).cloned().collect::<Vec<_>>()
        })
        .collect()
}
