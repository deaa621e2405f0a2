"""Floor 4, verifier (child side). The real loaders by name, and the few places where this machine needs help.

Every function of a runtime that is replaced is named in the document: a proof says what it did not run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx

from . import gather

GATHER_QMM = "mlx.core.gather_qmm"


def _import_jang() -> None:
    import jang_tools.dsv4
    import jang_tools.load_jangtq  # noqa: F401
    import mlx_lm.utils  # noqa: F401


def _import_vmlx() -> None:
    _import_jang()
    kept = mx.gather_qmm
    try:
        import vmlx_engine.loaders.load_jangtq_dsv4
        import vmlx_engine.model_bundle_integrity
        import vmlx_engine.models
        import vmlx_engine.utils.jang_loader  # noqa: F401
    finally:
        mx.gather_qmm = kept


def _load_strict(bundle: Path) -> Any:
    from mlx_lm.utils import load_model

    return load_model(bundle, lazy=True, strict=True)[0]


def _load_jang(bundle: Path) -> Any:
    from jang_tools.load_jangtq import load_jangtq_model

    return load_jangtq_model(bundle)[0]


def _load_vmlx(bundle: Path) -> Any:
    from vmlx_engine.loaders.load_jangtq_dsv4 import load_jangtq_dsv4_model
    from vmlx_engine.model_bundle_integrity import prepare_model_bundle_for_load

    path, _ = prepare_model_bundle_for_load(bundle, allow_download=False)
    return load_jangtq_dsv4_model(path)[0]


IMPORTS: dict[str, Callable[[], None]] = {"jang-strict": _import_jang, "jang": _import_jang, "vmlx": _import_vmlx}
LOADS: dict[str, Callable[[Path], Any]] = {"jang-strict": _load_strict, "jang": _load_jang, "vmlx": _load_vmlx}
READS_MXTQ = frozenset({"jang", "vmlx"})


def mend_gather_qmm() -> str:
    """vMLX 1.6.81 wraps mx.gather_qmm without the argument that mlx-lm 0.32.2 passes (fact sheet vmlx.md 5.2).

    Asks the wrapper itself; a later vMLX whose wrapper takes the argument is left in place. Returns what was
    replaced, or "".
    """
    from mlx_lm.models import switch_layers
    from vmlx_engine.patches import mlx_sorted_gather

    wrapper = mlx_sorted_gather._gather
    passes = "global_scale=" in inspect.getsource(switch_layers.QuantizedSwitchLinear.__call__)
    takes = inspect.signature(wrapper, follow_wrapped=False).parameters
    if not passes or "global_scale" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        mx.gather_qmm = wrapper
        return ""
    return GATHER_QMM


def prepare(name: str, has_mxtq: bool) -> list[str]:
    """Import what the loader needs and install the stand-ins. Returns the names of the replaced functions."""
    IMPORTS[name]()
    replaced = []
    if has_mxtq and not mx.metal.is_available():
        replaced.append(gather.install())
    if name == "vmlx" and (mended := mend_gather_qmm()):
        replaced.append(mended)
    return replaced
