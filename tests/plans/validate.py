"""Holds the plans against their JSON Schema with a validator that others wrote, as an editor does.

Every plan of infra/plans must be valid, and the file of ten mistakes must not be.
"""

import json
import pathlib
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Loader(yaml.SafeLoader):
    """YAML 1.2's core, as the plan reader takes it: a date is a text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def errors(validator, path):
    plan = yaml.load(path.read_text(encoding="utf-8"), Loader)
    return [f"{path.name}: {error.json_path}: {error.message}" for error in validator.iter_errors(plan)]


def main():
    schema = json.loads((ROOT / "infra/plans/plan.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    plans = sorted((ROOT / "infra/plans").glob("*.yaml")) + sorted((ROOT / "tests/plans").glob("contradictions/*.yaml"))
    wrong = [error for path in plans for error in errors(validator, path)]
    mistakes = errors(validator, ROOT / "tests/plans/ten-mistakes.yaml")
    for error in wrong:
        print(f"error: {error}", file=sys.stderr)
    if not mistakes:
        print("error: the schema finds nothing wrong with the file of ten mistakes", file=sys.stderr)
    print(f"{len(plans)} plans are valid by their schema; of the ten mistakes it sees {len(mistakes)}")
    return 1 if wrong or not mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
