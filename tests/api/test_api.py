"""The public functions take paths as well as objects, give what the commands print, and show themselves in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsv4recipe import allocate, build, check, decompile, diff, explain, inspect, lock, make_plan, report, verify
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.ledger import ledger


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> object:
    assert run([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_path_is_as_good_as_what_it_names(tiny: Checkpoint, tiny_source: Path) -> None:
    assert make_plan("q4q8", str(tiny_source)).digest == make_plan("q4q8", tiny).digest
    assert explain("q4q8", "head.weight", checkpoint=tiny_source).data() == (
        explain("q4q8", "head.weight", checkpoint=tiny).data()
    )
    assert diff("q4q8", make_plan("q4q8", tiny), checkpoint=tiny_source).empty
    assert lock("q4q8", tiny_source).text == lock("q4q8", tiny).text


def test_functions_give_what_commands_print(
    tiny: Checkpoint, tiny_source: Path, q4q8_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(tiny) == inspect(tiny_source) == printed(capsys, "inspect", tiny_source, "--json")
    assert inspect(q4q8_bundle) == printed(capsys, "inspect", q4q8_bundle, "--json")
    out = tmp_path / "again.yaml"
    printed(capsys, "decompile", q4q8_bundle, "-o", out, "--json")
    assert decompile(q4q8_bundle, name="again").text == out.read_text()
    page = tmp_path / "page.html"
    printed(capsys, "report", q4q8_bundle, "-o", page, "--json")
    assert report(q4q8_bundle).html == page.read_text()
    bought = allocate("q4q8", tiny, bits_per_weight=6, errors="synthetic")
    options = ("--bits-per-weight", 6, "--errors", "synthetic", "--dry-run", "--json")
    assert bought.data() == printed(capsys, "allocate", "q4q8", "--source", tiny_source, *options)
    assert bought.plan is not None
    assert bought.plan.digest == make_plan(bought.recipe or "", tiny).digest


def test_a_build_from_a_name_and_a_path(tiny_source: Path, q4q8_bundle: Path, tmp_path: Path) -> None:
    out = build("q4q8", tiny_source, tmp_path / "out")
    assert verify(out).ok
    for path in q4q8_bundle.glob("*.safetensors"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(RecipeError) as refused:
        build("q4q8", tiny_source, tmp_path / "locked", locked=True)
    assert refused.value.diagnostics[0].code == "P052"


def test_check_gives_every_problem_as_data(tmp_path: Path) -> None:
    assert check("q4q8") == ()
    spoiled = tmp_path / "r.yaml"
    spoiled.write_text("recipe: 1\nnam: x\nrules: 3\n")
    found = check(spoiled)
    assert len(found) > 1
    assert all(each.code.startswith("R") and each.where.file == str(spoiled) for each in found)


def test_two_budgets_are_refused(tiny: Checkpoint) -> None:
    with pytest.raises(TypeError, match="one of budget"):
        allocate("q4q8", tiny, budget="1GiB", bits_per_weight=4.0)


def test_objects_show_themselves_in_one_line_and_as_rows(tiny: Checkpoint) -> None:
    plan = make_plan("q4q8", tiny)
    assert len(repr(plan)) < 200
    assert plan.digest[:12] in repr(plan)
    assert "\n" not in repr(plan)
    assert len(repr(tiny)) < 300
    rows = plan.rows()
    assert sum(row["bytes"] for row in rows) == plan.tensor_bytes
    assert {row["shard"] for row in rows} == {shard.file for shard in plan.shards}
    shown = plan._repr_html_()
    for row in ledger(plan.modules):
        assert f"<td>{row.bytes:,}</td>" in shown
