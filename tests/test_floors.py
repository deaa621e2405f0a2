"""The house stands: no upward import, no heavy or effectful import in the pure rooms, every module imports alone."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

import dsv4recipe
from dsv4recipe.api import PUBLIC

ROOT = Path(dsv4recipe.__file__).parent
FLOOR = {
    "errors": 0, "paths": 0, "units": 0, "version": 0, "catalogue": 0,
    "formats": 1, "headers": 1, "hub": 1, "recipe": 1, "checkpoint": 1, "importance": 1, "records": 1,
    "runtimes": 2,
    "plan": 3, "bundle": 3, "allocation": 3, "advice": 3,
    "files": 4, "forward": 4, "evaluation": 4, "guidance": 4, "calibration": 4, "builder": 4, "verifier": 4,
    "reports": 4, "answers": 4, "publish": 4,
    "api": 5,
    "cli": 6,
}  # fmt: skip
SAME_FLOOR = {
    ("paths", "errors"), ("catalogue", "errors"),
    ("headers", "formats"), ("checkpoint", "headers"), ("hub", "headers"),
    ("recipe", "formats"), ("checkpoint", "formats"), ("recipe", "hub"), ("checkpoint", "hub"), ("bundle", "plan"),
    ("allocation", "plan"), ("advice", "plan"), ("advice", "allocation"),
    ("builder", "files"), ("verifier", "files"), ("records", "importance"), ("records", "headers"),
    ("builder", "guidance"), ("verifier", "guidance"), ("forward", "guidance"), ("calibration", "files"),
    ("calibration", "forward"), ("evaluation", "forward"),
    ("calibration", "evaluation"), ("calibration", "guidance"),
}  # fmt: skip
"""Neighbours that may be called: formats are the vocabulary of headers, recipe and checkpoint; recipes and
checkpoints may both lie on the hub, and whoever reads a file reads its header; a manifest names a plan, and a plan
proves an allocation; build and proof read and write through the same files."""

NEVER_BELOW_CLI = {"click", "rich"}
NEVER_BELOW_BUILD = {
    "mlx",
    "time",
    "datetime",
    "random",
    "socket",
    "platform",
    "getpass",
    "multiprocessing",
    "threading",
}
KERNELS = {"numba", "llvmlite"}
FREE = {"dsv4recipe", "dsv4recipe.__main__"}
PROBE = "dsv4recipe.verifier.runtime.probe"
"""Runs in the runtime's own interpreter, as a script: it may import mlx and nothing of the house."""
ADAPTERS = re.compile(r"dsv4recipe\.runtimes\.\w+\.(probe|gather)")
"""What a runtime's folder adds to the probe."""
SHARED_WITH_THE_PROBE = {"dsv4recipe.runtimes.common.predicate"}
"""Imports nothing but the standard library, so that the probe may import it."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(("dsv4recipe", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        found[name] = path
    return found


MODULES = modules()


def in_probe(name: str) -> bool:
    return name == PROBE or name.startswith(f"{PROBE}.") or ADAPTERS.fullmatch(name) is not None


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def imports(name: str) -> set[str]:
    """Every module that a module imports, also inside its functions."""
    return imported(MODULES[name].read_text(encoding="utf-8"), name, MODULES[name].name == "__init__.py")


def imported(text: str, name: str, package: bool = False) -> set[str]:
    """What the text of module `name` imports: relative imports by their full names, and for a name that the root
    package gives, the module that it comes from."""
    here = name.split(".") if package else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) + 1 - node.level], *filter(None, [node.module])])
            base = base if node.level else str(node.module)
            public = {alias.name: PUBLIC[alias.name] for alias in node.names if alias.name in PUBLIC}
            if base == "dsv4recipe":
                found |= set(public.values())
            inner = {f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES}
            found |= inner | ({base} if len(inner) < len(node.names) else set())
    return found


def test_relative_imports_and_those_of_the_root_package_are_seen() -> None:
    assert imported("from . import tree", f"{PROBE}.session") == {f"{PROBE}.tree"}
    assert imported("from ..bands import x", "dsv4recipe.a.b.c") == {"dsv4recipe.a.bands"}
    assert imported("from dsv4recipe import build", "dsv4recipe.plan.make") >= {PUBLIC["build"]}
    assert imported("def f():\n    from dsv4recipe.cli import main", "dsv4recipe.plan.make") == {"dsv4recipe.cli.main"}


def test_no_circle_of_modules() -> None:
    """Between rooms the floors forbid it; this is for modules of one room, imports inside functions included."""
    arrows = [(name, other) for name in MODULES for other in imports(name) if other in MODULES and other != name]
    house = networkx.DiGraph(arrows)
    house.remove_nodes_from(FREE)
    assert [sorted(circle) for circle in networkx.strongly_connected_components(house) if len(circle) > 1] == []


@pytest.mark.parametrize("name", sorted(set(MODULES) - FREE))
def test_no_upward_import(name: str) -> None:
    here = room(name)
    if in_probe(name):
        return  # a script of another process: the next test says what it may import
    for other in imports(name):
        if not other.startswith("dsv4recipe.") or room(other) == here:
            continue
        there = room(other)
        assert FLOOR[there] < FLOOR[here] or (here, there) in SAME_FLOOR or here == "cli", f"{name} imports {other}"


@pytest.mark.parametrize("name", sorted(set(MODULES) - FREE))
def test_rooms_import_only_what_they_may(name: str) -> None:
    if in_probe(name):
        ours = {other for other in imports(name) if other.startswith("dsv4recipe") and not in_probe(other)}
        assert ours <= SHARED_WITH_THE_PROBE
        return
    if name in SHARED_WITH_THE_PROBE:
        assert {other.split(".")[0] for other in imports(name)} <= sys.stdlib_module_names
    roots = {other.split(".")[0] for other in imports(name)}
    if FLOOR[room(name)] < 6:
        assert not roots & NEVER_BELOW_CLI
    if FLOOR[room(name)] < 4 and room(name) != "hub":
        assert not roots & NEVER_BELOW_BUILD
    if not name.startswith("dsv4recipe.formats.") or ".kernels" not in name:
        assert not roots & KERNELS


def test_every_module_says_its_floor_and_room() -> None:
    for name in set(MODULES) - FREE:
        first = (ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8"))) or "").splitlines()[0]
        here = room(name)
        expected = f"Floor {FLOOR[here]}, {here}" if (ROOT / here).is_dir() else f"Floor {FLOOR[here]}."
        assert first.startswith(expected), f"{name}: {first}"


_ALONE = """
import importlib, os, sys, warnings
for heavy in ("click", "httpx2", "huggingface_hub", "jsonschema", "networkx", "numba", "numpy", "rich.table", "yaml"):
    importlib.import_module(heavy)
