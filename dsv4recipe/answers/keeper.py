"""Floor 4, answers. A script that runs a command in its own process group and ends the group when its owner is gone.

Its standard input is a pipe from the process that wants the command. The pipe closes however that process ends, even by
SIGKILL. Then the whole group is ended: SIGTERM first, SIGKILL after PATIENCE seconds. The exit code is that of the
command. Imports no other module of the package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

PATIENCE = 5.0
NOT_STARTED = 127


def main(command: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the terminal's; a handler, for the command must not inherit SIG_IGN
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]}: {error.strerror or error}", file=sys.stderr, flush=True)
        return NOT_STARTED
    signal.signal(signal.SIGTERM, lambda *_: _end(child))
    threading.Thread(target=_wait_for_release, args=(child,), daemon=True).start()
    code = child.wait()
    _signal(child.pid, signal.SIGKILL)  # processes that the command itself left behind
    return code if code >= 0 else 128 - code


def _wait_for_release(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal(child.pid, signal.SIGTERM)
    timer = threading.Timer(PATIENCE, _signal, (child.pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
