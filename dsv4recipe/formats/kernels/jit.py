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


class _Turns(event.Listener):
    """Tells when compiling begins and when it ends. Kernels that a kernel calls are compiled inside of it, and numba
    compiles in one thread at a time."""

    def __init__(self, begins: Callable[[], None], ends: Callable[[], None]) -> None:
        self.begins, self.ends, self.depth = begins, ends, 0

    def on_start(self, event: Any) -> None:  # noqa: ARG002 - numba's signature
        self.depth += 1
        if self.depth == 1:
            self.begins()

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        self.depth -= 1
        if self.depth == 0:
            self.ends()


@contextlib.contextmanager
def compiling(begins: Callable[[], None], ends: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Calls `begins` whenever a kernel has to be compiled meanwhile, and `ends` after it: some seconds in all, the
    first time on a machine."""
    with event.install_listener("numba:compile", _Turns(begins, ends)):
        yield
