"""Ctrl-C, termination and two builders, by the real command in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builder.test_build import digests

RECIPE = """\
import sys, time
from pathlib import Path
import dsv4recipe.builder.run as run
from dsv4recipe.cli.main import main
real = run.journal.record
def slowly(folder, entry):
    real(folder, entry)
    print("shard", flush=True)
    {pause}
run.journal.record = slowly
main(sys.argv[1:])
"""
WAIT = "time.sleep(0.5)"
STUCK = "\n    while True:\n        try: time.sleep(60)\n        except KeyboardInterrupt: pass"


def start(source: Path, out: Path, pause: str) -> subprocess.Popen[str]:
    """The command, with a pause after each shard, running and past its first shard."""
    recipe = out.parent / "recipe.yaml"
    if not recipe.exists():
        from tests.recipes import changed

        recipe.write_text(changed("5GiB", "1MB"))
    command = [sys.executable, "-c", RECIPE.format(pause=pause), "build", str(recipe)]
    command += ["--source", str(source), "-o", str(out), "--workers", "1"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "shard\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_cleanly_and_the_same_command_continues(
    tiny_source: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    child = start(tiny_source, out, WAIT)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert errors.splitlines()[-1] == "interrupted; run the same command again to continue"
    left = sorted(p.name for p in (tmp_path / "out.partial").iterdir())
    shards = [name for name in left if name.startswith("model-")]
    assert left == ["dsv4recipe.plan.json", "journal.jsonl", *shards]
    assert len((tmp_path / "out.partial" / "journal.jsonl").read_text().splitlines()) == len(shards) >= 1
    if number == signal.SIGTERM:
        again = start(tiny_source, out, "")
        again.communicate(timeout=120)
        assert again.returncode == 0
        manifest = json.loads((out / "dsv4recipe.manifest.json").read_text())
        found = digests(out)
        assert {name: found[name] for name in manifest["files"]} == {
            name: entry["sha256"] for name, entry in manifest["files"].items()
        }


def test_a_second_signal_exits_at_once(tiny_source: Path, tmp_path: Path) -> None:
    """The worker hangs; the first Ctrl-C waits for it, the second does not."""
    child = start(tiny_source, tmp_path / "out", STUCK)
    child.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == 130
    child.communicate()


def test_of_two_builders_one_wins_and_the_other_names_it(tiny_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = start(tiny_source, out, WAIT)
    command = [sys.executable, "-m", "dsv4recipe", "build", str(tmp_path / "recipe.yaml")]
    command += ["--source", str(tiny_source), "-o", str(out)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert (
        f"error[B032]: another builder is working here: process {first.pid} on {os.uname().nodename}" in second.stderr
    )
    first.communicate(timeout=120)
    assert first.returncode == 0
    third = subprocess.run(command, capture_output=True, text=True, check=False)
    assert third.returncode == 0
    assert "already built" in third.stderr
