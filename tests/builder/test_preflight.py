"""What is refused before the first byte: names, disk to the byte, memory, a source that is not the one locked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.builder import preflight
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.recipe.load import parse_recipe
from tests.builder.test_build import digests, refused
from tests.recipes import changed
from tests.stopping import stop_after_three


def test_the_sizes_still_to_be_written_are_exact(tiny: Checkpoint, tmp_path: Path) -> None:
    """A build that stops after three shards: what it says it needs is what is written from there on."""
    plan = make_plan(parse_recipe(changed("5GiB", "400KB"), "r.yaml"), tiny)
    asked: list[list[int]] = []
    real = preflight.bytes_to_write

    def listen(*arguments: object) -> list[int]:
        asked.append(real(*arguments))  # type: ignore[arg-type]
        return asked[-1]

    done: list[str] = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "bytes_to_write", listen)
        with pytest.raises(KeyboardInterrupt):
            build(plan, tiny, tmp_path / "out", workers=1, on_event=stop_after_three(done))
        journaled = (tmp_path / "out.partial" / "journal.jsonl").stat().st_size
        out = build(plan, tiny, tmp_path / "out", workers=1)
    sizes = {p.relative_to(out).as_posix(): p.stat().st_size for p in out.rglob("*") if p.is_file()}
    del sizes["dsv4recipe.plan.json"]
    line = journaled // 3
    assert sum(asked[0]) == sum(sizes.values()) + line * len(plan.shards)
    rest = {name: size for name, size in sizes.items() if name not in done}
    assert sum(asked[1]) == sum(rest.values()) + line * (len(plan.shards) - 3)


CHILD = """
import sys
from pathlib import Path
from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.files import disk
checkpoint = open_checkpoint(sys.argv[1])
plan = make_plan(load_recipe("q4q8"), checkpoint)
out, ballast = Path(sys.argv[2]) / "out", Path(sys.argv[2]) / "ballast"
def attempt(on_event=lambda event: None):
    try:
        build(plan, checkpoint, out, workers=1, on_event=on_event)
        print("built")
    except RecipeError as error:
        print(error.diagnostics[0].code, len(list(out.with_name("out.partial").glob("*model*"))))
def fill(size):
    ballast.write_bytes(bytes(size))
fill(disk.free_bytes(out) - plan.tensor_bytes)
attempt()
ballast.unlink()
preflight = []
def others_fill_it(event):
    if event["event"] == "plan_loaded":
        fill(disk.free_bytes(out) - plan.tensor_bytes // 2)
attempt(others_fill_it)
ballast.unlink()
attempt()
"""


def test_a_real_full_disk(tiny_source: Path, tmp_path: Path) -> None:
    """Eight MB of memory as a disk: refused before the first byte; filled by others during the build; continued."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted only on Linux, and where user namespaces are allowed")
    mount = tmp_path / "mount"
    mount.mkdir()
    script = 'mount -t tmpfs -o size=8m none "$1" && shift && exec "$@"'
    command = [sys.executable, "-c", CHILD, str(tiny_source), str(mount)]
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(mount), *command], capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == ["B004 0", "B010 0", "built"], run.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("readme.MD", "on many disks it is the same file as README.md"),
        ("Lease.json", "on many disks it is the same file as lease.json"),
        ("dsv4recipe.manifest.json", "the same file as dsv4recipe.manifest.json"),
        ("encoding/../../x", 'it leaves its folder with ".."'),
        ("/etc/x", "it is an absolute path"),
        ("C:x", "it names a drive"),
        (".x.tmp", "names of hidden files are reserved for the build"),
        ("a\nb", "cannot be printed"),
    ],
)
def test_names_that_leave_the_folder_or_hide_each_other_are_refused(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr("dsv4recipe.builder.side.side_files", lambda *_: {"README.md": b"", name: b""})
    plan = make_plan(load_recipe("q4q8"), tiny)
    assert words in refused("B007", plan, tiny, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_whose_shards_climb_out_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    evil = replace(plan, shards=tuple(replace(shard, file="../../x.safetensors") for shard in plan.shards))
    assert "leaves its folder" in refused("B007", evil, tiny, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_link_where_the_build_needs_a_folder_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.partial").symlink_to(tmp_path / "elsewhere")
    refused("B003", make_plan(load_recipe("q4q8"), tiny), tiny, tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_dangling_link_at_the_output_is_not_written_through(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    refused("B001", make_plan(load_recipe("q4q8"), tiny), tiny, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_more_workers_than_memory_holds_are_refused(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    monkeypatch.setattr(preflight, "_memory", lambda: 1 << 30)
    build(plan, tiny, tmp_path / "fits", workers=1)
    message = refused("B008", plan, tiny, tmp_path / "out", workers=1_000)
    assert "1000 workers need up to" in message
    assert "--workers 1" in message


def sha256_of(source: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.glob("*.safetensors")}


def test_a_locked_source_builds_and_one_other_byte_is_refused_at_its_file(
    q4q8_bundle: Path, source_copy: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(source_copy)
    plan, locked = make_plan(load_recipe("q4q8"), checkpoint), sha256_of(source_copy)
    out = build(plan, checkpoint, tmp_path / "good", source_sha256=locked)
    assert digests(out) == digests(q4q8_bundle)
    victim = source_copy / "model-00003-of-00007.safetensors"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    with pytest.raises(RecipeError) as caught:
        build(plan, open_checkpoint(source_copy), tmp_path / "out", workers=1, source_sha256=locked)
    (found,) = caught.value.diagnostics
    assert found.code == "B006"
    assert found.message.startswith("model-00003-of-00007.safetensors is not the file that was locked: it has sha256 ")
    assert not (tmp_path / "out").exists()
