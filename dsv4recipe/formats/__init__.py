"""Floor 1, formats. One file per number format, and the only home of numeric kernels (`formats.encode`)."""

from dsv4recipe.formats.affine import Affine
from dsv4recipe.formats.base import Format, Part, SourceTensor, Stored
from dsv4recipe.formats.ggml import Ggml
from dsv4recipe.formats.keep import Keep
from dsv4recipe.formats.microscaling import Mxfp4, Mxfp8
from dsv4recipe.formats.mxtq import Mxtq
from dsv4recipe.formats.spec import from_spec

__all__ = ["Affine", "Format", "Ggml", "Keep", "Mxfp4", "Mxfp8", "Mxtq", "Part", "SourceTensor", "Stored", "from_spec"]
