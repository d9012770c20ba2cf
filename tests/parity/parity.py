# SPDX-License-Identifier: Apache-2.0
"""Two engines, the same machines, the same answers: `python parity.py INTERPRETER [--inputs N] [--seed S]`.

INTERPRETER is the built example `parity` of `shared/sim`: the interpreter that the simulator trusts. The other
engine is ministack's (`engine.py`). Compared are the states in their order, what each was handed and gave on, how
often and for how long its task was tried, and the end. Every difference must stand in `differences.toml` with
what AWS's documentation says about it, and everything there must be seen; every machine of `refused.json` must be
refused by the interpreter. Every state and transition of a deployed machine must be reached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from datetime import datetime
from typing import Any

from engine import Engine
from scripts import Coverage, Deployed

HERE = Path(__file__).resolve().parent
WORKFLOWS = HERE.parents[1] / "infra/workflows"

#: Engines agree on a wait when they differ by less: ours counts whole milliseconds.
SAME_MS = 1.0
#: After these differences the two histories can still be held together.
GOES_ON = ("time of", "token of")


@dataclass(frozen=True)
class Difference:
    """Where a history parts from the other."""

    machine: str
    input: str
    state: str
    what: str
    ours: str
    theirs: str


@dataclass
class Account:
    """What a run of the whole test saw."""

    machines: int = 0
    inputs: int = 0
    states: int = 0
    attempts: int = 0
    #: Of those, states that agree by a mend of this project: callbacks, and TimeoutSecondsPath.
    mended: int = 0
    differences: list[Difference] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    reader = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    reader.add_argument("interpreter", type=Path)
    reader.add_argument("--inputs", type=int, default=1000, help="random ones for each deployed machine")
    reader.add_argument("--seed", type=int, default=1)
    given = reader.parse_args(arguments)
    account = Account()
    began = time.monotonic()
    theirs = Engine()
    for machine in _small_machines() + _deployed_machines(given.seed, given.inputs):
        _hold_together(account, given.interpreter, theirs, machine)
    refused = _refused(account, given.interpreter)
    known = _known(account)
    print(
        f"parity: {account.machines} machines, {account.inputs} inputs, {account.states} states and "
        f"{account.attempts} attempts of tasks compared ({account.mended} states lean on mends of our own), "
        f"{len(account.differences)} differences, {known} explanations; {refused} constructs refused; "
        f"{time.monotonic() - began:.0f} s"
    )
    for failure in account.failures[:40]:
        print(f"parity: {failure}", file=sys.stderr)
    if account.failures:
        print(f"parity: FAILED, {len(account.failures)} in all (seed {given.seed})", file=sys.stderr)
    return 1 if account.failures else 0


# ---- machines ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    name: str
    definition: dict[str, Any]
    inputs: dict[str, dict[str, list[Any]]]
    #: Whether every transition must be taken.
    deployed: bool


def _small_machines() -> list[Machine]:
    files = sorted((HERE / "machines").glob("*.json"))
    read = [(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return [Machine(name, file["definition"], file["inputs"], deployed=False) for name, file in read]


def _deployed_machines(seed: int, inputs: int) -> list[Machine]:
    made = []
    for file in sorted(WORKFLOWS.glob("*.asl.json")):
        definition = json.loads(file.read_text(encoding="utf-8"))
        scripts = Deployed(definition, seed).scripts(inputs)
        made.append(Machine(file.name.removesuffix(".asl.json"), definition, scripts, deployed=True))
    return made


# ---- comparing --------------------------------------------------------------------------------


def _hold_together(account: Account, interpreter: Path, theirs: Engine, machine: Machine) -> None:
    account.machines += 1
    ours = {one.get("input"): one for one in _interpret(interpreter, [machine])}
    if None in ours:
        account.failures.append(f"{machine.name}: the interpreter refuses it: {ours[None]['refused']}")
        return
    coverage = Coverage(machine.definition)
    for history in theirs.run(machine.name, machine.definition, machine.inputs):
        account.inputs += 1
        _compare(account, machine, ours[history["input"]], history)
        coverage.add(history["states"])
    if machine.deployed:
        account.failures += [f"{machine.name}: {missed}" for missed in coverage.missed()]
        print(
            f"parity: {machine.name}: {len(machine.inputs)} inputs reach {len(coverage.seen_states)} of "
            f"{len(coverage.all_states)} states, {len(coverage.seen_moves)} of {len(coverage.all_moves)} transitions"
        )


def _interpret(interpreter: Path, machines: list[Machine]) -> list[dict[str, Any]]:
    given = "".join(
        json.dumps({"machine": one.name, "definition": one.definition, "inputs": one.inputs}) + "\n" for one in machines
    )
    ran = subprocess.run([interpreter], input=given, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"parity: {interpreter} ended with {ran.returncode}: {ran.stderr}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _compare(account: Account, machine: Machine, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Up to where they part: what comes after that is another story."""
    tokens: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for one, other in zip(ours["states"], theirs["states"]):
        state = one["state"]
        definition = machine.definition["States"].get(state, {})
        for what, mine, its in _visits(definition, one, other, tokens):
            account.differences.append(_differ(machine, theirs, state, what, mine, its))
            if not what.startswith(GOES_ON):
                return
        if one["left"] != other["left"]:
            went = [_way(side, visit) for side, visit in ((ours, one), (theirs, other))]
            account.differences.append(_differ(machine, theirs, state, "way", *went))
            return
        account.states += 1
        account.attempts += len(one["attempts"]) if definition.get("Type") == "Task" else 0
        account.mended += _mended(definition)
    here = ours["states"][-1]["state"]
    names = [[visit["state"] for visit in side["states"]] for side in (ours, theirs)]
    if len(names[0]) != len(names[1]):
        more = [" → ".join(side[min(map(len, names)) :][:3]) for side in names]
        account.differences.append(_differ(machine, theirs, here, "goes on", *more))
        return
    for what in ("status", "error", "cause", "output"):
        mine, its = (_words(side["end"])[what] for side in (ours, theirs))
        if mine != its:
            account.differences.append(_differ(machine, theirs, here, what, mine, its))
            return


