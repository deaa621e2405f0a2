"""Floor 4, verifier (child side). Defines adapters, which build, load and run a model in a runtime for the probe.

The adapters themselves are in `runtimes/<name>/probe.py`, one class per loader, and are loaded by path. A runtime is
imported only when it is needed, so an interpreter that has one of them need not have the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class Adapter:
    """mlx-lm's strict loader on the classes that it finds; every adapter starts from this.

    `replayed` says that names and widths are replayed on the unfilled class (`skeleton`), because the loader or its
    siblings are lenient and report nothing. Otherwise the strict loader itself is watched (`witness`). `uncached` says
    that the class may run without a cache, `reads_mxtq` that it reads MXTQ tensors.
    """

    replayed = False
    uncached = True
    reads_mxtq = False

    def bring(self) -> None:
        """Imports what the loader needs."""
        import_module("mlx_lm.utils")

    def prepare(self, has_mxtq: bool) -> list[str]:  # noqa: ARG002 - for those that need help
        """Installs replacements for functions that this machine cannot run, and returns the names of those
        functions."""
        return []

    def build(self, config: dict[str, Any]) -> Any:
        """Returns an unquantized, unfilled model of the runtime's class for a config.json. Raises what the class
        raises."""
        from mlx_lm.utils import _get_classes

        model_class, args_class = _get_classes(config)
        return model_class(args_class.from_dict(config))

    def settle(self, model: Any, folder: Path) -> None:
        """Tells a filled model about its folder, as the loader does."""

    def load(self, bundle: Path) -> Any:
        """Loads the bundle with the runtime's own loader, lazily if the loader can, and returns the model."""
        from mlx_lm.utils import load_model

        return load_model(bundle, lazy=True, strict=True)[0]

    def text(self, model: Any) -> Any:
        """Returns the module that holds `model` (the transformer) and `lm_head`."""
        return model

    def logits(self, model: Any, ids: Any, cache: Any) -> Any:
        """Returns logits [1, positions, vocab] for ids [1, n]; some classes give only the last position."""
        return model(ids, cache=cache)


def adapters(files: Iterable[Path]) -> dict[str, Adapter]:
    """Returns the adapters of some files by the loader's name: each file names its classes in ADAPTERS.

    The folder of a file is made a package of its own, so that the file can import its neighbours relatively.
    """
    found: dict[str, Adapter] = {}
    for number, file in enumerate(files):
        package = ModuleType(f"dsv4recipe_adapters_{number}")
        package.__path__ = [str(file.parent)]
        sys.modules[package.__name__] = package
        module = import_module(f"{package.__name__}.{file.stem}")
        found |= {name: kind() for name, kind in module.ADAPTERS.items()}
    return found


def config_of(bundle: Path) -> dict[str, Any]:
    """config.json."""
    config: dict[str, Any] = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    return config
