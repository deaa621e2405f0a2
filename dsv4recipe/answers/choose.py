"""Floor 4, answers. Chooses the runtime to ask a bundle in: the one named, else an installed one that it is for."""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.answers.environments import Found, environment_for, install_hint
from dsv4recipe.answers.servers import server_named, servers
from dsv4recipe.bundle.manifest import read_manifest
from dsv4recipe.bundle.observe import observe
from dsv4recipe.bundle.open import open_bundle
from dsv4recipe.bundle.places import places_of
from dsv4recipe.errors import NotInstalledError, RecipeError, Where
from dsv4recipe.runtimes.common.server import Server


def choose(bundle: Path, runtime: str | None, python: Path | None) -> Found:
    """Returns the environment to ask `bundle` in.

    Raises RecipeError V001 if there is no bundle, S009 for an unknown runtime or if no runtime with a server loads the
    bundle, and NotInstalledError S001 if none of those that load it is installed.
    """
    if not places_of(bundle).there(bundle):
        raise RecipeError("V001", "there is no such bundle", Where(str(bundle)))
    if runtime is not None:
        return environment_for(server_named(runtime), python)
    fitting = _fitting(bundle)
    refused: list[NotInstalledError] = []
    for server in fitting:
        try:
            return environment_for(server, python)
        except NotInstalledError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    names = ", ".join(server.name for server in fitting)
    notes = [note for error in refused for note in (error.diagnostics[0].message, *error.diagnostics[0].notes)]
    message = f"none of the runtimes that load this bundle is installed: {names}"
    raise NotInstalledError("S001", message, Where(str(bundle)), install_hint(fitting[0]), notes)


def _fitting(bundle: Path) -> tuple[Server, ...]:
    """Returns the runtimes for which this is a bundle: first those of the target that built it, then the others."""
    targets, family = _targets(bundle)
    found = [
        server for server in servers().values() if set(server.targets) & set(targets) and family in server.families
    ]
    if not found:
        message = f"no runtime with a server of its own is known for a bundle of {family} for {', '.join(targets)}"
        hint = "pass --runtime NAME to ask one anyway; `dsv4recipe runtimes list` lists them"
        raise RecipeError("S009", message, Where(str(bundle)), hint)
    return tuple(sorted(found, key=lambda server: server.name not in targets))


def _targets(bundle: Path) -> tuple[tuple[str, ...], str]:
    """Returns the targets that a bundle is for, and its model type."""
    view, _ = open_bundle(bundle)
    family = "deepseek_v4" if bundle.is_file() else str(view.config.get("model_type", ""))
    recipe = (read_manifest(bundle) or {}).get("recipe")
    target = recipe.get("target") if isinstance(recipe, dict) else None
    if isinstance(target, dict) and target.get("runtime"):
        return (str(target["runtime"]),), family
    return observe(view).runtimes, family
