"""Hosts of their own, as far as one machine has them: each worker in a network, host-name and mount namespace.

python -m tests.cluster.hosts [--workers 2,4,8]

A bridge joins them; scheduler and workers talk over it by their own addresses, and the client stands outside. Needs
root and `ip`; says so, and ends with 0, where it has neither.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from distributed import Client

from dsv4recipe import RecipeError, build
from dsv4recipe.builder.cluster.engine import DaskEngine
from tests.cluster.chaos import Told, Wide
from tests.cluster.pool import Pool

NET = "10.211.47"
_turns = itertools.count()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def possible() -> str:
    """Why not; "" if it is."""
    if os.geteuid():
        return "only root may make network namespaces"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "there is no `ip` or no `unshare` here"
    try:
        run("ip", "netns", "add", "dsv4-probe")
        run("ip", "netns", "del", "dsv4-probe")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.decode().strip()}"
    return ""


@contextlib.contextmanager
def network(count: int) -> Iterator[list[str]]:
    """So many hosts on one bridge, by name; host n has the address NET.(n + 2), we have NET.1."""
    turn = next(_turns)  # the kernel takes its time to forget an interface
    names = [f"dsv4-{turn}h{number}" for number in range(count)]
    run("ip", "link", "add", "dsv4-bridge", "type", "bridge")
    try:
        run("ip", "addr", "add", f"{NET}.1/24", "dev", "dsv4-bridge")
        run("ip", "link", "set", "dsv4-bridge", "up")
        for number, name in enumerate(names):
            outer, inner = _outer(name), f"dsv4-i{number}"
            run("ip", "netns", "add", name)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
            run("ip", "link", "set", outer, "master", "dsv4-bridge", "up")
            run("ip", "-n", name, "addr", "add", f"{NET}.{number + 2}/24", "dev", inner)
            run("ip", "-n", name, "link", "set", inner, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", "dsv4-bridge"], check=False, capture_output=True)


def on(name: str, mount: str = "") -> list[str]:
    """What starts a program on a host; `mount` is done there first, and seen there alone."""
    script = f'hostname {name}; {mount or "true"}; exec "$@"'
    inside = ["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    return ["ip", "netns", "exec", name, *inside]


def cut(name: str) -> None:
    """Takes a host off the network."""
    run("ip", "link", "set", _outer(name), "down")


def _outer(name: str) -> str:
    return f"{name}-out"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2,4,8")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    reason = possible()
    if reason:
        print(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        world = Wide(folder, 10, 8)
        for count in (int(each) for each in options.workers.split(",")):
            same_on(world, count)
        refused(world)


@contextlib.contextmanager
def pool_on_bridge(world: Wide) -> Iterator[Pool]:
    with tempfile.TemporaryDirectory(dir=world.folder) as logs, Pool(Path(logs), host=f"{NET}.1") as pool:
        yield pool


def same_on(world: Wide, count: int) -> None:
    """A build on so many hosts; on more than two, one is cut off the network after the fifth shard."""
    out = world.folder / "out"
    cutting = count > 2
    with network(count) as names, pool_on_bridge(world) as pool:
        for number, name in enumerate(names):
            pool.add(host=f"{NET}.{number + 2}", before=on(name))
        told = Told(lambda number: cut(names[-1]) if cutting and number == 5 else None)
        begin = time.monotonic()
        build(world.plan, world.checkpoint, out, workers=1, on_event=told, engine=DaskEngine(pool.address, told))
        seconds = time.monotonic() - begin
        world.check(out)
    shutil.rmtree(out)
    more = f", one cut off after the 5th shard ({told.counts.get('worker_lost', 0)} noticed as lost)" if cutting else ""
    print(f"{count} hosts{more}: same, {seconds:.1f} s with their start", flush=True)


def refused(world: Wide) -> None:
    """A host that has another disk where the output is."""
    shared = world.folder / "shared"
    shared.mkdir(exist_ok=True)
    with network(2) as (one, two), pool_on_bridge(world) as pool:
        pool.add(host=f"{NET}.2", before=on(one))
        pool.add(host=f"{NET}.3", before=on(two, f"mount -t tmpfs none {shared}"))
        with Client(pool.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        try:
            build(world.plan, world.checkpoint, shared / "out", workers=1, engine=DaskEngine(pool.address))
        except RecipeError as error:
            codes = [each.code for each in error.diagnostics]
            print(f"refused: {error}", flush=True)
        else:
            codes = []
        if codes != ["B054"]:
            raise AssertionError(codes)
    shutil.rmtree(shared)


if __name__ == "__main__":
    main()
