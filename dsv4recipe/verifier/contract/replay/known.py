"""Floor 4, verifier. The loaders that are replayed, as data. Pure.

Versions are those that were read and run (fact sheets mlx.md 3.0, vmlx.md): Rapid-MLX with mlx-lm 0.31.3, jang and vMLX
with 0.32.2. oMLX and the branch were read only.
"""

from __future__ import annotations

from dataclasses import replace

from dsv4recipe.runtimes import running
from dsv4recipe.verifier.contract.replay import rules, sanitize
from dsv4recipe.verifier.contract.replay.model import Loader

TARGETS = running("deepseek_v4")
_BIASES = ("weight", "scales", "biases")

MLX_VLM = Loader("mlx-vlm", "0.7.10", TARGETS["mlx-vlm"], ("mlx-vlm", "universal"), sanitize.mlx_vlm,
                 rules.else_global, _BIASES, by_index=True)  # fmt: skip
RAPID = Loader("rapid-mlx", "0.16.10", TARGETS["rapid-mlx"], ("rapid-mlx", "universal"),
               sanitize.pr1192, rules.else_global, fuses=True, section=rules.rapid_section)  # fmt: skip
OMLX = Loader("omlx", "as of 0d51bce0", TARGETS["omlx"], ("omlx", "universal"), sanitize.pr1192,
              rules.else_global, audits=("float16",))  # fmt: skip
FORK_31 = Loader("Q3 branch on mlx-lm 0.31", "", TARGETS["mlx-lm-fork"], ("mlx-lm-fork", "universal"), sanitize.fork,
                 rules.else_global, ("weight",))  # fmt: skip
FORK_32 = replace(FORK_31, name="Q3 branch on mlx-lm 0.32", rule=rules.else_inferred)
JANG = Loader("jang", "2.5.50", TARGETS["vmlx"], ("vmlx", "universal"), sanitize.jang,
              rules.else_inferred, _BIASES, strict=False, mxtq=True, mends_by_shape=True, by_shard=True)  # fmt: skip
VMLX = replace(JANG, name="vmlx", version="1.6.81", mends_by_shape=False, by_shard=False, repairs=True,
               by_index=True, audits=("marked", "encoder", "whole", "controls"))  # fmt: skip
STRICT_32 = replace(JANG, name="jang's class, mlx-lm 0.32", version="", serves=(), strict=True, mxtq=False,
                    mends_by_shape=False, by_shard=False)  # fmt: skip
STRICT_31 = replace(STRICT_32, name="jang's class, mlx-lm 0.31", rule=rules.else_global)
LENIENT = replace(STRICT_32, name="jang's class, strict=False", strict=False)

LOADERS = (MLX_VLM, RAPID, OMLX, FORK_31, FORK_32, JANG, VMLX, STRICT_31, STRICT_32, LENIENT)
"""In the order of the table, all of V4; a stock mlx-lm has no class for it at all, and V4.1 is not replayed yet."""
