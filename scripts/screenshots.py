"""Makes the pictures of the documents in a headless Chromium: python scripts/screenshots.py

Debian and Ubuntu: `apt-get install chromium`. On a Mac, `CHROMIUM` may name any Chromium-based browser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dsv4recipe import report

FOLDER = Path(__file__).parent.parent / "docs" / "evidence"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = {"report-light.png": (1280, 1180, False), "report-phone-dark.png": (390, 1500, True)}
"""File → width, height in pixels, and whether it is the dark scheme."""


def make(folder: Path) -> list[Path]:
    """Returns the pictures that were written to a folder. A frame gives the page its width: a browser's window has a
    least one."""
    assert CHROMIUM is not None, "no Chromium was found"
    page = report("fits-128gb").html
    made = []
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "page.html").write_text(page, encoding="utf-8")
        for name, (width, height, dark) in PICTURES.items():
            sheet = Path(work) / f"{name}.html"
            frame = (
                f'<iframe src="page.html" style="border:0;width:{width}px;height:{height}px;display:block"></iframe>'
            )
            sheet.write_text(f'<!doctype html><body style="margin:0">{frame}', encoding="utf-8")
            command = [
                CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},{height}",
                f"--user-data-dir={Path(work) / 'profile'}", f"--screenshot={folder / name}", sheet.as_uri(),
            ]  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            made.append(folder / name)
    return made


if __name__ == "__main__":
    for file in make(FOLDER):
        sys.stdout.write(f"{file}\n")
