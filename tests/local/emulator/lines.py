# SPDX-License-Identifier: Apache-2.0
"""What the emulator keeps of its own doing: files of JSON lines in the cloud's folder.

Never in here: what a line says. That is the business of whoever saw it happen.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, TextIO


class Lines:
    """Lines appended by many threads, each whole."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"))
        with self._lock:
            self._file.write(text + "\n")
