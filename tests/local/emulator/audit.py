# SPDX-License-Identifier: Apache-2.0
"""Least privilege, both ways: `python audit.py TEMPLATE RUN…` holds recorded calls against each role.

A RUN is what a local cloud left behind: `cloud.json`, `roles.json`, `iam.jsonl` and `calls.jsonl`.
Over all runs together nothing may be missing (each call is allowed by a statement of its caller's own
role) and nothing unused (each action, resource and condition value that a statement lists was
needed), but for what `unused.toml` excuses with a reason. Ends with 1 when something is.

Never in here: how IAM judges. ministack's evaluator does that, here as in the running cloud.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services.cloudformation import engine

import internals
from internals import Internals

_engine = Internals(
    engine,
    "_parse_template",
)
_iam_actions = Internals(
    iam_actions,
    "SERVICE_TO_IAM_NAMESPACE",
)
_iam_evaluator = Internals(
    iam_evaluator,
    "EvalContext",
    "_resolve_condition_key",
    "evaluate",
    "fnmatch_iam",
    "fnmatch_iam_cs",
    "parse_policy_document",
)

HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print("usage: python audit.py TEMPLATE RUN…", file=sys.stderr)
        return 64
    internals.check_version()
    template = Path(arguments[0]).read_text(encoding="utf-8")
    runs = [Run.load(Path(folder)) for folder in arguments[1:]]
    return tell(audit(template, runs, load_excuses(HERE / "unused.toml")))


# ---- what was recorded -----------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One request, as IAM sees it. `role` is None for the account's root, who is nobody's business."""

    key: str | None
    role: str | None
    principal: str
    action: str | None
    resource: str
    region: str
    context: dict[str, Any]
    allowed: bool

    def asked(self) -> Any:
        """The question that the evaluator takes; keys are lower case there."""
        context = {name.lower(): value for name, value in self.context.items()}
        account = self.principal.split(":")[4] if self.principal.count(":") > 4 else ""
        return _iam_evaluator.EvalContext(
            principal_arn=self.principal,
            principal_type="AssumedRole",
            principal_account=account,
            action=self.action or "",
            resource_arn=self.resource,
            region=self.region,
            secure_transport=True,
            service_context={"aws:tagkeys": None, **context},
        )


@dataclass
class Run:
    """The records of one run."""

    name: str
    places: dict[str, str]
    roles: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    calls: list[dict[str, Any]]

    @classmethod
    def load(cls, folder: Path) -> Run:
        def lines(name: str) -> list[dict[str, Any]]:
            return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

        return cls(
            folder.name,
            json.loads((folder / "cloud.json").read_text(encoding="utf-8"))["regions"],
            json.loads((folder / "roles.json").read_text(encoding="utf-8")),
            lines("iam.jsonl"),
            lines("calls.jsonl"),
        )

    def checked(self) -> Iterator[Call]:
        """What the emulator was asked."""
        for line in self.checks:
            yield Call(
                line["access_key_id"],
                line["role"],
                line["principal"] or "",
                line["action"],
                line["resource"],
                line["region"],
                line["context"],
                line["allowed"],
            )

    def rds(self) -> Iterator[Call]:
        """What our own RDS endpoint was asked, which checks nobody. The key says who: every caller
        also called the emulator, which knows the role behind the key."""
        known = {call.key: call for call in self.checked() if call.key}
        for line in self.calls:
            if line["service"] != "rds" or not line["operation"]:
                continue
            key = line["access_key_id"]
            caller = known.get(key)
            action = None if " " in line["operation"] else f"rds:{line['operation']}"
            yield Call(
                key,
                caller.role if caller else f"unknown key {key}",
                caller.principal if caller else "",
                action,
                line["resource"],
                line["region"],
                {},
                True,
            )

    def unchecked(self) -> Iterator[str]:
        """Requests that passed the gateway and then no check."""
        namespaces = _iam_actions.SERVICE_TO_IAM_NAMESPACE
        checks = Counter((call.key, (call.action or ":").split(":")[0]) for call in self.checked())
        passed: Counter[tuple[str, str]] = Counter()
        for line in self.calls:
            if line["status"] is not None and line["access_key_id"] and line["service"] != "rds":
                passed[line["access_key_id"], namespaces.get(line["service"], line["service"])] += 1
        for (key, namespace), count in passed.items():
            if count > checks[key, namespace]:
                yield f"{self.name}: {count} calls to {namespace} with key {key}, {checks[key, namespace]} checks"


# ---- what is permitted -----------------------------------------------------------------------