def _visits(definition: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], tokens: Any) -> Any:
    """What differs between two visits of a state: first what parts no ways."""
    if ours["state"] != theirs["state"]:
        yield "order", ours["state"], theirs["state"]
        return
    pairs = list(zip(ours["attempts"], theirs["attempts"]))
    for number, (one, other) in enumerate(pairs, start=1):
        if one["took_ms"] is not None and abs(one["took_ms"] - other["took_ms"]) > SAME_MS:
            yield f"time of attempt {number}", "t", f"t {other['took_ms'] - one['took_ms']:+.0f} ms"
    if len(ours["attempts"]) != len(theirs["attempts"]):
        yield "attempts", len(ours["attempts"]), len(theirs["attempts"])
        return
    for number, pair in enumerate(pairs, start=1):
        (mine, my_token), (its, its_token) = (_handed(definition, *one) for one in zip(pair, tokens))
        if mine != its:
            yield f"call {number}", mine, its
            return
        if my_token != its_token:
            yield f"token of call {number}", my_token, its_token
    for what in ("input", "output"):
        mine, its = (_words(side[what]) for side in (ours, theirs))
        if mine != its and (what == "input" or ours["left"] == theirs["left"]):
            yield what, mine, its
            return


def _way(history: dict[str, Any], visit: dict[str, Any]) -> str:
    return "goes on" if visit["left"] else f"{history['end']['status']} {history['end']['error']}"


def _handed(definition: dict[str, Any], attempt: dict[str, Any], seen: dict[str, int]) -> tuple[Any, str]:
    """Who is called with what, and whether its token is the first, or not, that this visit's engine gave out."""
    parameters = definition.get("Parameters", {})
    payload = parameters.get("Payload", {})
    handed = dict(attempt["handed"] or {})
    # Each engine has its own clock: that it hands on an instant is compared, not which.
    for name, value in parameters.items():
        if value == "$$.State.EnteredTime":
            datetime.fromisoformat(handed.pop(name.removesuffix(".$")))
    tokens = [handed.pop(name.removesuffix(".$")) for name, value in payload.items() if value == "$$.Task.Token"]
    known = ["known" if token in seen else "new" for token in tokens]
    seen.update(dict.fromkeys(tokens, 1))
    return {"owner": attempt["owner"], "handed": handed}, " ".join(known)


