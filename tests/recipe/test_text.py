"""YAML 1.2 core values, the traps of YAML 1.1, and hostile texts in bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.errors import Problems, RecipeError
from dsv4recipe.recipe import parse_recipe
from dsv4recipe.recipe.nodes import plain, refuse
from dsv4recipe.recipe.text import parse_text


def read(text: str) -> Any:
    problems = Problems()
    node = parse_text(text, "r.yaml", problems)
    refuse(problems)
    return plain(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3_6", "3_6"),
        ("mixed_3_6", "mixed_3_6"),
        ("no", "no"),
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("2:30", "2:30"),
        ("1:1:1", "1:1:1"),
        ("2026-11-20", "2026-11-20"),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1.10", 1.1),
        ("0.10", 0.1),
        (".5", 0.5),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("[0-2, 7]", ["0-2", 7]),
        ("'017'", "017"),
        ('"6e763230"', "6e763230"),
        ("=", "="),
        ("layers.*.w1", "layers.*.w1"),
        ("a#b", "a#b"),
        ("two words", "two words"),
        ("[a, ]", ["a"]),
        ("6e763230a9d263eca2023f1d4a5ce1bfe126cf48", "6e763230a9d263eca2023f1d4a5ce1bfe126cf48"),
    ],
)
def test_core_schema(text: str, value: Any) -> None:
    got = read(f"key: {text}")["key"]
    assert got == value
    assert type(got) is type(value)


def test_words_as_keys_stay_words() -> None:
    assert list(read("on: 1\nno: 2\n7: 3\n2026-11-20: 4\nnull: 5\n")) == ["on", "no", "7", "2026-11-20", "null"]


@pytest.mark.parametrize(
    "text", ["\ufeffkey: 1\n", "key: 1\r\n", "key: 1\r", "---\nkey: 1\n", "key: 1\n...\n", "\n\nkey: 1"]
)
def test_byte_order_mark_line_ends_and_document_marks(text: str) -> None:
    assert read(text) == {"key": 1}


def test_positions_count_characters_from_one() -> None:
    problems = Problems()
    root = parse_text('a: 1\r\nblock:\r\n  - "é": [𝛑, "q u"]\r\n', "r.yaml", problems)
    entry = root.entry("block")
    assert entry is not None
    item = entry.node.items[0].entries[0]  # type: ignore[union-attr]
    assert (item.where.line, item.where.column, item.where.length) == (3, 5, 3)
    quoted = item.node.items[1]  # type: ignore[union-attr]
    assert (quoted.where.line, quoted.where.column, quoted.where.length) == (3, 14, 5)
    assert quoted.where.text == '  - "é": [𝛑, "q u"]'


HOSTILE = {
    "deep list": ("[" * 1000, "R006"),
    "deeper list": ("[" * 4000, "R006"),
    "deepest list": ("[" * 100_000, "R006"),
    "deep lines": ("[\n" * 40_000, "R006"),
    "deep mapping": ("{a: " * 1000, "R006"),
    "deep block": ("- " * 1000, "R006"),
    "deep keys": ("? " * 1000, "R006"),
    "ten megabytes": ("a: b\n" * 2_000_000, "R006"),
    "ten megabytes of wide text": ("専" * 900_000, "R006"),
    "one long line": ("a: " + "x" * 900_000, "R006"),
    "many lines": ("\n" * 900_000, "R006"),
    "laughs": ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "R003"),
    "merge": ("base: 1\n<<: {a: 1}\n", "R003"),
    "binary": ("a: !!binary aGk=\n", "R003"),
    "object": ("a: !!python/object/apply:os.system [ls]\n", "R003"),
    "big escape": ('a: "\\UFFFFFFFF"\n', "R002"),
    "half a pair": ('a: "\\ud800"\n', "R005"),
    "a lone half": ("a: \ud800\n", "R005"),
    "nul": ("a: \0\n", "R005"),
    "escape character": ("a: \x1b[31m\n", "R005"),
    "inner byte order mark": ("a: 1\nb: \ufeff2\n", "R005"),
    "digits": ("a: " + "9" * 4000, "R007"),
    "hex digits": ("a: 0x" + "f" * 4000, "R007"),
    "exponent": ("a: 1e" + "9" * 30, "R007"),
    "stars": ("a: " + "*a" * 2000, "R003"),
    "quotes": ('"a" ' * 1000, "R002"),
    "backslashes": ('a: "' + "\\" * 4001, "R002"),
    "tabs": ("a:" + "\t" * 4000 + "1", "R002"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_quickly(name: str) -> None:
    text, code = HOSTILE[name]
    read("warm: up")
    start = time.process_time()
    with pytest.raises(RecipeError) as error:
        read(text)
    spent = time.process_time() - start
    assert error.value.diagnostics[0].code == code
    assert spent < 0.1
    assert len(str(error.value)) < 2000


def test_a_long_line_is_cut_around_the_caret() -> None:
    with pytest.raises(RecipeError) as error:
        read("a: [" + "x, " * 500 + "07" + ", y" * 500 + "]")
    lines = str(error.value).splitlines()
    assert lines[1] == "  --> r.yaml:1:1505"
    assert len(lines[3]) < 120
    assert lines[3][lines[4].index("^") :].startswith("07")


def test_the_caret_stands_under_wide_characters() -> None:
    with pytest.raises(RecipeError) as error:
        read('{"専門": 1, b: 07}')
    source, caret = str(error.value).splitlines()[3:5]
    # each of the two wide characters takes two columns of a terminal
    assert caret.index("^") == source.index("07") + 2


@pytest.mark.parametrize("text", ["case #1", "case #", "case  # words", "[a, b] #c", '"quoted" #c', "| #c\n  x"])
def test_a_comment_is_only_refused_where_it_may_be_text(text: str) -> None:
    if text == "case #1":
        with pytest.raises(RecipeError, match="would be lost"):
            read(f"name: {text}")
    else:
        read(f"name: {text}\n") if "|" not in text else read(f"note: {text}\n")


ALPHABET = st.sampled_from(
    ["a", "b: ", "c", " ", "  ", "\n", "\n  ", "\n    ", "- ", ": ", ":", "#", " #", "[", "]", "{", "}", ", ", ",", "?",
     "? ", "'", '"', "''", "\\", "\\n", "|", ">", "|\n", "-", "---", "...", "---\n", "\t", "0", "1.5", "~",
     "é", "専", "@", "`", "%"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(ALPHABET, max_size=40).map("".join)))
def test_parse_is_total_on_any_text(text: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "r.yaml")
    assert all(found.code.startswith("R0") for found in error.value.diagnostics)
    assert str(error.value)
