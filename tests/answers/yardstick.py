"""Bundles of the yardstick, the small model that has learned sums, for servers to answer from; sound and spoiled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.headers.gguf import read_gguf_header
from dsv4recipe.headers.safetensors import TensorEntry, read_header

CHECKPOINT = Path(__file__).parent.parent / "data" / "yardstick" / "checkpoint"
PROMPTS = ("What is 17+28?", "What is 40+33?")
ANSWERS = ("45", "73")
DIGITS = "0123456789"


@dataclass(frozen=True)
class Cell:
    """A bundle in a runtime: by a shipped recipe, moved to `target` where that is another than its own."""

    runtime: str
    recipe: str
    target: str = ""

    @property
    def name(self) -> str:
        return f"{self.recipe}-for-{self.target}" if self.target else self.recipe

    def build(self, folder: Path, checkpoint: Path = CHECKPOINT) -> Path:
        """The bundle below `folder`, made unless it is there."""
        out = folder / (f"{self.name}.gguf" if self.runtime == "llama.cpp" else self.name)
        if not out.exists():
            recipe, source = load_recipe(self.recipe), open_checkpoint(checkpoint)
            if self.target:
                moved = replace(recipe.target, runtime=self.target, backends=(), mtp="drop")
                recipe = replace(recipe, target=moved)
            build(make_plan(recipe, source), source, out)
        return out


SOUND = (
    Cell("vmlx", "q4q8"),
    Cell("vmlx", "q4q8-per-expert"),
    Cell("vmlx", "universal"),
    Cell("vmlx", "jangtq2"),
    Cell("mlx-vlm", "native"),
    Cell("mlx-vlm", "universal"),
    Cell("mlx-vlm", "q3-mixed", "mlx-vlm"),
    Cell("mlx-vlm", "q4q8", "mlx-vlm"),
    Cell("rapid-mlx", "native"),
    Cell("rapid-mlx", "universal"),
    Cell("rapid-mlx", "q3-mixed", "rapid-mlx"),
    Cell("rapid-mlx", "q4q8", "rapid-mlx"),
    Cell("llama.cpp", "ds4-q4", "llama.cpp"),
    Cell("llama.cpp", "ds4-q2", "llama.cpp"),
)
"""What the servers are asked: `python -m benchmarks.answers` runs all, the tests one for each runtime."""


def spoil(bundle: Path, how: str, out: Path) -> Path:
    """A copy of `bundle` that something is wrong with: the entries of its routed experts are gone from config.json
    ("overrides"), the gates of its experts are in another order ("experts"), its digits have other ids ("tokenizer").
    """
    if bundle.is_dir():
        shutil.copytree(bundle, out)
    else:
        shutil.copyfile(bundle, out)
    {"overrides": _overrides, "experts": _experts, "tokenizer": _tokenizer}[how](out)
    return out


def _overrides(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    for section in ("quantization", "quantization_config"):
        entries = config[section]
        config[section] = {key: value for key, value in entries.items() if "expert" not in key and "switch" not in key}
    (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _experts(bundle: Path) -> None:
    for path, tensor in _stacks(bundle):
        with path.open("r+b") as file:
            file.seek(tensor.start)
            rows = np.frombuffer(file.read(tensor.nbytes), np.uint8).reshape(tensor.shape[0], -1)
            file.seek(tensor.start)
            file.write(rows[::-1].tobytes())


def _stacks(bundle: Path) -> Iterator[tuple[Path, TensorEntry]]:
    """Every tensor that holds the gates of all routed experts of a layer."""
    if bundle.is_file():
        yield from ((bundle, each) for each in read_gguf_header(bundle).tensors if "ffn_gate_exps" in each.name)
        return
    for path in sorted(bundle.glob("model*.safetensors")):
        for each in read_header(path).tensors:
            if "gate_proj" in each.name and "shared" not in each.name and len(each.shape) == 3:
                yield path, each


def _tokenizer(bundle: Path) -> None:
    """The digit that was 0 is 1 now, and so on; in a GGUF in place, for all are of one length."""
    turned = dict(zip(DIGITS, DIGITS[1:] + DIGITS[:1], strict=True))
    if bundle.is_dir():
        path = bundle / "tokenizer.json"
        words = json.loads(path.read_text(encoding="utf-8"))
        vocab = words["model"]["vocab"]
        words["model"]["vocab"] = {turned.get(token, token): number for token, number in vocab.items()}
        path.write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        return
    raw = bytearray(bundle.read_bytes())
    start, length = raw.index(b"tokenizer.ggml.tokens"), (1).to_bytes(8, "little")
    for place, digit in [(raw.index(length + digit.encode(), start) + 8, digit) for digit in DIGITS]:
        raw[place] = ord(turned[digit])
    bundle.write_bytes(raw)
