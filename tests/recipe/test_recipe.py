"""Recipes as a whole: the shipped ones, defaults, positions, `show`, speed, imports."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Affine, Mxfp4, Mxfp8, Mxtq
from dsv4recipe.recipe import (
    Match,
    Recipe,
    Rule,
    Source,
    Target,
    data_text,
    init_text,
    load_recipe,
    parse_recipe,
    recipe_data,
    recipe_path,
    rule_ids,
    schema_names,
    schema_text,
    shipped_recipes,
    show_recipe,
)
from dsv4recipe.recipe.model import KEEP, LAYER_SETS, PROJECTIONS, ROLES

CONTRACT = """\
# yaml-language-server: $schema=../schemas/recipe.schema.json
recipe: 1
name: q4q8
summary: 4-bit affine routed experts, 8-bit affine elsewhere, group size 32.
license: mit
source:
  model: deepseek-ai/DeepSeek-V4-Flash
  revision: 6e763230a9d263eca2023f1d4a5ce1bfe126cf48
  family: deepseek_v4
target:
  runtime: vmlx              # decides names, legality, config; see 5
  experts: stacked           # stacked | per-expert
  mtp: keep                  # keep | drop
  shard-size: 5GiB           # a stack, or the experts of one projection, never spans two shards
  half: float16              # the one half type of the bundle (scales, biases, bf16-origin copies)
rules:                       # in order; the first that matches a tensor claims it
  - id: routed-experts
    match: {role: routed-expert}
    format: {affine: {bits: 4, group-size: 32}}
  - id: control
    match: {role: [norm, router, router-bias, hyper-connection, attention-sink, position-bias, hash-table]}
    keep: source
  - id: everything-else
    match: {role: [attention, compressor, indexer, shared-expert, embedding, lm-head, mtp-projection]}
    format: {affine: {bits: 8, group-size: 32}}
