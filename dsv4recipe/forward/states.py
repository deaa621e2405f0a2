"""Floor 4, forward. Holds the states of all tokens between layers: in RAM, or in files beyond a limit.

States from which a killed run continues are kept as whole files with a journal. The last kept layer counts.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_JOURNAL = "forward.json"


class Room:
    """Float32 arrays by name. The first `limit` bytes are in RAM. The rest is in files of `folder` (or of a temporary
    folder that `close` removes), which the system writes out when memory is short."""

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self.limit = limit
        self.taken = 0
        self._folder = folder
        self._own: str | None = None
        self._held: dict[str, NDArray[np.float32]] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Returns the array of that name, created on first use. Its content is whatever the last user left."""
        found = self._held.get(name)
        if found is None or found.shape != shape:
            found = self._held[name] = self._make(name, shape)
        return found

    def _make(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        size = int(np.prod(shape)) * 4
        if self.taken + size <= self.limit or not size:
            self.taken += size
            return np.empty(shape, np.float32)
        return np.memmap(self._place() / f"{name}.states", np.float32, "w+", shape=shape)

    def _place(self) -> Path:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder
        if self._own is None:
            self._own = tempfile.mkdtemp(prefix="dsv4recipe-states-")
        return Path(self._own)

    def close(self) -> None:
        """Releases everything and removes the files."""
        self._held.clear()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        elif self._folder is not None:
            for path in self._folder.glob("*.states"):
                path.unlink(missing_ok=True)


@dataclass
class Kept:
    """States of a run that may be killed. `identity` names everything that decides them; a run with another identity
    starts again. They are written after a layer if `every` seconds have passed since the last time. With `hold`, those
    after the last layer stay until `clear`, if the run took that long, so that a later pass need not repeat it."""

    folder: Path
    identity: str
    every: float = 30.0
    hold: bool = False
    _since: float = field(default_factory=time.monotonic)
    _began: float = field(default_factory=time.monotonic)

    @property
    def layer(self) -> int:
        """Returns the layer that comes next, or 0 if nothing is kept."""
        try:
            return int(self._said()["next"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    @property
    def unreached(self) -> dict[int, int]:
        """Returns how many experts no token reached, of each layer before that one."""
        return {int(layer): int(count) for layer, count in self._said()["unreached"].items()} if self.layer else {}

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads((self.folder / _JOURNAL).read_text(encoding="utf-8"))
        if said["identity"] != self.identity or not (self.folder / said["file"]).is_file():
            return {"next": 0}
        return said

    def load(self, into: NDArray[np.float32]) -> int:
        """Reads the kept states. Returns the layer that comes next, or 0 if there are none of that shape."""
        layer = self.layer
        if layer:
            held = np.load(self._file(layer), mmap_mode="r")
            if held.shape != into.shape:
                return 0
            into[...] = held
        return layer

    def save(
        self, layer: int, states: NDArray[np.float32], unreached: Mapping[int, int] | None = None, last: bool = False
    ) -> bool:
        """Keeps the states before `layer` if it is time, with what earlier layers left unreached. Returns whether it
        did. `last` says that there is no such layer, because the pass is complete."""
        if time.monotonic() - (self._began if last and self.hold else self._since) < self.every:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.layer
        _write(self._file(layer), lambda stream: np.save(stream, states))
        facts = {"identity": self.identity, "next": layer, "file": self._file(layer).name}
        said = json.dumps(facts | {"unreached": dict(unreached or {})}) + "\n"
        _write(self.folder / _JOURNAL, lambda stream: stream.write(said.encode()))
        if before and before != layer:
            self._file(before).unlink(missing_ok=True)
        self._since = time.monotonic()
        return True

    def clear(self) -> None:
        """Removes what was kept."""
        for path in (*self.folder.glob("layer-*.npy"), self.folder / _JOURNAL):
            path.unlink(missing_ok=True)

    def _file(self, layer: int) -> Path:
        return self.folder / f"layer-{layer}.npy"


def _write(path: Path, write: Any) -> None:
    """Writes a file completely or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
