# SPDX-License-Identifier: Apache-2.0
"""The local AWS: `python emulator.py CLOUD_JSON` runs ministack on 127.0.0.1 with our mends.

IAM is enforced, Lambda functions run as local processes, all state is in memory and ends with the
process. When it accepts requests it prints `{"ready": true, ...}` on stdout; its log is on stderr.
SIGTERM or SIGINT ends it and everything that it started.

Never in here: knowledge of Understudy. What is mended is how AWS behaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

from cloud import Cloud, CloudError


def main(arguments: list[str]) -> int:
    """Runs until a signal."""
    if len(arguments) != 1:
        print("usage: python emulator.py CLOUD_JSON", file=sys.stderr)
        return 64
    try:
        cloud = Cloud.load(Path(arguments[0]))
        listener = _listen(cloud.emulator_port)
    except (CloudError, OSError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 64
    _lead_own_group()
    _prepare_environment(cloud)
    _install_mends(cloud)
    asyncio.run(_serve(cloud, listener))
    return 0


def _listen(port: int) -> socket.socket:
    """Taken before ministack is loaded: an early client waits in line instead of being refused."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise OSError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; is another cloud running?") from error
    listener.listen(128)
    return listener


def _lead_own_group() -> None:
    """One process group holds the emulator and its functions, so that nothing can be left behind."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def _prepare_environment(cloud: Cloud) -> None:
    """ministack reads its settings when it is imported. Nothing else of our own environment goes in:
    an AWS_ENDPOINT_URL here would override that of every function."""
    scratch = cloud.state_dir / "emulator"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    os.environ.clear()
    os.environ.update(
        kept
        | {
            "TMPDIR": str(scratch),
            "GATEWAY_PORT": str(cloud.emulator_port),
            "BIND_HOST": "127.0.0.1",
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(60 / cloud.speed),
            "LAMBDA_ASYNC_RETRY_MAX_SECONDS": str(300 / cloud.speed),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "DOCKER_HOST": f"unix://{scratch}/no-container-engine",
        }
    )


def _install_mends(cloud: Cloud) -> None:
    """`permissions` first: `ministack.app` binds some of the names that it replaces."""
    import internals

    internals.check_version()
    import permissions

    permissions.install(cloud.state_dir / "iam.jsonl")
    import alarms
    import functions
    import resources
    import schedules
    import workflows

    functions.install(cloud)
    resources.install()
    alarms.install(cloud.speed)
    schedules.install(cloud.speed)
    workflows.install()


async def _serve(cloud: Cloud, listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    import functions
    import roles

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.loglevel = "WARNING"

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(json.dumps({"ready": True, "endpoint": f"http://127.0.0.1:{cloud.emulator_port}"}), flush=True)
    await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
    functions.end_all()
    roles.write(cloud.state_dir / "roles.json")
    _end_group()
    # Threads that still wait in a workflow would hold the interpreter back for hours.
    os._exit(0)


def _end_group() -> None:
    """Kills what functions left behind in our process group, and waits until it is gone."""
    deadline = time.monotonic() + 2
    while (left := _others_in_group()) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):  # a function's own child: init reaps it
                os.waitpid(pid, 0)


def _others_in_group() -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _group_of(pid) == os.getpgrp()]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
