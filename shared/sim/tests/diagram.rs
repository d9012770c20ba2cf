//! The picture in ARCHITECTURE.md is the workflow that is deployed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "not every test tells a whole story")]
mod support;

use std::path::{Path, PathBuf};
use std::{env, fs};
use support::machine;
use understudy_sim::mermaid::mermaid;

const BEGIN: &str = "<!-- workflow:begin -->";
const END: &str = "<!-- workflow:end -->";
const HOW: &str = "run `UPDATE=1 cargo test -p understudy-sim --test diagram` to rewrite it";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")
}

#[test]
fn the_architecture_shows_the_deployed_workflow() {
    let path = page();
    let Ok(text) = fs::read_to_string(&path) else {
        panic!("{} cannot be read; it must hold the picture between `{BEGIN}` and `{END}`", path.display());
    };
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let Some((head, (shown, tail))) = parts else {
        panic!("ARCHITECTURE.md has no `{BEGIN}` … `{END}`: add the two lines, then {HOW}");
    };
    let wanted = format!("\n```mermaid\n{}```\n", mermaid(&machine()));
    if shown == wanted {
        return;
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).expect("ARCHITECTURE.md");
        return;
    }
    panic!("the picture of the workflow in ARCHITECTURE.md is not the deployed one: {HOW}");
}
