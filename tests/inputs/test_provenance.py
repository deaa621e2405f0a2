"""Origin is claimed where it is known, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run

FLASH = "deepseek-ai/DeepSeek-V4-Flash"
PINNED, OTHER = "6e763230a9d263eca2023f1d4a5ce1bfe126cf48", "0123456789abcdef0123456789abcdef01234567"


def card_of(checkpoint: Checkpoint) -> str:
    return side_files(make_plan(load_recipe("q4q8"), checkpoint), checkpoint)["README.md"].decode()


def test_a_folder_of_unknown_origin_is_called_that(tiny: Checkpoint, q4q8_bundle: Path) -> None:
    card = card_of(tiny)
    assert "base_model" not in card
    assert PINNED not in card.partition("## The recipe")[0]
    assert f"the recipe was written for {FLASH}; the origin of the folder that it was applied to is not known" in card
    source = json.loads((q4q8_bundle / "dsv4recipe.manifest.json").read_text())["source"]
    assert (source["model"], source["revision"]) == ("", "")


def test_a_snapshot_of_the_cache_and_the_user_are_believed(source_copy: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--deepseek-ai--DeepSeek-V4-Flash" / "snapshots" / PINNED
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(source_copy, snapshot)
    cached = card_of(open_checkpoint(snapshot))
    assert f"base_model: {FLASH}\nbase_model_relation: quantized\n" in cached
    assert f"at revision `{PINNED}`" in cached
    assert card_of(open_checkpoint(source_copy, f"{FLASH}@{PINNED}")) == cached
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(snapshot, "somebody/else")
    assert caught.value.diagnostics[0].code == "C064"


def test_a_contradicting_pin_is_refused_by_plan(source_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "q4q8", "--source", str(source_copy), "--base-model"]
    assert run([*words, f"{FLASH}@{OTHER}"]) == 1
    assert "P006" in capsys.readouterr().err
    assert run([*words, f"me/my-tune@{OTHER}"]) == 0  # the pin is of another repository
    assert "q4q8 on my-tune at 0123456789ab for vmlx" in capsys.readouterr().out


def test_the_word_of_the_sources_own_card_is_told_as_its_word(source_copy: Path) -> None:
    text = f"---\nlicense: apache-2.0\nbase_model:\n- {FLASH}\n---\n# A fine-tune\n"
    (source_copy / "README.md").write_text(text, encoding="utf-8")
    card = card_of(open_checkpoint(source_copy))
    assert card.startswith(f"---\nlicense: apache-2.0\nlibrary_name: mlx\nbase_model: {FLASH}\npipeline_tag")
    assert "a folder whose own card says that it was made from" in card
