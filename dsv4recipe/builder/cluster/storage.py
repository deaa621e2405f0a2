"""Floor 4, builder, cluster. Handles shared storage that fails for a while: which errors may pass, and retrying."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsv4recipe.builder import journal
from dsv4recipe.builder.events import StorageAway
from dsv4recipe.bundle.manifest import PLAN_NAME
from dsv4recipe.errors import RecipeError, Where

_MAY_PASS = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "ESTALE", "ENOENT", "ENODEV", "ENXIO", "ENOTCONN", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED",
        "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EREMOTEIO", "EAGAIN", "EBUSY",
        "ESHUTDOWN",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Errors of a restarting server, a cable, or a lost mount. A full disk or a missing permission does not pass."""
_PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)


class Storage:
    """Counts the seconds since the storage last worked. `tell` gets storage_away each time it stops working."""

    def __init__(self, folder: Path, patience: float, tell: Callable[[dict[str, Any]], None]) -> None:
        self._folder, self._patience, self._tell = folder, patience, tell
        self._since: float | None = None

    @staticmethod
    def may_pass(number: int | None) -> bool:
        """Returns whether an error of this errno may be temporary."""
        return number in _MAY_PASS

    def failed(self, error: RecipeError) -> None:
        """Notes a failure that may pass. Raises RecipeError B056 if nothing has worked for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._tell(StorageAway(reason=error.diagnostics[0].message).data())
        if now - self._since > self._patience:
            message = f"the shared storage has not worked for {now - self._since:.0f} seconds"
            hint = "restore it, then run the build again, with either engine; finished shards are kept"
            notes = [f"{each.code}: {each.message}" for each in error.diagnostics]
            raise RecipeError("B056", message, Where(str(self._folder)), hint, notes)

    def patiently(self, action: Callable[[], None]) -> None:
        """Runs an action of the client on the storage, and repeats it while its failures may pass."""
        tries = 0
        while True:
            try:
                if tries:
                    journal.mend(self._folder)
                action()
                self._since = None
                return
            except RecipeError as error:
                if not self._passing(error):
                    raise
                self.failed(error)
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    def _passing(self, error: RecipeError) -> bool:
        cause = error.__cause__
        away = isinstance(cause, OSError) and self.may_pass(cause.errno)
        return away or not os.path.exists(self._folder / PLAN_NAME)
