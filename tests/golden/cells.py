"""What the golden comparison runs: every recipe × release × runtime at tiny size, full size by headers, commands.

Everything that it returns is plain data, the same on every machine: digests, names of files and codes of errors. Texts
for people (messages, hints, notes) are left out, because better words are no change of behaviour.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dsv4recipe import RecipeError, build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.checkpoint.releases import RELEASES
from dsv4recipe.checkpoint.synth import synthesize
from dsv4recipe.cli.main import run
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.lock import lock_text
from dsv4recipe.plan.model import Plan
from dsv4recipe.runtimes import known, running
from dsv4recipe.version import VERSION
from tests.recipes import ALLOCATED, UNGUIDED


@dataclass(frozen=True)
class Cell:
    """One recipe planned for one runtime on one release."""

    recipe: str
    release: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.recipe} {self.release} {self.runtime}"


SUBSET = frozenset(
    {
        Cell("q4q8", "v4-flash", "vmlx"),
        Cell("q3-mixed-v41", "v4.1-flash", "mlx-vlm"),
        Cell("jangtq2-k", "v4-flash", "vmlx"),
        Cell("native-dspark", "v4-flash-0731", "rapid-mlx"),
        Cell("ds4-q2", "v4-flash", "llama.cpp"),
        Cell("universal", "v4-flash", "universal"),
    }
)
"""The bundles that the suite builds: every format, container and arrangement of experts is among them."""


def cells(own_release: bool = False) -> Iterator[Cell]:
    """Every recipe × release × runtime that runs the release's family, but for recipes that `allocate` made on other
    releases than their own: they name layers. With `own_release`, each recipe as it is shipped, alone."""
    for name in UNGUIDED:
        recipe = load_recipe(name)
        own = next(key for key, release in RELEASES.items() if release.model == recipe.source.model)
        if own_release:
            yield Cell(name, own, recipe.target.runtime)
            continue
        for release in (own,) if name in ALLOCATED else RELEASES:
            for runtime in running(family_of(release)):
                yield Cell(name, release, runtime)


def family_of(release: str) -> str:
    return str(RELEASES[release].config["model_type"])


@dataclass
class Sources:
    """Synthetic checkpoints of every kind, each made when it is first asked for, below one folder."""

    root: Path
    made: dict[str, Checkpoint] = field(default_factory=dict)

    def get(self, release: str, preset: str = "tiny", headers_only: bool = False, **size: int) -> Checkpoint:
        key = "-".join((release, preset, *(f"{word}{count}" for word, count in size.items())))
        if key not in self.made:
            synthesize(self.root / key, release, preset, headers_only=headers_only, **size)
            self.made[key] = open_checkpoint(self.root / key)
        return self.made[key]

    def of(self, cell: Cell) -> Checkpoint:
        """A tiny checkpoint that a cell can be planned on."""
        if cell.recipe in ALLOCATED:
            return self.get(cell.release, layers=43, experts=2)
        return self.get(cell.release, "tiny-256" if in_one_file(cell.runtime) else "tiny")


def in_one_file(runtime: str) -> bool:
    return any(target.container == "gguf" for target in known(runtime))


def planned(cell: Cell, checkpoint: Checkpoint) -> Plan | str:
    """The plan of a cell, or the codes of its refusal."""
    recipe = load_recipe(cell.recipe)
    moved = replace(recipe.target, runtime=cell.runtime)
    if cell.runtime != recipe.target.runtime:
        moved = replace(moved, backends=())  # those of its own runtime
    source = replace(recipe.source, family=family_of(cell.release))
    try:
        return make_plan(replace(recipe, target=moved, source=source), checkpoint)
    except RecipeError as error:
        return codes(error)


def codes(error: RecipeError) -> str:
    return "refused: " + " ".join(sorted({each.code for each in error.diagnostics}))


def short(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def plan_line(cell: Cell, checkpoint: Checkpoint) -> str:
    """Digest, text and lock of a cell's plan: 16 hex digits each; or the codes of its refusal."""
    plan = planned(cell, checkpoint)
    if isinstance(plan, str):
        return plan
    lock = lock_text(plan, checkpoint, (), "1").replace(f'"{VERSION}"', '"0"')
    return " ".join((plan.digest[:16], short(dump_plan(plan)), short(lock)))


def bundle_files(plan: Plan, checkpoint: Checkpoint, folder: Path) -> dict[str, str]:
    """The files of a built bundle by name, 16 hex digits of sha256 each; the manifest without versions and digest."""
    out = folder / ("bundle.gguf" if in_one_file(plan.target["runtime"]) else "bundle")
    try:
        build(plan, checkpoint, out)
    except RecipeError as error:
        return {"": codes(error)}
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    return {
        name: short(without_versions(raw) if name.endswith("manifest.json") else raw) for name, raw in texts.items()
    }


def without_versions(manifest: bytes) -> str:
    data = json.loads(manifest)
    return json.dumps({key: value for key, value in data.items() if key not in ("tool", "digest")}, sort_keys=True)


WORDS = frozenset(
    [
        "message",
        "hint",
        "help",
        "notes",
        "note",
        "more",
        "why",
        "sees",
        "summary",
        "seconds",
        "version",
        "encoders",
        "versions",
        "memory",
        "work",
        "slowest",
    ]
)
"""Keys of JSON outputs whose values are texts for people, times, versions or facts of this machine."""


