"""Globs: meaning against a plain dynamic program, and time on hostile patterns."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.errors import RecipeError
from dsv4recipe.recipe import compile_glob

NAMES = [
    f"layers.{layer}.ffn.experts.{expert}.w{w}.{part}"
    for layer in range(43)
    for expert in range(256)
    for w in (1, 2, 3)
    for part in ("weight", "scale")
]


@pytest.mark.parametrize(
    ("glob", "name", "hit"),
    [
        ("layers.*.w1.weight", "layers.3.ffn.experts.7.w1.weight", True),
        ("layers.*.w1.weight", "layers.3.ffn.experts.7.w1.weight.x", False),
        ("layers.?.w1", "layers.3.w1", True),
        ("layers.?.w1", "layers.33.w1", False),
        ("layers.[0-2].w1", "layers.2.w1", True),
        ("layers.[0-2].w1", "layers.3.w1", False),
        ("layers.[!0-2].w1", "layers.3.w1", True),
        ("layers.[!0-2].w1", "layers.0.w1", False),
        ("w[123]", "w2", True),
        ("a.b", "axb", False),
        ("a.b", "a.b", True),
        ("A", "a", False),
        ("*", "", True),
        ("**x**", "x", True),
        ("a*b*a", "aba", True),
        ("a*b*a", "ab", False),
        ("*ab", "aab", True),
        ("a*a", "a", False),
        ("[[]x]", "[x]", True),
        ("[]]", "]", True),
        ("[!]]", "]", False),
        ("[a^]", "^", True),
        ("[a-]", "-", True),
        ("(x|y)+$", "(x|y)+$", True),
        ("x", "x\n", False),
        ("x*", "x\ny", True),
        ("[\\d]", "1", False),
    ],
)
def test_meaning(glob: str, name: str, hit: bool) -> None:
    assert compile_glob(glob)(name) is hit


@pytest.mark.parametrize("glob", ["", "a" * 513, "[", "a[0-9", "[]", "[!]", "[9-0]", "x[a-cz-y]", "[^0-9]"])
def test_refused(glob: str) -> None:
    with pytest.raises(RecipeError) as error:
        compile_glob(glob)
    assert error.value.diagnostics[0].code == "R032"


def slow(glob: str, name: str) -> bool:
    """The textbook table: which prefixes of the name the glob read so far can match."""
    reach = {0}
    for sign in glob:
        if sign == "*":
            reach = set(range(min(reach), len(name) + 1)) if reach else set()
        else:
            reach = {at + 1 for at in reach if at < len(name) and sign in ("?", name[at])}
    return len(name) in reach


@settings(max_examples=500, deadline=None)
@given(st.text("ab.*?", min_size=1, max_size=12), st.text("ab.", max_size=16))
def test_against_the_table(glob: str, name: str) -> None:
    assert compile_glob(glob)(name) == slow(glob, name)


@pytest.mark.parametrize(
    "glob",
    [
        "*a" * 255 + "b",
        "*." * 255 + "x",
        "*e*" * 170,
        "*?" * 255 + "!",
        "*[a-z]" * 80 + "!",
        "layers." + "?" * 500,
        "*expert*expert*expert*weight*weight*!",
        "[" * 512,
        "[[]" * 170,
    ],
)
def test_hostile_globs_over_all_names(glob: str) -> None:
    start = time.process_time()
    try:
        match = compile_glob(glob)
    except RecipeError:
        assert glob == "[" * 512
    else:
        assert not any(match(name) for name in NAMES)
    # 0.1 s is the figure on an idle core; a backtracking matcher takes minutes
    assert time.process_time() - start < 0.5