warnings.simplefilter("error")
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {error!r}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Imports each module in a process of its own that has only the libraries: forks of one process, as starting an
interpreter for each takes minutes."""


def test_every_module_imports_alone_without_a_warning() -> None:
    names = sorted(name for name in MODULES if name != "dsv4recipe.__main__" and not in_probe(name))
    command = [sys.executable, "-c", _ALONE, *names]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_the_public_names_are_there_and_documented() -> None:
    assert {
        "RecipeError", "__version__", "allocate", "build", "check", "decompile", "diff", "explain", "inspect",
        "load_recipe", "lock", "make_plan", "open_checkpoint", "report", "verify",
    } <= set(dsv4recipe.__all__)  # fmt: skip
    assert dir(dsv4recipe) == sorted(dsv4recipe.__all__)
    for name in dsv4recipe.__all__:
        value = getattr(dsv4recipe, name)
        assert isinstance(value, str) or value.__doc__
        assert not isinstance(value, type(ast))


def test_public_functions_take_keywords_after_the_first_two() -> None:
    for name in sorted(set(dsv4recipe.__all__) - {"RecipeError", "__version__"}):
        kinds = [p.kind for p in inspect.signature(getattr(dsv4recipe, name)).parameters.values()]
        places = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
        assert places <= (3 if name == "build" else 2), name  # build: plan, checkpoint, out


def test_light_commands_load_nothing_heavy() -> None:
    code = (
        "import sys; from dsv4recipe.cli.main import run; run(['check', 'q4q8']); run(['--help']); run(['recipes']);"
        "print(sorted({'numba', 'mlx', 'networkx', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
