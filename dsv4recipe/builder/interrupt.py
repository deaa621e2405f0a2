"""Floor 4, builder. Stops a build on Ctrl-C, termination or a closed terminal: cleanly first, then at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

EXIT_INTERRUPTED = 130


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt. A second signal ends the process at once, which is as
    safe as kill -9. Signals that are ignored (nohup) or handled by the caller stay as they are. Outside of the main
    thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: default for number, default in usual.items() if signal.getsignal(number) == default}

    def second(*_: Any) -> None:
        os._exit(EXIT_INTERRUPTED)

    def first(*_: Any) -> None:
        for number in before:
            signal.signal(number, second)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, default in before.items():
            signal.signal(number, default)
