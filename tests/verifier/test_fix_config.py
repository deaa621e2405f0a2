"""`verify --fix-config`: a spoiled config comes back right, and real loaders take it; what is undecided is refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.verifier.contract.check import check_any
from dsv4recipe.verifier.contract.fix_config import mend_config
from tests.verifier.mutants import SHARD, retensor
from tests.verifier.test_replay import asked

RECIPES = {"q4q8": "jang", "q4q8-per-expert": "jang", "native": "mlx-vlm", "universal": "rapid-mlx", "jangtq2": "",
           "q3-mixed": ""}  # fmt: skip
"""Recipe → the real loader that takes its bundle strictly here."""


@pytest.fixture(scope="module")
def sound(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("fix")
    made = {name: build(make_plan(load_recipe(name), tiny), tiny, root / name) for name in RECIPES}
    for bundle in made.values():
        (bundle / "dsv4recipe.manifest.json").unlink()
    return made


def corrupt(rng: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    """Overrides lost, misspelt, of another width, without a mode; another global entry; the source's section left."""
    section = dict(config["quantization"])
    for key in [key for key in section if isinstance(section[key], dict)]:
        way = rng.randrange(6)
        entry = section.pop(key)
        if way == 1:
            section[key.replace("layers", "blocks")] = entry
        elif way == 2 and "bits" in entry:
            section[key] = {**entry, "bits": entry["bits"] + 1}
        elif way == 3:
            section[key] = {k: v for k, v in entry.items() if k != "mode"}
        elif way == 4:
            section[key] = entry
    section |= rng.choice(({"bits": 3}, {"group_size": 64}))
    return {**config, "quantization": section, "quantization_config": rng.choice(({"quant_method": "fp8"}, section))}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_corrupted_config_comes_back_right(
    sound: dict[str, Path], tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    original = json.loads((sound[recipe] / "config.json").read_text())
    fixed = []
    for number in range(3):
        bundle = Path(shutil.copytree(sound[recipe], tmp_path / str(number)))
        (bundle / "config.json").write_text(json.dumps(corrupt(random.Random(number), original)))
        assert not check_any(bundle).step.ok
        assert run(["verify", str(bundle)]) == 3
        assert "--fix-config OUT.json writes" in capsys.readouterr().out
        assert run(["verify", str(bundle), "--fix-config", str(bundle / "config.json")]) == 0
        assert "nothing else was changed" in capsys.readouterr().out
        found = check_any(bundle)
        assert found.step.findings == ()
        after = json.loads((bundle / "config.json").read_text())
        rest = {"quantization", "quantization_config"}
        assert {k: v for k, v in after.items() if k not in rest} == {k: v for k, v in original.items() if k not in rest}
        assert after["quantization"] == after["quantization_config"]
        assert list(tmp_path.glob("**/*.partial")) == []
        fixed.append(bundle)
    if RECIPES[recipe]:
        assert asked(RECIPES[recipe], fixed) == [[0, 0, 0]] * 3


def test_a_right_config_stays_and_every_runtime_that_fits_gets_its_keys(sound: dict[str, Path]) -> None:
    mended = mend_config(sound["native"])
    assert mended.changed == ()
    assert mended.runtimes == ("mlx-vlm", "rapid-mlx", "omlx")
    assert mended.config["quantization"] == json.loads((sound["native"] / "config.json").read_text())["quantization"]
    assert mend_config(sound["jangtq2"]).config["quantization"]["mxtq_bits"]["routed_expert"] == 2


def test_tensors_that_do_not_decide_are_refused_with_every_reason(sound: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(sound["q4q8"], tmp_path / "bundle"))
    wkv = "layers.2.attn.wkv"
    retensor(
        lambda t: (
            t.update({f"{wkv}.scales": t[f"{wkv}.scales"][:, ::3], "stray.weight": t["norm.weight"]})
            or t.pop("layers.1.attn.wq_a.biases")
        )
    )(bundle)
    with pytest.raises(RecipeError) as refused:
        mend_config(bundle)
    assert {finding.code for finding in refused.value.diagnostics} == {"V150"}
    said = str(refused.value)
    for stem in (wkv, "layers.1.attn.wq_a", "stray"):
        assert f"{stem}: " in said
    out = tmp_path / "out.json"
    assert run(["verify", str(bundle), "--fix-config", str(out)]) == 1
    assert not out.exists()


def test_a_stale_shard_is_no_matter_of_the_config(sound: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(sound["q4q8"], tmp_path / "bundle"))
    shutil.copyfile(bundle / SHARD, bundle / "model-00001-of-00002.safetensors")
    with pytest.raises(RecipeError) as refused:
        mend_config(bundle)
    assert {finding.code for finding in refused.value.diagnostics} == {"V021", "V024"}


@pytest.mark.parametrize("recipe", ["q4q8", "native"])
def test_what_is_marked_unquantized_is_mended_and_only_what_changed_is_counted(
    sound: dict[str, Path], tmp_path: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(sound[recipe], tmp_path / "bundle"))
    file = bundle / "config.json"
    original = json.loads(file.read_text())
    section = original["quantization"]
    entries = sorted(key for key, value in section.items() if isinstance(value, dict))
    marked = {entries[0]: False, entries[-1]: False, "model.norm": False}
    file.write_text(json.dumps(original | dict.fromkeys(("quantization", "quantization_config"), section | marked)))
    found = [finding for finding in check_any(bundle).step.findings if finding.code == "V124"]
    assert [finding.where.subject for finding in found]
    assert "marked `false`" in found[0].message
    assert run(["verify", str(bundle), "--fix-config", str(file), "--json"]) == 0
    changed = json.loads(capsys.readouterr().out)["changed"]
    assert [(each["key"], each["before"]) for each in changed] == [(entries[0], "false"), (entries[-1], "false")]
    after = json.loads(file.read_text())
    assert after["quantization"] == after["quantization_config"] == section | {"model.norm": False}
    assert check_any(bundle).step.ok
    assert mend_config(bundle).changed == ()


def test_a_twin_that_differs_is_one_change(sound: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(sound["q4q8"], tmp_path / "bundle"))
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    assert mend_config(bundle).changed == (("quantization_config", "different", "the same as quantization"),)
    (bundle / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "quantization_config"}))
    assert mend_config(bundle).changed == (("quantization_config", "absent", "the same as quantization"),)
