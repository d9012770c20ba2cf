# SPDX-License-Identifier: Apache-2.0
"""The one way in which this folder reaches into ministack.

Every name that a mend leans on is asked for here, at start, so that another ministack fails at once
with a sentence instead of later with a riddle.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

PINNED = "1.5.33"


def check_version() -> None:
    """Ends the process when the installed ministack is not the one these mends were written for."""
    installed = version("ministack")
    if installed != PINNED:
        raise SystemExit(
            f"emulator: ministack {installed} is installed, the mends are written for {PINNED}; "
            "install tests/local/requirements.txt"
        )


def internal(module: ModuleType, name: str) -> Any:
    """The attribute `name` of a ministack module."""
    try:
        return getattr(module, name)
    except AttributeError:
        raise SystemExit(
            f"emulator: `{module.__name__}.{name}` is missing; ministack {PINNED} has it. "
            "Install tests/local/requirements.txt, or mend tests/local/emulator for the new version"
        ) from None


def replace(module: ModuleType, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Puts `wrap(original)` in the place of a ministack function."""
    setattr(module, name, wrap(internal(module, name)))
