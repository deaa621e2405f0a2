"""The notebook of examples/: its cells run one after the other, and say what the text around them says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "sweep.ipynb"


def test_its_cells_run_and_plot_bytes_against_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    work = tmp_path / "examples"
    work.mkdir()
    (tmp_path / "docs").symlink_to(NOTEBOOK.parent.parent / "docs")
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    points = names["points"]
    assert len(points) >= 6
    assert points[0]["bytes"] < points[-1]["bytes"] == names["base"].tensor_bytes
    picture = names["Plot"](points)._repr_svg_()
    assert len(ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}circle")) == len(points)
    assert 2 <= len(names["front"]) < len(points)
    assert all("mse" in name for name in names["front"])
