"""What the page says is what the plan says, to the byte; what a stranger wrote into a recipe stays text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dsv4recipe import load_recipe, make_plan, report, verify
from dsv4recipe.checkpoint.graph import Checkpoint, open_checkpoint
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run
from dsv4recipe.errors import RecipeError
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.ledger import ledger
from dsv4recipe.plan.model import Plan
from dsv4recipe.reports.curve import read_allocation
from dsv4recipe.reports.heat import BITS, bits_map, step
from dsv4recipe.reports.numbers import read_numbers
from dsv4recipe.reports.overview import overview, ticks
from dsv4recipe.reports.page import TEMPLATES, render_page
from tests.report.test_patterns import spelled


@pytest.fixture(scope="module")
def plan(tiny: Checkpoint) -> Plan:
    return make_plan(load_recipe("q4q8"), tiny)


@pytest.fixture(scope="module")
def proof(q4q8_bundle: Path, tiny_source: Path) -> str:
    return json.dumps(verify(q4q8_bundle, tiny_source).data())


def words(page: str) -> str:
    """The text a reader sees, tags removed."""
    return " ".join(
        html.unescape(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", page, flags=re.S)).split()
    )


def test_totals_ledger_and_digest(plan: Plan) -> None:
    seen = words(render_page(plan))
    for part in ("6,517,360", "0.007 GB", "0.006 GiB", "7.653", "q4q8", plan.digest, plan.source.header_digest):
        assert part in seen
    for row in ledger(plan.modules):
        assert f"{row.role}, {row.format}" in seen
        assert f"{row.bytes:,} " in seen
    for rule in plan.recipe["rules"]:
        assert f"{rule['id']} →" in seen
        assert rule.get("note", "") in seen
    assert "No tensor is left out." in seen
    assert "None: a recipe that breaks a law of its runtime gets no plan." in seen


def test_the_heat_map_has_a_cell_for_every_layer_and_projection(plan: Plan) -> None:
    cells = {(m.block == "mtp", m.layer, m.role, m.projection) for m in plan.modules if m.layer is not None}
    page = render_page(plan)
    titles = re.findall(r'<td class="b\d" title="layers? ([^"]*)">', page)
    seen = []
    for title in titles:
        names, column = re.fullmatch(r"(.*?), ([a-z-]+(?: \w+)?): .*", title).groups()  # type: ignore[union-attr]
        role, _, projection = column.partition(" ")
        for each in names.removesuffix(" mtp").split(", "):
            first, _, last = each.removesuffix(" by 2").partition("-")
            pace = 2 if each.endswith(" by 2") else 1
            numbers = range(int(first), int(last or first) + 1, pace)
            seen += [(names.endswith("mtp"), number, role, projection) for number in numbers]
    assert len(seen) == len(set(seen))
    assert set(seen) == cells
    assert any(title.endswith("affine 4-bit g32, 5 bits per weight, 163,840 B") for title in titles)


def test_equal_layers_are_one_row_and_experts_are_as_wide_as_their_bytes(full: Checkpoint) -> None:
    plan = make_plan(load_recipe("q4q8"), full)
    found = bits_map(plan.modules)
    assert len(found.rows) < 8
    assert sum(count for _, count, _ in found.rows) == 44
    experts = sum(w for w, (role, _) in zip(found.widths, found.columns, strict=True) if role == "routed-expert")
    assert experts > 45
    assert sum(found.widths) == pytest.approx(100, abs=0.5)


def test_two_and_three_bits_have_colours_of_their_own() -> None:
    assert len({step(bits, BITS) for bits in (2.25, 3.25, 4.25, 5.0, 6.25, 8.25, 16, 32)}) == 8


def test_what_a_person_wants_first_stands_first(full: Checkpoint) -> None:
    recipe = load_recipe("native")
    seen = words(report(recipe, checkpoint=full).html)
    order = ["Fits a 256 GB Mac", "weights stored exactly", "Room on a Mac", "Quality", "Where the bytes are",
             "Bits per weight, layer by layer", "Findings", "Recipe", "Overrides in config.json"]  # fmt: skip
    places = [seen.index(each) for each in order]
    assert places == sorted(places)
    assert "does not fit" in seen
    assert "of KV cache for 32,768 tokens" in seen
    plan = make_plan(recipe, full)
    assert overview(plan).exact_weights == 1.0
    assert [row["fits"] for row in overview(plan).gauge] == [False, False, False, False, True, True]


def test_loaders_of_a_bundle_are_on_its_page(q4q8_bundle: Path) -> None:
    assert re.search(r"vmlx [\d.]+ loads", words(report(q4q8_bundle).html))


def test_an_axis_ends_at_a_round_number_beyond_its_bytes() -> None:
    assert ticks(94_000_000_000) == (100_000_000_000, ["0", "20", "40", "60", "80", "100 GB"])
    assert ticks(3_100_000, 4) == (3_200_000, ["0", "0.8", "1.6", "2.4", "3.2 MB"])


def test_a_page_of_two_plans_shows_what_changes(
    tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "diff.html"
    arguments = ["report", "q4q8", "native", "--source", str(tiny_source), "-o", str(page)]
    assert run(arguments) == 0
    seen = words(page.read_text(encoding="utf-8"))
    assert "q4q8 → native" in seen
    assert "removed mtp.0.ffn.experts" in seen
    assert re.search(r"changed layers.\{0-3\}.ffn.experts.\{0-7\}.* affine 4-bit g32 mxfp4 -294,912", seen)
    assert run([*arguments, "--numbers", str(page)]) == 64
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run([*arguments, "--open"]) == 0
    assert "no browser could be started" in capsys.readouterr().err


def test_the_heat_map_knows_every_role_of_v41(tmp_path: Path) -> None:
    source = open_checkpoint(synthesize(tmp_path / "v41", "v4.1-flash", headers_only=True).root)
    modules = [m for m in make_plan(load_recipe("q3-mixed-v41"), source).modules if m.layer is not None]
    columns = bits_map(modules).columns
    assert set(columns) == {(module.role, module.projection) for module in modules}
    assert {"engram", "indexer"} <= {role for role, _ in columns}


def test_what_is_left_out_and_the_sidecar_are_named(tiny: Checkpoint) -> None:
    seen = words(render_page(make_plan(load_recipe("universal"), tiny)))
    assert "tensors by target.mtp" in seen
    assert "jangtq_runtime.safetensors" in words(render_page(make_plan(load_recipe("jangtq2"), tiny)))


def test_measured_numbers_are_shown(plan: Plan, proof: str) -> None:
    page = render_page(plan, read_numbers(proof, "numbers.json", plan))
    rows = {row["module"]: row["rel_rmse"] for row in json.loads(proof)["numbers"]}
    worst = rows["model.layers.2.mlp.switch_mlp.down_proj"]
    assert f'title="layer 2, routed-expert down: relative RMSE {worst:.4g}"' in page
    assert 'title="layer 0, norm: equal to the source"' in page
    assert "148 modules, 6,813,116 weights decoded" in words(page)


def test_numbers_of_another_bundle_are_refused(plan: Plan, proof: str, tiny: Checkpoint) -> None:
    other = make_plan(load_recipe("q3-mixed"), tiny)
    with pytest.raises(RecipeError) as error:
        read_numbers(proof, "numbers.json", other)
    assert error.value.diagnostics[0].code == "U011"
    assert "of its 148 modules do not fit" in str(error.value)
    for text in (
        "",
        "[]",
        "{}",
        '{"numbers": [], "steps": []}',
        proof.replace("6813116", "x").replace('"weights"', '"w"'),
    ):
        with pytest.raises(RecipeError) as error:
            read_numbers(text, "numbers.json", plan)
        assert error.value.diagnostics[0].code == "U010"
    data = json.loads(proof)
    data["numbers"][0]["rel_rmse"] = float("nan")
    with pytest.raises(RecipeError, match="NaN is not JSON"):
        read_numbers(json.dumps(data), "numbers.json", plan)


def test_an_allocation_adds_its_curve(tiny: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(tiny.folder.root), tmp_path / "new.yaml"
    command = ["allocate", "q4q8", "--source", source, "--errors", "synthetic", "--bits-per-weight", "7"]
    assert run([*command, "-o", str(out), "--json"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "allocation.json").write_text(text, encoding="utf-8")
    page = tmp_path / "page.html"
    options = ["--source", source, "--allocation", str(tmp_path / "allocation.json"), "-o", str(page)]
    assert run(["report", str(out), *options]) == 0
    shown, data = page.read_text(encoding="utf-8"), json.loads(text)
    seen = words(shown)
    assert f"this recipe: {data['bytes']:,} B, {data['error']:.5g}" in seen
    assert data["evidence"]["errors"] in seen
    assert all(f"{point['bytes']:,}" in seen for point in data["curve"])
    lines = re.findall(r'<polyline[^>]* points="([^"]*)"', shown)
    assert [len(line.split()) for line in lines] == [len(data["curve"])] * 2
    xs, ys = zip(*(map(float, pair.split(",")) for pair in lines[1].split()), strict=True)
    assert (xs[0], xs[-1], ys[0], ys[-1]) == (0.0, 1000.0, 0.0, 300.0)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    plan = make_plan(load_recipe("q4q8"), tiny)
    for wrong, why in (
        (text, "made for another bundle"),
        ("[]", "not a document"),
        (text.replace('"curve"', '"x"'), "not a document"),
        (json.dumps({**data, "curve": []}), "no curve"),
        (json.dumps({**data, "error": float("nan")}), "NaN is not JSON"),
    ):
        with pytest.raises(RecipeError, match=why) as error:
            read_allocation(wrong, "allocation.json", plan)
        assert error.value.diagnostics[0].code == "U015"


def test_strangers_text_stays_text(plan: Plan) -> None:
    evil = '</style><script>alert("1")</script>'
    recipe = {**plan.recipe, "name": evil, "summary": evil, "license": evil}
    recipe["rules"] = [{**rule, "note": evil} for rule in plan.recipe["rules"]]
    overrides = {**plan.overrides, f"layers.{evil}": {"bits": 4, "group_size": 32, "mode": evil}}
    modules = (replace(plan.modules[0], path=evil, role=evil, layer=None), *plan.modules[1:])
    page = render_page(replace(plan, recipe=recipe, overrides=overrides, modules=modules), notes=[evil])
    assert page.count("<script>") == page.count("</script>") == page.count("</style>") == 1
    assert page.count(html.escape(evil, quote=False).replace('"', "&#34;")) >= 8


def test_the_page_needs_nothing_from_outside_and_runs_nothing_foreign(plan: Plan) -> None:
    page = render_page(plan)
    assert not re.search(r"(src|href)=|https?://|url\(|@import", page)
    for tag in ("style", "script"):
        content = re.search(f"<{tag}>(.*?)</{tag}>", page, re.S)
        assert content
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in page
    assert "default-src &#39;none&#39;" in page


def test_the_same_plan_gives_the_same_bytes(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(dump_plan(plan), encoding="utf-8")
    pages = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "dsv4recipe", "report", "plan.json", "-o", f"{seed}.html"]
        environment = {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo" if seed == "1" else "UTC", "LC_ALL": "C"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        pages.add((tmp_path / f"{seed}.html").read_bytes())
    assert pages == {report(plan).html.encode()}


def test_a_bundle_of_a_stranger(spoiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dsv4recipe.plan.json", "dsv4recipe.manifest.json"):
        (spoiled / name).unlink()
    config = json.loads((spoiled / "config.json").read_text())
    config["quantization"]["layers.1.ffn.<b>.w1"] = {"bits": 4, "group_size": 32, "mode": "affine"}
    (spoiled / "config.json").write_text(json.dumps(config))
    assert run(["report", str(spoiled), "-o", str(tmp_path / "page.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] >= 1
    seen = words((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "The bundle carries no recipe." in seen
    assert "override 'layers.1.ffn.<b>.w1' names no quantized module" in seen
    assert "6,517,360" in seen


def test_thousands_of_overrides_are_a_few_lines(full: Checkpoint) -> None:
    plan = make_plan(load_recipe("q4q8-per-expert"), full)
    page = render_page(plan)
    found = [html.unescape(name) for name in re.findall(r'data-pattern="([^"]*)"', page)]
    entries = {name for name, entry in plan.overrides.items() if isinstance(entry, dict)}
    assert len(entries) > 33_000
    assert {name for pattern in found for name in spelled(pattern)} == entries
    assert len(found) < 100
    assert len(page) < 200_000


def test_without_jinja2_it_says_what_to_install(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(dump_plan(plan), encoding="utf-8")
    code = (
        "import sys; sys.modules['jinja2'] = None; from dsv4recipe.cli.main import run;"
        "sys.exit(run(['report', 'plan.json', '-o', 'page.html']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            "error[U012]: reports need jinja2, which is not installed",
            '   = help: pip install "dsv4recipe[report]"',
            "",
        ],
    )
    assert not (tmp_path / "page.html").exists()


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(scheme: str) -> None:
    """WCAG 2.1 level AA: 4.5 to 1."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = style.split("prefers-color-scheme: dark", 1)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    pairs = [(f"{kind}{n}t", f"{kind}{n}") for kind in "be" for n in range(8)]
    pairs += [(f"k{n}t", f"k{n}") for n in range(4)] + [(ink, paper) for ink in ("good", "bad") for paper in ("page",)]
    pairs += [(ink, paper) for ink in ("ink", "soft", "error", "warning") for paper in ("page", "tile")]
    poor = {}
    for ink, paper in pairs:
        lighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
        if (lighter + 0.05) / (darker + 0.05) < 4.5:
            poor[ink, paper] = (lighter + 0.05) / (darker + 0.05)
    assert poor == {}
