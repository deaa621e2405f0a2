"""Floor 2, runtimes. vMLX, and jang, whose loaders and model class it builds on. Pure data."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.vmlx.loaders import LOADERS
from dsv4recipe.runtimes.vmlx.serve import SERVER
from dsv4recipe.runtimes.vmlx.target import VMLX as TARGET

_BUNDLES = ("vmlx", "universal")
_ADAPTERS = Path(__file__).with_name("probe.py")
_JANG = ("jang", "mlx-lm", "mlx")

VMLX = Runtime(
    "vmlx",
    "vMLX and jang",
    targets=(TARGET,),
    loaders=LOADERS,
    probes=(
        Probe("jang-strict", _BUNDLES, "DSV4RECIPE_JANG_PYTHON", "jang_tools", _ADAPTERS, _JANG),
        Probe(
            "jang",
            _BUNDLES,
            "DSV4RECIPE_JANG_PYTHON",
            "jang_tools",
            _ADAPTERS,
            _JANG,
            strict=False,
            mxtq=True,
        ),
        Probe(
            "vmlx",
            _BUNDLES,
            "DSV4RECIPE_VMLX_PYTHON",
            "vmlx_engine",
            _ADAPTERS,
            ("vmlx", *_JANG),
            strict=False,
            mxtq=True,
        ),
    ),
    server=SERVER,
    tested={"vmlx": "1.6.81", "jang": "2.5.50", "mlx-lm": "0.32.2"},
)
