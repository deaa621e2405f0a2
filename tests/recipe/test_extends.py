"""`extends`: order of rules, whole keys, chains of files, parents on the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.recipe import load_recipe, parse_recipe

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HEAD = "recipe: 1\nname: child\nextends: base\n"


def base(*ids: str) -> str:
    return (
        "recipe: 1\nname: base\nsummary: s\nlicense: mit\nsource: {model: m, family: f}\n"
        "target: {runtime: vmlx, experts: stacked, mtp: keep, shard-size: 5GiB, half: float16}\nrules:\n"
    ) + "".join(rule(name) for name in ids)


def rule(name: str, extra: str = "", tensor: str = "x") -> str:
    return f"  - {{id: {name}, match: {{tensor: {tensor}}}, keep: source{extra}}}\n"


def order(child: str) -> list[str]:
    recipe = parse_recipe(child, "child.yaml", lambda *_: ("base.yaml", base("a", "b", "c")))
    return [each.id for each in recipe.rules]


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ("", "a b c"),
        ("rules:\n" + rule("b", tensor="new"), "a b c"),
        ("rules:\n" + rule("n"), "n a b c"),
        ("rules:\n" + rule("n") + rule("m"), "n m a b c"),
        ("rules:\n" + rule("n", ", before: b"), "a n b c"),
        ("rules:\n" + rule("n", ", after: b"), "a b n c"),
        ("rules:\n" + rule("n", ", after: c") + rule("m", ", after: c"), "a b c n m"),
        ("rules:\n" + rule("n", ", before: a") + rule("m", ", before: a") + rule("o"), "o n m a b c"),
        ("rules:\n" + rule("n", ", after: b") + rule("b", tensor="new"), "a b n c"),
        ("remove: [b]\n", "a c"),
        ("remove: [a, c]\nrules:\n" + rule("n", ", after: b"), "b n"),
        ("remove: [a, b, c]\nrules:\n" + rule("n"), "n"),
    ],
)
def test_order(child: str, expected: str) -> None:
    assert order(HEAD + child) == expected.split()


def test_a_rule_is_replaced_whole_and_a_key_too() -> None:
    parent = (
        base("a")
        .replace("keep: source", "keep: source, note: old, optional: true")
        .replace("family: f", f"family: f, revision: {COMMIT}")
    )
    child = HEAD + "source: {model: other, family: f}\nrules:\n" + rule("a", tensor="y")
    recipe = parse_recipe(child, "child.yaml", lambda *_: ("base.yaml", parent))
    assert (recipe.rules[0].note, recipe.rules[0].optional, recipe.rules[0].match.tensor) == ("", False, ("y",))
    assert (recipe.source.model, recipe.source.revision) == ("other", "")
    assert (recipe.name, recipe.summary) == ("child", "s")
    assert recipe.rules[0].where.file == "child.yaml"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    write(tmp_path, "shared/base.yaml", base("a"))
    write(tmp_path, "shared/middle.yaml", "recipe: 1\nname: middle\nextends: ./base.yaml\nrules:\n" + rule("m"))
    top = write(tmp_path, "team/top.yaml", "recipe: 1\nname: top\nextends: ../shared/middle.yaml\nrules:\n" + rule("t"))
    recipe = load_recipe(top)
    assert [each.id for each in recipe.rules] == ["t", "m", "a"]
    assert dict(recipe.origins)["a"] == str(tmp_path / "shared" / "base.yaml")


def chain(folder: Path, length: int) -> Path:
    write(folder, "0.yaml", base("a"))
    for n in range(1, length):
        write(folder, f"{n}.yaml", f"recipe: 1\nname: n{n}\nextends: ./{n - 1}.yaml\n")
    return folder / f"{length - 1}.yaml"


def test_eight_parents_and_no_more(tmp_path: Path) -> None:
    assert load_recipe(chain(tmp_path, 9)).name == "n8"
    with pytest.raises(RecipeError) as error:
        load_recipe(chain(tmp_path, 10))
    found = error.value.diagnostics[0]
    assert (found.code, found.message) == ("R041", "more than 8 recipes build on each other")
    assert Path(found.where.file).name == "1.yaml"
    assert [Path(note.split()[-1]).name for note in found.notes] == [f"{n}.yaml:3:10" for n in range(2, 10)]


def test_a_circle_through_other_spellings(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "recipe: 1\nname: a\nextends: ./x/../b.yaml\n")
    write(tmp_path, "b.yaml", "recipe: 1\nname: b\nextends: ././a.yaml\n")
    with pytest.raises(RecipeError, match="circle") as error:
        load_recipe(tmp_path / "a.yaml")
    assert error.value.diagnostics[0].code == "R041"


def test_without_a_way_to_read_parents() -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(HEAD, "child.yaml")
    assert error.value.diagnostics[0].code == "R040"
    assert str(error.value.diagnostics[0].where) == "child.yaml:3:10"


def test_the_reader_gets_reference_file_and_place() -> None:
    calls: list[tuple[str, str, Where]] = []

    def parents(reference: str, child: str, where: Where) -> tuple[str, str]:
        calls.append((reference, child, where))
        return "base.yaml", base("a")

    parse_recipe(HEAD, "child.yaml", parents)
    assert [(reference, child, where.line) for reference, child, where in calls] == [("base", "child.yaml", 3)]
