# SPDX-License-Identifier: Apache-2.0
"""IAM: every check is written down, and the condition keys that ministack leaves empty are filled.

`<state_dir>/iam.jsonl` has one line for each check. It is what the two-way test of least privilege
replays: each function's policy against the calls that it really made.
"""

from __future__ import annotations

import contextvars
import json
import re
import threading
import time
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs

import cbor2
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb

from internals import internal, replace

_principal: contextvars.ContextVar[str] = contextvars.ContextVar("checked_principal", default="")


def install(log_file: Path) -> None:
    """Must run before `ministack.app` is imported, which binds some of these names for good."""
    _log_checks(log_file)
    _fill_s3_keys()
    _fill_dynamodb_keys()
    _fill_cloudwatch_keys()
    _stand_in_for_tls()


# ---- the record ------------------------------------------------------------------------------


class _Log:
    """Lines appended by many threads, each whole."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"))
        with self._lock:
            self._file.write(text + "\n")


def role_of(principal_arn: str) -> str | None:
    """The role's name in an assumed-role ARN; None for root, users and failed credentials."""
    match = re.search(r":assumed-role/([^/]+)/", principal_arn)
    return match.group(1) if match else None


def _log_checks(log_file: Path) -> None:
    log = _Log(log_file)

    def remember_principal(original: Any) -> Any:
        def resolve_principal(*args: Any, **kwargs: Any) -> Any:
            principal = original(*args, **kwargs)
            _principal.set(getattr(principal, "arn", ""))
            return principal

        return resolve_principal

    def record(original: Any) -> Any:
        def enforce(
            access_key_id: str,
            iam_action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: dict[str, Any] | None = None,
        ) -> Any:
            _principal.set("")
            denied = original(access_key_id, iam_action, service, region, resource_arn, service_context)
            principal = _principal.get()
            log.write(
                {
                    "at": round(time.time(), 3),
                    "region": region,
                    "role": role_of(principal),
                    "principal": principal or None,
                    "action": iam_action,
                    "resource": resource_arn,
                    "allowed": denied is None,
                }
            )
            return denied

        return enforce

    replace(iam_evaluator, "resolve_principal", remember_principal)
    replace(iam_evaluator, "enforce", record)


# ---- condition keys --------------------------------------------------------------------------


def _fill_s3_keys() -> None:
    """`s3:if-none-match` and `s3:if-match` of a write."""

    def wrap(original: Any) -> Any:
        def s3_service_context(
            iam_action: str, query_params: dict | None, path: str = "", headers: dict | None = None
        ) -> dict:
            context = original(iam_action, query_params, path, headers)
            if iam_action == "s3:PutObject":
                for name in ("if-none-match", "if-match"):
                    if (headers or {}).get(name):
                        context[f"s3:{name}"] = (headers or {})[name]
            return context

        return s3_service_context

    replace(iam_actions, "s3_service_context", wrap)


def _fill_cloudwatch_keys() -> None:
    """`cloudwatch:namespace` of PutMetricData, in whichever of the three protocols it came."""

    def wrap(original: Any) -> Any:
        def request_tag_context(service: str, iam_action: str, body: bytes, params: dict) -> dict:
            context = original(service, iam_action, body, params)
            if iam_action == "cloudwatch:PutMetricData":
                namespace = metric_namespace(body)
                if namespace:
                    context["cloudwatch:namespace"] = namespace
            return context

        return request_tag_context

    replace(iam_actions, "request_tag_context", wrap)


def metric_namespace(body: bytes) -> str | None:
    """The Namespace of a PutMetricData body in JSON, form or CBOR encoding."""
    try:
        if body[:1] == b"{":
            return json.loads(body).get("Namespace")
        if b"Namespace=" in body:
            return parse_qs(body.decode()).get("Namespace", [None])[0]
        decoded = cbor2.loads(body)
        return decoded.get("Namespace") if isinstance(decoded, dict) else None
    except (ValueError, UnicodeDecodeError):  # malformed: the service itself will say so
        return None


def _fill_dynamodb_keys() -> None:
    """`dynamodb:LeadingKeys`: the partition keys that a request names."""
    tables = internal(dynamodb, "_tables")

    def wrap(original: Any) -> Any:
        def dynamodb_service_context(body: bytes) -> dict:
            context = original(body)
            try:
                request = json.loads(body or b"{}")
            except ValueError:
                return context
            if isinstance(request, dict):
                keys = leading_keys(request, lambda name: _partition_key(tables, name))
                if keys:
                    context["dynamodb:LeadingKeys"] = keys
            return context

        return dynamodb_service_context

    replace(iam_actions, "dynamodb_service_context", wrap)


def _partition_key(tables: Any, name: str) -> str | None:
    table = tables.get(name.rsplit("/", 1)[-1]) or {}
    for element in table.get("KeySchema", []):
        if element.get("KeyType") == "HASH":
            return element.get("AttributeName")
    return None


def leading_keys(request: dict[str, Any], partition_key: Any) -> list[str]:
    """The partition key values in a single, batch, transaction or query request, in order."""
    found: list[str] = []
    for table, part in _parts(request):
        key = partition_key(table)
        if key is None:
            continue
        value = (part.get("Key") or part.get("Item") or {}).get(key) or _queried(part, key)
        if isinstance(value, dict) and value:
            found.append(str(next(iter(value.values()))))
    return found


def _parts(request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(table, request of one item) pairs of any DynamoDB request."""
    if isinstance(request.get("TableName"), str):
        return [(request["TableName"], request)]
    parts: list[tuple[str, dict[str, Any]]] = []
    for item in request.get("TransactItems") or []:
        for operation in item.values():
            if isinstance(operation, dict):
                parts.append((str(operation.get("TableName", "")), operation))
    for table, content in (request.get("RequestItems") or {}).items():
        if isinstance(content, dict):
            parts += [(table, {"Key": key}) for key in content.get("Keys", [])]
        else:
            parts += [(table, operation) for write in content for operation in write.values()]
    return parts


def _queried(part: dict[str, Any], key: str) -> Any:
    """The value that a KeyConditionExpression compares the partition key with."""
    names = part.get("ExpressionAttributeNames") or {}
    for name, placeholder in re.findall(r"([#\w.-]+)\s*=\s*(:\w+)", part.get("KeyConditionExpression") or ""):
        if names.get(name, name) == key:
            return (part.get("ExpressionAttributeValues") or {}).get(placeholder)
    return None


def _stand_in_for_tls() -> None:
    """Loopback carries no TLS; a policy that denies plain HTTP must not deny the local cloud."""

    def wrap(original: Any) -> Any:
        def pin_request_origin(source_ip: str, secure_transport: bool) -> None:  # noqa: ARG001
            original(source_ip, True)

        return pin_request_origin

    replace(iam_evaluator, "pin_request_origin", wrap)
