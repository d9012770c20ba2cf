# SPDX-License-Identifier: Apache-2.0
"""The one way in which this folder reaches into ministack.

Each mend declares at its top which private names of which ministack module it leans on. All are
looked up when the emulator starts, so that another ministack fails at once with a sentence instead
of later with a riddle.
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


class Internals:
    """The declared private names of one ministack module or class, read anew at each use."""

    def __init__(self, module: ModuleType | type, *names: str) -> None:
        self._module = module
        self._names = frozenset(names)
        for name in names:
            if not hasattr(module, name):
                raise SystemExit(
                    f"emulator: `{module.__name__}.{name}` is missing; ministack {PINNED} has it. Install "
                    "tests/local/requirements.txt, or mend tests/local/emulator for the new version"
                )

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(f"`{name}` of `{self._module.__name__}` is not declared")
        return getattr(self._module, name)

    def replace(self, name: str, wrap: Callable[[Any], Any]) -> None:
        """Puts `wrap(original)` in the place of `name`."""
        setattr(self._module, name, wrap(getattr(self, name)))

    def set(self, name: str, value: Any) -> None:
        """Puts another value in the place of a constant."""
        self.replace(name, lambda _original: value)