@dataclass
class Grant:
    """One statement of one role, in all runs together: what it lists, and how often that was needed."""

    listed: dict[str, None] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    on: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def unused(self) -> list[str]:
        return [item for item in self.listed if not self.used[item]]


def items(statement: Any, asked: Any = None) -> Iterator[str]:
    """What a statement lists: each action, each of several resources, each of several condition values.
    With a call, only what that call needed."""
    for action in statement.actions:
        if asked is None or _iam_evaluator.fnmatch_iam(asked.action, action):
            yield action
    for resource in statement.resources if len(statement.resources) > 1 else []:
        if asked is None or _iam_evaluator.fnmatch_iam_cs(asked.resource_arn, resource):
            yield f"on {short(resource)}"
    for keys in statement.conditions.values():
        for key, values in keys.items():
            held = None if asked is None else _iam_evaluator._resolve_condition_key(key, asked)
            for value in values if isinstance(values, list) and len(values) > 1 else []:
                if asked is None or value in (held if isinstance(held, list) else [held]):
                    yield f"{key}={value}"


def short(arn: str) -> str:
    """The telling part of an ARN: Region and name; of an object only its bucket."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    tail = parts[5].split("/")[0] if parts[2] == "s3" else parts[5]
    return f"{parts[3]} {tail}".strip()


def label(run: Run, role: dict[str, Any]) -> str:
    return f"{run.places.get(role['region'], role['region'])} {role['resource'].removesuffix('Role')}"


def statements(role: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The statements of a role by Sid, or by the policy's name where they have none. A managed policy
    that the emulator does not know stands there by its name, and permits nothing."""
    for policy in role["policies"]:
        unknown = {"Statement": {"Effect": "Allow", "Action": f"{policy['name']}:*", "Resource": "*"}}
        for one in _iam_evaluator.parse_policy_document(policy["document"] or unknown):
            yield one.sid if one.sid and not policy["managed"] else policy["name"], one


# ---- the judgement ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Excuse:
    """Why something may stand unused: in every run, or by chance in some. The first three are patterns."""

    role: str
    statement: str
    item: str
    why: str
    by_chance: bool = False

    def covers(self, role: str, statement: str, item: str) -> bool:
        return (
            fnmatchcase(role, self.role) and fnmatchcase(statement, self.statement) and fnmatchcase(item, self.item)
        )


def load_excuses(path: Path) -> list[Excuse]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Excuse(**one) for one in table["unused"]]


@dataclass
class Findings:
    """Everything that `tell` prints."""

    grants: dict[str, dict[str, Grant]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Grant)))
    problems: Counter[str] = field(default_factory=Counter)
    excused: dict[tuple[str, str, str], str] = field(default_factory=dict)
    calls: int = 0
    rds: int = 0


def audit(template: str, runs: list[Run], excuses: list[Excuse]) -> Findings:
    found = Findings()
    for run in runs:
        _replay(run, found)
    _compare_with_template(template, runs, found)
    _judge_unused(found, excuses)
    return found


def _replay(run: Run, found: Findings) -> None:
    """Counts what each call needed of its caller's role; a call that no statement allows is a problem."""
    roles = {role["role"]: (label(run, role), list(statements(role))) for role in run.roles}
    _roles_differ(run, found)
    for role, listed in roles.values():
        for name, statement in listed:
            found.grants[role][name].listed.update(dict.fromkeys(items(statement)))
    for is_rds, calls in ((False, run.checked()), (True, run.rds())):
        for call in calls:
            if call.action is None:
                found.problems[f"{run.name}: no action is known for `{call.resource}`"] += 1
            elif call.role is not None or not call.allowed:
                found.calls += call.role is not None
                found.rds += is_rds
                _attribute(run, call, roles, found)
    found.problems.update(run.unchecked())


def _roles_differ(run: Run, found: Findings) -> None:
    for role in run.roles:
        if len(role["functions"]) > 1:
            found.problems[f"{run.name}: {' and '.join(role['functions'])} share {label(run, role)}"] += 1


def _attribute(run: Run, call: Call, roles: dict[str, Any], found: Findings) -> None:
    role, listed = roles.get(call.role or "", (call.role or call.principal or "nobody", []))
    asked = call.asked()
    allowing = [(name, one) for name, one in listed if _iam_evaluator.evaluate(asked, [[one]]).decision == "Allow"]
    if not allowing or not call.allowed:
        keys = ", ".join(f"{name}={value}" for name, value in sorted(call.context.items()))
        why = "denied" if not call.allowed else "allowed by no statement of its role"
        text = f"{run.name}: {role}: {call.action} on {short(call.resource)}{f' ({keys})' if keys else ''}: {why}"
        found.problems[text] += 1
        return
    for name, statement in allowing:
        grant = found.grants[role][name]
        for item in items(statement, asked):
            grant.used[item] += 1
            grant.on[item][short(call.resource)] += 1


