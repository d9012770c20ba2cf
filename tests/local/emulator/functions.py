# SPDX-License-Identifier: Apache-2.0
"""Lambda: the environment of a function, its log file, asynchronous delivery and what came of it.

A function gets the environment that its template gives it and that of its place, and nothing of the
emulator's own. Never in here: what a function is allowed to do (`permissions`).
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from ministack.core import lambda_runtime
from ministack.services import eventbridge, lambda_svc, sns

from cloud import Cloud
from internals import Internals
from lines import Lines

_eventbridge = Internals(
    eventbridge,
    "_dispatch_to_lambda",
)
_lambda_runtime = Internals(
    lambda_runtime,
    "ProvidedWorker",
    "reset",
)
_worker = Internals(
    _lambda_runtime.ProvidedWorker,
    "_pump_output",
)
_lambda_svc = Internals(
    lambda_svc,
    "_esm_wake",
    "_execute_function_dispatch",
    "_execution_record_for_config",
    "_get_func_record_for_ref",
    "_provided_code_lock",
    "_provided_worker_env",
    "invoke_async_with_retry",
)
_sns = Internals(
    sns,
    "_deliver_to_lambda",
    "logger",
)

# What a function may see of the emulator's own environment.
_INHERITED = {"PATH", "HOME", "LANG", "TZ", "TMPDIR"}


def install(cloud: Cloud) -> None:
    """Mends how functions are started, logged and reached."""
    _give_place(cloud)
    _keep_logs(cloud.state_dir / "logs")
    _retry_deliveries()
    _quicken_queues(cloud.speed)
    _keep_answers(Lines(cloud.state_dir / "notifications.jsonl"))


def region_of(config: dict[str, Any]) -> str:
    """The Region in a function's ARN. The Region of the request that starts it may be another one."""
    return config["FunctionArn"].split(":")[3]


def _give_place(cloud: Cloud) -> None:
    def wrap(original: Any) -> Any:
        def provided_worker_env(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
            built = original(config, code_dir, port)
            env = {name: value for name, value in built.items() if name in _INHERITED or os.environ.get(name) != value}
            region = region_of(config)
            env |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
            env |= cloud.place_environment(region)
            return env

        return provided_worker_env

    _lambda_svc.replace("_provided_worker_env", wrap)


# ---- logs ------------------------------------------------------------------------------------


class _Tee:
    """The output of one function process: each line goes to the log file and on to ministack."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def readline(self) -> bytes:
        line = self._stream.readline()
        if line:
            self._file.write(line)  # one write a line: processes of one function share the file
        return line

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def _keep_logs(folder: Path) -> None:
    def wrap(original: Any) -> Any:
        def pump_output(worker: Any, stream: BinaryIO, log_queue: Any) -> None:
            path = folder / region_of(worker.config) / f"{worker.func_name}.log"
            original(worker, _Tee(stream, path), log_queue)

        return pump_output

    _worker.replace("_pump_output", wrap)


# ---- asynchronous delivery -------------------------------------------------------------------


def _retry_deliveries() -> None:
    """Events from EventBridge, Scheduler and SNS are asynchronous invocations, as on AWS: two retries,
    then the dead-letter queue or the on-failure destination. ministack invokes once and forgets."""
    _eventbridge.replace("_dispatch_to_lambda", lambda _original: deliver)
    _sns.replace("_deliver_to_lambda", lambda _original: _deliver_from_topic)


def deliver(arn: str, payload: str) -> None:
    """Invokes the function asynchronously; raises LookupError when there is none."""
    function, config, name = _lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        raise LookupError(f"no function `{name}` in this Region")
    record = _lambda_svc._execution_record_for_config(function, config)
    _lambda_svc.invoke_async_with_retry(record, json.loads(payload))


def _deliver_from_topic(
    endpoint: str,
    envelope: str,
    topic_arn: str,  # noqa: ARG001
    subscription_arn: str,
    message_id: str,  # noqa: ARG001
    raw_message: str,  # noqa: ARG001
    message_attributes: dict,  # noqa: ARG001
) -> None:
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription_arn,
        "EventSource": "aws:sns",
        "Sns": json.loads(envelope),
    }
    try:
        deliver(endpoint, json.dumps({"Records": [record]}))
    except LookupError as error:
        _sns.logger.warning("SNS to Lambda `%s`: %s", endpoint, error)


class _Wake(threading.Event):
    """What the poller of queues waits for between two passes, but no longer than a scaled second: a message that was
    delayed wakes nobody as it becomes visible."""

    def __init__(self, longest: float) -> None:
        super().__init__()
        self._longest = longest

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(self._longest if timeout is None else min(timeout, self._longest))


def _quicken_queues(speed: float) -> None:
    _lambda_svc.set("_esm_wake", _Wake(1 / speed))


def _keep_answers(lines: Lines) -> None:
    """One line for each time that a function was run on notifications: which messages, and what came of it.
    Nobody waits for such an answer, so it would be lost; on AWS a destination is told as much."""

    def wrap(original: Any) -> Any:
        def execute(func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float) -> Any:
            result = original(func, config, event, request_id, started)
            messages = _message_ids(event)
            if messages:
                failed = bool(result.get("error"))
                kept = {"function": config["FunctionName"], "messages": messages, "failed": failed}
                lines.write({"at": round(time.time(), 3), **kept, "answer": result.get("body")})
            return result

        return execute

    _lambda_svc.replace("_execute_function_dispatch", wrap)


def _message_ids(event: Any) -> list[str]:
    records = event.get("Records") if isinstance(event, dict) else None
    notifications = [record.get("Sns") for record in records or [] if isinstance(record, dict)]
    return [one["MessageId"] for one in notifications if isinstance(one, dict) and "MessageId" in one]


# ---- the end ---------------------------------------------------------------------------------


def end_all() -> None:
    """Ends every function process that this emulator started, and lets no new one begin.

    A function is started under the code lock, which is taken here and never given back: a schedule
    that fires while the emulator ends must not leave a process behind.
    """
    _lambda_svc._provided_code_lock.acquire(timeout=5)
    _lambda_runtime.reset()
