"""Floor 4, answers. Makes an isolated environment for a runtime with the tested versions, for `runtimes install`.

It uses uv if that is on the PATH, else venv and pip. An environment is complete when its stamp is written, last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dsv4recipe.answers.environments import Found, environment_for, environment_python, installed
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.runtimes.common.server import Server

STAMP = "dsv4recipe.json"
_TAIL = 12
Tell = Callable[[str], None]


def pins(server: Server, platform: str = sys.platform) -> tuple[str, ...]:
    """Returns what is installed, with version requirements. Outside of macOS, mlx is its CPU build."""
    own = server.environment.pins
    if platform == "darwin":
        return own
    return tuple(f"mlx[cpu]{pin[3:]}" if pin.startswith("mlx==") else pin for pin in own)


def install(server: Server, folder: Path, tell: Tell = lambda line: None) -> Found:
    """Returns the environment `folder`/NAME. It is made again unless it is complete and has these versions; a second
    call is instant. Raises RecipeError S015 with the installer's last lines if it fails."""
    root = folder.absolute() / server.name
    wanted = json.dumps({"pins": pins(server), "bare": server.environment.bare}, sort_keys=True)
    python = environment_python(root)
    if not (_read(root / STAMP) == wanted and python.exists()):
        tell(f"making {root}")
        _make(root, python, server, tell)
        (root / STAMP).write_text(wanted, encoding="utf-8")
        installed.cache_clear()
    return environment_for(server, python)


def _make(root: Path, python: Path, server: Server, tell: Tell) -> None:
    (root / STAMP).unlink(missing_ok=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(root)], root)
        pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        _run([sys.executable, "-m", "venv", "--clear", str(root)], root)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    needed = pins(server)
    tell(f"installing {', '.join(needed)}")
    _run([*pip, *needed], root)
    if server.environment.bare:
        tell(f"installing {', '.join(server.environment.bare)} without what it declares")
        _run([*pip, "--no-deps", *server.environment.bare], root)


def _run(command: Sequence[str], root: Path) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise RecipeError("S015", f"{command[0]} cannot be run: {error.strerror or error}", Where(str(root))) from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").splitlines()
        message = f"{Path(command[0]).name} failed with exit code {done.returncode}; its last lines are below"
        hint = "check the network and the free space on this disk, then run the same command again"
        raise RecipeError("S015", message, Where(str(root)), hint, [line for line in said if line.strip()][-_TAIL:])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
