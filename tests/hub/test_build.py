"""A streamed build is the local build, to the byte, whatever the network does; and its scratch keeps to its limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.allocation.run import Wishes, prepare
from dsv4recipe.api.lock import held_to
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.files import disk
from dsv4recipe.hub import failures, stream
from dsv4recipe.recipe.load import parse_recipe
from tests.builder.test_build import digests
from tests.builder.test_preflight import sha256_of
from tests.gguf.recipes import text_of
from tests.hub.server import COMMIT, Faults, Hub
from tests.recipes import changed

REPO = "deepseek-ai/DeepSeek-V4-Flash"
ADDRESS = f"hf://{REPO}"
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the watcher of the scratch reads /proc")
KB = 1000
MEMORY = Path("/dev/shm")
OTHER = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """The bytes of disk that this process' nameless files in `folder` take, as often as can be looked."""
    seen = [0]
    stop = threading.Event()

    def nameless() -> dict[tuple[str, int], int]:
        found = {}
        for handle in os.listdir("/proc/self/fd"):
            try:
                status = os.fstat(int(handle))
                if os.readlink(f"/proc/self/fd/{handle}").startswith(f"{folder}/") and not status.st_nlink:
                    found[handle, status.st_ino] = status.st_blocks * 512
            except OSError:
                continue
        return found

    def look() -> None:
        before: dict[tuple[str, int], int] = {}
        while not stop.is_set():
            # Looking takes time: what is there at both ends of it was there together in between.
            now = nameless()
            seen.append(sum(size for key, size in before.items() if key in now))
            before = now

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


WHOLE, RANGES, LEAST = 4_000 * KB, 600 * KB, 262_144


@pytest.mark.parametrize("limit", [WHOLE, RANGES, LEAST])
def test_a_streamed_build_is_the_local_build_and_keeps_to_its_scratch(
    hub: Hub,
    tiny_source: Path,
    q4q8_bundle: Path,
    tmp_path: Path,
    scratch: Path,
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "_PART", 300 * KB)  # several requests share a file, as they share one of gigabytes
    hub.add(REPO, tiny_source)
    hub.faults = Faults(throttle=11, reset=7)
    checkpoint = open_checkpoint(ADDRESS)
    hub.faults = Faults(throttle=11, reset=4, shorten=13, shift=17, expire=2 if limit == WHOLE else 25)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    with watched(scratch) as seen:
        out = build(plan, checkpoint, tmp_path / "out", workers=2, scratch=limit, scratch_dir=scratch)
    assert digests(out) == digests(q4q8_bundle)
    assert 0 < max(seen) <= limit
    assert list(scratch.iterdir()) == []
    assert {name for name, times in hub.faults.happened.items() if times} == {
        "throttle", "reset", "shorten", "shift", "expire",
    }  # fmt: skip


def refused(code: str, *arguments: object, **more: object) -> str:
    with pytest.raises(RecipeError) as caught:
        build(*arguments, **more)  # type: ignore[arg-type]
    assert [found.code for found in caught.value.diagnostics] == [code]
    return str(caught.value)


def test_a_scratch_too_small_for_one_expert_names_the_smallest_that_works(
    hub: Hub, tiny_source: Path, tmp_path: Path, scratch: Path
) -> None:
    hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    hub.forget()
    text = refused("H010", plan, checkpoint, tmp_path / "out", scratch=LEAST - 1, scratch_dir=scratch)
    assert f"pass at least --scratch {LEAST}B" in text
    assert not (tmp_path / "out").exists()
    assert hub.bytes_of(".safetensors") == 0


def test_a_file_with_another_digest_is_refused_before_a_byte_of_it_is_used(
    hub: Hub, source_copy: Path, tmp_path: Path, scratch: Path
) -> None:
    hub.add(REPO, source_copy)
    victim = source_copy / "model-00003-of-00007.safetensors"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    text = refused("H008", plan, checkpoint, tmp_path / "out", scratch=WHOLE, scratch_dir=scratch)
    assert "model-00003-of-00007.safetensors has the digest " in text
    assert not (tmp_path / "out").exists()
    assert list(scratch.iterdir()) == []


