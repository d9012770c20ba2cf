# SPDX-License-Identifier: Apache-2.0
"""Scripted answers for a deployed machine, made from its own text and a seed.

Directed ones lead to each task and make it end in each way that the machine tells apart: every word of its
Choices and one that none of them knows, every error that is retried (recovering early, late, never), errors
that are not, time-outs, silence. Random ones follow.

Never in here: what an engine makes of them. Roads are looked for, to lead somewhere; what comes of it is compared.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

#: What a function can fail with that no machine of this project retries: its own three terminal errors, and Lambda's.
TERMINAL = ["Fenced", "Invalid", "Bug", "Runtime.InvalidEntrypoint", "Lambda.ResourceNotFoundException"]
#: A word of the steps that no Choice names: it takes the default.
UNNAMED = "exhausted"

Machine = dict[str, Any]
Script = dict[str, list[Any]]


class Deployed:
    """The scripts of one machine."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.states = machine["States"]
        self.start = machine["StartAt"]
        self.chance = random.Random(seed)
        self.tasks = [name for name, state in self.states.items() if state["Type"] == "Task"]
        choices = (state for state in self.states.values() if state["Type"] == "Choice")
        named = {rule["StringEquals"] for choice in choices for rule in choice["Choices"]}
        self.words = [*sorted(named), UNNAMED]

    def scripts(self, random_ones: int) -> dict[str, Script]:
        made: dict[str, Script] = {}
        for task in self.tasks:
            road = self._road(task)
            for name, ends in self._ways(task):
                script = {state: [answer] for state, answer in road}
                script.setdefault(task, []).extend(ends)
                made[f"{task}: {name}"] = self._filled(script)
        for number in range(random_ones):
            made[f"random {number}"] = self._filled({})
        return made

    def _ways(self, task: str) -> Iterator[tuple[str, list[Any]]]:
        """Each way in which a task can end, and the name of it."""
        state = self.states[task]
        for word in self.words:
            yield word, [self._says(word)]
        for retrier in state.get("Retry", []):
            most = retrier["MaxAttempts"]
            for error in retrier["ErrorEquals"]:
                if error == "States.Timeout":
                    continue
                for times in (1, 2, most, most + 1):
                    fate = "for good" if times > most else "then recovers"
                    yield f"{error}, {times} times, {fate}", [{"error": error}] * times
            mixed = [{"error": self.chance.choice(retrier["ErrorEquals"][:-1])} for _ in range(most + 1)]
            yield "one error after the other, for good", mixed
        for error in TERMINAL:
            yield f"{error}", [{"error": error}]
            yield f"Transient, then {error}", [{"error": "Transient"}, {"error": error}]
        if _waits(state):
            yield "silence", ["silence"]
            yield "Transient, then silence", [{"error": "Transient"}, "silence"]
        else:
            for times in (1, 3, 7):
                yield f"times out {times} times", ["hang"] * times
            yield "times out, fails, recovers", ["hang", {"error": "Transient"}]

    def _filled(self, script: Script) -> Script:
        """Whatever the road does not fix is drawn; the last answer leads on, so that every loop ends."""
        return {task: script.get(task) or self._drawn(task) for task in self.tasks} | {
            task: [*answers, self._onward(task)] for task, answers in script.items()
        }

    def _drawn(self, task: str) -> list[Any]:
        drawn = [self._draw(task) for _ in range(self.chance.randrange(5))]
        return [*drawn, self._onward(task)]

    def _draw(self, task: str) -> Any:
        kind = self.chance.random()
        if kind < 0.55:
            return self._onward(task)
        if kind < 0.78:
            return self._says(self.chance.choice(self.words))
        if kind < 0.92:
            errors = [error for one in self.states[task].get("Retry", []) for error in one["ErrorEquals"]]
            error = self.chance.choice(errors or TERMINAL)
            return "hang" if error == "States.Timeout" else {"error": error}
        if kind < 0.96:
            return {"error": self.chance.choice(TERMINAL)}
        return "silence" if _waits(self.states[task]) else "hang"

    def _says(self, word: str) -> dict[str, Any]:
        wait = self.chance.randint(1, 90)
        return {"answer": {"outcome": word, "wait_seconds": wait, "detail": f"said {word}"}}

    def _onward(self, task: str) -> dict[str, Any]:
        """The answer that the machine names first is the one that leads on."""
        after = self.states[self.states[task]["Next"]]
        return self._says(after["Choices"][0]["StringEquals"] if after["Type"] == "Choice" else "done")

    def _road(self, target: str) -> list[tuple[str, Any]]:
        """The shortest way to a task: what each one before it answers."""
        roads: dict[str, list[tuple[str, Any]]] = {self.start: []}
        queue = deque([self.start])
        while queue:
            task = queue.popleft()
            if task == target:
                return roads[task]
            for answer, leads_to in self._edges(task):
                if leads_to not in roads:
                    roads[leads_to] = [*roads[task], (task, answer)]
                    queue.append(leads_to)
        raise SystemExit(f"parity: no answers lead to `{target}`")

    def _edges(self, task: str) -> Iterator[tuple[Any, str]]:
        state = self.states[task]
        after = self.states[state["Next"]]
        if after["Type"] == "Choice":
            for rule in after["Choices"]:
                yield from self._to(self._says(rule["StringEquals"]), rule["Next"])
            yield from self._to(self._says(UNNAMED), after["Default"])
        else:
            yield from self._to(self._says("done"), state["Next"])
        for catch in state.get("Catch", []):
            errors = catch["ErrorEquals"]
            yield from self._to({"error": "Runtime.InvalidEntrypoint" if "States.ALL" in errors else errors[0]}, catch["Next"])

    def _to(self, answer: Any, name: str) -> Iterator[tuple[Any, str]]:
        while self.states[name]["Type"] == "Wait":
            name = self.states[name]["Next"]
        if self.states[name]["Type"] == "Task":
            yield answer, name


