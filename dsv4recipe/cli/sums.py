"""Floor 6, cli. Reads the digests for `build --source-sums FILE`, as `sha256sum` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from dsv4recipe.errors import Problems, Where

_LINE = re.compile(r"(?P<sha256>[0-9a-fA-F]{64}) [ *](?P<name>.+)")


def read_sums(file: Path, known: frozenset[str]) -> dict[str, str]:
    """Returns source file → sha256 in lower case. `known` are the source's shards.

    Raises RecipeError U014 for every line that is not one of `sha256sum`, names no shard, or contradicts another.
    """
    problems, sums = Problems(), dict[str, str]()
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        where = Where(str(file), number, 1, max(1, len(line)), line)
        match = _LINE.fullmatch(line)
        if match is None:
            problems.error(
                "U014", "this is not a line of sha256sum, which has 64 hex digits, two spaces and a file name", where
            )
            continue
        name, sha256 = match["name"].removeprefix("./"), match["sha256"].lower()
        if name not in known:
            problems.error("U014", f"the source has no shard {name}", where, "run sha256sum inside the source folder")
        elif sums.setdefault(name, sha256) != sha256:
            problems.error("U014", f"{name} is listed with two digests", where)
    problems.raise_if_any()
    return sums