def _words(value: Any) -> Any:
    """Causes of an engine's own failures are its own words; those of functions are JSON in whatever spacing."""
    if isinstance(value, list):
        return [_words(one) for one in value]
    if not isinstance(value, dict):
        return value
    value = {name: _words(one) for name, one in value.items()}
    error, cause = next(((e, c) for e, c in (("Error", "Cause"), ("error", "cause")) if e in value), ("", ""))
    if cause in value and isinstance(value[cause], str):
        if str(value[error]).startswith("States."):
            value[cause] = "(its own words)"
        elif value[cause].startswith("{"):
            value[cause] = json.loads(value[cause])
    return value


def _mended(definition: dict[str, Any]) -> int:
    return int(definition.get("Resource", "").endswith(".waitForTaskToken") or "TimeoutSecondsPath" in definition)


def _differ(machine: Machine, history: dict[str, Any], state: str, what: str, ours: Any, theirs: Any) -> Difference:
    said = [one if isinstance(one, str) else json.dumps(one, sort_keys=True) for one in (ours, theirs)]
    return Difference(machine.name, history["input"], state, what, *said)


# ---- what is known ----------------------------------------------------------------------------


def _known(account: Account) -> int:
    """Holds what was seen against `differences.toml`, both ways; how many explanations there are."""
    table = tomllib.loads((HERE / "differences.toml").read_text(encoding="utf-8"))["difference"]
    shows = [(entry["name"], show) for entry in table for show in entry["shows"]]
    seen: Counter[int] = Counter()
    for difference in account.differences:
        number = next((number for number, (_, show) in enumerate(shows) if _explains(show, difference)), None)
        if number is None:
            account.failures.append(
                f"{difference.machine}, input `{difference.input}`, state `{difference.state}`: {difference.what}: "
                f"ours {difference.ours}, theirs {difference.theirs}"
            )
        else:
            seen[number] += 1
    for number, (name, show) in enumerate(shows):
        if not seen[number]:
            account.failures.append(f"differences.toml: `{name}`: nothing shows this any more: {show}")
    for entry in table:
        times = sum(seen[number] for number, (name, _) in enumerate(shows) if name == entry["name"])
        print(f"parity: known, {times} times, {entry['right']} right: {entry['why']}")
    return len(table)


def _explains(show: dict[str, str], difference: Difference) -> bool:
    """Where it is may be a pattern; what was said must be the very words."""
    where = ("machine", "input", "state", "what")
    patterns = all(fnmatchcase(getattr(difference, name), show.get(name, "*")) for name in where)
    return patterns and (difference.ours, difference.theirs) == (show["ours"], show["theirs"])


def _refused(account: Account, interpreter: Path) -> int:
    """What the interpreter does not model it must refuse, not ignore."""
    file = json.loads((HERE / "refused.json").read_text(encoding="utf-8"))
    machines = []
    for one in file["refused"]:
        definition = json.loads(json.dumps(file["machine"]))
        for path, value in one["with"].items():
            at, last = _place(definition, path)
            at[last] = value
        for path in one.get("without", []):
            at, last = _place(definition, path)
            del at[last]
        machines.append(Machine(one["construct"], definition, {"any": {}}, deployed=False))
    accepted = Machine("the machine of refused.json itself", file["machine"], {"any": {}}, deployed=False)
    answers = {one["machine"]: one for one in _interpret(interpreter, [accepted, *machines])}
    for machine in machines:
        if "refused" not in answers[machine.name]:
            account.failures.append(f"refused.json: `{machine.name}` is accepted: give it a machine of its own")
    if "refused" in answers[accepted.name]:
        account.failures.append(f"refused.json: its machine is refused: {answers[accepted.name]['refused']}")
    return len(machines)


def _place(within: Any, path: str) -> tuple[Any, Any]:
    """Where `path` leads: what holds it, and its name or number there."""
    *parents, last = (int(name) if name.isdigit() else name for name in path.split("/"))
    for name in parents:
        within = within[name]
    return within, last


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
