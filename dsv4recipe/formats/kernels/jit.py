"""Floor 1, formats, kernels. The one way kernels are compiled: strict IEEE float32, without the GIL, cached.

No fast-math flag, so LLVM neither reorders nor fuses a rounding step: same bits on x86 and arm64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import event


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled on first call; the machine code is kept on disk where a folder for it can be written.

    numba raises RuntimeError while decorating when neither the package folder nor the user's cache is writable;
    the kernel is then compiled once per process.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": False, "error_model": "numpy", "boundscheck": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


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
