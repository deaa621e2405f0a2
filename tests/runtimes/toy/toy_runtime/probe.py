"""Runs in the toy's interpreter: jang's class, which mlx-lm's strict loader finds once it is imported."""

from __future__ import annotations

from importlib import import_module

from dsv4recipe.verifier.runtime.probe.adapter import Adapter


class Toy(Adapter):
    replayed = True

    def bring(self) -> None:
        for module in ("jang_tools.dsv4", "jang_tools.load_jangtq", "mlx_lm.utils"):
            import_module(module)


ADAPTERS = {"toy": Toy}
