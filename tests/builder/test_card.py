"""Front matter that every YAML reader takes for the same text, and licences as the hub knows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe import load_recipe, make_plan
from dsv4recipe.advice.fit import machines
from dsv4recipe.builder.card import card
from dsv4recipe.builder.front_matter import front_matter
from dsv4recipe.builder.side import side_files
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.hub.licenses import known_licenses
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.scalars import resolve
from tests.recipes import SOUND, changed

ODD = ("0731", "null", "on", "no", "y", "N", "1e3", "0o17", "08", "1_000", "2:30", "2026-01-01", "0x1F", "1.5", "true",
       ".inf", "3_6", "12e03")  # fmt: skip


def read(text: str) -> dict[str, Any]:
    """The front matter of a card as a reader of YAML 1.1 takes it."""
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def card_of(planned: Callable[[str], Plan], files: tuple[str, ...] = (), **fields: str) -> str:
    text = SOUND
    for name, value in fields.items():
        old = next(line for line in SOUND.splitlines() if line.startswith(f"{name}: "))
        text = changed(old, f'{name}: "{value}"', text)
    return card(planned(text), "mlx", "recipe: 1\n", files)


@pytest.mark.parametrize("name", [name for name in ODD if name[0] != "." and ":" not in name])
def test_a_name_that_yaml_reads_otherwise_stays_text(planned: Callable[[str], Plan], name: str) -> None:
    made = card_of(planned, name=name)
    assert read(made)["tags"][-1] == name
    bare = [line.removeprefix("- ") for line in made.splitlines() if line.startswith("- ")]
    assert bare[-1] == f"'{name}'"


def test_an_ordinary_card_has_no_quotes(planned: Callable[[str], Plan]) -> None:
    front = card_of(planned).split("---\n")[1]
    assert front == (
        "license: mit\nlibrary_name: mlx\npipeline_tag: text-generation\n"
        "tags:\n- mlx\n- 4-bit\n- quantized\n- dsv4recipe\n- vmlx\n- sound\n"
    )


def test_a_card_says_how_it_is_run_where_and_what_nobody_checked(tiny: Checkpoint) -> None:
    made = {name: side_files(make_plan(load_recipe(name), tiny), tiny)["README.md"].decode() for name in COMMANDS}
    for name, commands in COMMANDS.items():
        shown = [line.removeprefix("$ ") for line in made[name].splitlines() if line.startswith("$ python")]
        assert shown == commands
        assert "| 64 GB | yes | " in made[name]
        assert "Computed, not tried" in made[name]
        assert "* Quality: not measured. `dsv4recipe evaluate`" in made[name]
        assert "* Answers: a build asks nothing." in made[name]
    assert "| vmlx | 1.6.81 | yes |" in made["universal"]
    assert "| vmlx | 1.6.81 | not made for it |" in made["native"]
    assert "Exact, with the source's very values: routed-expert, " in made["universal"]
    assert ["Metal kernel" in text for text in made.values()] == [False, False, True, False]
    assert "No server of `mlx-lm-fork` is known" in made["q3-mixed"]


VMLX = "python -m vmlx_engine.cli serve BUNDLE --host 127.0.0.1 --port 8000 --enable-auto-tool-choice"
MLX_VLM = "python -m mlx_vlm.server --model BUNDLE --host 127.0.0.1 --port 8000"
RAPID = "python -m rapid_mlx.cli serve BUNDLE --host 127.0.0.1 --port 8000 --yes"
COMMANDS = {"universal": [VMLX, MLX_VLM, RAPID], "native": [MLX_VLM, RAPID], "jangtq2": [VMLX], "q3-mixed": []}
"""Those that the tests of `ask` start."""


def test_the_config_names_the_half_type_of_the_bytes(tiny: Checkpoint) -> None:
    for name, half in (("q4q8", "float16"), ("universal", "bfloat16")):
        config = json.loads(side_files(make_plan(load_recipe(name), tiny), tiny)["config.json"])
        assert config["torch_dtype"] == half


def test_a_card_tells_of_macs_that_are_too_small(tiny: Checkpoint) -> None:
    plan = make_plan(load_recipe("universal"), tiny)
    fits = [replace(each, weights=80 << 30) for each in machines(plan, tiny)]
    assert [line.split(" | ")[1] for line in card(plan, "mlx", "", fits=fits).splitlines() if " GB | " in line] == [
        "no", "no", "yes", "yes", "yes", "yes",
    ]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=12)), max_size=4), st.text(max_size=12))
def test_every_text_is_read_back_by_both_yamls(tags: list[str], name: str) -> None:
    made = front_matter({"license": name, "tags": tags})
    assert read(made + "\n") == {"license": name, "tags": tags}
    for line in made.splitlines():
        value = line.removeprefix("- ")
        if line.startswith("- ") and value and value[0] not in "'\"":
            assert resolve(value) == value


@pytest.mark.parametrize(
    ("name", "files", "wanted"),
    [
        ("mit", (), {"license": "mit"}),
        ("MIT", (), {"license": "mit"}),
        ("no", (), {"license": "other", "license_name": "no", "license_link": "https://huggingface.co/deepseek-ai/DeepSeek-V4-Flash"}),
        ("deepseek", ("LICENSE",), {"license": "other", "license_name": "deepseek", "license_link": "LICENSE"}),
        ("other", ("LICENSE",), {"license": "other", "license_link": "LICENSE"}),
        ("gemma-2", ("LICENSE.txt",), {"license": "other", "license_name": "gemma-2", "license_link": "LICENSE.txt"}),
    ],
)  # fmt: skip
def test_a_licence_is_one_that_the_hub_knows_or_other_with_name_and_link(
    planned: Callable[[str], Plan], name: str, files: tuple[str, ...], wanted: dict[str, str]
) -> None:
    found = read(card_of(planned, files, license=name))
    assert {key: value for key, value in found.items() if key.startswith("license")} == wanted


def test_the_list_is_that_of_the_hub() -> None:
    assert {"mit", "apache-2.0", "openrail++", "llama3.3", "other", "unknown"} <= known_licenses()
    assert all(name == name.lower().strip() for name in known_licenses())
