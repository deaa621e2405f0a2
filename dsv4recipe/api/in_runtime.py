"""Floor 5, api. For `evaluate --runtime`: a bundle's logits from the real runtime, in a process of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dsv4recipe.bundle.manifest import shard_path
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.evaluation.text import Text
from dsv4recipe.forward.needs import Needs
from dsv4recipe.forward.stored import BundleWeights
from dsv4recipe.forward.weights import Weights
from dsv4recipe.verifier.runtime.logits import RuntimeLogits, check_runtime, runtime_logits

_PROCESS = 1 << 30
"""Bytes of an interpreter with a runtime loaded, and of the states of one sequence."""


@dataclass(frozen=True)
class InRuntime:
    """`name` is a runtime of `verify --runtime`, `python` its interpreters as `--runtime-python` takes them."""

    name: str
    python: Sequence[str] = ()

    def check(self, weights: Weights | None, by: str | None) -> BundleWeights:
        """Returns the bundle that shall run. Raises RecipeError M040 where there is none or a part is asked for, V222,
        V229."""
        if not isinstance(weights, BundleWeights):
            hint = "build the recipe first, and evaluate the bundle"
            raise RecipeError("M040", f"{self.name} runs bundles alone, and the model to measure is none", hint=hint)
        if by is not None:
            message = f"{self.name} runs whole bundles: parts are measured by the reference implementation"
            raise RecipeError("M040", message, hint="leave out --by, or --runtime")
        check_runtime(weights.root, self.name, self.python)
        return weights

    def needs(self, found: Needs, bundle: BundleWeights, checkpoint: Checkpoint, text: Text) -> Needs:
        """Returns what it takes with the runtime: its process holds the whole bundle, and the logits lie on disk."""
        size = sum(shard_path(bundle.root, shard.file).stat().st_size for shard in bundle.view.shards)
        logits = 4 * text.tokens * checkpoint.dims.vocab
        return replace(found, memory=max(found.memory, size + _PROCESS), disk=found.disk + logits)

    @contextmanager
    def logits(self, bundle: BundleWeights, text: Text, work: Path | None) -> Iterator[RuntimeLogits]:
        """Gives the logits while the block runs; their file lies in `work` or in a temporary folder."""
        if work is not None:
            work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="dsv4recipe-logits-", dir=work))
        try:
            found = runtime_logits(bundle.root, self.name, text.ids, folder, self.python)
            if found.values.shape[1] < max(int(ids.max()) for ids in text.ids):
                message = f"{self.name} gives logits of {found.values.shape[1]:,} tokens"
                raise RecipeError("M041", message, Where(str(bundle.root), subject=self.name))
            yield found
        finally:
            shutil.rmtree(folder, ignore_errors=True)
