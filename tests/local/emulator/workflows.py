# SPDX-License-Identifier: Apache-2.0
"""Step Functions: the time limits that ministack does not know, and two of its failures that vanish.

Never in here: shortening of waits. How long a workflow waits is the plan's business.
"""

from __future__ import annotations

import contextvars
import json
import threading
from typing import Any

from ministack.core import responses
from ministack.services import stepfunctions

from internals import Internals

_stepfunctions = Internals(
    stepfunctions,
    "_ExecutionError",
    "_add_event",
    "_emit_execution_status_event",
    "_execute_task",
    "_executions",
    "_fail_execution",
    "_invoke_resource",
    "_invoke_with_callback",
    "_resolve_path",
    "_run_execution",
    "_state_machines",
    "_task_tokens",
)


def install() -> None:
    """Adds TimeoutSecondsPath, the machine's TimeoutSeconds and the failure of a callback's function."""
    _stepfunctions.replace("_execute_task", _with_timeout_path)
    _stepfunctions.replace("_run_execution", _with_machine_timeout)
    _stepfunctions.replace("_fail_execution", _unless_ended)
    _stepfunctions.replace("_invoke_with_callback", _with_failing_function)


def _with_timeout_path(original: Any) -> Any:
    """A task's TimeoutSecondsPath becomes the TimeoutSeconds that ministack knows."""

    def execute_task(state: dict[str, Any], raw_input: Any, execution: Any, context: dict[str, Any]) -> Any:
        path = state.get("TimeoutSecondsPath")
        if path is not None:
            seconds = _stepfunctions._resolve_path(path, raw_input)
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
                raise _stepfunctions._ExecutionError(
                    "States.Runtime", f"TimeoutSecondsPath `{path}` leads to {json.dumps(seconds)}"
                )
            state = {**state, "TimeoutSeconds": seconds}
        return original(state, raw_input, execution, context)

    return execute_task


def _with_machine_timeout(original: Any) -> Any:
    """The machine's own TimeoutSeconds ends an execution as TIMED_OUT."""

    def run_execution(execution_arn: str) -> None:
        execution = _stepfunctions._executions.get(execution_arn) or {}
        machine = _stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
        seconds = _machine_timeout(machine)
        if seconds is None:
            original(execution_arn)
            return
        scope = contextvars.copy_context()
        timer = threading.Timer(seconds, scope.run, args=(_time_out, execution))
        timer.daemon = True
        timer.start()
        try:
            original(execution_arn)
        finally:
            timer.cancel()

    return run_execution


def _machine_timeout(machine: dict[str, Any]) -> float | None:
    try:
        return json.loads(machine.get("definition") or "{}").get("TimeoutSeconds")
    except ValueError:
        return None


def _time_out(execution: dict[str, Any]) -> None:
    if execution.get("status") != "RUNNING":
        return
    execution |= {"status": "TIMED_OUT", "stopDate": responses.now_iso(), "error": "States.Timeout"}
    _stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    _stepfunctions._emit_execution_status_event(execution)


def _unless_ended(original: Any) -> Any:
    """A task that fails after the execution was stopped or timed out must not rewrite its end."""

    def fail_execution(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution.get("status") == "RUNNING":
            original(execution, error, cause)

    return fail_execution


def _with_failing_function(original: Any) -> Any:
    """`.waitForTaskToken`: a function that fails fails its task at once instead of letting it hang."""

    def invoke_with_callback(resource: str, task_input: Any, token: str, state: dict[str, Any]) -> Any:
        if "states:::lambda:invoke" not in resource:
            return original(resource, task_input, token, state)
        tokens = _stepfunctions._task_tokens
        failure = _stepfunctions._ExecutionError
        answered = threading.Event()
        tokens[token] = {"event": answered, "result": None, "error": None, "heartbeat": None}
        try:
            _stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), task_input)
            if not answered.wait(timeout=state.get("TimeoutSeconds", 99999999)):
                raise failure("States.Timeout", "no answer to the task token in time")
        finally:
            answer = tokens.pop(token, {})
        if answer.get("error"):
            raise failure(answer["error"].get("Error", ""), answer["error"].get("Cause", ""))
        result = answer.get("result")
        return json.loads(result) if isinstance(result, str) else result

    return invoke_with_callback
