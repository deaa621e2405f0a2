"""Floor 6, cli. Decides where output goes: data to stdout, text for people to stdout or stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from dsv4recipe.cli.screen import raw

if TYPE_CHECKING:
    from rich.console import Console


def print_json(data: Any) -> None:
    """Prints one document on one line, in UTF-8."""
    raw(sys.stdout).write(json.dumps(data, sort_keys=True, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def console(stderr: bool = False) -> Console:
    """Returns a console that honours NO_COLOR and does not wrap names if it is not a terminal."""
    from rich.console import Console

    from dsv4recipe.cli.colours import wanted

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else int(os.environ.get("COLUMNS", "120"))
    tty = stream.isatty()
    coloured = wanted(stream)
    return Console(
        file=stream, width=width, highlight=False, markup=False, soft_wrap=False, no_color=not coloured,
        force_terminal=True if coloured and not tty else None, color_system="standard" if coloured else None,
    )  # fmt: skip
