# SPDX-License-Identifier: Apache-2.0
"""Makes requirements.txt from requirements.in: `python lock.py`, with pip-tools on CPython 3.11.

Each package that is wanted with extras is listed a second time without them: the pip of CPython
3.11 takes `name[extra]==1 --hash` for no answer to a plain `name`, and refuses to install.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WITH_EXTRAS = re.compile(r"^([\w.-]+)\[[^]]+\](==.*)$")
QUIET = ["--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--no-header"]
HEADER = "# Made by lock.py from requirements.in; do not edit.\n"


def main() -> int:
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"]
    command += ["--no-strip-extras", *QUIET, "--output-file=-", "requirements.in"]
    made = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    (HERE / "requirements.txt").write_text(HEADER + with_plain_names(made))
    return 0


def with_plain_names(text: str) -> str:
    """Repeats each requirement that has extras, and its hashes, without the extras."""
    lines: list[str] = []
    for block in re.split(r"\n(?=\S)", text.strip("\n")):
        lines.append(block)
        first, _, rest = block.partition("\n")
        if match := WITH_EXTRAS.match(first):
            lines.append(f"{match.group(1)}{match.group(2)}\n{rest}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
