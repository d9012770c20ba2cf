# SPDX-License-Identifier: Apache-2.0
"""ministack's Step Functions, run in this process on scripted answers and a clock of ours.

Theirs is everything that interprets: their `_run_execution` and all that it calls, down to the name that
a failed function gets. Ours are the Lambda functions behind it (the script), the tokens' answers, and what
would make it wait: sleeping, threads, events and timers advance a number instead. On top lie the mends that
the local cloud runs with (`workflows.py`): TimeoutSecondsPath, the machine's TimeoutSeconds, the failing
function of a callback. What agrees by them alone is counted apart.

Never in here: what the other engine does.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "local/emulator"))

import internals  # noqa: E402
import workflows  # noqa: E402
from internals import Internals  # noqa: E402
from ministack.services import lambda_svc, stepfunctions  # noqa: E402

_lambda = Internals(
    lambda_svc,
    "_execute_function_with_config_scope",
    "_execution_record_for_config",
    "_get_func_record_for_ref",
)
_stepfunctions = Internals(
    stepfunctions,
    "ThreadPoolExecutor",
    "_create_state_machine",
    "_delete_state_machine",
    "_emit_execution_status_event",
    "_executions",
    "_send_task_success",
    "_start_execution",
    "get_account_id",
    "get_region",
    "threading",
    "time",
)
_workflows = Internals(workflows, "threading")

EXECUTION = "parity"
ENDS = {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut"}

Script = dict[str, list[Any]]


class Hang(BaseException):
    """The scripted function never answers. No `Exception`, so that nobody but the pool takes it for an error."""


class Clock:
    """Seconds that pass because somebody waits, with the timers that they set off."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.told: Callable[[float], None] = lambda _seconds: None

    def sleep(self, seconds: float) -> None:
        self.told(seconds)
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.at <= self.now]:
            timer.cancel()
            timer.function(*timer.arguments)


class Timer:
    def __init__(self, clock: Clock, seconds: float, function: Callable[..., Any], args: Any) -> None:
        self.clock, self.at, self.function, self.arguments = clock, clock.now + seconds, function, args

    def start(self) -> None:
        self.clock.timers.append(self)

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


class Event:
    """Nobody else runs, so that what was not set before the wait is not set in time."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.happened = clock, False

    def set(self) -> None:
        self.happened = True

    def wait(self, timeout: float) -> bool:
        if not self.happened:
            self.clock.sleep(timeout)
        return self.happened


class Thread:
    def __init__(self, target: Callable[..., Any], args: Any, daemon: bool) -> None:
        self.target, self.arguments = target, args

    def start(self) -> None:
        self.target(*self.arguments)


class Pool:
    """Runs what it is given at once; what hangs is over when its time is."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Pool:
        self.task = (function, arguments)
        return self

    def result(self, timeout: float) -> Any:
        function, arguments = self.task
        try:
            return function(*arguments)
        except Hang:
            self.clock.sleep(timeout)
            raise TimeoutError from None

    def shutdown(self, wait: bool) -> None:
        pass


