//! The linter: the product's own plans, contradictions that were found in real ones, and every rule at least once.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use jiff::civil::{Date, date};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use understudy_core::lint::{Finding, Level, RULES, lint};
use understudy_core::plan::{Places, Plan, read, read_placed};

const EXAMPLE: &str = include_str!("../../../infra/plans/financial-rag.yaml");
const TODAY: Date = date(2026, 12, 1);
const CASES: &str = include_str!("../../../tests/plans/findings.txt");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn plans(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("a plan"))).collect()
}

fn placed(name: &str, text: &str) -> (Plan, Places) {
    read_placed(&format!("{name}.yaml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn shown(name: &str, text: &str) -> String {
    let (plan, places) = placed(name, text);
    lint(&plan, TODAY).iter().map(|finding| places.show(finding)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_product_s_own_plans() {
    let plans = plans("infra/plans");
    assert_eq!(plans.len(), 5);
    for (name, text) in plans {
        let (plan, _) = placed(&name, &text);
        assert_eq!(plan.name, name, "a plan's file is named after it");
        assert!(
            lint(&plan, TODAY).iter().all(|finding| finding.level < Level::Error),
            "{name} contradicts itself"
        );
        insta::assert_snapshot!(format!("own_{name}"), shown(&name, &text));
    }
}

/// Each file says which findings it must get, in its second line.
#[test]
fn contradictions_of_real_plans_are_found() {
    let plans = plans("tests/plans/contradictions");
    assert!(plans.len() >= 8);
    for (name, text) in plans {
        let line = text.lines().nth(1).expect("two lines");
        let wanted = line.strip_prefix("# Must be found: ").expect("what must be found");
        let (plan, _) = placed(&name, &text);
        let errors: BTreeSet<&str> = lint(&plan, TODAY)
            .iter()
            .filter(|finding| finding.level == Level::Error)
            .map(|finding| finding.id)
            .collect();
        for id in wanted.split(", ") {
            assert!(errors.contains(id), "{name}: {id} is missing among {errors:?}");
        }
        insta::assert_snapshot!(format!("contradiction_{name}"), shown(&name, &text));
    }
}

/// One rule at a time: what is replaced in the example by what, and the finding that it brings.
struct Case {
    id: &'static str,
    from: String,
    to: String,
}

/// `tests/plans/findings.txt`: three lines a case, `id` / `from` / `to`; `\n` is an escape.
fn cases() -> Vec<Case> {
    let rows: Vec<&str> = CASES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let value = |line: &'static str| line.split_once(": ").map_or("", |(_, value)| value);
    let rows = rows.chunks(3).map(|row| match row {
        [id, from, to] => {
            Case { id: value(id), from: value(from).replace("\\n", "\n"), to: value(to).replace("\\n", "\n") }
        }
        _ => panic!("three lines a case: {row:?}"),
    });
    rows.collect()
}

fn of(text: &str, id: &str) -> Vec<Finding> {
    let plan = read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    lint(&plan, TODAY).into_iter().filter(|finding| finding.id == id).collect()
}

#[test]
fn every_rule_is_brought_about_by_its_case_and_not_before() {
    for Case { id, from, to } in cases() {
        assert!(EXAMPLE.contains(&from), "the example has no `{from}`");
        let before = of(EXAMPLE, id);
        let after = of(&EXAMPLE.replacen(&from, &to, 1), id);
        assert!(
            after.len() > before.len() || (after != before && !after.is_empty()),
            "{id} does not see\n{to}"
        );
        for finding in after {
            assert!(!finding.message.is_empty() && !finding.help.is_empty());
        }
    }
}

#[test]
fn every_rule_has_a_case_and_an_id_of_its_own() {
    let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len());
    let contradictions = plans("tests/plans/contradictions");
    let of_files = contradictions
        .iter()
        .flat_map(|(name, text)| lint(&placed(name, text).0, TODAY))
        .map(|finding| finding.id);
    let covered: BTreeSet<&str> = cases().iter().map(|case| case.id).chain(of_files).collect();
    let missing: Vec<&&str> = unique.difference(&covered).collect();
    assert!(missing.is_empty(), "no case brings about {missing:?}");
}

/// What a finding names can be found in the file, or in the record that it would stand in.
#[test]
fn findings_point_into_the_file() {
    for (name, text) in plans("tests/plans/contradictions") {
        let (plan, places) = placed(&name, &text);
        for finding in lint(&plan, TODAY).iter().filter(|finding| finding.level == Level::Error) {
            let field = finding.fields.first().expect("where to look");
            let (line, _) = places.at(field);
            let word = field.rsplit('.').next().unwrap_or_default();
            let source = text.lines().nth(line - 1).unwrap_or_default();
            assert!(source.contains(word), "{name}: {} points to `{source}`, not to `{field}`", finding.id);
        }
    }
}
