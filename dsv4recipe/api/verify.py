"""Floor 5, api. `verify` proves any bundle in steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.api.subjects import as_importance
from dsv4recipe.checkpoint.other_things import snapshot_in
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.hub.scratch import scratch_for
from dsv4recipe.paths import as_path
from dsv4recipe.publish.remote import Mirror, address_of, mirror
from dsv4recipe.verifier.contract.check import check_any
from dsv4recipe.verifier.integrity import check_integrity
from dsv4recipe.verifier.receipt import receipt_of
from dsv4recipe.verifier.result import Verification
from dsv4recipe.verifier.run import prove
from dsv4recipe.verifier.runtime.step import RuntimeRun

if TYPE_CHECKING:
    from dsv4recipe.importance.model import Guide


def verify(
    bundle: str | Path,
    source: str | Path | None = None,
    *,
    runtime: str | RuntimeRun | None = None,
    python: str | Path | None = None,
    sample: int = 0,
    seed: int = 0,
    importance: Guide | str | Path | None = None,
    scratch: int | None = None,
    scratch_dir: str | Path | None = None,
    receipt: bool = False,
    full: bool = False,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Verification:
    """Proves a bundle: compares its bytes with its manifest and its tensors with its runtime's contract; with `source`
    its numbers; with `runtime` that it loads and runs there.

    `runtime` is a name or "all" (then `python` is the interpreter that has it), or a `RuntimeRun` with all options.
    `sample` compares only that many source tensors, drawn by `seed`; 0 compares all. `importance` is the file that the
    bundle was built with; without it, modules that it weighed are not encoded again. `scratch` (bytes) and
    `scratch_dir` are as in `build`.

    With `receipt`, what an earlier proof hashed is not hashed again where size, time, inode and a sample of a file
    are as they were, and what is hashed now is kept (`dsv4recipe.verifier.receipt` says where); `full` hashes all.
    `on_event` gets a dict when a step begins, gets on and ends.

    For a bundle on the hub (hf://org/repo@revision), its list of files is compared with the manifest, and the contract
    is checked from headers; no weights are read.

    Raises RecipeError V001 if there is no bundle, V020 if a repository holds none, H015 if more is asked of one on the
    hub, V222 for an unknown runtime, H012 if a runtime is to be compared with a source that is not on this machine,
    I020 for another importance file, and what `open_checkpoint` raises for a broken source.
    """
    address = address_of(bundle)
    if address is not None:
        if source is not None or runtime is not None:
            message = "the numbers and the runtime need the weights, but this bundle is on the hub"
            hint = f"run `hf download {address.repo}`, then verify the folder"
            raise RecipeError("H015", message, Where(str(address)), hint)
        return _on_hub(mirror(address))
    root = snapshot_in(as_path(bundle))
    run = RuntimeRun(runtime, (str(python),) if python else ()) if isinstance(runtime, str) else runtime
    room, known = scratch_for(root, scratch, scratch_dir), receipt_of(root, full) if receipt else None
    return prove(root, source, run, sample, seed, as_importance(importance), room, known, on_event)


def _on_hub(found: Mirror) -> Verification:
    """Checks integrity by the digests that the hub keeps, and the contract."""
    integrity, contract = check_integrity(found.root, found.digests), check_any(found.root)
    steps = [replace(step, findings=found.named(step.findings)) for step in (integrity, contract.step)]
    return Verification(str(found.repository.address), tuple(steps), contract.runtimes, contract.outlooks)
