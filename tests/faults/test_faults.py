"""Kills, failing calls, power cuts, damage and long runs, in small numbers. Large: docs/explanation/reliability.md."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsv4recipe.errors import RecipeError
from dsv4recipe.files.readback import DamagedError, ReadBack, Span, Written, hash_of, span
from tests.faults import damage, power
from tests.faults.calls import FAULTS, Calls, count_calls, failing, instead_of_os, one_fault, quick
from tests.faults.fuzz_headers import CORPUS, check, fuzz
from tests.faults.soak import soak
from tests.faults.world import World, impatient, make_world, partial


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two shards."""
    return make_world(tmp_path_factory.mktemp("small"), "1MB", layers=1, experts=2)


def test_fifty_kills_do_no_harm() -> None:
    """In a process of its own: forks do not go well with whatever the test process has loaded."""
    command = [sys.executable, "-m", "tests.faults.kill", "--kills", "50", "--seed", str(os.getpid())]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    counts = re.match(r"50 kills .* builds of (\d+) shards finished.*at most (\d) shards lost", run.stdout)
    assert counts
    assert int(counts[1]) >= 64
    assert int(counts[2]) <= 2


@pytest.mark.parametrize("part", range(4))
def test_every_call_may_fail(small: World, memory: Path, part: int) -> None:
    """Each file-system call of a build fails once, the kinds of fault in turn; the next build mends it."""
    total = count_calls(small, memory / "count")
    assert total > 400
    kinds = list(FAULTS)
    for place in range(1 + part, total + 1, 4):
        fault = kinds[(place // 4 + part) % len(kinds)]
        for_good = place % 7 == 0
        try:
            outcome = one_fault(small, memory / "out", place, fault, for_good)
        except Exception as error:
            raise AssertionError(f"call {place}, {fault}{', for good' * for_good}: {error}") from error
        if fault == "short":
            assert outcome == "done"
        assert outcome in ("done", "B010", "B011", "B013", "B032"), (place, fault, outcome)


def on_fsync_of(words: str, times: int) -> Calls:
    """Calls of which the first `times` fsyncs of a file whose name holds `words` fail and lose the file's data."""
    names: dict[int, str] = {}
    left = times

    def on_call(number: int, name: str, real: object, arguments: tuple[object, ...]) -> object:
        nonlocal left
        if name == "fsync" and words in names.get(arguments[0], "") and left:  # type: ignore[call-overload]
            left -= 1
            return failing(1, "EIO").fsync(*arguments)
        result = real(*arguments)  # type: ignore[operator]
        if name == "open":
            names[result] = os.fspath(arguments[0])  # type: ignore[call-overload]
        return result

    return Calls(on_call)


@pytest.mark.parametrize("file", ["model-00002", ".config.json.", "manifest"])
def test_a_failed_fsync_is_answered_by_writing_anew_and_never_by_believing_a_second_one(
    small: World, tmp_path: Path, file: str
) -> None:
    with instead_of_os(on_fsync_of(file, 1)):
        small.build(tmp_path / "out")
    small.check_finished(tmp_path / "out")


def test_two_failed_fsyncs_end_the_build_with_path_and_reason(small: World, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught, instead_of_os(on_fsync_of("model-00002", 2)):
        small.build(tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("B011", "Input/output error while flushing for the second time")
    assert "model-00002" in found.where.file
    assert [p.name for p in partial(tmp_path / "out").glob("*model*")] == ["model-00001-of-00002.safetensors"]
    small.build(tmp_path / "out")
    small.check_finished(tmp_path / "out")


@pytest.mark.parametrize("bit", [3, 100_000])
def test_a_byte_that_changes_on_its_way_to_the_disk_is_found(small: World, tmp_path: Path, bit: int) -> None:
    """A bit of the shard's header, and one of its data, differ between what was encoded and what is on disk."""

    def on_call(number: int, name: str, real: object, arguments: tuple[object, ...]) -> object:
        if name == "fsync" and os.fstat(arguments[0]).st_size > 500_000:  # type: ignore[call-overload]
            byte = os.pread(arguments[0], 1, bit)  # type: ignore[call-overload]
            os.pwrite(arguments[0], bytes([byte[0] ^ 1]), bit)  # type: ignore[call-overload]
        return real(*arguments)  # type: ignore[operator]

    with pytest.raises(RecipeError, match="are not those that were written") as caught, instead_of_os(Calls(on_call)):
        small.build(tmp_path / "out")
    assert caught.value.diagnostics[0].code == "B013"
    assert not list(partial(tmp_path / "out").glob("*model*"))


def test_what_was_written_must_fill_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    handle = os.open(path, os.O_RDONLY)

    def read_back(*spans: Span) -> tuple[int, str]:
        written, found = Written(), ReadBack(handle)
        written.add(spans)
        found.check(written.take_all())
        return found.end()

    assert read_back(span(b"def", 3), span(b"abc", 0)) == hash_of(path) == (6, hashlib.sha256(b"abcdef").hexdigest())
    for spans, words in (
        ([span(b"abc", 0)], "the file continues after byte 3"),
        ([span(b"abc", 0), span(b"ef", 4)], "never written, or written twice"),
        ([span(b"abcd", 0), span(b"def", 3)], "never written, or written twice"),
        ([span(b"abc", 0), span(b"defg", 3)], "bytes 3 to 7 are not those"),
        ([span(b"abc", 0), span(b"dxf", 3)], "bytes 3 to 6 are not those"),
    ):
        with pytest.raises(DamagedError, match=words):
            read_back(*spans)
    os.close(handle)


def test_a_growing_file_is_read_back_in_steps(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    written = Written()
    with path.open("rb") as stream:
        found = ReadBack(stream.fileno())
        written.add([span(b"cd", 2)])
        assert (written.together, written.take()) == (0, [])
        written.add([span(b"ab", 0)])
        assert written.together == 4
        found.check(written.take())
        assert (found.position, written.take()) == (4, [])
        written.add([span(b"ef", 4)])
        found.check(written.take_all())
        assert found.end() == hash_of(path)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: what is simulated needs no drive."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def steps(small: World, tmp_path_factory: pytest.TempPathFactory) -> list[power.Step]:
    return power.record(small, tmp_path_factory.mktemp("recorded"))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_power_cut_costs_no_byte(small: World, steps: list[power.Step], memory: Path, seed: int) -> None:
    assert power.cut(small, memory, steps, 60, seed) == 60


@pytest.mark.parametrize("of", ["model-0", ".config.json.", "manifest", "folder", "above", "plan.json"])
def test_a_forgotten_fsync_is_noticed(small: World, steps: list[power.Step], memory: Path, of: str) -> None:
    """The test above would hold for a builder that syncs nothing, if it could not see this."""
    forgotten = power.without_fsync(steps, of)
    since = 0 if of == "plan.json" else len(forgotten) - 4
    with pytest.raises(AssertionError, match="power cut after step"):
        power.cut(small, memory, forgotten, 60, seed=1, since=since)


@pytest.mark.parametrize(("kind", "times"), [("flip", 400), *((kind, 80) for kind in damage.KINDS if kind != "flip")])
def test_all_damage_is_found(small: World, memory: Path, kind: str, times: int) -> None:
    bundle = Path(shutil.copytree(small.whole, memory / "bundle"))
    assert damage.damage(bundle, kind, times, seed=1) == times


def test_every_bit_of_the_manifest_counts(small: World, memory: Path) -> None:
    """The manifest vouches for all other files; nothing but itself can vouch for it."""
    bundle = Path(shutil.copytree(small.whole, memory / "bundle"))
    path = bundle / "dsv4recipe.manifest.json"
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 101):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert not damage.check_integrity(bundle).ok, f"bit {bit}: {whole[bit // 8 - 20 : bit // 8 + 20]!r}"


def test_interrupted_builds_in_a_row_leak_nothing(small: World, memory: Path) -> None:
    with impatient(), instead_of_os(quick()):
        result = soak(small, memory, 24, seed=1)
    assert result.interrupted > 10
    assert (result.temporaries, result.descriptors, result.threads) == (0, 0, 0)
    assert result.memory_after - result.memory_before < 30_000_000


def test_fuzzed_headers_are_refused_or_read_as_safetensors_reads_them() -> None:
    assert fuzz(20_000, seed=1) > 300


def test_the_corpus_says_what_is_sound() -> None:
    """A file's name says whether it is one; at least the eight sound ones written by hand are read."""
    taken = {path.name for path in CORPUS.iterdir() if check(path.read_bytes())}
    named = {path.name for path in CORPUS.iterdir() if path.name.startswith("sound-")}
    assert taken == named
    assert len(named) >= 8
    assert all(path.name.startswith(("sound-", "refused-")) for path in CORPUS.iterdir())
