"""Floor 4, verifier. A real runtime's logits for token sequences, from a process of its own. Starts one; writes a file.

What `verify --runtime` does for a drawn prompt, for a text: the bundle goes through the runtime's own loader, and every
sequence through its own class with a cache of its own, whole, as a prompt does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.runtimes import probes
from dsv4recipe.verifier.runtime.child import Limits, probe_runtime
from dsv4recipe.verifier.runtime.choose import ALL
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.step import RuntimeRun, choices

DAY = 24 * 3600.0


@dataclass(frozen=True)
class RuntimeLogits:
    """`values` float32 [tokens, vocab], mapped from a file; `facts` are the runtime's name, the versions of what it is
    made of, and the functions that a stand-in replaced."""

    values: NDArray[np.float32]
    facts: dict[str, Any]


def check_runtime(bundle: Path, name: str, python: Sequence[str]) -> Path | None:
    """Returns the interpreter that runs a runtime (None: this one). Raises RecipeError V222 for an unknown name, V229
    where the
    runtime loads no bundle of this kind."""
    if name == ALL:
        raise RecipeError("V222", "one runtime is measured at a time", hint=f"name one: {', '.join(probes())}")
    (chosen,) = choices(bundle, (), RuntimeRun(name, tuple(python)))
    if chosen.skipped is not None:
        raise RecipeError.of((chosen.skipped,))
    return chosen.python


def runtime_logits(
    bundle: Path, name: str, sequences: Sequence[NDArray[Any]], folder: Path, python: Sequence[str] = ()
) -> RuntimeLogits:
    """Returns the logits of `bundle` in the runtime `name` for every sequence of token ids, in a file in `folder`.

    `python`: interpreters as `--runtime-python` takes them. Raises RecipeError V2xx with what kept the runtime from it,
    M041 where its logits are not finite.
    """
    interpreter = check_runtime(bundle, name, python)
    rows, out = folder / "rows.npz", folder / "logits.npy"
    ids = np.concatenate(list(sequences)).astype(np.int32)
    np.savez(rows, ids=ids, lengths=np.array([len(sequence) for sequence in sequences], np.int64))
    result = probe_runtime(bundle, name, interpreter, tokens=0, rows=rows, logits=out, limits=Limits(DAY))
    if result.rows is None or result.rows.tokens != len(ids):
        errors = [found for found in runtime_findings(result) if found.severity == "error"]
        where = Where(str(bundle), subject=name)
        raise RecipeError.of(errors) if errors else RecipeError("M041", f"{name} gave no logits", where)
    if not result.rows.finite:
        message = f"{name} gives logits that are not finite"
        raise RecipeError("M041", message, Where(str(bundle), subject=name), "dsv4recipe verify BUNDLE --runtime looks")
    versions = dict(result.versions)
    made_of = {package: versions[package] for package in probes()[name].packages if package in versions}
    facts = {"name": name, "versions": made_of, "replaced": list(result.replaced)}
    return RuntimeLogits(np.load(out, mmap_mode="r"), facts)
