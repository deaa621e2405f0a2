"""Floor 4, answers. Where the runtimes are on this machine: variables, our own folder, apps, tools, PATH. Starts pythons.

An environment is an interpreter; what it holds is asked of that interpreter itself, in isolation from ours.
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

from dsv4recipe.answers.servers import SERVINGS, Serving
from dsv4recipe.errors import RecipeError, Where, did_you_mean

FOLDER_VARIABLE = "DSV4RECIPE_RUNTIMES"
"""Names the folder that `runtimes install` fills."""
_APPS = ("/Applications/vMLX.app", "~/Applications/vMLX.app")
_APP_PYTHON = "Contents/Resources/bundled-python/python/bin/python3"
_TOOLS = ("~/.local/share/uv/tools", "~/.local/share/pipx/venvs", "~/.local/pipx/venvs")
_ASK = (
    "import importlib.metadata as m, importlib.util as u, json, sys\n"
    "def version(name):\n"
    "    try: return m.version(name)\n"
    "    except m.PackageNotFoundError: return ''\n"
    "package, needs, names = json.loads(sys.argv[1])\n"
    "missing = [n for n in needs if not u.find_spec(n)]\n"
    "print(json.dumps([bool(u.find_spec(package)), missing, {n: version(n) for n in names}]))\n"
)


class NotInstalledError(RecipeError):
    """The runtime that is asked for is not on this machine, or not in versions that serve: S001. Exit code 4."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter that has a runtime. `found` says how it was found; `versions` are those of the packages that
    matter; `unfit` why its server cannot work, "" where nothing speaks against it."""

    serving: Serving
    python: Path
    found: str
    versions: Mapping[str, str]
    unfit: str = ""

    @property
    def tested(self) -> bool:
        """Whether these are the versions that dsv4recipe's own tests run."""
        return all(self.versions.get(name) == version for name, version in self.serving.tested.items())

    @property
    def label(self) -> str:
        """The versions in one line."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items() if version)


def runtimes_folder() -> Path:
    """The folder of the environments that `runtimes install` makes."""
    told = os.environ.get(FOLDER_VARIABLE)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(told or f"{data}/dsv4recipe/runtimes").expanduser()


def serving_named(name: str) -> Serving:
    """The runtime of a name. Raises RecipeError S009 for an unknown one."""
    if name not in SERVINGS:
        raise RecipeError("S009", f"no runtime {name!r} is known that serves", hint=did_you_mean(name, SERVINGS))
    return SERVINGS[name]


def environments(serving: Serving, named: Path | None = None) -> Iterator[Environment]:
    """Every environment that has the runtime, best first; only the `named` one where one is named."""
    seen: set[str] = set()
    for python, found in _named(named) if named else _places(serving):
        place = os.path.abspath(python)
        if place in seen or not os.access(place, os.X_OK):
            continue
        seen.add(place)
        there = installed(place, serving)
        if there is not None:
            missing, versions = there
            yield Environment(serving, Path(place), found, versions, _unfit(serving, missing, versions))


def environment_for(serving: Serving, named: Path | None = None) -> Environment:
    """The first environment whose server can work. Raises NotInstalledError S001, which names those that cannot."""
    unfit = []
    for each in environments(serving, named):
        if not each.unfit:
            return each
        unfit.append(f"{each.python} ({each.found}) has {each.label}: {each.unfit}")
    if named and not unfit:
        message = f"{named} has no {serving.name}"
    else:
        why = "none of its environments can serve" if unfit else "it was found nowhere on this machine"
        message = f"{serving.name} is not installed: {why}"
    raise NotInstalledError("S001", message, Where(subject=serving.name), install_hint(serving), unfit)


def install_hint(serving: Serving) -> str:
    """What to do where a runtime is missing."""
    return (
        f"`dsv4recipe runtimes install {serving.name}` makes an environment with versions that are known to work; "
        f"--runtime-python or the variable {serving.variable} names one that you have"
    )


@functools.lru_cache(maxsize=64)
def installed(python: str, serving: Serving) -> tuple[tuple[str, ...], Mapping[str, str]] | None:
    """The modules that its server lacks, and the versions of the packages that matter, "" where one is missing; None
    where there is no such runtime."""
    names = dict.fromkeys((serving.distribution, *serving.tested, *(each.package for each in serving.unfit)))
    command = [python, "-I", "-c", _ASK, json.dumps([serving.package, serving.needs, list(names)])]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        there, missing, versions = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (tuple(missing), dict(versions)) if there else None


def _unfit(serving: Serving, missing: Sequence[str], versions: Mapping[str, str]) -> str:
    for each in serving.unfit:
        has = versions.get(each.package, "")
        if has and _numbers(has) >= _numbers(each.at_least):
            return f"with {each.package} {each.at_least} or newer {each.why}"
    return f"its server needs {', '.join(missing)}, which is not there" if missing else ""


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "0.32.2rc1" → (0, 32, 2)."""
    parts = []
    for part in version.split("."):
        digits = "".join(ch for ch in part if ch.isdigit()) if part[:1].isdigit() else ""
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _named(python: Path) -> Iterator[tuple[str, str]]:
    yield str(python), "named on the command line"


def _places(serving: Serving) -> Iterator[tuple[str, str]]:
    told = os.environ.get(serving.variable)
    if told:
        yield os.path.expanduser(told), f"the variable {serving.variable}"
    yield str(environment_python(runtimes_folder() / serving.name)), "made by `runtimes install`"
    if serving.name == "vmlx":
        for app in _APPS:
            yield str(Path(app).expanduser() / _APP_PYTHON), "the app vMLX"
    for tools in (os.environ.get("UV_TOOL_DIR"), *_TOOLS):
        if tools:
            yield str(environment_python(Path(tools).expanduser() / serving.distribution)), "a uv or pipx tool"
    script = shutil.which(serving.script) if serving.script else None
    if script:
        yield str(Path(script).resolve().parent / "python"), f"{serving.script} on the PATH"
    yield sys.executable, "this interpreter"


def environment_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "bin" / "python"
