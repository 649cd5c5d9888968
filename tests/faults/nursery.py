"""Where worker processes are born: forked from one that has imported everything; a start costs half a second of CPU.

It reads a JSON object a line (`program`, `environ`, `log`), forks, and writes `{"pid": ...}`; when a child has died it
writes `{"pid": ..., "status": ...}`. It has one thread and no event loop, so that what it forks is clean.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from types import FrameType

import perdure.app
import perdure.db.memory
import perdure.db.sqlite
import perdure.engines.alone
import perdure.testing.kills

try:
    import perdure.db.postgres  # noqa: F401  # all of these so that the children need not
except ModuleNotFoundError:  # the tests that need it are skipped
    pass

children: set[int] = set()


def say(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def reap(_signal: int, _frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def live(order: dict[str, object]) -> None:
    """The life of a child."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environ"])  # type: ignore[call-overload]
    try:
        importlib.import_module(f"tests.faults.programs.{order['program']}").main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        # The birth is told before the death, also where it comes at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            live(json.loads(line))
        children.add(pid)
        say({"pid": pid})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    while children:  # whoever gave the orders has gone, or has no more
        for pid in list(children):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
