"""What a budget buys: the promised bytes exactly, within the laws, close to the bound, and in few rules."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from dsv4recipe import build, load_recipe, make_plan, verify
from dsv4recipe.allocation.machine import kv_bytes, room
from dsv4recipe.allocation.priors import read_priors
from dsv4recipe.allocation.problem import Problem, Spent
from dsv4recipe.allocation.run import Wishes, prepare
from dsv4recipe.allocation.write import write
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.recipe.load import parse_recipe
from tests.recipes import changed, with_first_rule

SYNTHETIC = Wishes(errors="synthetic")
Q3_MIXED = 135_346_422_876


@pytest.fixture(scope="module")
def q3(full: Checkpoint) -> Problem:
    return prepare(load_recipe("q3-mixed"), full, SYNTHETIC)


@pytest.fixture(scope="module")
def measured(tiny: Checkpoint) -> Problem:
    return prepare(load_recipe("jangtq2"), tiny, Wishes(sample=4))


def codes(error: pytest.ExceptionInfo[RecipeError]) -> set[str]:
    return {found.code for found in error.value.diagnostics}


def test_at_the_size_of_q3_mixed_the_error_is_lower_by_more_than_a_quarter(q3: Problem) -> None:
    spent = q3.spend(Q3_MIXED)
    assert 0.999 * Q3_MIXED <= spent.bytes <= Q3_MIXED
    assert spent.bound <= spent.error <= 1.005 * spent.bound
    base = q3.error_of(q3.base)
    assert base is not None
    assert spent.error < 0.75 * base
    plain = [q3.table.of(group, spent.formats[group.names]) or 0.0 for group in q3.groups]
    formats = {module.sources: module.format for module in q3.base.modules}
    before = [q3.table.of(group, formats[group.names]) or 0.0 for group in q3.groups]
    assert sum(plain) < 0.75 * sum(before)


def test_planning_what_was_written_gives_the_promised_bytes(q3: Problem, full: Checkpoint) -> None:
    for budget in (90 * 10**9, Q3_MIXED):
        spent = q3.spend(budget)
        written = write(q3, spent, "new", "tests.", "nothing")
        plan = make_plan(parse_recipe(written.text, "new.yaml"), full)
        assert plan.tensor_bytes == spent.bytes
        assert plan.digest == written.plan.digest
        assert {m.sources: m.format for m in plan.modules if m.sources in spent.formats} == spent.formats
        kept = {m.sources: (m.format, m.bytes) for m in q3.base.modules if m.sources not in spent.formats}
        assert {m.sources: (m.format, m.bytes) for m in plan.modules if m.sources not in spent.formats} == kept
        assert len(written.recipe.rules) <= 20


@pytest.mark.parametrize(("recipe", "budgets"), [("q3-mixed", (84, 100, 120, 140)), ("jangtq2", (80, 100, 130, 150))])
def test_budgets_are_used_up_close_to_the_bound(recipe: str, budgets: tuple[int, ...], full: Checkpoint) -> None:
    problem = prepare(load_recipe(recipe), full, SYNTHETIC)
    for budget in budgets:
        spent = problem.spend(budget * 10**9)
        assert 0.999 * budget * 10**9 <= spent.bytes <= budget * 10**9
        assert spent.bound <= spent.error <= 1.005 * spent.bound


def test_floors_candidates_and_fused_projections_hold(measured: Problem) -> None:
    low, high = measured.limits
    priors = read_priors()
    for budget in (low, (low + high) // 2, high):
        formats = measured.spend(budget).formats
        fused, layers = defaultdict(set), defaultdict(list)
        for group in measured.groups:
            slot = group.slot
            assert formats[group.names].nominal_bits >= priors.roles[slot.row.role].floor
            assert formats[group.names] in measured.formats[group.names]
            if slot.row.projection in ("gate", "up") and slot.row.role == "routed-expert":
                fused[slot.block, slot.layer].add(formats[group.names])
            if slot.row.role == "routed-expert":
                layers[slot.block, slot.layer].append(formats[group.names].kind == "mxtq")
        assert {len(alike) for alike in fused.values()} == {1}
        assert all(len(layer) == 3 and all(layer) == any(layer) for layer in layers.values())


def test_a_bundle_of_mixed_experts_passes_its_proof(
    measured: Problem, tiny: Checkpoint, tiny_source: Path, tmp_path: Path
) -> None:
    def kinds(spent: Spent) -> set[str]:
        slots = {group.names: group.slot for group in measured.groups}
        experts = {name for name, slot in slots.items() if (slot.row.role, slot.block) == ("routed-expert", "main")}
        return {spent.formats[name].kind for name in experts}

    low, high = measured.limits
    budgets = (measured.spend(low + (high - low) * part // 40) for part in range(1, 40))
    spent = next(each for each in budgets if kinds(each) > {"mxtq"})
    written = write(measured, spent, "new", "tests.", "nothing")
    proof = verify(build(written.plan, tiny, tmp_path / "bundle"), source=tiny_source)
    assert proof.ok, proof.data()


def test_a_sample_of_everything_is_what_verify_measures(tiny: Checkpoint, tiny_source: Path, tmp_path: Path) -> None:
    recipe = load_recipe("q4q8")
    problem = prepare(recipe, tiny, Wishes(sample=4096))
    plan = make_plan(recipe, tiny)
    rows = {row["module"]: row for row in verify(build(plan, tiny, tmp_path / "b"), source=tiny_source).numbers}
    for module in plan.modules:
        group = next((group for group in problem.groups if group.names == module.sources), None)
        if group is not None and group.source.shape[0] <= 128:
            error = problem.table.of(group, module.format)
            assert error == pytest.approx(rows[module.path or module.disk]["rel_rmse"] ** 2, rel=1e-6)


def test_the_seed_decides_and_threads_do_not(tiny: Checkpoint) -> None:
    recipe = load_recipe("q4q8")
    tables = [
        prepare(recipe, tiny, Wishes(kinds=("affine",), sample=1, seed=seed, workers=workers)).table.errors
        for seed, workers in ((0, 1), (0, 2), (1, 2))
    ]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_equal_formats_stand_in_runs_of_layers(q3: Problem) -> None:
    spent = q3.spend(100 * 10**9)
    for projection in ("gate", "down"):
        rows = [g for g in q3.groups if (g.slot.row.role, g.slot.row.projection) == ("routed-expert", projection)]
        middle = [spent.formats[g.names] for g in rows if 5 <= (g.slot.layer or 0) < 37]
        assert sum(a != b for a, b in pairwise(middle)) <= 2
    assert spent.error <= 1.001 * q3.spend(100 * 10**9, readable=False).error


def test_what_the_base_recipe_drops_stays_dropped_and_foreign_rules_stay(tiny: Checkpoint) -> None:
    base = parse_recipe(with_first_rule("  - {id: gone, match: {block: mtp}, drop: true, note: not run}\n"), "b.yaml")
    problem = prepare(base, tiny, SYNTHETIC)
    low, high = problem.limits
    written = write(problem, problem.spend((low + high) // 2), "new", "tests.", "nothing")
    assert written.recipe.rules[0] == base.rules[0]
    assert written.recipe.rules[-1] == base.rules[2]
    assert written.plan.dropped == problem.base.dropped


def test_a_machine_leaves_its_wired_limit_less_cache_and_allowance(full: Checkpoint) -> None:
    found = room("128GB-mac", full, 32768)
    assert found.wired == 96 * 2**30
    assert found.bytes == found.wired - found.kv - 2**30
    # 21 layers of ratio 4 with an indexer, 20 of ratio 128, 43 windows of 128: entries of 512 and 128 in 2 bytes
    entries = 43 * 128 * 512 + 21 * (32768 // 4) * (512 + 128) + 20 * (32768 // 128) * 512
    assert found.kv == kv_bytes(full, 32768) == 2 * entries
    assert room("16GB-mac", full, 1).wired == 16 * 2**30 * 2 // 3
    assert room("96GB-mac", full, 1, wired=10**10).wired == 10**10
    for machine in ("128", "128GB", "128GiB-mac", "0GB-mac", "1GB-mac"):
        with pytest.raises(RecipeError) as error:
            room(machine, full, 1048576)
        assert codes(error) == {"A008"}


def test_budgets_without_sense_name_those_that_have_some(
    q3: Problem, full: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = q3.limits
    source = str(full.folder.root)
    for budget, code in ((low - 1, "A001"), (high + 1, "A002")):
        out = tmp_path / "new.yaml"
        command = ["allocate", "q3-mixed", "--source", source, "--errors", "synthetic", "--budget", f"{budget}B"]
        assert run([*command, "-o", str(out)]) == 1
        said = capsys.readouterr().err
        assert f"error[{code}]" in said
        assert f"{low:,} B" in said
        assert f"{high:,} B" in said
        assert not out.exists()
    command[-2:] = ["--fits", "64GB-mac"]
    assert run([*command, "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert "error[A001]: a Mac with 64 GB of memory: wired limit 51.540 GB / 48.000 GiB" in said
    assert f"{low:,} B" in said
    assert q3.spend(low).bytes == low
    assert q3.spend(high).bytes == high
    assert q3.spend(high).error == 0


def test_a_sensitivity_file_decides_and_unknown_modules_get_the_nearest_name(
    q3: Problem, full: Checkpoint, tmp_path: Path
) -> None:
    file = tmp_path / "measured.json"

    def given(modules: dict[str, object], **more: object) -> Wishes:
        text = {"format_version": 1, "evidence": "tests", "modules": modules, **more}
        file.write_text(json.dumps(text), encoding="utf-8")
        return replace(SYNTHETIC, sensitivity=file)

    recipe = load_recipe("q3-mixed")
    favourite = "model.layers.20.ffn.switch_mlp.gate_proj"
    problem = prepare(recipe, full, given({favourite: 50.0}, default=1))
    spent = problem.spend(90 * 10**9)
    formats = {m.path: spent.formats.get(m.sources) for m in problem.base.modules}
    assert formats[favourite].nominal_bits > formats["model.layers.21.ffn.switch_mlp.gate_proj"].nominal_bits  # type: ignore[arg-type]
    with pytest.raises(RecipeError) as error:
        prepare(recipe, full, given({"model.layers.20.ffn.switch_mlp.gate_porj": 1, "model.norm": 1}, default=1))
    assert codes(error) == {"A004"}
    assert f'did you mean "{favourite}"?' in str(error.value)
    assert len(error.value.diagnostics) == 2
    with pytest.raises(RecipeError) as error:
        prepare(recipe, full, given({favourite: 1}))
    assert codes(error) == {"A005"}
    assert "640 of 641" in str(error.value)
    for wrong in (given({favourite: -1}, default=1), given({favourite: "much"}, default=1), given([], default=1)):  # type: ignore[arg-type]
        with pytest.raises(RecipeError) as error:
            prepare(recipe, full, wrong)
        assert codes(error) == {"A003"}


def test_headers_without_data_are_refused_and_not_taken_for_exact(full: Checkpoint) -> None:
    with pytest.raises(RecipeError) as error:
        prepare(load_recipe("q3-mixed"), full, Wishes(sample=1))
    assert codes(error) == {"A006"}
    assert "--errors synthetic" in str(error.value)


def test_a_weight_that_is_not_finite_is_named(source_copy: Path) -> None:
    from dsv4recipe import open_checkpoint

    checkpoint = open_checkpoint(source_copy)
    tensor = next(t for t in checkpoint.tensors if t.name == "head.weight")
    with (source_copy / tensor.file).open("r+b") as stream:
        stream.seek(tensor.weight.start + 2)
        stream.write(b"\x80\x7f")  # bfloat16 infinity
    with pytest.raises(RecipeError) as error:
        prepare(load_recipe("q4q8"), checkpoint, Wishes(sample=4096))
    assert codes(error) == {"A010"}
    assert "head.weight, row 0, column 1: Inf in the source" in str(error.value)


def test_tables_of_errors_come_back_and_say_how_modules_were_found(
    tiny: Checkpoint, full: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, tiny_root = tmp_path / "errors.json", str(tiny.folder.root)
    command = ["allocate", "q3-mixed", "--source", tiny_root, "--budget", "4MB", "--json"]
    assert run([*command, "--write-errors", str(table), "-o", str(tmp_path / "a.yaml")]) == 0
    assert run([*command, "--errors", str(table), "-o", str(tmp_path / "b.yaml")]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["error"] == second["error"]
    problem = prepare(load_recipe("q3-mixed"), full, Wishes(errors=str(table)))
    assert problem.costs
    assert "by the mean of their kind" in problem.table.words()
    with pytest.raises(RecipeError) as error:
        prepare(load_recipe("jangtq2"), full, Wishes(errors=str(table))).limits  # noqa: B018 - float16 scales
    assert codes(error) == {"A007"}
    for text in ("", "{}", '{"format_version": 1, "kind": "measured", "evidence": "", "errors": {"fp4": {"x": -1}}}'):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError) as error:
            prepare(load_recipe("q3-mixed"), full, Wishes(errors=str(table)))
        assert codes(error) == {"A003"}


def test_priors_can_be_changed_and_mistakes_have_a_place(
    tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["allocate", "--print-priors"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("floor: 2 ", "floor: 4 "), encoding="utf-8")
    problem = prepare(load_recipe("jangtq2"), tiny, replace(SYNTHETIC, priors=file))
    assert {f.nominal_bits for g in problem.groups for f in problem.formats[g.names]} == {4, 5, 6, 8, 16}
    for old, new in (("floor: 2 ", "flor: 2 "), ("fit: [minmax, mse]", "fit: [best]"), ("by: layer", "by: mood")):
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(RecipeError) as error:
            read_priors(file)
        assert codes(error) == {"A009"}
        assert error.value.diagnostics[0].where.line > 10


def test_nothing_to_choose_from_and_rules_that_cannot_stand_are_said(tiny: Checkpoint) -> None:
    with pytest.raises(RecipeError) as error:
        prepare(load_recipe("q4q8"), tiny, replace(SYNTHETIC, kinds=("mxfp8",)))
    assert codes(error) == {"A012"}
    before = "  - {id: first, match: {block: mtp}, keep: source, optional: true}\n"
    after = "  - {id: late, match: {block: mtp, role: [norm, attention]}, drop: true}\n"
    text = changed("  - id: control", after + "  - id: control", with_first_rule(before))
    text = changed("match: {block: mtp}, keep: source", "match: {block: mtp, role: norm}, keep: source", text)
    with pytest.raises(RecipeError) as error:
        prepare(parse_recipe(text, "base.yaml"), tiny, SYNTHETIC)
    assert codes(error) == {"T018"}


def test_dry_run_writes_nothing_and_prints_the_curve(
    tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["allocate", "q3-mixed", "--source", str(tiny.folder.root), "--errors", "synthetic", "--dry-run"]
    out = tmp_path / "new.yaml"
    assert run([*command, "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "lower bound for any choice" in shown
    assert re.search(r"^q3-mixed: [\d.]+ in [\d,]+ B", shown, re.MULTILINE)
    assert not out.exists()
    assert run([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    sizes, errors = [p["bytes"] for p in data["curve"]], [p["error"] for p in data["curve"]]
    assert (sizes[0], sizes[-1]) == (data["smallest"], data["largest"])
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert all(p["bound"] <= p["error"] * (1 + 1e-9) for p in data["curve"])


def test_wrong_usage(tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["allocate", "q3-mixed", "--source", str(tiny.folder.root), "--errors", "synthetic"]
    out = tmp_path / "new.yaml"
    assert run([*command, "--budget", "4MB"]) == 64
    for more in ("", "--budget 4MB --fits 96GB-mac", "--budget 4", "--budget 4MB --formats affin"):
        assert run([*command, *more.split(), "-o", str(out)]) == 64, more
    out.write_text("mine", encoding="utf-8")
    assert run([*command, "--budget", "4MB", "-o", str(out)]) == 1
    assert "U003" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"