def _waits(state: dict[str, Any]) -> bool:
    return state["Resource"].endswith(".waitForTaskToken")


class Coverage:
    """Which states and transitions of a machine a history went through."""

    def __init__(self, machine: Machine) -> None:
        self.states = machine["States"]
        self.all_states = set(self.states)
        self.all_moves = {move for name, state in self.states.items() for move in _moves(name, state)}
        self.seen_states: set[str] = set()
        self.seen_moves: set[tuple[str, str, str]] = set()

    def add(self, visits: list[dict[str, Any]]) -> None:
        for visit, after in zip(visits, [*visits[1:], None]):
            name = visit["state"]
            self.seen_states.add(name)
            if len(visit["attempts"]) > 1:
                self.seen_moves.add((name, "retried", name))
            if after is not None:
                self.seen_moves.add((name, self._how(visit), after["state"]))

    def _how(self, visit: dict[str, Any]) -> str:
        state = self.states[visit["state"]]
        if state["Type"] != "Choice":
            return "caught" if visit["failed"] else "next"
        for rule in state["Choices"]:
            value: Any = visit["input"]
            for name in rule["Variable"].removeprefix("$.").split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if value == rule["StringEquals"]:
                return f"is {value}"
        return "default"

    def missed(self) -> list[str]:
        states = [f"state `{name}` was never entered" for name in self.all_states - self.seen_states]
        moves = [f"transition `{a}` to `{b}` ({how}) was never taken" for a, how, b in self.all_moves - self.seen_moves]
        return sorted(states + moves)


def _moves(name: str, state: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "Next" in state:
        yield (name, "next", state["Next"])
    if any(retrier["MaxAttempts"] for retrier in state.get("Retry", [])):
        yield (name, "retried", name)
    for catch in state.get("Catch", []):
        yield (name, "caught", catch["Next"])
    for rule in state.get("Choices", []):
        yield (name, f"is {rule['StringEquals']}", rule["Next"])
    if "Default" in state:
        yield (name, "default", state["Default"])
