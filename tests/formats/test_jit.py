"""What is said when a kernel has to be compiled."""

from __future__ import annotations

import numba

from dsv4recipe.formats.kernels.jit import compiling


def test_a_compilation_is_told_once_and_a_compiled_kernel_never() -> None:
    told = []
    first, second = numba.njit(lambda x: x + 1), numba.njit(lambda x: x + 2)
    with compiling(lambda: told.append("compiling")):
        assert (first(1), second(1)) == (2, 3)
        assert told == ["compiling"]
    with compiling(lambda: told.append("again")):
        first(1)
    assert told == ["compiling"]
