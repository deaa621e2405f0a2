"""Floor 1, formats. Holds one folder per number format, with the only compiled code; `registry` lists them."""

from dsv4recipe.formats.affine.spec import Affine
from dsv4recipe.formats.base import Format, Part, SourceTensor, Stored
from dsv4recipe.formats.ggml.spec import Ggml
from dsv4recipe.formats.keep.spec import Keep
from dsv4recipe.formats.mxfp4.spec import Mxfp4
from dsv4recipe.formats.mxfp8.spec import Mxfp8
from dsv4recipe.formats.mxtq.spec import Mxtq
from dsv4recipe.formats.registry import from_spec

__all__ = ["Affine", "Format", "Ggml", "Keep", "Mxfp4", "Mxfp8", "Mxtq", "Part", "SourceTensor", "Stored", "from_spec"]