def test_a_build_whose_hub_goes_away_continues_with_the_same_command(
    hub: Hub, tiny_source: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(parse_recipe(changed("5GiB", "400KB"), "r.yaml"), checkpoint)
    whole = build(plan, checkpoint, tmp_path / "whole", scratch=RANGES, scratch_dir=scratch)
    done: list[str] = []

    def pull_the_plug(event: dict[str, object]) -> None:
        if event["event"] == "shard_done":
            done.append(str(event["file"]))
            hub.faults.down = len(done) >= 3

    text = refused(
        "H009",
        plan,
        checkpoint,
        tmp_path / "out",
        workers=1,
        on_event=pull_the_plug,
        scratch=RANGES,
        scratch_dir=scratch,
    )
    assert "run the same command again" in text
    assert not (tmp_path / "out").exists()
    assert len(done) >= 3
    hub.forget()
    again: list[str] = []
    build(
        plan,
        checkpoint,
        tmp_path / "out",
        workers=2,
        on_event=lambda event: again.append(str(event.get("file"))) if event["event"] == "shard_done" else None,
        scratch=RANGES,
        scratch_dir=scratch,
    )
    assert sorted(done + again) == [shard.file for shard in plan.shards]
    assert digests(tmp_path / "out") == digests(whole)


def test_an_interrupted_build_does_not_wait_for_its_downloads(
    hub: Hub, tiny_source: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FIRST_WAIT", 60.0)
    hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(load_recipe("q4q8"), checkpoint)

    def interrupt(event: dict[str, object]) -> None:
        if event["event"] == "shard_started":
            hub.faults.down = True
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build(plan, checkpoint, tmp_path / "out", workers=2, on_event=interrupt, scratch=RANGES, scratch_dir=scratch)
    assert time.monotonic() - began < 30
    assert [thread.name for thread in threading.enumerate() if thread.name == "download"] == []


def test_a_plan_of_one_commit_is_not_built_from_another(
    hub: Hub, tiny_source: Path, source_copy: Path, tmp_path: Path
) -> None:
    hub.add(REPO, tiny_source)
    plan = make_plan(load_recipe("q4q8"), open_checkpoint(ADDRESS))
    hub.add(REPO, source_copy, OTHER)
    text = refused("B002", plan, open_checkpoint(ADDRESS), tmp_path / "out")
    assert "the plan was made for another commit" in text
    assert f"--source {ADDRESS}@{COMMIT}" in text


def test_a_lock_and_unfinished_work_notice_a_branch_that_moves(
    hub: Hub, tiny_source: Path, source_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.add(REPO, tiny_source)
    loose = "".join(line for line in text_of("q4q8").splitlines(keepends=True) if "revision:" not in line)
    Path("house.yaml").write_text(loose, encoding="utf-8")
    recipe = load_recipe("house.yaml")
    assert run(["lock", "house.yaml", "--source", ADDRESS]) == 0
    checkpoint = open_checkpoint(ADDRESS)

    def interrupt(event: dict[str, object]) -> None:
        if event["event"] == "shard_done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(make_plan(recipe, checkpoint), checkpoint, tmp_path / "out", on_event=interrupt)
    hub.add(REPO, source_copy, OTHER)
    moved = open_checkpoint(ADDRESS)
    with pytest.raises(RecipeError) as caught:
        held_to("house.yaml", moved, Path("house.lock"), None)
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes[0]) == ("P050", f"~ source.revision: {COMMIT} → {OTHER}")
    text = refused("B003", make_plan(recipe, moved), moved, tmp_path / "out")
    assert f"of {REPO} at {COMMIT}" in text


def test_sums_are_held_against_what_the_hub_lists(
    hub: Hub, tiny_source: Path, q4q8_bundle: Path, tmp_path: Path
) -> None:
    hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    sums = sha256_of(tiny_source)
    assert digests(build(plan, checkpoint, tmp_path / "good", source_sha256=sums)) == digests(q4q8_bundle)
    sums["model-00003-of-00007.safetensors"] = "0" * 64
    assert "the lock has 0000000000000000…" in refused("B006", plan, checkpoint, tmp_path / "out", source_sha256=sums)


def test_a_disk_without_room_for_the_scratch(
    hub: Hub, tiny_source: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny_source)
    checkpoint = open_checkpoint(ADDRESS)
    plan = make_plan(load_recipe("q4q8"), checkpoint)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: KB if folder == MEMORY else plan.tensor_bytes + 3_000 * KB)
    text = refused("B004", plan, checkpoint, tmp_path / "out", scratch=WHOLE, scratch_dir=scratch)
    assert "and needs 4,000,000 B (0.004 GB / 0.004 GiB) of scratch during that time" in text
    text = refused("B004", plan, checkpoint, tmp_path / "out2", scratch=WHOLE, scratch_dir=MEMORY)
    assert "the scratch needs" in text


def test_verify_compares_with_the_hub_and_a_sample_reads_little(
    hub: Hub, tiny_source: Path, tiny: Checkpoint, q4q8_bundle: Path, scratch: Path
) -> None:
    hub.add(REPO, tiny_source)
    hub.faults = Faults(throttle=7, reset=5)
    found = verify(q4q8_bundle, ADDRESS, scratch=RANGES, scratch_dir=scratch)
    assert found.ok
    assert found.numbers == verify(q4q8_bundle, tiny_source).numbers
    hub.forget()
    assert verify(q4q8_bundle, ADDRESS, sample=3, scratch_dir=scratch).ok
    assert hub.bytes_of(".safetensors") < tiny.folder.bytes / 10
    with pytest.raises(RecipeError) as caught:
        verify(q4q8_bundle, ADDRESS, runtime="jang-strict")
    assert [found.code for found in caught.value.diagnostics] == ["H012"]


def test_allocate_reads_its_sample_from_the_hub(
    hub: Hub, tiny_source: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, tiny_source)
    recipe, wishes = load_recipe("q4q8"), Wishes(sample=1, kinds=("affine",))
    there, here = open_checkpoint(ADDRESS), prepare(recipe, tiny, wishes)
    hub.faults = Faults(throttle=7, reset=5)
    hub.forget()
    found = prepare(recipe, there, wishes)
    assert found.table == here.table
    assert 0 < hub.bytes_of(".safetensors") < tiny.folder.bytes / 2
    monkeypatch.setattr(failures, "LONGEST_WAIT", 0.001)
    hub.faults = Faults(down=True)
    with pytest.raises(RecipeError) as caught:
        prepare(recipe, there, wishes)
    assert {found.code[0] for found in caught.value.diagnostics} == {"H"}


def test_the_commands_with_nothing_but_the_environment(
    hub: Hub, tiny_source: Path, q4q8_bundle: Path, tmp_path: Path
) -> None:
    hub.add(REPO, tiny_source)

    def called(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "dsv4recipe", *words]
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert found.returncode == code, found.stderr
        return found.stdout + found.stderr

    assert called("inspect", REPO).startswith("checkpoint of family deepseek_v4: 416 tensors in 7 shards")
    shown = called("build", "q4q8", "--source", ADDRESS, "-o", "out", "--scratch", "4MB")
    assert "downloading 6,456,210 B (0.006 GB / 0.006 GiB) through 4,000,000 B" in shown
    assert digests(tmp_path / "out") == digests(q4q8_bundle)
    assert "the scratch holds no whole files" in called(
        "build", "q4q8", "--source", ADDRESS, "-o", "ranges", "--scratch", "600KB"
    )
    assert digests(tmp_path / "ranges") == digests(q4q8_bundle)
    assert "'20' is not a size" in called("build", "q4q8", "--source", REPO, "-o", "no", "--scratch", "20", code=64)
    assert "H006" in called("plan", "q4q8", "--source", f"{ADDRESS}@v9", code=1)
