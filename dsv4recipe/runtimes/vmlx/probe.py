"""Floor 2, runtimes (child side). Says how the probe loads a bundle in jang and vMLX, and where this machine needs
help.

Every function of a runtime that is replaced is named in the document: a proof says what it did not run.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from dsv4recipe.verifier.runtime.probe.adapter import Adapter

GATHER_QMM = "mlx.core.gather_qmm"


class JangStrict(Adapter):
    """mlx-lm's strict loader on the class of jang."""

    replayed = True

    def bring(self) -> None:
        for module in ("jang_tools.dsv4", "jang_tools.load_jangtq", "mlx_lm.utils"):  # the first registers the class
            import_module(module)


class Jang(JangStrict):
    """jang's own loader."""

    reads_mxtq = True

    def prepare(self, has_mxtq: bool) -> list[str]:
        import mlx.core as mx

        from . import gather

        return [gather.install()] if has_mxtq and not mx.metal.is_available() else []

    def load(self, bundle: Path) -> Any:
        from jang_tools.load_jangtq import load_jangtq_model

        return load_jangtq_model(bundle)[0]


class Vmlx(Jang):
    """vMLX's preflight, then its loader."""

    def bring(self) -> None:
        import mlx.core as mx

        super().bring()
        kept = mx.gather_qmm
        try:
            for module in ("loaders.load_jangtq_dsv4", "model_bundle_integrity", "models", "utils.jang_loader"):
                import_module(f"vmlx_engine.{module}")
        finally:
            mx.gather_qmm = kept

    def prepare(self, has_mxtq: bool) -> list[str]:
        mended = mend_gather_qmm()
        return super().prepare(has_mxtq) + ([mended] if mended else [])

    def load(self, bundle: Path) -> Any:
        from vmlx_engine.loaders.load_jangtq_dsv4 import load_jangtq_dsv4_model
        from vmlx_engine.model_bundle_integrity import prepare_model_bundle_for_load

        path, _ = prepare_model_bundle_for_load(bundle, allow_download=False)
        return load_jangtq_dsv4_model(path)[0]


def mend_gather_qmm() -> str:
    """vMLX 1.6.81 wraps mx.gather_qmm without the argument that mlx-lm 0.32.2 passes.

    Asks the wrapper itself; a later vMLX whose wrapper takes the argument is left in place. Returns what was
    replaced, or "".
    """
    import mlx.core as mx
    from mlx_lm.models import switch_layers
    from vmlx_engine.patches import mlx_sorted_gather

    wrapper = mlx_sorted_gather._gather
    passes = "global_scale=" in inspect.getsource(switch_layers.QuantizedSwitchLinear.__call__)
    takes = inspect.signature(wrapper, follow_wrapped=False).parameters
    if not passes or "global_scale" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        mx.gather_qmm = wrapper
        return ""
    return GATHER_QMM


ADAPTERS = {"jang-strict": JangStrict, "jang": Jang, "vmlx": Vmlx}
