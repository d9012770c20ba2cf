"""Breaks the product on purpose, one way at a time, and shows how soon the simulator notices.

A breakage that no drawn night reaches names a `story`: the file of tests that plays it.

Works in a scratch copy of the tree, and keeps what it saw in table.md: a run of some rewrites their rows alone.
Exit: 0 every breakage that was run was caught and the whole tree was not, 1 otherwise.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[2]
TABLE = HERE / "table.md"
SCRATCH = TREE / "target" / "breakages"
BUILD = ["cargo", "build", "--quiet", "--profile", "mutants", "-p", "understudy-sim", "--bin", "simulate"]


def copy(breakages):
    """The tree as it is, without what was built; times are kept, so that nothing is built twice. But for the files
    that are edited: a run that was broken off may have left something built from other texts."""
    mirror()
    for edit in (edit for breakage in breakages for edit in [breakage, *breakage.get("more", [])]):
        os.utime(SCRATCH / "tree" / edit["file"])


def mirror():
    command = ["rsync", "-a", "--delete", "--exclude", "/target", "--exclude", "/.git", "--exclude", "/.local"]
    if shutil.which("rsync"):
        subprocess.run([*command, f"{TREE}/", f"{SCRATCH}/tree/"], check=True)
        return
    tree = SCRATCH / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    ignore = lambda folder, names: [n for n in names if Path(folder) == TREE and n in ("target", ".git", ".local")]
    shutil.copytree(TREE, tree, ignore=ignore)


def edited(breakage):
    """Every file that the breakage changes, with its old and its new text. One that no longer fits stops the run."""
    texts = {}
    for edit in [breakage, *breakage.get("more", [])]:
        path = SCRATCH / "tree" / edit["file"]
        old = texts.get(path, (path.read_text(), path.read_text()))[1]
        begin = old.find(edit.get("after", ""))
        if begin < 0:
            sys.exit(f"{breakage['name']}: `{edit['after']}` does not stand in {edit['file']}")
        head, tail = old[:begin], old[begin:]
        found = tail.count(edit["old"])
        if found == 0 or (found > 1 and "after" not in edit):
            sys.exit(f"{breakage['name']}: `{edit['old']}` stands {found} times in {edit['file']}")
        new = head + tail.replace(edit["old"], edit["new"], 1)
        texts[path] = (texts.get(path, (path.read_text(), ""))[0], new)
    return texts


def lived(seeds):
    """How the scratch tree fares: None when it does not build, else what `simulate` said."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(SCRATCH / "target")}
    tree = SCRATCH / "tree"
    built = subprocess.run(BUILD, cwd=tree, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        return None, built.stderr
    binary = SCRATCH / "target" / "mutants" / "simulate"
    told = subprocess.run([binary, "--seeds", str(seeds)], capture_output=True, text=True)
    return told.returncode, told.stdout


def told(story):
    """The first test of a file of stories that fails in the scratch tree; None where all pass."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(SCRATCH / "target")}
    command = ["cargo", "test", "--quiet", "--profile", "mutants", "-p", "understudy-sim", "--test", story]
    ran = subprocess.run(command, cwd=SCRATCH / "tree", env=environment, capture_output=True, text=True)
    failed = re.search(r"^(?:test )?(\w+) (?:\.\.\. |--- )FAILED$", ran.stdout, re.MULTILINE)
    return failed and failed[1]


HEAD = """# Deliberate breakages

Written by `make mutants`: one wrong edit of the product at a time, and the first of the nights from seed 1 on in which
a checker noticed; 0: before any night, by holding workflow and step table together; `story`: no night reaches it, and a test
that plays it failed. What the checker said is cut short
(…). A row is as old as its breakage was last run.

| breakage | law | caught at seed | of | by |
|---|---|---:|---:|---|
"""


def kept():
    """The rows of the table so far, by breakage."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| breakage ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in rows}


def write(known, rows):
    """Every breakage, in the order of the list; one that has no row yet says so."""
    never = lambda b: f"| {b['name']} | {b['law']} | - | {b['seeds']} | not run since this table is kept |"
    TABLE.write_text(HEAD + "".join(rows.get(b["name"], never(b)) + "\n" for b in known))


def run(breakage):
    """Whether the breakage was caught, at which seed, and by what."""
    texts = edited(breakage)
    for path, (_, new) in texts.items():
        path.write_text(new)
    story = breakage.get("story")
    code, said = (0, "") if story else lived(breakage["seeds"])
    failed = told(story) if story else None
    for path, (old, _) in texts.items():
        path.write_text(old)
    if failed:
        return True, "story", f"{story}: {failed}"
    caught = re.search(r"^SEED (\d+) breaks (.*)$", said, re.MULTILINE)
    if code is None:
        return False, "-", "DOES NOT BUILD: " + said.strip().splitlines()[0][:80]
    if not caught:
        return False, "-", "**not caught**"
    how = re.sub(r"i-\d+t\d+z", "i-…", caught[2]).replace("|", "/")
    return True, caught[1], how if len(how) <= 110 else how[:109] + "…"


def main():
    wanted = sys.argv[1:]
    known = tomllib.loads((HERE / "breakages.toml").read_text())["breakage"]
    breakages = [b for b in known if not wanted or any(word in b["name"] for word in wanted)]
    SCRATCH.mkdir(parents=True, exist_ok=True)
    copy(known)
    for breakage in known:
        edited(breakage)
    code, said = lived(5_000)
    if code != 0:
        sys.exit(f"the tree itself does not pass:\n{said[-2000:]}")
    missed = 0
    rows = kept()
    for breakage in breakages:
        caught, seed, how = run(breakage)
        missed += not caught
        row = f"| {breakage['name']} | {breakage['law']} | {seed} | {breakage['seeds']} | {how} |"
        print(row, flush=True)
        rows[breakage["name"]] = row
        write(known, rows)
    print(f"{len(breakages) - missed} of {len(breakages)} caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
