# SPDX-License-Identifier: Apache-2.0
"""Proves that `audit` finds what it is for: `python audit_check.py`, a second or two.

One small run that is in order, and then each fault planted in it: every one must be found, and told
in the words that are expected here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from audit import Excuse, Run, audit

TEMPLATE = """
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - Version: "2012-10-17"
          Statement:
            - {Sid: Reads, Effect: Allow, Action: dynamodb:GetItem, Resource: !GetAtt Table.Arn}
            - !If
              - Always
              - Sid: Writes
                Effect: Allow
                Action: dynamodb:PutItem
                Resource: !GetAtt Table.Arn
                Condition: {"ForAllValues:StringEquals": {dynamodb:LeadingKeys: [one, two]}}
              - !Ref AWS::NoValue
            - {Sid: Looks, Effect: Allow, Action: rds:DescribeDBInstances, Resource: !Ref Database}
"""
ROLE = "stack-WorkerRole-1"
KEY = "ASIA1"
TABLE = "arn:aws:dynamodb:us-west-2:000000000000:table/state"
DATABASE = "arn:aws:rds:us-west-2:000000000000:db:replica"
LOGS = "arn:aws:logs:us-west-2:000000000000:log-group:any"
EXCUSES = [Excuse("standby Worker", "Logging", "*", "the emulator logs without a call")]


def allow(sid: str, action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(name: str, *statements: dict[str, Any], managed: bool = False) -> dict[str, Any]:
    return {"name": name, "managed": managed, "document": {"Statement": list(statements)}}


def check(action: str | None, kind: str | None = None, **changed: Any) -> dict[str, Any]:
    line = {
        "access_key_id": KEY,
        "role": ROLE,
        "principal": f"arn:aws:sts::000000000000:assumed-role/{ROLE}/worker",
        "action": action,
        "resource": TABLE,
        "region": "us-west-2",
        "context": {"dynamodb:LeadingKeys": [kind]} if kind else {},
        "allowed": True,
    }
    return line | changed


def call(service: str, operation: str, **changed: Any) -> dict[str, Any]:
    line = {
        "service": service,
        "operation": operation,
        "access_key_id": KEY,
        "resource": DATABASE if service == "rds" else None,
        "region": "us-west-2",
        "status": 200,
    }
    return line | changed


def in_order() -> Run:
    """A run in which nothing is missing and nothing unused."""
    kinds = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["one", "two"]}}
    inline = policy(
        "inline",
        allow("Reads", "dynamodb:GetItem", TABLE),
        allow("Writes", "dynamodb:PutItem", TABLE, Condition=kinds),
        allow("Looks", "rds:DescribeDBInstances", DATABASE),
    )
    logging = policy("Logging", {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}, managed=True)
    role = {
        "region": "us-west-2",
        "resource": "WorkerRole",
        "role": ROLE,
        "functions": ["worker"],
        "policies": [inline, logging],
    }
    checks = [check("dynamodb:GetItem"), check("dynamodb:PutItem", "one"), check("dynamodb:PutItem", "two")]
    calls = [call("dynamodb", "GetItem"), call("dynamodb", "PutItem"), call("rds", "DescribeDBInstances")]
    return Run("run", {"us-west-2": "standby"}, [role], checks, calls)


def unknown_policy(run: Run) -> None:
    run.roles[0]["policies"].append({"name": "Novel", "managed": True, "document": None})
    run.checks.append(check("sqs:SendMessage"))


# What is planted, and a part of the line that must tell it.
FAULTS: tuple[tuple[Callable[[Run], Any], str], ...] = (
    (lambda run: run.checks.append(check("dynamodb:DeleteItem")), "DeleteItem on us-west-2 table/state: allowed by no"),
    (lambda run: run.checks.append(check("dynamodb:PutItem", "three")), "LeadingKeys=['three']): allowed by no"),
    (lambda run: run.checks.append(check("dynamodb:PutItem", "one", allowed=False)), "LeadingKeys=['one']): denied"),
    (lambda run: run.checks.append(check("s3:GetObject", role=None, allowed=False)), "s3:GetObject"),
    (lambda run: run.checks.append(check("dynamodb:GetItem", role="nobody's")), "nobody's: dynamodb:GetItem"),
    (lambda run: run.checks.append(check(None, resource="sns POST /odd")), "no action is known for `sns POST /odd`"),
    (lambda run: run.checks.append(check("logs:PutLogEvents", resource=LOGS)), "logs:* is used"),
    (lambda run: run.checks.pop(), "Writes: dynamodb:LeadingKeys=two is permitted and never used"),
    (lambda run: run.calls.pop(), "Looks: rds:DescribeDBInstances is permitted and never used"),
    (lambda run: run.calls.append(call("rds", "PromoteReadReplica")), "rds:PromoteReadReplica on us-west-2 db:replica"),
    (
        lambda run: run.calls.append(call("rds", "DescribeDBInstances", resource=DATABASE + "2")),
        "rds:DescribeDBInstances on us-west-2 db:replica2: allowed by no",
    ),
    (lambda run: run.calls.append(call("rds", "DescribeDBInstances", access_key_id="ASIA2")), "unknown key ASIA2"),
    (lambda run: run.calls.append(call("rds", "POST /")), "no action is known"),
    (lambda run: run.calls.append(call("states", "StartExecution")), "1 calls to states with key ASIA1, 0 checks"),
    (lambda run: run.roles[0]["functions"].append("other"), "worker and other share standby Worker"),
    (lambda run: run.roles[0]["policies"][0]["document"]["Statement"].pop(), "WorkerRole: Looks was deployed in no"),
    (
        lambda run: run.roles[0]["policies"][0]["document"]["Statement"].append(allow("More", "sns:Publish", "*")),
        "WorkerRole: More was deployed, and the template says it otherwise",
    ),
    (unknown_policy, "sqs:SendMessage on us-west-2 table/state: allowed by no"),
    (unknown_policy, "Novel: Novel:* is permitted and never used"),
)


def problems(run: Run, excuses: list[Excuse]) -> list[str]:
    return sorted(audit(TEMPLATE, [run], excuses).problems)


def main() -> int:
    failures = []
    if found := problems(in_order(), EXCUSES):
        failures.append(f"what is in order is not taken as such: {found}")
    for plant, told in FAULTS:
        run = deepcopy(in_order())
        plant(run)
        found = problems(run, EXCUSES)
        if not any(told in line for line in found):
            failures.append(f"not told: `{told}`; told was {found}")
    chance = [*EXCUSES, Excuse("* Worker", "Writes", "*=two", "another may be first", by_chance=True)]
    without = in_order()
    without.checks.pop()
    for run in (in_order(), without):
        if found := problems(run, chance):
            failures.append(f"what is used by chance is not let be: {found}")
    stale = [*EXCUSES, Excuse("standby Gone", "*", "*", "nobody remembers")]
    if not any("nothing is called standby Gone" in line for line in problems(in_order(), stale)):
        failures.append("an excuse for nothing is not told")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    if not failures:
        print(f"ok audit: a run in order passes, {len(FAULTS) + 1} planted faults are told")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
