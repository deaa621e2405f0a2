"""The page in a real browser: nothing overflows sideways on a phone or a desk, and the filter finds what it should.

Debian and Ubuntu: `apt-get install chromium`. On a Mac, `CHROMIUM` may name any Chromium-based browser.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dsv4recipe import load_recipe, make_plan, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.reports.numbers import read_numbers
from dsv4recipe.reports.page import render_page
from scripts.screenshots import FOLDER, PICTURES, make

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (320, 390, 1280)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

MEASURE = """
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, root = page.documentElement;
    const beyond = (each) => each.getBoundingClientRect().right > root.clientWidth + 0.5;
    const wide = [...page.body.querySelectorAll("*")].filter((each) => !each.closest("pre") && beyond(each))
      .map((each) => each.tagName + "." + each.className);
    const box = page.querySelector("#filter"), input = box.querySelector("input");
    input.value = "layers.2.mlp.switch_mlp.gate_proj";
    input.dispatchEvent(new Event("input"));
    const kept = [...page.querySelectorAll(".overrides li")].filter((row) => !row.hidden)
      .map((row) => row.dataset.pattern);
    return {width: root.clientWidth, content: root.scrollWidth, wide, kept, filter: !box.hidden,
            dark: getComputedStyle(page.body).backgroundColor};
  });
  document.body.innerHTML = "<pre>" + JSON.stringify(found).replaceAll("<", "&lt;") + "</pre>";
});
"""


def measured(page: str, folder: Path, dark: bool) -> list[dict[str, Any]]:
    """What the browser says of the page, every section unfolded, in a frame of each width."""
    page = re.sub(r"<details( open)?>", "<details open>", page)
    frames = "".join(f'<iframe style="width:{w}px;border:0" srcdoc="{html.escape(page)}"></iframe>' for w in WIDTHS)
    sheet = folder / "sheet.html"
    sheet.write_text(f"<!doctype html><meta charset=utf-8><body><script>{MEASURE}</script>{frames}", encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, *FLAGS, scheme, f"--user-data-dir={folder / 'profile'}", "--dump-dom", sheet.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    text = re.search("<pre>(.*)</pre>", shown, re.S)
    assert text, shown[-2000:]
    found: list[dict[str, Any]] = json.loads(html.unescape(text[1]))
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows(dark: bool, tiny: Checkpoint, q4q8_bundle: Path, tiny_source: Path, tmp_path: Path) -> None:
    plan = make_plan(load_recipe("q4q8"), tiny)
    proof = json.dumps(verify(q4q8_bundle, tiny_source).data())
    found = measured(render_page(plan, read_numbers(proof, "numbers.json", plan)), tmp_path, dark)
    assert [row["width"] for row in found] == list(WIDTHS)
    for row in found:
        assert (row["content"], row["wide"]) == (row["width"], [])
        assert row["dark"] == ("rgb(16, 22, 29)" if dark else "rgb(255, 255, 255)")


def test_full_size_fits_and_the_filter_finds_a_module(full: Checkpoint, tmp_path: Path) -> None:
    for row in measured(render_page(make_plan(load_recipe("q4q8"), full)), tmp_path, dark=False):
        assert (row["content"], row["wide"]) == (row["width"], [])
        assert row["filter"]
        assert row["kept"] == ["layers.{0-42}.mlp.switch_mlp.gate_proj", "model.layers.{0-42}.mlp.switch_mlp.gate_proj"]


def test_the_pictures_of_the_documents_can_be_made(tmp_path: Path) -> None:
    for file in make(tmp_path):
        width, height, _ = PICTURES[file.name]
        assert file.read_bytes()[16:24] == width.to_bytes(4, "big") + height.to_bytes(4, "big")
        assert (FOLDER / file.name).is_file()
