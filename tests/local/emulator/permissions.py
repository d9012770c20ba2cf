# SPDX-License-Identifier: Apache-2.0
"""IAM: every check is written down, and the condition keys that ministack leaves empty are filled.

`<state_dir>/iam.jsonl` has one line for each check, with the condition keys that it saw. It is what
`audit` replays: each role's policy against the calls that were really made.
"""

from __future__ import annotations

import contextvars
import json
import re
import time
from pathlib import Path
from typing import Any

import cbor2
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb

from internals import Internals
from lines import Lines

_dynamodb = Internals(
    dynamodb,
    "_tables",
)
_iam_actions = Internals(
    iam_actions,
    "SERVICE_TO_IAM_NAMESPACE",
    "dynamodb_service_context",
    "extract_iam_action",
    "extract_resource_arn",
    "request_tag_context",
    "s3_service_context",
)
_iam_evaluator = Internals(
    iam_evaluator,
    "caller_arn",
    "enforce",
    "pin_request_origin",
    "resolve_principal",
)

_principal: contextvars.ContextVar[str] = contextvars.ContextVar("checked_principal", default="")


def install(log_file: Path) -> None:
    """Must run before `ministack.app` is imported, which binds some of these names for good."""
    log = Lines(log_file)
    _read_cbor(log)
    _log_checks(log)
    _fill_s3_keys()
    _fill_dynamodb_keys()
    _fill_cloudwatch_keys()
    _fill_kms_keys()
    _stand_in_for_tls()


# ---- the record ------------------------------------------------------------------------------


def role_of(principal_arn: str) -> str | None:
    """The role's name in an assumed-role ARN; None for root, users and failed credentials."""
    match = re.search(r":assumed-role/([^/]+)/", principal_arn)
    return match.group(1) if match else None


_CBOR_PATH = re.compile(r"/service/[^/]+/operation/(\w+)")
# ministack knows zones by their ARN, and health checks by none.
_HEALTH_CHECK_PATH = re.compile(r"/2013-04-01/healthcheck/([^/]+)")


def _read_cbor(log: Lines) -> None:
    """CBOR is how the Rust SDK talks to CloudWatch. ministack finds no action in such a request, and
    lets whatever has no action pass unchecked. Here the action and the alarm are found; what still
    has no action leaves a line that says so, for a hole in the checks must be seen."""
    namespaces = _iam_actions.SERVICE_TO_IAM_NAMESPACE

    def name_action(original: Any) -> Any:
        def extract_iam_action(
            service: str, method: str, path: str, headers: dict, body: bytes, query_params: dict
        ) -> str | None:
            match = _CBOR_PATH.fullmatch(path)
            if match and service in namespaces:
                return f"{namespaces[service]}:{match.group(1)}"
            action = original(service, method, path, headers, body, query_params)
            if action is None:
                principal = _iam_evaluator.caller_arn()
                log.write(_line("", "", principal, None, f"{service} {method} {path}", {}, True))
            return action

        return extract_iam_action

    def name_resource(original: Any) -> Any:
        def extract_resource_arn(service: str, method: str, path: str, headers: dict, body: bytes, *rest: Any) -> str:
            check = _HEALTH_CHECK_PATH.fullmatch(path)
            if check and service == "route53":
                return f"arn:aws:route53:::healthcheck/{check.group(1)}"
            readable = cbor_as_json(body) if _CBOR_PATH.fullmatch(path) else body
            return original(service, method, path, headers, readable, *rest)

        return extract_resource_arn

    _iam_actions.replace("extract_iam_action", name_action)
    _iam_actions.replace("extract_iam_action", _batches_as_one)
    _iam_actions.replace("extract_resource_arn", name_resource)


def _batches_as_one(original: Any) -> Any:
    """SQS has no action for a batch: who may send a message may send ten."""

    def extract_iam_action(*args: Any) -> str | None:
        action = original(*args)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    return extract_iam_action


def cbor_as_json(body: bytes) -> bytes:
    """The same document in JSON; an empty one when it is no CBOR."""
    try:
        return json.dumps(cbor2.loads(body), default=str).encode()
    except (ValueError, EOFError):  # malformed: the service itself will say so
        return b"{}"


def _line(
    access_key_id: str,
    region: str,
    principal: str,
    action: str | None,
    resource: str,
    context: dict[str, Any],
    allowed: bool,
) -> dict[str, Any]:
    return {
        "at": round(time.time(), 3),
        "region": region,
        "access_key_id": access_key_id or None,
        "role": role_of(principal),
        "principal": principal or None,
        "action": action,
        "resource": resource,
        "context": context,
        "allowed": allowed,
    }


def _log_checks(log: Lines) -> None:
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
            context = service_context or {}
            line = _line(access_key_id, region, _principal.get(), iam_action, resource_arn, context, denied is None)
            log.write(line)
            return denied

        return enforce

    _iam_evaluator.replace("resolve_principal", remember_principal)
    _iam_evaluator.replace("enforce", record)


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

    _iam_actions.replace("s3_service_context", wrap)


def _fill_cloudwatch_keys() -> None:
    """`cloudwatch:namespace` of PutMetricData, in whichever of the three protocols it came."""

    def wrap(original: Any) -> Any:
        def request_tag_context(service: str, iam_action: str, body: bytes, params: dict) -> dict:
            readable = body
            if service == "monitoring" and body[:1] != b"{" and not params.get("Action"):
                readable = cbor_as_json(body)
            context = original(service, iam_action, readable, params)
            if iam_action == "cloudwatch:PutMetricData":
                namespace = metric_namespace(readable, params)
                if namespace:
                    context["cloudwatch:namespace"] = namespace
            return context

        return request_tag_context

    _iam_actions.replace("request_tag_context", wrap)


def _fill_kms_keys() -> None:
    """`kms:SigningAlgorithm` of Sign."""

    def wrap(original: Any) -> Any:
        def request_tag_context(service: str, iam_action: str, body: bytes, params: dict) -> dict:
            context = original(service, iam_action, body, params)
            algorithm = signing_algorithm(body) if iam_action == "kms:Sign" else None
            if algorithm:
                context["kms:SigningAlgorithm"] = algorithm
            return context

        return request_tag_context

    _iam_actions.replace("request_tag_context", wrap)


def signing_algorithm(body: bytes) -> str | None:
    """The algorithm that a request asks for."""
    try:
        return json.loads(body).get("SigningAlgorithm")
    except ValueError:  # malformed: the service itself will say so
        return None


def metric_namespace(body: bytes, params: dict) -> str | None:
    """The Namespace of a PutMetricData request in JSON or in the older form encoding."""
    if body[:1] == b"{":
        try:
            return json.loads(body).get("Namespace")
        except ValueError:  # malformed: the service itself will say so
            return None
    value = params.get("Namespace")
    return value[0] if isinstance(value, list) else value


def _fill_dynamodb_keys() -> None:
    """`dynamodb:LeadingKeys`: the partition keys that a request names."""
    tables = _dynamodb._tables

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

    _iam_actions.replace("dynamodb_service_context", wrap)


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

    _iam_evaluator.replace("pin_request_origin", wrap)
