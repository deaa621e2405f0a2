"""Floor 1, formats, kernels. The one way kernels are compiled: strict IEEE float32, without the GIL, cached.

No fast-math flag, so LLVM neither reorders nor fuses a rounding step: same bits on x86 and arm64.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event


def kernel(function: Callable[..., Any]) -> Any:
    """Returns `function` compiled on first call; the machine code is kept on disk where a folder for it can be written.

    numba reuses machine code as long as the function's own file has not changed. A kernel may call kernels of other
    files, so here the files of every folder called kernels must be unchanged. numba raises RuntimeError while
    decorating when neither the package folder nor the user's cache is writable, and AttributeError where it keeps its
    stamp elsewhere; the kernel is then compiled once per process.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": False, "error_model": "numpy", "boundscheck": False}
    try:
        cached = numba.njit(cache=True, **options)(function)
        file = cached._cache._cache_file
        file._source_stamp = (file._source_stamp, _sources())
        return cached
    except (RuntimeError, AttributeError):
        return numba.njit(**options)(function)


@cache
def _sources() -> str:
    """Returns sha256 of all files of kernels, the shared ones and those of each format."""
    files = sorted(Path(__file__).parents[1].glob("**/kernels/**/*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


class _Once(event.Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell: Callable[[], None] | None = tell

    def on_start(self, event: Any) -> None:  # noqa: ARG002 - numba's signature
        tell, self.tell = self.tell, None
        if tell:
            tell()

    def on_end(self, event: Any) -> None:
        pass


@contextlib.contextmanager
def compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Calls `tell`, once, if a kernel has to be compiled meanwhile: some seconds, the first time on a machine."""
    with event.install_listener("numba:compile", _Once(tell)):
        yield