def _compare_with_template(template: str, runs: list[Run], found: Findings) -> None:
    """Every statement that the template names was deployed in some run, as it stands there now."""
    written = {(role, sid, what) for role, sid, what in _written(template)}
    deployed = {
        (role["resource"], one.get("Sid", ""), _what(one))
        for run in runs
        for role in run.roles
        for policy in role["policies"]
        if not policy["managed"]
        for one in _as_list((policy["document"] or {}).get("Statement", []))
        if one.get("Sid")
    }
    for role, sid, _ in sorted(written - deployed):
        found.problems[f"template: {role}: {sid} was deployed in no run as it stands now"] += 1
    for role, sid, _ in sorted(deployed - written):
        found.problems[f"runs: {role}: {sid} was deployed, and the template says it otherwise or not at all"] += 1


def _written(template: str) -> Iterator[tuple[str, str, str]]:
    """(role, Sid, what it permits) of the template. SAM names a function's role after the function."""
    for name, resource in _engine._parse_template(template)["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            role, documents = f"{name}Role", properties.get("Policies", [])
        elif resource["Type"] == "AWS::IAM::Role":
            role, documents = name, [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        else:
            continue
        for document in documents:
            for one in _branches(document["Statement"]):
                yield role, one["Sid"], _what(one)


def _branches(node: Any) -> Iterator[dict[str, Any]]:
    """Every statement in a list of them, whatever conditions it depends on."""
    if isinstance(node, list):
        for one in node:
            yield from _branches(one)
    elif "Fn::If" in node:
        yield from _branches(node["Fn::If"][1:])
    elif "Effect" in node:
        yield node


def _what(statement: dict[str, Any]) -> str:
    """What a statement says without any parameter in it."""
    return json.dumps([_as_list(statement["Action"]), statement.get("Condition", {})], sort_keys=True)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _judge_unused(found: Findings, excuses: list[Excuse]) -> None:
    """An excuse must be needed, and for everything that it covers; one by chance must only cover something."""
    needed: Counter[Excuse] = Counter()
    for role, by_name in found.grants.items():
        for name, grant in by_name.items():
            for item in grant.listed:
                covering = [excuse for excuse in excuses if excuse.covers(role, name, item)]
                if grant.used[item]:
                    for excuse in (excuse for excuse in covering if not excuse.by_chance):
                        found.problems[f"unused.toml: {role}: {name}: {item} is used; `{excuse.why}` is not so"] += 1
                elif covering:
                    found.excused[role, name, item] = covering[0].why
                else:
                    found.problems[f"{role}: {name}: {item} is permitted and never used"] += 1
                needed.update(covering)
    for excuse in excuses:
        if not needed[excuse]:
            found.problems[
                f"unused.toml: nothing is called {excuse.role} / {excuse.statement} / {excuse.item}"
            ] += 1


# ---- the account -----------------------------------------------------------------------------


def tell(found: Findings) -> int:
    for role in sorted(found.grants):
        print(f"\n{role}")
        for name, grant in found.grants[role].items():
            print(f"  {name}")
            for item, count in ((item, grant.used[item]) for item in grant.listed if grant.used[item]):
                print(f"    {count:>6}  {item}{_on(item, grant)}")
            reasons: dict[str, list[str]] = defaultdict(list)
            for item in grant.unused():
                reasons[found.excused.get((role, name, item), "NOT EXCUSED")].append(item)
            for why, unused in reasons.items():
                print(f"         -  {', '.join(unused)}\n            {why}")
    listed = sum(len(grant.listed) for by_name in found.grants.values() for grant in by_name.values())
    print(f"\n{found.calls} calls of functions, {found.rds} of them to RDS; {len(found.grants)} roles,")
    print(f"{listed} things permitted, {len(found.excused)} of them unused with a reason")
    for problem, count in sorted(found.problems.items()):
        print(f"FAILED {problem}{f' ({count} times)' if count > 1 else ''}")
    if not found.problems:
        print("ok nothing is missing, nothing is unused")
    return 1 if found.problems else 0


def _on(item: str, grant: Grant) -> str:
    """On what an action was used; a resource or a condition value says that itself."""
    if "=" in item or item.startswith("on "):
        return ""
    return f"  {', '.join(sorted(grant.on[item]))}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