"""


def test_the_contracts_example() -> None:
    control = ("norm", "router", "router-bias", "hyper-connection", "attention-sink", "position-bias", "hash-table")
    rest = ("attention", "compressor", "indexer", "shared-expert", "embedding", "lm-head", "mtp-projection")
    assert parse_recipe(CONTRACT, "q4q8.yaml") == Recipe(
        name="q4q8",
        summary="4-bit affine routed experts, 8-bit affine elsewhere, group size 32.",
        license="mit",
        source=Source("deepseek-ai/DeepSeek-V4-Flash", "6e763230a9d263eca2023f1d4a5ce1bfe126cf48", ("deepseek_v4",)),
        target=Target("vmlx", "stacked", "keep", 5 * 2**30, "float16"),
        rules=(
            Rule("routed-experts", Match(role=("routed-expert",)), Affine(4, 32, "float16", "minmax")),
            Rule("control", Match(role=control), "source"),
            Rule("everything-else", Match(role=rest), Affine(8, 32, "float16", "minmax")),
        ),
    )


def test_every_field_has_its_place() -> None:
    recipe = parse_recipe(CONTRACT, "q4q8.yaml")
    assert str(recipe.where) == "q4q8.yaml:3:7"
    assert str(recipe.place("target.half")) == "q4q8.yaml:15:9"
    rule = recipe.rules[0]
    assert str(rule.where) == "q4q8.yaml:17:9"
    assert str(rule.place("format.affine.bits")) == "q4q8.yaml:19:29"
    assert rule.place("format.affine.bits").text == "    format: {affine: {bits: 4, group-size: 32}}"
    assert str(recipe.rules[1].place("match.role.1")) == "q4q8.yaml:21:26"
    assert rule.place("format.affine.scales") == rule.where


def test_the_shipped_recipes() -> None:
    assert set(shipped_recipes()) >= {"q4q8", "q4q8-per-expert"}
    stacked, single = load_recipe("q4q8"), load_recipe("q4q8-per-expert")
    assert single.target == replace(stacked.target, experts="per-expert")
    assert (single.rules, single.source, single.license) == (stacked.rules, stacked.source, stacked.license)
    assert dict(single.origins)["control"] == "shipped:q4q8.yaml"
    assert dict(single.origins)["target"] == "shipped:q4q8-per-expert.yaml"


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_whole(name: str) -> None:
    recipe = load_recipe(name)
    text = recipe_path(name).read_text(encoding="utf-8")
    assert recipe.name == name
    assert text.startswith("# yaml-language-server: $schema=../schemas/recipe.schema.json\n")
    assert all(word in text for word in ("# For:", "# Costs:", "# Evidence:"))


def test_defaults_follow_the_flattened_target() -> None:
    parent = CONTRACT.replace(
        "- id: control", "- id: tq\n    match: {stored: fp4}\n    format: {mxtq: {bits: 2}}\n  - id: control"
    )
    child = (
        "recipe: 1\nname: child\nextends: base\n"
        "target: {runtime: vmlx, experts: stacked, mtp: drop, shard-size: 1.5GB, half: bfloat16}\n"
    )
    recipe = parse_recipe(child, "child.yaml", lambda *_: ("base.yaml", parent))
    assert recipe.rules[0].action == Affine(4, 32, "bfloat16", "minmax")
    assert recipe.rules[1].action == Mxtq(2, 42)
    assert recipe.target.shard_size == 1_500_000_000


def test_layers() -> None:
    text = CONTRACT.replace("{role: routed-expert}", "{layers: [0-2, 7, hash, 1-3, compress-ratio-4]}")
    match = parse_recipe(text, "r.yaml").rules[0].match
    assert match.layers == (0, 1, 2, 3, 7)
    assert match.layer_sets == ("hash", "compress-ratio-4")
    assert recipe_data(parse_recipe(text, "r.yaml"))["rules"][0]["match"] == {
        "layers": ["0-3", 7, "hash", "compress-ratio-4"]
    }


def test_show_says_where_each_line_came_from(tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text(
        "recipe: 1\nname: child\nextends: q4q8\nlicense: apache-2.0\n", encoding="utf-8"
    )
    recipe = load_recipe(tmp_path / "child.yaml")
    shown = show_recipe(recipe)
    lines = {line.split("#")[0].strip(): line.split("#")[1].strip() for line in shown.splitlines() if "#" in line}
    assert lines["name: child"] == f"from {tmp_path}/child.yaml:2"
    assert lines["license: apache-2.0"] == f"from {tmp_path}/child.yaml:4"
    source = recipe_path("q4q8").read_text(encoding="utf-8").splitlines()
    number = next(n for n, line in enumerate(source, 1) if "bits: 8" in line)
    assert lines["bits: 8"] == f"from shipped:q4q8.yaml:{number}"
    assert lines["fit: minmax"] == "default"
    assert parse_recipe(shown, "shown.yaml") == recipe


def test_data_reads_as_a_recipe_and_survives_sorted_json() -> None:
    recipe = load_recipe("q4q8")
    data = recipe_data(recipe)
    jsonschema.Draft7Validator(json.loads(schema_text("recipe"))).validate(data)
    assert data["rules"][0]["format"] == {"affine": {"bits": 4, "group-size": 32, "scales": "float16", "fit": "minmax"}}
    assert data["target"]["shard-size"] == "5GiB"
    again = data_text(json.loads(json.dumps(data, sort_keys=True)))
    assert again == data_text(data)
    assert again.startswith("recipe: 1\nname: q4q8\nsummary: ")
    assert parse_recipe(again, "again.yaml") == recipe


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=("Cc", "Cf")), max_size=30)
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


def some(words: tuple[str, ...]) -> Any:
    return st.lists(st.sampled_from(words), max_size=3, unique=True).map(tuple)


def some_families() -> Any:
    families = ("deepseek_v4", "deepseek_v41")
    return st.lists(st.sampled_from(families), min_size=1, max_size=2, unique=True).map(tuple)


MATCH = st.builds(
    Match,
    role=some(ROLES),
    projection=some(PROJECTIONS),
    layers=st.sets(st.integers(0, 1023), max_size=6).map(sorted).map(tuple),
    layer_sets=some(LAYER_SETS),
    block=some(("main", "mtp", "vision")),
    stored=some(("fp4", "fp8", "bf16", "f16", "f32", "int")),
    tensor=st.lists(st.text("abc.*?{}#:&!|>%@`'\"\\ -0", min_size=1, max_size=20), max_size=3, unique=True).map(tuple),
    module=some(("model.*", "[0-2].w1", "*")),
).filter(lambda match: match != Match())
ACTION = st.one_of(
    st.sampled_from([*KEEP, "drop"]),
    st.builds(
        Affine,
        st.sampled_from([2, 3, 4, 5, 6, 8]),
        st.sampled_from([32, 64, 128]),
        st.sampled_from(["bfloat16", "float16", "float32"]),
    ),
    st.builds(Mxtq, st.sampled_from([2, 4]), st.integers(0, 2**32 - 1)),
    st.sampled_from([Mxfp4(), Mxfp8()]),
)
RULE = st.builds(Rule, NAME, MATCH, ACTION, st.booleans(), WORDS)
REVISION = st.sampled_from(["", "1" * 40, "6e" + "0" * 38])
RECIPES = st.builds(
    Recipe,
    name=NAME,
    summary=WORDS,
    license=st.sampled_from(["mit", "apache-2.0"]),
    source=st.builds(Source, WORDS.filter(bool), REVISION, some_families()),
    target=st.builds(
        Target,
        st.sampled_from(["vmlx", "llama.cpp"]),
        st.sampled_from(["stacked", "per-expert"]),
        st.sampled_from(["keep", "drop"]),
        st.integers(1, 2**50),
        st.sampled_from(["float16", "bfloat16"]),
    ),
    rules=st.lists(RULE, min_size=1, max_size=4, unique_by=lambda rule: rule.id).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(RECIPES)
def test_what_is_shown_loads_again(recipe: Recipe) -> None:
    loaded = parse_recipe(show_recipe(recipe), "shown.yaml")
    assert loaded == recipe
    assert parse_recipe(show_recipe(loaded), "again.yaml") == recipe
    assert recipe_data(loaded) == recipe_data(recipe)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_parse_is_total_on_mutated_recipes(data: st.DataObject) -> None:
    text = CONTRACT
    for _ in range(data.draw(st.integers(1, 4))):
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 12))
        new = data.draw(
            st.sampled_from(["", " ", "\n", "07", "-", "[", "{", "x: ", "*", "~", "!", '"', "'", "#", ": ", "0x", "é"])
        )
        text = text[:at] + new + text[at + length :]
    found = outcome(text)
    if isinstance(found, RecipeError):
        assert str(found)
        assert all(each.where.line for each in found.diagnostics)
    else:
        assert parse_recipe(show_recipe(found), "shown.yaml") == found


def outcome(text: str) -> Recipe | RecipeError:
    try:
        return parse_recipe(text, "r.yaml")
    except RecipeError as error:
        return error


def test_the_schema_and_the_code_know_the_same_words() -> None:
    schema = json.loads(schema_text("recipe"))
    words = schema["definitions"]
    assert tuple(words["role"]["enum"]) == ROLES
    assert tuple(words["projection"]["enum"]) == PROJECTIONS
    assert tuple(words["layer"]["anyOf"][2]["enum"]) == LAYER_SETS
    assert tuple(words["rule"]["properties"]["keep"]["enum"]) == KEEP
    assert tuple(words["format"]["properties"]) == ("affine", "mxfp4", "mxfp8", "mxtq", "ggml")
    jsonschema.Draft7Validator.check_schema(schema)


def test_every_field_of_the_schema_is_described() -> None:
    lacking: list[str] = []

    def walk(schema: Any, path: str) -> None:
        for name, field in {**schema.get("properties", {}), **schema.get("definitions", {})}.items():
            if "$ref" not in field:
                lacking.extend(f"{path}{name}.{key}" for key in ("description", "examples") if not field.get(key))
            if "properties" in field and "enum" in field and len(field["enum"]) <= 9:
                lacking.extend(
                    f"{path}{name}: {value}" for value in field["enum"] if str(value) not in field["description"]
                )
            walk(field, f"{path}{name}.")

    walk(json.loads(schema_text("recipe")), "")
    assert lacking == []


def test_the_examples_of_the_schema_satisfy_it() -> None:
    schema = json.loads(schema_text("recipe"))
    for name, field in {**schema["definitions"], **schema["properties"]}.items():
        for example in field.get("examples", []):
            validator = jsonschema.Draft7Validator({**field, "definitions": schema["definitions"]})
            assert validator.is_valid(example), name


def test_the_starter_recipe_loads() -> None:
    text = init_text("mine")
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    recipe = parse_recipe(text, "mine.yaml")
    assert recipe.name == "mine"
    assert recipe.rules[0].action == Affine(4, 32, "float16")


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(init_text("mine"), encoding="utf-8")
    (tmp_path / "q4q8").write_text(init_text("decoy"), encoding="utf-8")
    assert (
        load_recipe("mine.yaml").name
        == load_recipe("./mine.yaml").name
        == load_recipe(Path("mine.yaml")).name
        == "mine"
    )
    assert load_recipe("q4q8").name == "q4q8"
    assert load_recipe("./q4q8").name == load_recipe(Path("q4q8")).name == "decoy"
    for reference, code, words in (
        ("q4q9", "R050", 'did you mean "q4q8"?'),
        ("mine", "R050", "known: "),
        ("none.yaml", "R001", "cannot read none.yaml: No such file"),
        (str(tmp_path) + "/", "R001", "Is a directory"),
        ("nul\0.yaml", "R001", "null"),
    ):
        with pytest.raises(RecipeError) as error:
            load_recipe(reference)
        assert error.value.diagnostics[0].code == code
        assert words in str(error.value)
    with pytest.raises(RecipeError, match="recipes"):
        schema_text("recipes")
    assert "recipe" in schema_names()


def test_rule_ids_of_a_recipe_that_does_not_pass(tmp_path: Path) -> None:
    assert rule_ids("q4q8") == ("routed-experts", "control", "everything-else")
    path = tmp_path / "half.yaml"
    path.write_text("rules:\n  - id: one\n  - {id: two, fromat: 3}\n", encoding="utf-8")
    assert rule_ids(path) == ("one", "two")
    path.write_text("rules: [", encoding="utf-8")
    assert rule_ids(path) == ()


def best(run: Callable[[], object]) -> float:
    spent = []
    for _ in range(3):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return min(spent)


def test_a_thousand_rules_load_in_little_more_time_than_yaml_takes() -> None:
    """Everything together (text, schema, meaning, build) within four times what PyYAML takes for bare events."""
    rules = "".join(
        f"  - id: rule-{n}\n    match: {{role: routed-expert, layers: [{n % 61}, 3-7], tensor: 'layers.*.{n}.w1'}}\n"
        "    format: {affine: {bits: 4, group-size: 32}}\n"
        for n in range(1000)
    )
    text = CONTRACT + rules
    assert len(parse_recipe(text, "r.yaml").rules) == 1003
    stock = best(lambda: list(yaml.parse(text, Loader=yaml.SafeLoader)))
    assert best(lambda: parse_recipe(text, "r.yaml")) < 4 * stock


def test_many_errors_are_capped() -> None:
    text = CONTRACT + "".join(f"  - {{id: r{n}, match: {{role: nothing}}, kep: source}}\n" for n in range(500))
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "r.yaml")
    assert len(error.value.diagnostics) == 101
    assert error.value.diagnostics[-1].code == "R009"


def test_importing_the_room_is_cheap() -> None:
    code = (
        "import sys, dsv4recipe.recipe as r\n"
        "r.rule_ids('q4q8')\n"
        "heavy = ('numpy', 'numba', 'networkx', 'mlx', 'jsonschema', 'click', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
