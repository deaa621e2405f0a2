"""A GGUF from the hub: the local file to the byte, and continued behind what is proven without downloading it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe import build, make_plan, open_checkpoint, verify
from dsv4recipe.builder import shard
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.parents import read_parent
from tests.gguf.test_build import FAST, broken_off, continued, sha256
from tests.hub.server import COMMIT, Hub

REPO = "deepseek-ai/DeepSeek-V4-Flash"
WHOLE, RANGES = 60_000_000, 1_500_000


@pytest.mark.parametrize("limit", [WHOLE, RANGES])
def test_a_gguf_from_the_hub_is_the_local_file_also_when_it_was_broken_off(
    hub: Hub,
    tiny_256_source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    monkeypatch.setattr(shard, "EXTENT", 1 << 17)
    recipe = parse_recipe(FAST, "r.yaml", read_parent)
    known = open_checkpoint(tiny_256_source, f"{REPO}@{COMMIT}")
    local = build(make_plan(recipe, known), known, tmp_path / "local.gguf")
    hub.add(REPO, tiny_256_source)
    checkpoint = open_checkpoint(f"hf://{REPO}")
    plan = make_plan(recipe, checkpoint)
    out = tmp_path / "hub.gguf"
    scratch = {"scratch": limit, "scratch_dir": tmp_path}
    broken_off(plan, checkpoint, out, 120, **scratch)
    broken_off(plan, checkpoint, out, 60, **scratch)
    hub.forget()
    there, _ = continued(plan, checkpoint, out, **scratch)
    assert there > local.stat().st_size * 0.8
    assert hub.bytes_of(".safetensors") < checkpoint.folder.bytes * 0.3
    assert sha256(out) == sha256(local)
    assert verify(out, f"hf://{REPO}", scratch=limit, scratch_dir=tmp_path).ok
