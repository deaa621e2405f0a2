"""Runs inside a runtime's environment: what its own loader says of bundles, without evaluating a weight.

    python replay_child.py RUNTIME BUNDLE...      RUNTIME: mlx-vlm, rapid-mlx, jang (its class through mlx-lm), vmlx

Prints one JSON list: per bundle [unexpected, missing, misshapen] as `load_weights` is asked to be strict about them, or
the error of a load that did not come so far. For vmlx: the `quantization` section after its repair. Imports nothing of
this project.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path


class Compared(Exception):  # noqa: N818 - an answer, not an error
    """Ends a load where it would compare names and shapes."""


def compare(model, weights, strict=True):
    from mlx.utils import tree_flatten

    wanted = {name: value.shape for name, value in tree_flatten(model.parameters())}
    given = {name: value.shape for name, value in weights}
    shared = wanted.keys() & given.keys()
    raise Compared([
        len(given.keys() - wanted.keys()), len(wanted.keys() - given.keys()),
        sum(wanted[name] != given[name] for name in shared),
    ])  # fmt: skip


def load(runtime, bundle):
    if runtime == "mlx-vlm":
        from mlx_vlm.utils import load_model

        return load_model(bundle, lazy=True)
    from mlx_lm.utils import load_model

    if runtime == "jang":
        import jang_tools.dsv4.mlx_register  # noqa: F401

        return load_model(bundle, lazy=True)
    import rapid_mlx.models.deepseek_v4 as module
    from rapid_mlx.utils.tokenizer import _deepseek_v4_quantization_override

    sys.modules["mlx_lm.models.deepseek_v4"] = module
    return load_model(bundle, lazy=True, model_config=_deepseek_v4_quantization_override(bundle))


def seen(runtime, bundle):
    from mlx import nn

    nn.Module.load_weights = compare
    try:
        load(runtime, bundle)
    except Compared as answer:
        return answer.args[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "never compared"


def repaired(bundle):
    """The two passes of vMLX's loader over the section, by its own function."""
    from vmlx_engine.utils.quant_shape_inference import infer_quant_overrides_for_bundle as infer

    def again(config):
        return infer(bundle, config, runtime_supported_only=True, error_on_unsupported=True)

    config = again(json.loads((bundle / "config.json").read_text()))
    jang = json.loads((bundle / "jang_config.json").read_text())
    config["quantization"]["group_size"] = jang.get("quantization", {}).get("group_size", 64)
    return again(config)["quantization"]


def main():
    runtime, *bundles = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        found = [repaired(Path(b)) if runtime == "vmlx" else seen(runtime, Path(b)) for b in bundles]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
