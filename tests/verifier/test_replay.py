"""The replay against the real thing: what each runtime's own loader compares, and what vMLX makes of a config.

Bundles of headers with holes for data, spoiled at random; each runtime reads them all in one process.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.checkpoint.graph import Checkpoint, detect_family
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.runtimes.vmlx.section import vmlx_section
from dsv4recipe.verifier.contract.replay.replay import outlooks
from tests.bundle import foreign
from tests.recipes import WRITTEN, changed
from tests.targets.bundles import MLX_RECIPES

CHILD = Path(__file__).with_name("replay_child.py")
PYTHON = {"mlx-vlm": "DSV4RECIPE_MLX_VLM_PYTHON", "rapid-mlx": "DSV4RECIPE_RAPID_MLX_PYTHON",
          "jang": "DSV4RECIPE_JANG_PYTHON", "vmlx": "DSV4RECIPE_JANG_PYTHON"}  # fmt: skip
LOADER = {"mlx-vlm": "mlx-vlm", "rapid-mlx": "rapid-mlx", "jang": "jang's class, mlx-lm 0.32"}
COUNT = 40
ENTRY = {"bits": 4, "group_size": 32, "mode": "affine"}


@pytest.fixture(scope="module")
def bundles(
    tiny: Checkpoint, tiny_for: Callable[[str], Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Every shipped recipe of V4 that was written by hand as it is, then random spoils of them."""
    root, rng = tmp_path_factory.mktemp("replay"), random.Random(11)
    text = changed("{affine: {bits: 4, group-size: 32}}", "{affine: {bits: 3, group-size: 64}}")
    sources = {name: tiny_for(name) for name in WRITTEN if name in MLX_RECIPES}
    sources = {name: source for name, source in sources.items() if source.family.name == "deepseek_v4"}
    plans = [(make_plan(load_recipe(name), source), source.config) for name, source in sources.items()]
    plans += [(make_plan(parse_recipe(text, "recipe.yaml"), tiny), tiny.config)]
    made = []
    for number in range(COUNT):
        plan, config = plans[number % len(plans)]
        rows, section = foreign.tensors_of(plan), dict(plan.overrides)
        for _ in range(0 if number < len(plans) else rng.randrange(1, 4)):
            rows, section = _spoil(rng, rows, section)
        kept = {k: v for k, v in config.items() if k != "quantization_config"}
        if "dspark_block_size" in kept:
            kept["dspark_num_layers"] = 3
        out = foreign.write(root / str(number), rows, {**kept, "quantization": section})
        jang = {"weight_format": "affine", "quantization": {"group_size": section.get("group_size", 64)}}
        (out / "jang_config.json").write_text(json.dumps(jang if rng.random() < 0.7 else {}))
        made.append(out)
    return made


def _spoil(rng: random.Random, rows: list[Any], section: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """One of the ways in which bundles go wrong: names, tensors, entries."""
    keys = [key for key in section if isinstance(section[key], dict)]
    way = rng.randrange(9)
    if way == 0:
        rows = [(name.replace("layers.1.", "model.layers.1."), *rest) for name, *rest in rows]
    elif way == 1:
        pick = rng.choice(rows)[0]
        rows = [row for row in rows if row[0] != pick]
    elif way == 2:
        rows = [(re.sub(r"^model\.", "", name), *rest) for name, *rest in rows]
    elif way == 3:
        rows = [(name.replace(".mlp.switch_mlp.", ".ffn.switch_mlp."), *rest) for name, *rest in rows]
    elif way == 4 and keys:
        gone = rng.choice(keys)
        section = {k: v for k, v in section.items() if k != gone}
    elif way == 5 and keys:
        section = section | {rng.choice(keys): rng.choice((ENTRY, ENTRY | {"bits": 2, "group_size": 64}, False, True))}
    elif way == 6:
        section = {k: v for k, v in section.items() if not k.startswith(("model.", "language_model.", "lm_head"))}
    elif way == 7:
        section = {k: v for k, v in section.items() if not isinstance(v, dict)}
    else:
        layer = rng.randrange(4)
        rows = [(n, d, (*s[:-1], s[-1] // 2) if f"layers.{layer}.attn.wq_b.weight" in n else s) for n, d, s in rows]
    return rows, section


def asked(runtime: str, bundles: list[Path]) -> list[Any]:
    python = os.environ.get(PYTHON[runtime])
    if not python:
        pytest.skip(f'{PYTHON[runtime]} is not set: eval "$(sh scripts/runtimes)"')
    command = [python, str(CHILD), runtime, *map(str, bundles)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@cache
def replayed(bundle: Path) -> dict[str, Any]:
    view = open_bundle(bundle)[0]
    return {outlook.loader: outlook for outlook in outlooks(view, detect_family(dict(view.config), "config.json"))}


@pytest.mark.parametrize("runtime", LOADER)
def test_the_replay_counts_what_the_loader_counts(bundles: list[Path], runtime: str) -> None:
    """Tensors not in the model, parameters missing, shapes that differ: to the number. Where the loader does not come
    so far, the replay says that the load fails, and why."""
    for bundle, seen in zip(bundles, asked(runtime, bundles), strict=True):
        outlook = replayed(bundle)[LOADER[runtime]]
        if isinstance(seen, str):
            assert outlook.verdict == "strict load error", (bundle.name, seen, outlook)
            assert "parameters" not in outlook.why[0], (bundle.name, seen, outlook)
        else:
            counts = [outlook.counts.get(what, 0) for what in ("unexpected", "missing", "misshapen")]
            assert counts == seen, (bundle.name, outlook)
            assert outlook.verdict == ("strict load error" if any(seen) else "loads")


def test_the_bundles_are_of_every_kind(bundles: list[Path]) -> None:
    verdicts = {outlook.verdict for bundle in bundles for outlook in replayed(bundle).values()}
    assert verdicts >= {"loads", "strict load error", "random weights", "refused", "not supported"}


def test_vmlx_repairs_a_config_as_it_is_replayed(bundles: list[Path]) -> None:
    """The two passes of its own function over every bundle, entry for entry."""
    for bundle, seen in zip(bundles, asked("vmlx", bundles), strict=True):
        view = open_bundle(bundle)[0]
        group = view.json["jang_config.json"].get("quantization", {}).get("group_size", 64)
        assert vmlx_section(view.config["quantization"], view.tensors, group) == seen, bundle.name
