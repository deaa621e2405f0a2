"""Floor 4, builder. Ctrl-C, termination and a closed terminal all stop a build alike: cleanly, then at once."""

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
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt here; the second one ends the process at once, which is as
    safe as kill -9. Signals that are ignored (nohup) or that the caller handles stay as they are, and threads other
    than the main one change nothing."""
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
