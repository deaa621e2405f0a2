"""Floor 1, formats. A format from the data that `Format.spec()` gives: the way back from a plan file. Pure."""

from __future__ import annotations

from typing import Any

from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format
from dsv4recipe.formats.ggml.spec import TYPE_IDS, Ggml
from dsv4recipe.formats.keep.spec import Keep
from dsv4recipe.formats.mxfp4.spec import Mxfp4
from dsv4recipe.formats.mxfp8.spec import Mxfp8
from dsv4recipe.formats.mxtq.spec import Mxtq


def from_spec(spec: dict[str, Any]) -> Format:
    """The inverse of `Format.spec()`. Raises ValueError for anything else."""
    match spec:
        case {"affine": {"bits": int(bits), "group-size": int(group), "scales": str(scales), "fit": str(fit), **rest}}:
            importance = rest.pop("importance", "none")
            if not rest:
                return Affine(bits, group, scales, fit, str(importance))
        case {"mxfp4": {}}:
            return Mxfp4()
        case {"mxfp8": {}}:
            return Mxfp8()
        case {"mxtq": {"bits": int(bits), "seed": int(seed), **more}}:
            how = more.pop("fit", "nearest")
            if not more:
                return Mxtq(bits, seed, str(how))
        case {"ggml": {"type": str(type_), "importance": str(importance)}} if type_ in TYPE_IDS:
            return Ggml(type_, importance)
        case {"keep": str(dtype)}:
            return Keep(dtype)
    raise ValueError(f"not a format: {spec!r}")
