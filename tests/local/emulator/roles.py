# SPDX-License-Identifier: Apache-2.0
"""What every role of a stack may do, as it was deployed: `roles.json`, written when the emulator ends.

Parameters are filled in and SAM's own additions are there, so that `audit` judges calls by the very
policies that the emulator judged them by. Never in here: any judgement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import cloudformation, iam, lambda_svc

from internals import Internals

_cloudformation = Internals(
    cloudformation,
    "_stacks",
)
_iam = Internals(
    iam,
    "_roles",
)
_iam_evaluator = Internals(
    iam_evaluator,
    "_resolve_managed_policy_document",
)
_lambda_svc = Internals(
    lambda_svc,
    "_functions",
)


def write(path: Path) -> None:
    """One entry for each role of each stack."""
    path.write_text(json.dumps(list(_roles()), indent=1), encoding="utf-8")


def _roles() -> Iterator[dict[str, Any]]:
    for (account, region, stack), described in _cloudformation._stacks.all_items():
        for resource, made in described.get("_resources", {}).items():
            if made.get("ResourceType") == "AWS::IAM::Role":
                name = made["PhysicalResourceId"]
                yield {
                    "stack": stack,
                    "region": region,
                    "resource": resource,
                    "role": name,
                    "functions": _functions_with(name, region),
                    "policies": _policies(account, name),
                }


def _functions_with(role: str, region: str) -> list[str]:
    found = _lambda_svc._functions.all_items()
    return sorted(
        name for (_, place, name), made in found if place == region and made["config"]["Role"].endswith(f"/{role}")
    )


def _policies(account: str, name: str) -> list[dict[str, Any]]:
    """Inline ones as written; managed ones by their last name, with what AWS puts into them."""
    role = _iam._roles.get_scoped(account, None, name) or {}
    policies = [
        {"name": policy, "managed": False, "document": _document(text)}
        for policy, text in (role.get("InlinePolicies") or {}).items()
    ]
    for arn in role.get("AttachedPolicies", []):
        text = _iam_evaluator._resolve_managed_policy_document(arn, account)
        policies.append({"name": arn.rsplit("/", 1)[-1], "managed": True, "document": _document(text)})
    return policies


def _document(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
