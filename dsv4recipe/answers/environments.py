"""Floor 4, answers. Finds the runtimes on this machine: variables, our own folder, apps, tools, PATH. Starts pythons.

An environment is an interpreter. What it holds is asked of that interpreter itself, in isolation from ours.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.errors import Diagnostic, NotInstalledError, Where
from dsv4recipe.runtimes.common.server import Server

FOLDER_VARIABLE = "DSV4RECIPE_RUNTIMES"
"""The variable that names the folder for `runtimes install`."""
_APPS = ("/Applications/vMLX.app", "~/Applications/vMLX.app")
_APP_PYTHON = "Contents/Resources/bundled-python/python/bin/python3"
_TOOLS = ("~/.local/share/uv/tools", "~/.local/share/pipx/venvs", "~/.local/pipx/venvs")
_ASK = (
    "import importlib.metadata as m, importlib.util as u, json, pathlib, sys\n"
    "def version(name):\n"
    "    try: return m.version(name)\n"
    "    except m.PackageNotFoundError: return ''\n"
    "def holds(package, mark):\n"
    "    spec = package and u.find_spec(package)\n"
    "    places = spec and spec.submodule_search_locations or ()\n"
    "    return any(mark in f.read_text(errors='replace') for p in places for f in pathlib.Path(p).glob('*.py'))\n"
    "package, needs, names, mark = json.loads(sys.argv[1])\n"
    "missing = [n for n in needs if not u.find_spec(n)]\n"
    "print(json.dumps([bool(u.find_spec(package)), missing, {n: version(n) for n in names}, holds(*mark)]))\n"
)


@dataclass(frozen=True, slots=True)
class Found:
    """An interpreter that has a runtime. `how` says how it was found. `versions` are those of the packages that matter.
    `unfit` says why its server cannot work; it is "" if there is no objection. `overwrites` says that its loader is
    known to replace the entries of config.json."""

    server: Server
    python: Path
    how: str
    versions: Mapping[str, str]
    unfit: str = ""
    overwrites: bool = False

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What to know before its answers are believed: S016."""
        known = self.server.environment.overwriting
        if not self.overwrites or known is None:
            return ()
        message = f"{self.label} overwrites a bundle's entries: {known.what}"
        return (Diagnostic("S016", message, Where(str(self.python)), known.mend, "warning"),)

    @property
    def tested(self) -> bool:
        """Returns whether these are the versions that dsv4recipe's own tests use."""
        return all(self.versions.get(name) == version for name, version in self.server.environment.tested.items())

    @property
    def label(self) -> str:
        """Returns the versions in one line."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items() if version)


def runtimes_folder() -> Path:
    """Returns the folder of the environments that `runtimes install` makes."""
    told = os.environ.get(FOLDER_VARIABLE)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(told or f"{data}/dsv4recipe/runtimes").expanduser()


def environments(server: Server, named: Path | None = None) -> Iterator[Found]:
    """Yields every environment that has the runtime, best first, or only the `named` one."""
    seen: set[str] = set()
    for python, how in _named(named) if named else _places(server):
        place = os.path.abspath(python)
        if place in seen or not os.access(place, os.X_OK):
            continue
        seen.add(place)
        there = installed(place, server)
        if there is not None:
            missing, versions, overwrites = there
            yield Found(server, Path(place), how, versions, _unfit(server, missing, versions), overwrites)


def environment_for(server: Server, named: Path | None = None) -> Found:
    """Returns the first environment whose server can work. Raises NotInstalledError S001, which lists the unusable
    ones."""
    unfit = []
    for each in environments(server, named):
        if not each.unfit:
            return each
        unfit.append(f"{each.python} ({each.how}) has {each.label}: {each.unfit}")
    if named and not unfit:
        message = f"{named} does not have {server.name}"
    else:
        why = "none of its environments can serve" if unfit else "it was found nowhere on this machine"
        message = f"{server.name} is not installed: {why}"
    raise NotInstalledError("S001", message, Where(subject=server.name), install_hint(server), unfit)


def install_hint(server: Server) -> str:
    """Returns what to do if a runtime is missing."""
    return (
        f"`dsv4recipe runtimes install {server.name}` makes an environment with versions that are known to work; "
        f"to use one that you have, pass --runtime-python or set {server.environment.variable}"
    )


@functools.lru_cache(maxsize=64)
def installed(python: str, server: Server) -> tuple[tuple[str, ...], Mapping[str, str], bool] | None:
    """Returns the modules that its server lacks, and the versions of the packages that matter ("" for a missing one).
    Returns None if there is no such runtime."""
    names = dict.fromkeys(
        (
            server.environment.distribution,
            *server.environment.tested,
            *(each.package for each in server.environment.unfit),
        )
    )
    known = server.environment.overwriting
    mark = (known.package, known.mark) if known else ("", "")
    command = [
        python,
        "-I",
        "-c",
        _ASK,
        json.dumps([server.environment.package, server.environment.needs, list(names), mark]),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        there, missing, versions, overwrites = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (tuple(missing), dict(versions), bool(overwrites)) if there else None


def _unfit(server: Server, missing: Sequence[str], versions: Mapping[str, str]) -> str:
    for each in server.environment.unfit:
        has = versions.get(each.package, "")
        if has and _numbers(has) >= _numbers(each.at_least):
            return f"with {each.package} {each.at_least} or newer {each.why}"
    return f"its server needs {', '.join(missing)}, which is not installed" if missing else ""


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version: "0.32.2rc1" → (0, 32, 2)."""
    parts = []
    for part in version.split("."):
        digits = "".join(ch for ch in part if ch.isdigit()) if part[:1].isdigit() else ""
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _named(python: Path) -> Iterator[tuple[str, str]]:
    yield str(python), "named on the command line"


def _places(server: Server) -> Iterator[tuple[str, str]]:
    told = os.environ.get(server.environment.variable)
    if told:
        yield os.path.expanduser(told), f"the variable {server.environment.variable}"
    yield str(environment_python(runtimes_folder() / server.name)), "made by `runtimes install`"
    if server.name == "vmlx":
        for app in _APPS:
            yield str(Path(app).expanduser() / _APP_PYTHON), "the app vMLX"
    for tools in (os.environ.get("UV_TOOL_DIR"), *_TOOLS):
        if tools:
            yield (
                str(environment_python(Path(tools).expanduser() / server.environment.distribution)),
                "a uv or pipx tool",
            )
    script = shutil.which(server.environment.script) if server.environment.script else None
    if script:
        yield str(Path(script).resolve().parent / "python"), f"{server.environment.script} on the PATH"
    yield sys.executable, "this interpreter"


def environment_python(folder: Path) -> Path:
    """Returns the interpreter of a virtual environment."""
    return folder / "bin" / "python"
