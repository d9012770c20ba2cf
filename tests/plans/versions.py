"""Holds the template's versions against its parameters, as SAM's own translator expands it.

Executions run versions of functions. What a parameter alone changes, such as a signing key that is turned on later, must
reach them: the version's logical id has to change with it. Exit: 0 it does, 1 it does not.
"""

import os
import pathlib
import sys
from unittest.mock import Mock

from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What `understudy plan parameters` prints; the values do not matter here, only that one of them changes.
GIVEN = {"Role": "standby", "Plan": "example", "AWS::Region": "us-west-2", "AWS::Partition": "aws"}
# A parameter of the template, two values of it, and the function whose version must follow.
FOLLOWS = [("SigningKey", "", "create", "ReportWriter"), ("SigningKey", "create", "arn:aws:kms:us-west-2:1:key/k", "ReportWriter")]


def versions(parameters):
    """The logical ids of the versions that the expanded template has."""
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    for made in template["Resources"].values():
        for uri in ("CodeUri", "DefinitionUri"):
            if uri in made.get("Properties", {}):
                # As `sam package` leaves it.
                made["Properties"][uri] = "s3://bucket/key"
    client = Mock(list_policies=Mock(return_value={"Policies": [], "IsTruncated": False}))
    loader = ManagedPolicyLoader(client)
    loader._policy_map = {}
    expanded = transform(template, {**GIVEN, **parameters}, loader)
    return {name for name, made in expanded["Resources"].items() if made["Type"] == "AWS::Lambda::Version"}


def main():
    os.environ.setdefault("AWS_DEFAULT_REGION", GIVEN["AWS::Region"])
    wrong = []
    for parameter, before, after, function in FOLLOWS:
        old, new = versions({parameter: before}), versions({parameter: after})
        fresh = {name for name in new - old if name.startswith(function)}
        if not fresh:
            wrong.append(f"{parameter} from `{before}` to `{after}`: {function}'s version stays what it was")
        print(f"{parameter} from `{before}` to `{after}`: {len(new - old)} new versions, {', '.join(sorted(new - old))}")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
