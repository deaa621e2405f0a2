"""`explain` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsv4recipe.cli.main import run

Captured = pytest.CaptureFixture[str]


def line_of(rule: str) -> int:
    """Returns the line of the shipped recipe q3-mixed on which a rule begins."""
    lines = (Path(__file__).parents[2] / "recipes/q3-mixed.yaml").read_text().splitlines()
    return lines.index(f"  - id: {rule}") + 1


def test_it_says_rules_bytes_entries_names_and_chain(capsys: Captured, tiny_source: Path) -> None:
    assert run(["explain", "q3-mixed", "layers.2.ffn.experts.7.w2.weight", "--source", str(tiny_source)]) == 0
    out = capsys.readouterr().out
    for line in (
        "layers.2.ffn.experts.{0-7}.w2.weight",
        "  routed-expert down, layer 2, stored as fp4, shape [8, 256, 128]",
        "  expert 7: all 8 experts of a projection become one module",
        f"  won   down-with-more-bits  shipped:q3-mixed.yaml:{line_of('down-with-more-bits')}",
        "        it also matches, but 'down-with-more-bits' comes first",
        "  affine 6-bit g128",
        "  204,800 B, 6.250 bits per weight, in model-00001-of-00001.safetensors",
        "    model.layers.2.ffn.switch_mlp.down_proj.scales  BF16 [8, 256, 1]",
        "  config.json  model.layers.2.ffn.switch_mlp.down_proj: 6-bit affine g128",
        "  group   layers.2.ffn.experts.{E}.w2",
        "  module  model.layers.2.ffn.switch_mlp.down_proj",
        "  shard   model-00001-of-00001.safetensors",
    ):
        assert line in out.splitlines()


def test_json_is_one_document(capsys: Captured, tiny_source: Path) -> None:
    assert run(["explain", "native", "mtp.0.e_proj", "--source", str(tiny_source), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["rule"], data["module"]) == (None, None)
    assert data["names"]["vmlx"] == {"path": None, "disk": {"stacked": "mtp.0.e_proj", "per-expert": "mtp.0.e_proj"}}
    assert run(["explain", "native", "nothing", "--source", str(tiny_source), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"][0]["code"] == "P040"
