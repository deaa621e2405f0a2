"""Floor 1, hub. Reads ranges of a repository in a known order through a scratch of limited size.

Downloads run ahead of the reads on threads of their own. A unit's space is counted before its first byte is requested
and freed after its last read. Scratch files have no name, so they are gone when the process ends for any reason.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from dsv4recipe.hub.repository import Repository
from dsv4recipe.hub.scratch import Scratch, ScratchFile
from dsv4recipe.hub.units import Read, Unit, cut

CONNECTIONS = 8
_PART = 64 << 20
"""The bytes of one request, so that several connections share a file."""
_CHUNK = 1 << 20


class StoppedError(Exception):
    """The build that read here has ended, so nobody needs the bytes."""


@dataclass(slots=True)
class _Held:
    """A unit in the scratch, from its admission to its last read."""

    unit: Unit
    file: ScratchFile
    missing: int
    reads: int
    ready: bool
    using: int = 0


@dataclass
class Stream:
    """`read` returns the bytes of any range. The reads of `steps`, in their order, go through the scratch. Threads may
    share it; it is a context manager. `downloaded` is called with the file and the bytes just written, one call at a
    time.

    Raises RecipeError H010 if the scratch is too small for one step.
    """

    repository: Repository
    steps: Iterable[Sequence[Read]]
    scratch: Scratch
    downloaded: Callable[[str, int], None] = lambda file, size: None
    units: list[Unit] = field(init=False)

    def __post_init__(self) -> None:
        self.units = cut(self.steps, self.repository.sizes, self.scratch.limit)
        self._repository = replace(self.repository, wait=self._pause)
        self._waiting = deque(self.units)
        self._parts: deque[tuple[_Held, int, int]] = deque()
        self._held: dict[tuple[str, int], _Held] = {}
        self._starts: dict[str, list[int]] = defaultdict(list)
        for unit in sorted(self.units, key=lambda unit: unit.start):
            self._starts[unit.file].append(unit.start)
        self._gone: set[tuple[str, int]] = set()
        self._used = 0
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._change = threading.Condition()
        self._calls = threading.Lock()
        self._threads = [threading.Thread(target=self._download, name="download") for _ in range(CONNECTIONS)]

    @property
    def room(self) -> int:
        """Returns the largest number of bytes that the scratch will take on disk."""
        return min(self.scratch.limit, sum(unit.room for unit in self.units))

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join()
        for held in self._held.values():
            held.file.close()
        self._held.clear()

    def stop(self) -> None:
        """Ends all downloads; calls that wait for bytes raise StoppedError."""
        self._stop.set()
        with self._change:
            self._change.notify_all()

    def read(self, file: str, start: int, into: memoryview) -> None:
        """Fills `into` with the bytes of a file from `start`. Raises RecipeError H002-H011 if this fails."""
        key = (file, self._starts[file][bisect_right(self._starts[file], start) - 1])
        with self._change:
            self._change.wait_for(lambda: self._is_settled(key))
            if self._failure is not None:
                raise self._failure
            if self._stop.is_set():
                raise StoppedError
            held = self._held.get(key)
            if held is not None:
                held.reads, held.using = held.reads - 1, held.using + 1
        if held is None:  # the unit was already freed, because a shard is written for the second time
            into[:] = self._repository.read(file, start, start + len(into))
            return
        try:
            held.file.read(into, start - held.unit.start)
        finally:
            self._give_back(key, held)

    def _is_settled(self, key: tuple[str, int]) -> bool:
        held = self._held.get(key)
        return key in self._gone or (held is not None and held.ready) or bool(self._failure) or self._stop.is_set()

    def _give_back(self, key: tuple[str, int], held: _Held) -> None:
        with self._change:
            held.using -= 1
            if held.reads <= 0 and not held.using:
                del self._held[key]
                self._gone.add(key)
                held.file.close()
                self._used -= held.unit.room
                self._change.notify_all()

    def _download(self) -> None:
        """Runs in a thread: downloads the next part of the next unit until there is none."""
        try:
            while (part := self._next()) is not None:
                self._fetch(*part)
        except StoppedError:
            pass
        except BaseException as error:  # the error is raised in the call that waits for the bytes
            with self._change:
                self._failure = self._failure or error
                self._change.notify_all()

    def _next(self) -> tuple[_Held, int, int] | None:
        """Returns the next part to download, after waiting for space for the next unit, or None if all are taken."""
        with self._change:
            while not self._parts and self._waiting and not self._stop.is_set() and self._failure is None:
                unit = self._waiting[0]
                if self._used + unit.room > self.scratch.limit:
                    self._change.wait()
                else:
                    self._waiting.popleft()
                    self._admit(unit)
            if not self._parts or self._stop.is_set() or self._failure is not None:
                return None
            return self._parts.popleft()

    def _admit(self, unit: Unit) -> None:
        self._used += unit.room
        size = unit.end - unit.start
        held = _Held(unit, ScratchFile.make(self.scratch.folder), size, unit.reads, ready=not size)
        self._held[unit.file, unit.start] = held
        for start in range(unit.start, unit.end, _PART):
            self._parts.append((held, start, min(unit.end, start + _PART)))
        self._change.notify_all()

    def _fetch(self, held: _Held, start: int, end: int) -> None:
        at = told = start
        for piece in self._repository.stream(held.unit.file, start, end):
            if self._stop.is_set():
                raise StoppedError
            held.file.write(piece, at - held.unit.start)
            at += len(piece)
            if at - told >= _CHUNK or at == end:
                with self._calls:
                    self.downloaded(held.unit.file, at - told)
                told = at
        with self._change:
            held.missing -= end - start
            if held.missing:
                return
        self._check(held)
        with self._change:
            held.ready = True
            self._change.notify_all()

    def _check(self, held: _Held) -> None:
        """Compares a whole file with its digest. Raises RecipeError H008."""
        file = self.repository.files[held.unit.file]
        if held.unit.end - held.unit.start != file.size:
            return
        digest = file.digest()
        block = bytearray(_CHUNK)
        for at in range(0, file.size, _CHUNK):
            view = memoryview(block)[: min(_CHUNK, file.size - at)]
            held.file.read(view, at)
            digest.update(view)
        if digest.hexdigest() != file.etag:
            raise self.repository.damaged(file.name, digest.hexdigest())

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError
