"""One suite for every registered format, and for a toy format that is one folder and one line of the registry.

Samples follow from each format's own schema: its examples, with every value that a parameter may have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import RecipeError, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats import Format, Keep, SourceTensor, registry
from dsv4recipe.formats.base import BLOCKS, Stem, wants_importance
from dsv4recipe.formats.compare import gaps
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.formats.encode import encode
from dsv4recipe.formats.kernels.compare import distance
from dsv4recipe.recipe import schema
from dsv4recipe.recipe.load import parse_recipe
from dsv4recipe.recipe.show import data_text, recipe_text_data
from tests.formats.toy.spec import Toy
from tests.recipes import SOUND, changed

from .samples import fp4, fp8, plain, weights

ROWS, COLUMNS = 16, 512
SOURCES = {
    "fp4": fp4((ROWS, COLUMNS)),
    "fp8": fp8((ROWS, COLUMNS), (8, 128)),
    "bf16": plain(weights("normal", (ROWS, COLUMNS)), "bf16"),
    "f32": plain(weights("heavy", (ROWS, COLUMNS)), "f32"),
}
CLASSES = (*registry.FORMATS, Toy)


def samples(each: type[Format]) -> Iterator[Format]:
    if each.SCHEMA is None:
        yield from map(each.from_spec, ("F32", "BF16", "F16"))
        return
    for example in each.SCHEMA["examples"]:
        yield each.from_recipe(example, "bfloat16")
        for key, values in each.SCHEMA.get("properties", {}).items():
            yield from (each.from_recipe({**example, key: value}, "bfloat16") for value in values.get("enum", ()))


FORMATS = tuple(dict.fromkeys(fmt for each in CLASSES for fmt in samples(each)))
NEEDS_MORE = ("exact", "gptq")
"""Fits that take other sources or more than weights: their own tests have those."""
CASES = [
    (fmt, stored)
    for fmt in FORMATS
    for stored in SOURCES
    if not (fmt.problem(SOURCES[stored][0]) or wants_importance(fmt) or getattr(fmt, "fit", "") in NEEDS_MORE)
]
IDS = [f"{fmt.label} {stored}" for fmt, stored in CASES]


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The line in the registry."""
    monkeypatch.setattr(registry, "FORMATS", CLASSES)
    caches = (schema._document, schema._validator)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def rows(source: SourceTensor, start: int, stop: int, *arrays: np.ndarray | None) -> tuple[SourceTensor, ...]:
    """Rows of raw bytes; 8 rows are a tile of the FP8 source."""
    piece = SourceTensor(source.stored, (stop - start, COLUMNS), source.dtype, source.tile)
    cut = [None if a is None else a.reshape(ROWS // 8, -1)[start // 8 : stop // 8].ravel() for a in arrays]
    return (piece, *cut)  # type: ignore[return-value]


def test_every_kind_has_one_class_and_cases() -> None:
    kinds = [each.KIND for each in CLASSES]
    assert len(set(kinds)) == len(kinds)
    assert {fmt.kind for fmt, _ in CASES} == set(kinds)


def test_the_published_schema_spells_formats_as_they_do() -> None:
    published = json.loads(schema.schema_text("recipe"))["definitions"]["format"]["properties"]
    assert published == registry.recipe_schema()


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: json.dumps(fmt.spec()))
def test_a_spec_leads_back(fmt: Format, with_toy: None) -> None:
    assert registry.from_spec(json.loads(json.dumps(fmt.spec()))) == fmt
    assert hash(registry.from_spec(fmt.spec())) == hash(fmt)
    with pytest.raises(ValueError, match="not a format"):
        registry.from_spec({fmt.kind: {"odd": 1}})


@pytest.mark.parametrize(("fmt", "stored"), CASES, ids=IDS)
def test_encoded_decoded_compared_and_recognised(fmt: Format, stored: str, with_toy: None) -> None:
    source, weight, scale = SOURCES[stored]
    arrays, parts = encode(fmt, source, weight, scale), fmt.parts(source)
    assert [array.nbytes for array in arrays] == [part.nbytes for part in parts]
    for array, part in zip(arrays, parts, strict=True):
        assert array.flags.c_contiguous
        assert part.dtype in BLOCKS or array.shape == part.shape
    exact, seen = decode_source(source, weight, scale), decode_parts(fmt, source, arrays)
    assert seen.dtype == np.float32
    assert seen.shape == source.shape
    error, power, most = distance(exact, seen)
    assert (error / power) ** 0.5 < fmt.error_limit()
    if fmt.lossless(source):
        assert np.array_equal(exact, seen)
    (found, _, largest), alike = gaps(fmt, source, arrays, exact)
    assert found == pytest.approx(error, rel=1e-4, abs=1e-12)
    assert largest == pytest.approx(most, rel=1e-6)
    assert alike is (True if fmt.compared else None)
    stem = Stem({part.suffix: part for part in parts}, source.shape, gguf=fmt.kind == "ggml", seed=fmt.bundle_seed or 0)
    again = registry.recognise(stem)
    assert again is not None
    assert (again.kind, again.parts(source)) == (fmt.kind, parts)


@pytest.mark.parametrize(("fmt", "stored"), CASES, ids=IDS)
def test_rows_stand_alone_unless_the_format_says_otherwise(fmt: Format, stored: str, with_toy: None) -> None:
    if fmt.whole:
        return
    source, weight, scale = SOURCES[stored]
    pieces = [encode(fmt, *rows(source, start, start + 8, weight, scale)) for start in (0, 8)]  # type: ignore[arg-type]
    for number, array in enumerate(encode(fmt, source, weight, scale)):
        assert b"".join(piece[number].tobytes() for piece in pieces) == array.tobytes()


SPELLED = tuple(dict.fromkeys(fmt for fmt, _ in CASES if not isinstance(fmt, Keep)))


@pytest.mark.parametrize("fmt", SPELLED, ids=lambda fmt: fmt.label)
def test_a_recipe_spells_it_and_shows_it_again(fmt: Format, with_toy: None) -> None:
    recipe = parse_recipe(changed("{affine: {bits: 4, group-size: 32}}", json.dumps(fmt.spec())), "recipe.yaml")
    assert recipe.rules[0].action == fmt
    again = parse_recipe(data_text(recipe_text_data(recipe)), "again.yaml")
    assert again.rules[0].action == fmt


def test_a_runtime_that_does_not_know_the_toy_refuses_it_by_name(tiny: Checkpoint, with_toy: None) -> None:
    recipe = parse_recipe(changed("{affine: {bits: 4, group-size: 32}}", "{toy: {}}"), "recipe.yaml")
    with pytest.raises(RecipeError, match="vmlx cannot run toy for routed-expert") as refused:
        make_plan(recipe, tiny)
    assert {each.code for each in refused.value.diagnostics} == {"T011"}


def test_without_its_line_the_toy_is_unknown() -> None:
    with pytest.raises(RecipeError, match='unknown format "toy"'):
        parse_recipe(changed("{affine: {bits: 4, group-size: 32}}", "{toy: {}}", SOUND), "recipe.yaml")


def test_no_other_module_asks_which_class_a_format_is() -> None:
    """But for runtimes, which are about formats that they know."""
    root = Path(registry.__file__).parents[1]
    classes = "|".join(each.__name__ for each in registry.FORMATS)
    question = re.compile(rf"isinstance\([^()]*, \(?(?:{classes})\b|case (?:{classes})\(")
    asking = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] != "runtimes"
        for line in path.read_text(encoding="utf-8").splitlines()
        if question.search(line)
    ]
    assert asking == []
