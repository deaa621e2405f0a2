"""Power cuts: every call of a build is recorded, then the folders are made that a crash could have left after it.

The model is that of POSIX: what was written is safe after fsync of the file, a name is safe after fsync of its folder,
and of everything since then any part may be there: data absent, zero or whole, names old or new.

    python -m tests.faults.power [--states N] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.calls import Calls, instead_of_os, quick
from tests.faults.world import World, impatient, make_world

CHANGES = ("open", "pwrite", "write", "ftruncate", "posix_fallocate", "fsync", "replace", "link", "unlink", "mkdir")
Step = tuple[str, tuple[Any, ...]]
"""A call that changes the disk, by name, with paths relative to the recorded folder and a file by its number."""


@dataclass
class File:
    """What of a file is safe, and what was done to it since."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[Callable[[bytearray], None]] = field(default_factory=list)


@dataclass
class Folder:
    """The names of a folder that are safe, and what was done to them since. Names lead to files or folders."""

    safe: dict[str, File | Folder] = field(default_factory=dict)
    since: list[Callable[[dict[str, File | Folder]], None]] = field(default_factory=list)

    def now(self) -> dict[str, File | Folder]:
        names = dict(self.safe)
        for change in self.since:
            change(names)
        return names


def record(world: World, root: Path) -> list[Step]:
    """The steps of an undisturbed build at `root`/out."""
    steps: list[Step] = []
    number_of: dict[int, int | str] = {}
    opened = 0

    def relative(path: Any) -> str:
        return Path(os.fspath(path)).relative_to(root).as_posix()

    def on_call(number: int, name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        nonlocal opened
        result = real(*arguments)
        if name == "open" and Path(arguments[0]).is_relative_to(root):
            if Path(arguments[0]).is_dir():
                number_of[result] = relative(arguments[0])
            else:
                opened += 1
                number_of[result] = opened
                steps.append(("open", (opened, relative(arguments[0]), arguments[1])))
        elif name in ("replace", "link"):
            steps.append((name, (relative(arguments[0]), relative(arguments[1]))))
        elif name in ("unlink", "mkdir"):
            steps.append((name, (relative(arguments[0]),)))
        elif name in CHANGES and arguments[0] in number_of:
            rest = arguments[1:]
            if name in ("pwrite", "write"):
                rest = (bytes(memoryview(arguments[1])[:result]), *arguments[2:])
            steps.append((name, (number_of[arguments[0]], *rest)))
        return result

    with instead_of_os(Calls(on_call)):
        world.build(root / "out")
    return steps


class Disk:
    """Replays steps and knows what of them is safe."""

    def __init__(self) -> None:
        self.root = Folder()
        self.files: dict[int, File] = {}

    def folder(self, path: str) -> Folder:
        here = self.root
        for part in Path(path).parts:
            below = here.now()[part]
            assert isinstance(below, Folder)
            here = below
        return here

    def play(self, step: Step) -> None:
        """Does one step."""
        name, arguments = step
        if name in ("replace", "link", "unlink", "mkdir", "open"):
            self._name(name, arguments)
        elif name == "fsync":
            self._sync(arguments[0])
        else:
            self.files[arguments[0]].since.append(_writing(name, arguments[1:]))

    def _name(self, name: str, arguments: tuple[Any, ...]) -> None:
        path = Path(arguments[1] if name == "open" else arguments[0])
        here = self.folder(path.parent.as_posix())
        there = here.now().get(path.name)
        if name == "open":
            if there is None:
                there = File()
                here.since.append(_adding(path.name, there))
            assert isinstance(there, File)
            self.files[arguments[0]] = there
        elif name == "mkdir":
            here.since.append(_adding(path.name, Folder()))
        elif name == "unlink":
            here.since.append(lambda names: names.pop(path.name, None) and None)
        else:
            assert there is not None
            new = Path(arguments[1])
            assert new.parent == path.parent
            here.since.append(_renaming(path.name, new.name, there, keep=name == "link"))

    def _sync(self, what: int | str) -> None:
        if isinstance(what, str):
            folder = self.folder(what)
            folder.safe, folder.since = folder.now(), []
        else:
            file = self.files[what]
            for change in file.since:
                change(file.safe)
            file.since = []

    def leave(self, where: Path, rng: random.Random) -> None:
        """Makes in `where` a folder that a crash could leave now."""
        _leave(self.root, where, rng)


def _adding(name: str, what: File | Folder) -> Callable[[dict[str, File | Folder]], None]:
    def change(names: dict[str, File | Folder]) -> None:
        names[name] = what

    return change


def _renaming(old: str, new: str, what: File | Folder, keep: bool) -> Callable[[dict[str, File | Folder]], None]:
    """A rename is atomic: the new name is there, or the old one."""

    def change(names: dict[str, File | Folder]) -> None:
        if not keep and names.get(old) is what:
            del names[old]
        names[new] = what

    return change


def _writing(name: str, arguments: tuple[Any, ...]) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        if name == "ftruncate":
            size = arguments[0]
            del data[size:]
            data.extend(bytes(size - len(data)))
            return
        if name == "posix_fallocate":
            data.extend(bytes(max(0, arguments[1] - len(data))))
            return
        at = arguments[1] if name == "pwrite" else len(data)
        data.extend(bytes(max(0, at + len(arguments[0]) - len(data))))
        data[at : at + len(arguments[0])] = arguments[0]

    return change


def _leave(folder: Folder, where: Path, rng: random.Random) -> None:
    names = dict(folder.safe)
    share = rng.choice((0.0, 0.5, 1.0, 1.0))
    for change in folder.since:
        if rng.random() < share:
            change(names)
    where.mkdir()
    for name, what in names.items():
        if isinstance(what, Folder):
            _leave(what, where / name, rng)
        else:
            (where / name).write_bytes(_left(what, rng))


def _left(file: File, rng: random.Random) -> bytes:
    """The data of a file after a crash: what is safe, and of the rest nothing, some, all, or its length in zeros."""
    data = bytearray(file.safe)
    if not file.since:
        return bytes(data)
    whole = bytearray(file.safe)
    for change in file.since:
        change(whole)
    match rng.randrange(4):
        case 0:
            return bytes(data)
        case 1:
            return bytes(whole)
        case 2:
            return bytes(data[: len(whole)]) + bytes(len(whole) - len(data))
        case _:
            for change in file.since:
                if rng.random() < 0.5:
                    change(data)
            return bytes(data)


def without_fsync(steps: list[Step], of: str) -> list[Step]:
    """The same steps by a program that forgets one fsync: of files whose temporary name holds `of`, of the "folder"
    before it gets its last name, or of the folder "above" after that."""
    if of in ("folder", "above"):
        wanted = "out.partial" if of == "folder" else "."
        last = max(i for i, step in enumerate(steps) if step == ("fsync", (wanted,)))
        return steps[:last] + steps[last + 1 :]
    name_of = {given[0]: given[1] for name, given in steps if name == "open"}
    return [
        (name, given)
        for name, given in steps
        if not (name == "fsync" and isinstance(given[0], int) and of in name_of[given[0]])
    ]


def cut(world: World, folder: Path, steps: list[Step], states: int, seed: int, since: int = 0) -> int:
    """Cuts the power at `states` (10 or more) instants from step `since` on, builds on what is left, and returns
    their number.

    Half of the instants are those after the last shard, where the commit is. After the last step the bundle must be
    there whatever the crash takes: the build has said that it is done. Raises AssertionError naming seed and instant.
    """
    rng = random.Random(seed)
    last_shard = max(i for i, (name, given) in enumerate(steps) if name == "replace" and "model-" in str(given[1]))
    chosen = [rng.randrange(since, len(steps)) for _ in range(states // 2)]
    chosen += [rng.randrange(max(since, last_shard), len(steps)) for _ in range(states - len(chosen) - states // 10)]
    chosen += [len(steps) - 1] * (states // 10)
    disk, done = Disk(), 0
    for instant in sorted(chosen):
        while done <= instant:
            disk.play(steps[done])
            done += 1
        left = folder / "left"
        disk.leave(left, rng)
        try:
            said_done = instant == len(steps) - 1
            if said_done and not (left / "out").exists():
                raise AssertionError("the build said that it was done, and the bundle is gone")
            with impatient(), instead_of_os(quick()):
                world.build(left / "out")
            world.check_finished(left / "out")
        except Exception as error:
            raise AssertionError(f"power cut after step {instant} {steps[instant][0]}, seed {seed}: {error}") from error
        finally:
            shutil.rmtree(left)
    return len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder, "300KB", layers=1, experts=2)
        (folder / "recorded").mkdir()
        steps = record(world, folder / "recorded")
        begin = time.monotonic()
        count = cut(world, folder, steps, options.states, options.seed)
        print(
            f"{count} power cuts in a build of {len(world.plan.shards)} shards and {len(steps)} steps, "
            f"seed {options.seed}, {time.monotonic() - begin:.0f} s: each recovered to the same bytes"
        )


if __name__ == "__main__":
    main()
