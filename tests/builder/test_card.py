"""Front matter that every YAML reader takes for the same text, and licences as the hub knows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe.builder.card import card
from dsv4recipe.builder.front_matter import front_matter
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
        "tags:\n- mlx\n- quantized\n- dsv4recipe\n- sound\n"
    )


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
