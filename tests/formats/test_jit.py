"""What is said when a kernel has to be compiled, and that machine code on disk is never older than its source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numba

from dsv4recipe.formats.kernels import jit
from dsv4recipe.formats.kernels.jit import compiling


def test_a_compilation_is_told_with_its_end_and_a_compiled_kernel_never() -> None:
    told = []
    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: inner(x) + 1)
    with compiling(lambda: told.append("begins"), lambda: told.append("ends")):
        assert outer(1) == 3
        assert told == ["begins", "ends"], "a kernel that is called is compiled inside of the one that calls"
    with compiling(lambda: told.append("again")):
        outer(1)
    assert told == ["begins", "ends"]


def test_a_kernel_is_compiled_again_when_one_that_it_calls_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "house" / "kernels"
    folder.mkdir(parents=True)
    shutil.copy(jit.__file__, folder)
    leaf = "from .jit import kernel\n@kernel\ndef leaf(x):\n    return x + {}\n"
    (folder / "caller.py").write_text(
        "from .jit import kernel\nfrom .leaf import leaf\n@kernel\ndef call(x):\n    return leaf(x)\n", "utf-8"
    )
    program = (
        "from house.kernels.caller import call\nfrom house.kernels.jit import compiling\ntold = []\n"
        "with compiling(lambda: told.append('compiled')):\n    print(call(1), *told)"
    )

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    (folder / "leaf.py").write_text(leaf.format(1), "utf-8")
    assert (run(), run()) == ("2 compiled", "2")
    (folder / "leaf.py").write_text(leaf.format(2), "utf-8")
    assert run() == "3 compiled"
