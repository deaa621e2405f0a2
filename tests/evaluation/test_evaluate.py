"""`evaluate`, from the command line to the evidence file, on the yardstick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.api.evaluate import Wishes, evaluate
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.evaluation.evidence import check_evidence, load_evidence
from dsv4recipe.forward import needs
from dsv4recipe.forward.run import Pass
from tests.measuring import YARDSTICK, needs_torch

pytestmark = needs_torch
SOURCE = YARDSTICK / "checkpoint"
DEV = YARDSTICK / "dev.npy"
SMALL = Wishes(length=128, tokens=768)


@pytest.fixture(scope="module")
def yardstick() -> Checkpoint:
    return open_checkpoint(SOURCE)


@pytest.fixture(scope="module")
def q4q8() -> dict[str, Any]:
    return evaluate("q4q8", SOURCE, text=[DEV], wishes=SMALL)


def test_two_bits_lose_more_than_four(q4q8: dict[str, Any]) -> None:
    """Bounds around what was measured on 10,240 tokens: KL 0.0024 and 0.086, same top token 97.3 and 81.3 %."""
    jangtq2 = evaluate("jangtq2", SOURCE, text=[DEV], against="q4q8", wishes=SMALL)
    assert q4q8["tokens"] == 6 * 127
    assert 2.2 < q4q8["against"]["nll"] < 3.2
    assert 0.0012 < q4q8["kl"]["mean"] < 0.005
    assert 0.05 < jangtq2["to_source"]["a"]["kl"]["mean"] < 0.14
    assert jangtq2["to_source"]["b"]["kl"] == q4q8["kl"]
    assert jangtq2["to_source"]["kl_difference"]["interval"][0] > 0
    assert jangtq2["same_top"] < 0.9 < q4q8["same_top"]
    assert jangtq2["against"]["nll"] == q4q8["nll"]


def test_the_source_loses_nothing_against_itself() -> None:
    found = evaluate(SOURCE, SOURCE, text=[DEV], wishes=Wishes(length=64, tokens=128))
    assert found["kl"]["max"] == 0
    assert found["same_top"] == 1
    assert found["delta_nll"] == 0


def test_a_bundle_is_measured_as_its_plan(q4q8: dict[str, Any], yardstick: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), yardstick)
    bundle = build(plan, yardstick, tmp_path / "bundle")
    found = evaluate(bundle, SOURCE, text=[DEV], wishes=SMALL)
    assert {key: found[key] for key in ("nll", "kl", "same_top")} == {
        key: q4q8[key] for key in ("nll", "kl", "same_top")
    }
    assert found["a"]["plan"] == q4q8["a"]["plan"] == plan.digest


def test_parts_are_measured_alone(q4q8: dict[str, Any]) -> None:
    found = evaluate("q4q8", SOURCE, text=[DEV], wishes=Wishes(length=128, tokens=768, by="role"))
    assert {key: found[key] for key in ("nll", "kl")} == {key: q4q8[key] for key in ("nll", "kl")}
    parts = {part["part"]: part for part in found["by"]["parts"]}
    assert {"routed-expert", "attention", "lm-head", "embedding", "shared-expert"} <= set(parts)
    assert max(parts, key=lambda name: parts[name]["kl"]["mean"]) == "routed-expert"
    alone = sum(part["kl"]["mean"] for part in parts.values())
    assert 0.7 < alone / found["kl"]["mean"] < 1.4


def test_a_killed_evaluation_goes_on_with_the_same_digits(
    q4q8: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = Wishes(length=128, tokens=768, work=tmp_path / "work", every=0)
    step = Pass.step
    left = [9]

    def dies(self: Pass, *arguments: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        step(self, *arguments)

    monkeypatch.setattr(Pass, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate("q4q8", SOURCE, text=[DEV], wishes=wishes)
    seen: list[tuple[str, int]] = []
    again = evaluate(
        "q4q8", SOURCE, text=[DEV], wishes=wishes, told=lambda what, done, total: seen.append((what, done))
    )
    assert ("a", 0) not in seen
    assert again == q4q8


def test_answers_are_counted_as_greedy_decoding_gives_them(tmp_path: Path) -> None:
    held = json.loads((YARDSTICK / "pairs.json").read_text())["held"][:12]
    sums = tmp_path / "sums.jsonl"
    turns = [[("user", f"What is {a}+{b}?"), ("assistant", str(a + b))] for a, b in held]
    turns.append([("user", "What is 17+28?"), ("assistant", "46")])
    lines = [json.dumps([{"role": role, "content": text} for role, text in turn]) for turn in turns]
    sums.write_text("\n".join(lines))
    found = evaluate(SOURCE, SOURCE, text=[sums])
    assert found["answers"] == {"chats": 13, "exact": 12}


def test_the_evidence_names_what_it_was_measured_on(yardstick: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "quality.json"
    command = ["evaluate", "q4q8", "--source", str(SOURCE), "--text", str(DEV), "--length", "64", "--tokens", "256"]
    assert run([*command, "-o", str(out)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["quality.json"]
    evidence = load_evidence(out)
    assert {"tokens", "nll", "perplexity", "kl", "same_top", "against", "source", "text", "a"} <= set(evidence.data)
    for words in ("KL 0.00", "252 tokens of dev.npy", "measured on checkpoint", "reference implementation"):
        assert words in evidence.sentence
    check_evidence(evidence, make_plan(load_recipe("q4q8"), yardstick), out)
    with pytest.raises(RecipeError, match="M031"):
        check_evidence(evidence, make_plan(load_recipe("jangtq2"), yardstick), out)
    first = out.read_bytes()
    assert run([*command, "-o", str(out)]) == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize("spoiled", ["[1]", "{}", '{"kind": "quality", "format_version": 1, "a": {}, "kl": {}}'])
def test_what_is_no_evidence_is_refused(spoiled: str, tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text(spoiled)
    with pytest.raises(RecipeError, match="M030"):
        load_evidence(path)


def test_too_little_memory_and_disk_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(needs, "available_memory", lambda: 1 << 20)
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1})())
    monkeypatch.setattr(Pass, "step", lambda *_: pytest.fail("it began"))
    with pytest.raises(RecipeError) as caught:
        evaluate("q4q8", SOURCE, text=[DEV], wishes=Wishes(length=128, tokens=768, work=tmp_path))
    assert {found.code for found in caught.value.diagnostics} == {"M005", "M006"}