def commands(tiny: Path, v41: Path, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(name, arguments) of what is asked of the command line, in order: later ones use what earlier ones wrote."""
    source = ["--source", str(tiny)]
    recipe = str(folder / "typo.yaml")
    (folder / "typo.yaml").write_text("recipe: 1\nextends: q4q8\nname: typo\ntarget: {runtime: vmlxx}\nrulez: []\n")
    (folder / "extends.yaml").write_text("recipe: 1\nextends: q4q9\nname: typo\n")
    (folder / "clash.yaml").write_text(
        "recipe: 1\nextends: q4q8\nname: clash\nrules:\n"
        "  - {id: none, match: {tensor: 'nothing.*'}, format: {mxfp4: {}}}\n"
        "  - {id: norms, before: control, match: {role: norm}, format: {affine: {bits: 4, group-size: 32}}}\n"
    )
    bundle, second, gguf = str(folder / "q4q8"), str(folder / "native"), str(folder / "tq")
    yield "recipes", ["recipes"]
    yield "inspect source", ["inspect", str(tiny)]
    yield "inspect v4.1", ["inspect", str(v41)]
    for name in UNGUIDED:
        yield f"check {name}", ["check", name]
        yield f"show {name}", ["show", name]
    yield "show one rule", ["show", "q4q8", "--rule", "control"]
    yield "show no rule", ["show", "q4q8", "--rule", "contrl"]
    yield "check typo", ["check", recipe]
    yield "check extends", ["check", str(folder / "extends.yaml")]
    yield "plan clash", ["plan", str(folder / "clash.yaml"), *source]
    yield "plan nothing", ["plan", "q4q8", "--source", str(folder / "nowhere")]
    yield "plan another family", ["plan", "q4q8", "--source", str(v41)]
    yield "plan", ["plan", "q4q8", *source, "-o", str(folder / "plan.json")]
    yield "plan v4.1", ["plan", "q3-mixed-v41", "--source", str(v41), "-o", str(folder / "plan41.json")]
    yield "diff recipes", ["diff", "q4q8", "jangtq2-k", *source, "--exit-code"]
    yield "diff same", ["diff", "q4q8", str(folder / "plan.json"), *source, "--exit-code"]
    yield "diff releases", ["diff", str(folder / "plan.json"), str(folder / "plan41.json"), "--exit-code"]
    yield "explain", ["explain", "q4q8", "layers.1.attn.wq_a.weight", *source]
    yield "explain expert", ["explain", "q3-mixed", "layers.0.ffn.experts.1.w1.weight", *source]
    yield "explain none", ["explain", "q4q8", "layers.1.attn.wq_z", *source]
    yield "lock", ["lock", "q4q8", *source, "-o", str(folder / "q4q8.lock")]
    yield "lock check", ["lock", "q4q8", *source, "-o", str(folder / "q4q8.lock"), "--check"]
    yield "lock stale", ["lock", "native", *source, "-o", str(folder / "q4q8.lock"), "--check"]
    yield "build", ["build", "q4q8", *source, "-o", bundle]
    yield "build again", ["build", "q4q8", *source, "-o", bundle]
    yield "build another", ["build", "native", *source, "-o", bundle]
    for name, out in (("native", second), ("jangtq2-k", gguf)):
        yield f"build {name}", ["build", name, *source, "-o", out]
        yield f"verify {name}", ["verify", out, "--full"]  # what a receipt saves depends on the clock
        yield f"verify source {name}", ["verify", out, "--full", *source]
        yield f"inspect {name}", ["inspect", out]
        yield f"decompile {name}", ["decompile", out, "-o", str(folder / f"{name}.yaml")]
        yield f"check decompiled {name}", ["check", str(folder / f"{name}.yaml")]
        yield f"diff bundles {name}", ["diff", bundle, out]
    narrow = ["--formats", "affine,mxfp8", "--sample", "1"]
    yield "verify nothing", ["verify", str(folder / "nowhere")]
    yield "allocate", ["allocate", "q4q8", *source, *narrow, "--budget", "6MB", "-o", str(folder / "a.yaml")]
    yield "allocate too small", ["allocate", "q4q8", *source, *narrow, "--budget", "1MB", "-o", str(folder / "b.yaml")]
    yield "no command", ["plann"]
    yield "no option", ["plan", "q4q8", "--sauce", "x"]


def answer(arguments: list[str], root: Path, folder: Path) -> str:
    """Exit code, and 16 hex digits over the JSON output without texts for people; codes of errors as they are."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*arguments, "--json"])
    lines = out.getvalue().replace(str(folder), "FOLDER").replace(str(root), "ROOT").splitlines()
    said = [wordless(json.loads(line)) for line in lines if '"event": "compiling"' not in line]
    refused = [each["code"] for line in said if isinstance(line, dict) for each in line.get("errors", ())]
    if refused:
        return f"{code}: {' '.join(refused)}"
    if code == 64:
        return f"{code}: {err.getvalue().split(']')[0].removeprefix('error[')}"
    return f"{code} {short(json.dumps(said, sort_keys=True))}"


def wordless(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: wordless(value) for key, value in data.items() if key not in WORDS}
    return [wordless(each) for each in data] if isinstance(data, list) else data
