"""The same law as fuzz_headers, led by coverage: needs `pip install atheris` (Linux, or macOS with LLVM's clang).

    python -m tests.faults.fuzz_coverage CORPUS_FOLDER tests/cases/headers -max_total_time=600

New finds go to CORPUS_FOLDER; a failing input is written beside it and belongs into tests/cases/headers with its mend.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["dsv4recipe.headers"]):
    from dsv4recipe.headers import safetensors, safetensors_json, strict_json  # noqa: F401 - to be instrumented

from tests.faults.fuzz_headers import check


def one_input(data: bytes) -> None:
    check(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
