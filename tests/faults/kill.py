"""kill -9 at random instants, again and again, until the build is done: by the clock, and at a random call.

python -m tests.faults.kill [--kills 1000] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dsv4recipe import build
from dsv4recipe.builder import journal
from tests.faults.calls import Calls, count_calls, instead_of_os
from tests.faults.world import World, make_world, partial

WORKERS = 2


def start(world: World, out: Path, log: Path, die_at: int = 0) -> int:
    """A builder in a forked process, which kills itself at file-system call `die_at`. Returns its process number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with log.open("ab", buffering=0) as events, instead_of_os(Calls(_dying(die_at))):

            def tell(event: dict[str, Any]) -> None:
                if event["event"] == "written":
                    events.write(f"{event['file']}\n".encode())

            build(world.plan, world.checkpoint, out, workers=WORKERS, on_event=tell, importance=world.guide)
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{error}\n")
    finally:
        os._exit(status)


def _dying(place: int) -> Any:
    def on_call(number: int, name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        if number == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    return on_call


def finished(out: Path) -> set[str]:
    """Shards that need no more work, as the journal says; all of them once the journal is gone."""
    path = partial(out) / journal.NAME
    if not path.exists():
        return set()
    return {json.loads(line)["file"] for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")}


def kill_until(world: World, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kills builders `kills` times; every build that gets through is compared with the undisturbed one.

    Returns counts. Raises AssertionError with the seed and the instant of the kill that did harm.
    """
    rng = random.Random(seed)
    out, log = folder / "out", folder / "events"
    calls = count_calls(world, folder / "count")
    begin = time.monotonic()
    world.build(folder / "timed", WORKERS)
    seconds = time.monotonic() - begin
    counts = {"kills": 0, "builds": 0, "by_clock": 0, "by_call": 0, "most_lost": 0}
    while counts["kills"] < kills:
        log.write_bytes(b"")
        by_call = rng.random() < 0.5
        die_at = rng.randint(1, calls) if by_call else 0
        wait = rng.uniform(0, seconds)
        child = start(world, out, log, die_at)
        if not by_call:
            time.sleep(wait)
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        instant = f"seed {seed}, kill {counts['kills']}, " + (f"call {die_at}" if by_call else f"after {wait:.4f} s")
        try:
            if os.WIFSIGNALED(status):
                counts["kills"] += 1
                counts["by_call" if by_call else "by_clock"] += 1
                world.check_names(out)
                if partial(out).exists() and (partial(out) / journal.NAME).exists():
                    lost = set(log.read_text().split()) - finished(out)
                    counts["most_lost"] = max(counts["most_lost"], len(lost))
                    if len(lost) > WORKERS:
                        raise AssertionError(f"{len(lost)} shards must be written again: {sorted(lost)}")
            elif os.waitstatus_to_exitcode(status):
                raise AssertionError("a builder failed")
            if out.exists():
                world.build(out, WORKERS)
                world.check_finished(out)
                shutil.rmtree(out)
                counts["builds"] += 1
        except AssertionError as error:
            raise AssertionError(f"{error} ({instant})") from None
    world.build(out, WORKERS)
    world.check_finished(out)
    counts["builds"] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder, "1KB")
        begin = time.monotonic()
        counts = kill_until(world, folder, options.kills, options.seed)
        print(
            f"{counts['kills']} kills ({counts['by_clock']} by the clock, {counts['by_call']} at a call), "
            f"{counts['builds']} builds of {len(world.plan.shards)} shards finished, seed {options.seed}, "
            f"{time.monotonic() - begin:.0f} s: every byte as undisturbed, 0 torn files, "
            f"at most {counts['most_lost']} shards lost by a kill with {WORKERS} workers"
        )


if __name__ == "__main__":
    main()
