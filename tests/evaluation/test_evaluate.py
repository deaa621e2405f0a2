"""`evaluate`, from the command line to the evidence file, on the yardstick."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.api.evaluate import Wishes, evaluate
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.evaluation.bound import check_evidence
from dsv4recipe.evaluation.evidence import load_evidence
from dsv4recipe.evaluation.shipped import shipped_evidence
from dsv4recipe.forward import needs
from dsv4recipe.forward.run import Pass
from dsv4recipe.recipe.show import recipe_data
from tests.hub.conftest import hub
from tests.hub.server import Hub
from tests.measuring import YARDSTICK, needs_torch

__all__ = ["hub"]
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


def test_a_bundle_on_the_hub_is_measured_without_a_copy(
    q4q8: dict[str, Any], yardstick: Checkpoint, tmp_path: Path, hub: Hub
) -> None:
    hub.add("org/theirs", build(make_plan(load_recipe("q4q8"), yardstick), yardstick, tmp_path / "theirs"))
    found = evaluate("q4q8", SOURCE, text=[DEV], against="hf://org/theirs", wishes=SMALL)
    assert found["to_source"]["b"]["kl"] == q4q8["kl"]
    assert found["kl"]["max"] == 0
    assert found["b"]["name"].startswith("hf://org/theirs@")
    size = (tmp_path / "theirs" / "model-00001-of-00001.safetensors").stat().st_size
    assert 0 < hub.bytes_of("model-00001-of-00001.safetensors") < 3 * size


def test_parts_are_measured_alone(q4q8: dict[str, Any]) -> None:
    found = evaluate("q4q8", SOURCE, text=[DEV], wishes=Wishes(length=128, tokens=768, by="role"))
    assert {key: found[key] for key in ("nll", "kl")} == {key: q4q8[key] for key in ("nll", "kl")}
    parts = {part["part"]: part for part in found["by"]["parts"]}
    assert {"routed-expert", "attention", "lm-head", "embedding", "shared-expert"} <= set(parts)
    assert max(parts, key=lambda name: parts[name]["kl"]["mean"]) == "routed-expert"
    alone = sum(part["kl"]["mean"] for part in parts.values())
    assert 0.7 < alone / found["kl"]["mean"] < 1.4


def test_an_evaluation_killed_at_any_layer_goes_on_with_the_same_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = Wishes(length=64, tokens=128, work=tmp_path / "work", every=0)
    whole = evaluate("q4q8", SOURCE, text=[DEV], wishes=replace(wishes, work=None))
    assert evaluate("q4q8", SOURCE, text=[DEV], wishes=replace(wishes, work=None)) == whole
    step, left = Pass.step, [0]

    def dies(self: Pass, *arguments: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        step(self, *arguments)

    monkeypatch.setattr(Pass, "step", dies)
    for layer in range(12):  # six of the source, six of q4q8
        left[0] = layer + 1
        with pytest.raises(KeyboardInterrupt):
            evaluate("q4q8", SOURCE, text=[DEV], wishes=wishes)
        assert left[0] == 0
        seen: list[tuple[str, int]] = []
        told = lambda what, done, total: seen.append((what, done))  # noqa: B023, E731
        assert evaluate("q4q8", SOURCE, text=[DEV], wishes=wishes, told=told) == whole
        assert min(done for what, done in seen if what == "source") == min(layer, 6)
        assert min(done for what, done in seen if what == "a") == max(0, layer - 6)


def test_a_process_that_is_killed_leaves_what_the_next_one_goes_on_with(tmp_path: Path) -> None:
    wishes = Wishes(length=64, tokens=128, work=tmp_path / "work", every=0)
    program = f"""
import os, signal
from pathlib import Path
from dsv4recipe.api.evaluate import Wishes, evaluate
from dsv4recipe.forward.run import Pass
step, left = Pass.step, [10]
def dies(self, *arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, *arguments)
Pass.step = dies
evaluate("q4q8", {str(SOURCE)!r}, text=[{str(DEV)!r}],
         wishes=Wishes(length=64, tokens=128, work=Path({str(tmp_path / "work")!r}), every=0))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    seen: list[tuple[str, int]] = []
    again = evaluate(
        "q4q8", SOURCE, text=[DEV], wishes=wishes, told=lambda what, done, total: seen.append((what, done))
    )
    assert min(done for what, done in seen if what == "a") == 3
    assert again == evaluate("q4q8", SOURCE, text=[DEV], wishes=replace(wishes, work=None))


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
    for words in ("KL 0.00", "252 tokens of dev.npy", "measured on the yardstick", "reference implementation"):
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


def test_every_bad_input_is_a_coded_error_before_any_work(
    yardstick: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pass, "step", lambda *_: pytest.fail("it began"))
    (tmp_path / "short.txt").write_text("In the beginning")
    np.save(tmp_path / "beyond.npy", np.full(256, 1024))
    other = synthesize(tmp_path / "other").root
    bundle = build("q4q8", other, tmp_path / "bundle")

    def refused(subject: str | Path, *more: str, text: Path = DEV) -> str:
        command = ["evaluate", str(subject), "--source", str(SOURCE), "--text", str(text), "--length", "64", *more]
        assert run(command) in (1, 4)  # 4: something is not installed
        return capsys.readouterr().err

    assert "error[M021]" in refused("q4q8", text=tmp_path / "short.txt")
    assert "error[M022]" in refused("q4q8", text=tmp_path / "beyond.npy")
    assert "error[M012]" in refused(bundle)
    assert "error[M012]" in refused("q4q8", "--against", str(bundle))
    assert "error[M003]" in refused("q4q8", "--device", "abacus")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        assert "error[M001]" in refused("q4q8")
    with monkeypatch.context() as short:
        short.setattr(needs, "available_memory", lambda: 1 << 20)
        assert "error[M005]" in refused("q4q8")
    with monkeypatch.context() as full:
        full.setattr(needs.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1})())
        assert "error[M006]" in refused("q4q8", "--states", "1KiB")


def test_the_figures_that_ship_are_those_of_the_command() -> None:
    shipped = shipped_evidence(recipe_data(load_recipe("q4q8")))
    assert shipped is not None
    found = evaluate("q4q8", SOURCE, text=[DEV], wishes=Wishes(length=256, tokens=10240))
    assert found["text"]["digest"] == shipped.data["text"]["digest"]
    assert found["kl"]["mean"] == pytest.approx(shipped.data["kl"]["mean"], rel=1e-4)
    assert found["nll"] == pytest.approx(shipped.data["nll"], abs=1e-6)
    assert found["source"]["weights_digest"] == shipped.data["source"]["weights_digest"]
