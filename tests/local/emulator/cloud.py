# SPDX-License-Identifier: Apache-2.0
"""What the emulator has to know of the running cloud: `cloud.json`, read once and checked.

Addresses are computed here and nowhere else in this folder. Never in here: anything that touches
ministack.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PLACES = {"primary": 1, "standby": 2, "witness": 3, "outside": 4}


class CloudError(Exception):
    """`cloud.json` cannot be used; the message says where and what to do."""


@dataclass(frozen=True)
class Cloud:
    """The part of `cloud.json` that concerns the emulator."""

    block: int
    speed: float
    state_dir: Path
    emulator_port: int
    aws_port: int
    dns_port: int
    regions: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> Cloud:
        """Reads the file; keys that other processes use are left alone."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CloudError(f"cannot read `{path}`: {error}") from error
        try:
            cloud = cls(
                block=int(raw["block"]),
                speed=float(raw["speed"]),
                state_dir=Path(raw["state_dir"]),
                emulator_port=int(raw["emulator_port"]),
                aws_port=int(raw["aws_port"]),
                dns_port=int(raw["dns_port"]),
                regions=dict(raw["regions"]),
            )
        except KeyError as error:
            raise CloudError(f"`{path}` has no {error}; write the file again with `understudy-local`") from error
        except (TypeError, ValueError) as error:
            raise CloudError(f"`{path}` holds a value of the wrong kind: {error}") from error
        cloud._check(path)
        return cloud

    def _check(self, path: Path) -> None:
        if not 2 <= self.block <= 250:
            raise CloudError(f"`{path}`: block {self.block} is outside 2..=250")
        if self.speed <= 0:
            raise CloudError(f"`{path}`: speed {self.speed} must be above 0; 1 leaves every period as on AWS")
        if not self.state_dir.is_absolute():
            raise CloudError(f"`{path}`: state_dir `{self.state_dir}` must be absolute")
        unknown = sorted(set(self.regions.values()) - set(PLACES))
        if unknown:
            raise CloudError(f"`{path}`: unknown places {unknown}; known are {sorted(PLACES)}")

    def place_environment(self, region: str) -> dict[str, str]:
        """What a function that runs in `region` gets: its place's door to AWS and its resolver.

        A Region without a place talks to the emulator itself, never to the real AWS.
        """
        place = PLACES.get(self.regions.get(region, ""))
        if place is None:
            return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.emulator_port}"}
        return {
            "AWS_ENDPOINT_URL": f"http://127.{self.block}.{place}.250:{self.aws_port}",
            "UNDERSTUDY_DNS": f"127.{self.block}.{place}.53:{self.dns_port}",
        }