class Patched:
    """A module with a few names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__ |= names
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Engine:
    """One interpreter, one execution after the other."""

    def __init__(self) -> None:
        internals.check_version()
        logging.disable(logging.CRITICAL)
        workflows.install()
        self.clock = Clock()
        events = lambda: Event(self.clock)  # noqa: E731
        timers = lambda seconds, function, args: Timer(self.clock, seconds, function, args)  # noqa: E731
        _stepfunctions.set("threading", Patched(threading, Thread=Thread, Event=events))
        _stepfunctions.set("time", Patched(time, sleep=self.clock.sleep))
        _stepfunctions.set("ThreadPoolExecutor", lambda max_workers: Pool(self.clock))
        _stepfunctions.set("_emit_execution_status_event", lambda _execution: None)
        _workflows.set("threading", Patched(threading, Event=events, Timer=timers))
        _lambda.set("_get_func_record_for_ref", lambda ref: ({"ref": ref}, {"ref": ref}, ref))
        _lambda.set("_execution_record_for_config", lambda function, _config: function)
        _lambda.set("_execute_function_with_config_scope", self._invoked)

    def arn_of(self, owner: str) -> str:
        place = f"{_stepfunctions.get_region()}:{_stepfunctions.get_account_id()}"
        return f"arn:aws:lambda:{place}:function:{owner}"

    def run(self, name: str, definition: dict[str, Any], inputs: dict[str, Script]) -> list[dict[str, Any]]:
        """The history of each input, in the form of `shared/sim/examples/parity.rs`."""
        text = re.sub(r"\$\{(\w+)Arn\}", lambda named: self.arn_of(_kebab(named[1])), json.dumps(definition))
        made = _stepfunctions._create_state_machine(
            {"name": name, "definition": text, "roleArn": "arn:aws:iam::000000000000:role/parity"}
        )
        arn = _answer(made)["stateMachineArn"]
        try:
            return [self._execute(name, arn, *one) for one in inputs.items()]
        finally:
            _stepfunctions._delete_state_machine({"stateMachineArn": arn})

    def _execute(self, machine: str, machine_arn: str, name: str, script: Script) -> dict[str, Any]:
        self.script = {state: iter(answers) for state, answers in script.items()}
        self.last: dict[str, Any] = {}
        self.arn = machine_arn.replace(":stateMachine:", ":execution:") + f":{EXECUTION}"
        #: What happened beside the events: (how many events there were, what).
        self.beside: list[tuple[int, Any]] = []
        self.clock.told = self._slept
        self.clock.timers.clear()
        started = _stepfunctions._start_execution(
            {"stateMachineArn": machine_arn, "name": EXECUTION, "input": "{}"}
        )
        execution = _stepfunctions._executions.pop(_answer(started)["executionArn"])
        return {"machine": machine, "input": name, **_history(execution, self.beside)}

    def _events(self) -> list[dict[str, Any]]:
        return _stepfunctions._executions[self.arn]["events"]

    def _slept(self, seconds: float) -> None:
        self.beside.append((len(self._events()), seconds))

    def _invoked(self, function: dict[str, Any], event: Any) -> dict[str, Any]:
        """What Lambda answers in the present state; of its answers the last is repeated."""
        self.beside.append((len(self._events()), (function["ref"].rsplit(":", 1)[1], event)))
        entered = [event for event in self._events() if event["type"] == "TaskStateEntered"]
        state = entered[-1]["stateEnteredEventDetails"]["name"]
        answer = next(self.script.get(state, iter(())), self.last.get(state, {"error": "Unscripted"}))
        self.last[state] = answer
        token = event.get("token") if isinstance(event, dict) else None
        if answer == "hang":
            raise Hang
        if answer == "silence":
            return {"body": None}
        if "error" in answer:
            return {"error": True, "body": {"errorType": answer["error"], "errorMessage": "scripted"}}
        value = answer["answer"] if "answer" in answer else "x" * (answer["bytes"] - 2)
        if token is None:
            return {"body": json.dumps(value)}
        sent = {"taskToken": token, "output": json.dumps(value)}
        _answer(_stepfunctions._send_task_success(sent))
        return {"body": None}


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _answer(response: Any) -> dict[str, Any]:
    status, _headers, body = response
    if status != 200:
        raise RuntimeError(f"ministack answers {status}: {body!r}")
    return json.loads(body)


def _history(execution: dict[str, Any], beside: list[tuple[int, Any]]) -> dict[str, Any]:
    """Events and what happened beside them, as states. Events behind the end belong to no execution any more."""
    states: list[dict[str, Any]] = []
    beside = [one for one in beside if one[0] > 1]
    for number, event in enumerate(execution["events"], start=1):
        kind = event["type"]
        if kind in ENDS:
            break
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            states.append(
                {
                    "state": details["name"],
                    "input": json.loads(details["input"]),
                    "left": False,
                    "output": None,
                    "failed": False,
                    "attempts": [] if kind.startswith("Task") else [_attempt()],
                }
            )
        elif kind == "TaskScheduled":
            states[-1]["attempts"].append(_attempt())
        elif kind in {"TaskFailed", "TaskSucceeded"}:
            states[-1]["failed"] = kind == "TaskFailed"
        elif kind.endswith("StateExited"):
            output = json.loads(event["stateExitedEventDetails"]["output"])
            states[-1] |= {"left": True, "output": output}
        for _, what in (one for one in beside if one[0] == number):
            if isinstance(what, tuple):
                states[-1]["attempts"][-1] |= {"owner": what[0], "handed": what[1]}
            else:
                states[-1]["attempts"][-1]["took_ms"] += what * 1000
    status = execution["status"]
    end = {
        "status": status,
        "error": execution["error"] if status == "FAILED" else None,
        "cause": execution["cause"] if status == "FAILED" else None,
        "output": json.loads(execution["output"]) if status == "SUCCEEDED" else None,
    }
    return {"states": states, "end": end}


def _attempt() -> dict[str, Any]:
    return {"owner": None, "handed": None, "took_ms": 0.0}
