"""The yardstick's bundles through the runtimes' own servers: sound ones answer, spoiled ones do not.

    python -m benchmarks.answers [--runtime NAME]... [--work DIR] [-o docs/answers.json]

The yardstick is the small trained checkpoint of the tests. Every bundle of tests/answers/yardstick.py is built, served
by the runtime's own server, and asked two sums through the `openai` client; then one bundle of each runtime is spoiled
in three ways and asked again. Runtimes that are not installed are skipped by name. The table goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsv4recipe.answers.environments import environment_for
from dsv4recipe.answers.questions import asked
from dsv4recipe.answers.run import Settings, ask_bundle
from dsv4recipe.answers.servers import servers
from dsv4recipe.errors import NotInstalledError
from tests.answers.yardstick import ANSWERS, PROMPTS, SOUND, Cell, spoil

LIMITS = Settings(seconds=600, tokens=20)
SPOILED = ("overrides", "experts", "tokenizer")
Row = dict[str, Any]


def row(cell: Cell, bundle: Path, spoiled: str = "") -> Row:
    """What a server made of a bundle: its answers, or why there are none."""
    found = ask_bundle(bundle, asked(PROMPTS, ANSWERS), cell.runtime, None, LIMITS)
    findings = [finding for each in (found, *found.answers) for finding in each.findings]
    said = [each.reply.text.strip()[:40] for each in found.answers if each.reply]
    why = [finding.message for finding in findings if finding.code != "S010"]
    return {
        "runtime": cell.runtime,
        "versions": found.environment.label,
        "bundle": cell.name,
        "spoiled": spoiled,
        "ok": found.ok,
        "answers": said,
        "codes": sorted({finding.code for finding in findings}),
        "why": why[:1],
        "ready_seconds": round(found.ready_seconds, 1),
        "memory": found.memory,
    }


def rows(names: set[str], folder: Path) -> Iterator[Row]:
    """A row per bundle and server, the spoiled ones of a runtime after its sound ones."""
    for name in dict.fromkeys(cell.runtime for cell in SOUND):
        if names and name not in names:
            continue
        try:
            environment_for(servers()[name])
        except NotInstalledError as error:
            print(f"skipped: {error.diagnostics[0].message}")
            continue
        cells = [cell for cell in SOUND if cell.runtime == name]
        for cell in cells:
            yield row(cell, cell.build(folder))
        for how in SPOILED:
            if name == "llama.cpp" and how == "overrides":
                continue  # a GGUF has none
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                bundle = cells[0].build(folder)
                yield row(cells[0], spoil(bundle, how, Path(scratch, bundle.name)), how)


def shown(found: Row) -> str:
    answers = " / ".join(found["answers"]) or "; ".join(found["why"])[:80]
    verdict = "as expected" if found["ok"] else ", ".join(found["codes"])
    return f"| {found['runtime']} | {found['bundle']} | {found['spoiled'] or '—'} | {answers} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", action="append", default=[])
    parser.add_argument("--work", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print("| server | bundle | spoiled | answers to 17+28 and 40+33 | verdict |\n|---|---|---|---|---|")
        for each in rows(set(given.runtime), folder):
            found.append(each)
            print(shown(each), flush=True)
    if given.output:
        given.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
