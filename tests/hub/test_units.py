"""What is downloaded at a time: each read in one unit, never more in the scratch than it holds, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe import RecipeError, open_checkpoint
from dsv4recipe.checkpoint.hub_source import HubSource
from dsv4recipe.hub.scratch import Scratch
from dsv4recipe.hub.stream import Stream
from dsv4recipe.hub.units import BLOCK, Read, cut, peak
from tests.hub.server import Hub

SIZES = st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=30)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[list[Read]], dict[str, int]]:
    """Files cut into reads without a gap, some left out, in any order, one or two to a step."""
    reads: list[Read] = []
    sizes = {}
    for number, lengths in enumerate(draw(st.lists(SIZES, min_size=1, max_size=4))):
        end = 0
        for length in lengths:
            reads.append((f"f{number}", end, end + length))
            end += length
        sizes[f"f{number}"] = end
    kept = draw(st.permutations(reads))[: draw(st.integers(1, len(reads)))]
    pairs = draw(st.integers(1, 2))
    return [list(kept[at : at + pairs]) for at in range(0, len(kept), pairs)], sizes


@given(orders(), st.integers(1, 200 * BLOCK))
def test_every_read_lies_in_one_unit_and_the_scratch_is_enough(
    order: tuple[list[list[Read]], dict[str, int]], limit: int
) -> None:
    steps, sizes = order
    try:
        units = cut(steps, sizes, limit)
    except RecipeError as error:
        (found,) = error.diagnostics
        least = int(found.hint.split()[-1].removesuffix("B"))
        alone = max(sum(-(-(end - start) // BLOCK) * BLOCK for _, start, end in step) for step in steps)
        assert least == alone > limit
        assert peak(cut(steps, sizes, least)) <= least
        return
    assert peak(units) <= limit
    assert [unit.first for unit in units] == sorted(unit.first for unit in units)
    for number, step in enumerate(steps):
        for file, start, end in step:
            (unit,) = [u for u in units if u.file == file and u.start < end and start < u.end]
            assert unit.start <= start < end <= unit.end
            assert unit.first <= number <= unit.last
    assert sum(unit.reads for unit in units) == sum(map(len, steps))


def test_a_build_that_only_has_to_be_closed_downloads_nothing() -> None:
    assert cut([], {"f": 10}, 0) == []


def test_a_range_is_read_again_after_it_was_given_up(hub: Hub, tiny_source: Path, tmp_path: Path) -> None:
    hub.add("org/repo", tiny_source)
    source = open_checkpoint("hf://org/repo").folder.source
    assert isinstance(source, HubSource)
    name = "model-00002-of-00007.safetensors"
    steps = [[(name, 5_000, 9_000)], [(name, 9_000, 9_500)]]
    with Stream(source.repository, steps, Scratch(tmp_path, BLOCK)) as stream:
        wanted = (tiny_source / name).read_bytes()
        for file, start, end in (steps[0][0], steps[1][0], steps[0][0]):
            found = bytearray(end - start)
            stream.read(file, start, memoryview(found))
            assert found == wanted[start:end]


def test_a_scratch_that_the_disk_refuses(hub: Hub, tiny_source: Path, tmp_path: Path) -> None:
    hub.add("org/repo", tiny_source)
    source = open_checkpoint("hf://org/repo").folder.source
    assert isinstance(source, HubSource)
    read = ("model-00002-of-00007.safetensors", 5_000, 9_000)
    with (
        Stream(source.repository, [[read]], Scratch(tmp_path / "nowhere", 1 << 20)) as stream,
        pytest.raises(RecipeError) as caught,
    ):
        stream.read(read[0], read[1], memoryview(bytearray(4_000)))
    assert [found.code for found in caught.value.diagnostics] == ["H011"]
