"""Runs inside a runtime's own environment: renames tensors by the `sanitize` of the runtime's class.

    python sanitize_child.py PROBE RUNTIME CONFIG TENSORS

PROBE: the folder of the probe, which knows how to build the class. TENSORS: JSON, [name, kind, number] each. Prints
name after sanitize → the numbers in it, in order, each once.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import import_module
from pathlib import Path

import mlx.core as mx


def stand_in(kind, number, rows):
    """A small array that a sanitizer takes for a tensor of this kind, and that carries its number through."""
    word = mx.array([[number]], mx.uint32)
    if kind == "fp4":
        return mx.repeat(word, 4, 1).view(mx.int8)  # 16 bytes, so one scale
    if kind == "fp8":
        return mx.repeat(word, rows, 0).view(mx.uint8)
    if kind == "fp4.scale":
        return mx.full((1, 1), number % 251, mx.uint8)
    if kind == "fp8.scale":
        return mx.full((rows // 128, 1), number % 251, mx.uint8)
    return mx.full((rows, 1), number, mx.int64 if kind == "int" else mx.float32)


def main():
    probe, runtime, config, tensors = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("house", Path(probe) / "house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    house.register()
    chosen = import_module("dsv4recipe.verifier.runtime.probe.adapter").adapters(house.built_in())[runtime]
    chosen.bring()
    config = json.loads(Path(config).read_text())
    rows = config["o_groups"] * config["o_lora_rank"]  # what a sanitizer splits the rows of wo_a into
    weights = {name: stand_in(kind, number, rows) for name, kind, number in json.loads(Path(tensors).read_text())}
    renamed = chosen.build(config).sanitize(weights)
    print(json.dumps({name: list(dict.fromkeys(value.flatten().tolist())) for name, value in renamed.items()}))


if __name__ == "__main__":
    main()
