"""Writes what is made of data in the code: the JSON schema of build events, the runtimes in the schema of recipes, and
the pages of error codes.

    python scripts/generate.py [--check]    # --check writes nothing and fails where a file differs
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dsv4recipe.builder.events import events_schema  # noqa: E402 - the checkout's own package
from dsv4recipe.catalogue.codes import page_names, read_page  # noqa: E402
from dsv4recipe.catalogue.page import markdown_page  # noqa: E402
from dsv4recipe.runtimes import BUILT_IN  # noqa: E402


def generated() -> dict[Path, str]:
    """File → text."""
    recipe = ROOT / "schemas/recipe.schema.json"
    return {
        ROOT / "schemas/events.schema.json": json.dumps(events_schema(), indent=2, ensure_ascii=False) + "\n",
        recipe: with_runtimes(recipe.read_text(encoding="utf-8")),
        **{ROOT / f"docs/errors/{name}.md": markdown_page(read_page(name)) for name in page_names()},
    }


def with_runtimes(text: str) -> str:
    """The schema of recipes with the description and the list of `target.runtime` as the registry has them."""
    about = " ".join(f"{runtime.name}: {runtime.summary}." for runtime in BUILT_IN)
    described = json.dumps(f"Decides names on disk, legality and config. {about}")
    names = json.dumps([runtime.name for runtime in BUILT_IN])
    pattern = r'("runtime": \{\s+"description": )".*?"(,\s+"type": "string",\s+"enum": )\[.*?\]'
    return re.sub(pattern, lambda hit: f"{hit[1]}{described}{hit[2]}{names}", text, count=1)


def main() -> int:
    check, changed = "--check" in sys.argv[1:], []
    for file, text in generated().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            changed.append(file.relative_to(ROOT))
            if not check:
                file.write_text(text, encoding="utf-8")
    for name in changed:
        print(f"{name} is not what the code says: run python scripts/generate.py" if check else f"wrote {name}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
