"""A runtime that another package adds: it names things as vMLX does, and mlx-lm loads it strictly on jang's class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dsv4recipe.runtimes.common.loader import Loader
from dsv4recipe.runtimes.common.probing import Probe
from dsv4recipe.runtimes.common.rules import else_inferred
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.runtimes.vmlx.loaders import rename
from dsv4recipe.runtimes.vmlx.target import VMLX

TARGET = replace(VMLX, name="toy", halves=("bfloat16",))

RUNTIME = Runtime(
    "toy",
    "a toy of the tests",
    targets=(TARGET,),
    loaders=(Loader("toy", "1.0", TARGET, ("toy",), else_inferred, rename),),
    probes=(Probe("toy", ("toy",), "TOY_PYTHON", "mlx_lm", Path(__file__).with_name("probe.py"), ("mlx-lm", "mlx")),),
)
