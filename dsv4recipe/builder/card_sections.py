"""Floor 4, builder. What a card says beyond the numbers of the plan: how the bundle is run and loaded, which machines
hold it, how it was made, and what nobody looked at. This module is pure.

Commands are made of the same data that `ask` starts servers with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from dsv4recipe.advice.fit import Fit
from dsv4recipe.allocation.machine import CONTEXT
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.runtimes import loaders, runtimes
from dsv4recipe.runtimes.common.runtime import Runtime
from dsv4recipe.units import gigabytes

Lines = list[str]
_PORT = 8000


def running(plan: Plan) -> Lines:
    """Returns how to ask the bundle in every runtime that has a server of its own for such bundles."""
    served = [each for each in runtimes() if _serves(each, plan)]
    lines = [
        "## How to run it",
        "",
        "`BUNDLE` is the folder of this one: `hf download NAME --local-dir BUNDLE`.",
        "",
    ]
    if _metal_only(plan):
        lines += ["MXTQ is decoded by a Metal kernel: it runs on Macs alone.", ""]
    if not served:
        return [*lines, f"No server of `{plan.target['runtime']}` is known to dsv4recipe, so none was started.", ""]
    lines += [
        "With dsv4recipe: make the environment; then start the runtime's own server, ask it, and end it.",
        "",
        "```console",
        *(f"$ dsv4recipe runtimes install {each.name}" for each in served),
        *(f'$ dsv4recipe ask BUNDLE "What is 17+28?" --expect 45 --runtime {each.name}' for each in served),
        "```",
        "",
        "Without it, in an environment with the versions named (those that `ask` was tested with), the same servers:",
        "",
        "```console",
        *(line for each in served for line in _by_hand(each)),
        f"$ curl http://127.0.0.1:{_PORT}/v1/chat/completions -H 'Content-Type: application/json' \\",
        f"    -d '{_request(served[0])}'",
        "```",
        "",
    ]
    return lines


def _serves(runtime: Runtime, plan: Plan) -> bool:
    server = runtime.server
    return server is not None and plan.target["runtime"] in server.targets and plan.source.family in server.families


def _by_hand(runtime: Runtime) -> Iterable[str]:
    assert runtime.server is not None  # `_serves` says so
    versions = ", ".join(f"{name} {version}" for name, version in runtime.server.environment.tested.items())
    yield f"# {versions}"
    yield f"$ python {' '.join(runtime.server.arguments('BUNDLE', _PORT, True))}"


def _request(runtime: Runtime) -> str:
    assert runtime.server is not None  # `_serves` says so
    model = runtime.server.model.replace("{bundle}", "BUNDLE") or "BUNDLE"
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "What is 17+28?"}]})


def _metal_only(plan: Plan) -> bool:
    return any(module.format.kind == "mxtq" for module in plan.modules)


def loading(plan: Plan) -> Lines:
    """Returns the loaders that are known for the family, and whether they are there for bundles of this target."""
    rows = [
        f"| {loader.name} | {loader.version or 'as named'} | "
        f"{'yes' if plan.target['runtime'] in loader.serves and not loader.unsupported else 'not made for it'} |"
        for loader in loaders(plan.source.family)
    ]
    if not rows:
        return []
    return [
        "## Which loaders it is made for", "",
        "| loader | version whose code was followed | this bundle |", "|---|---|---|", *rows, "",
        "`dsv4recipe verify BUNDLE` follows each of them through the bundle's headers, and says what it would make of",
        "them; `--runtime NAME` lets an installed one load and run it.", "",
    ]  # fmt: skip


def machines(fits: Sequence[Fit]) -> Lines:
    """Returns a row for each Mac: whether it holds the weights beside the cache of a usual context."""
    if not fits:
        return []
    rows = [
        f"| {each.room.memory} GB | {'yes' if each.fits else 'no'} | "
        f"{gigabytes(abs(each.spare))} {'free' if each.fits else 'too much'} |"
        for each in fits
    ]
    kv, reserve = gigabytes(fits[0].room.kv), gigabytes(fits[0].room.reserve)
    return [
        "## Which Macs hold it", "",
        "| memory | holds it | |", "|---|---|---|", *rows, "",
        f"Computed, not tried: the weights take {gigabytes(fits[0].weights)}, the cache of {CONTEXT:,} tokens",
        f"{kv}, and {reserve} are left for activations and the runtime. macOS lets the GPU wire",
        "three quarters of the memory.", "",
    ]  # fmt: skip


def exact(plan: Plan) -> str:
    """Returns one sentence on what holds the source's values bit for bit."""
    same = sum(module.weights for module in plan.modules if module.lossless)
    every = sum(module.weights for module in plan.modules)
    roles = dict.fromkeys(module.role for module in plan.modules if module.lossless)
    rounded = {module.role for module in plan.modules if not module.lossless}
    named = ", ".join(role + (" (in part)" if role in rounded else "") for role in roles)
    if not roles:
        return "No tensor is exact: each is rounded once, from the source's values."
    share = 100 * same / every if every else 0
    return f"Exact, with the source's very values: {named}; {share:.2f} % of the weights. The rest is rounded once."


def making(plan: Plan) -> Lines:
    """Returns the commands that give the same bytes, and those that prove it."""
    model, revision = claimed(plan.source)
    source = f"hf://{model}{f'@{revision}' if revision else ''}" if model else "SOURCE"
    calibrated = " --calibration RECORD" if plan.importance is not None and plan.importance.format == "record" else ""
    weighed = " --importance FILE" if plan.importance is not None and not calibrated else ""
    return [
        "## How it was made", "",
        "```console",
        f"$ dsv4recipe build recipe.yaml --source {source}{weighed}{calibrated} -o BUNDLE",
        f"$ dsv4recipe verify BUNDLE --source {source}{calibrated}",
        "```", "",
        "`recipe.yaml` is the recipe below, `dsv4recipe.plan.json` what it became, tensor by tensor, and",
        "`dsv4recipe.manifest.json` has size and sha256 of every file. `dsv4recipe lock` pins source and encoders.", "",
    ]  # fmt: skip


def unchecked(quality: str) -> Lines:
    """Returns what nobody looked at when the bundle was written."""
    measured = [] if quality else ["* Quality: not measured. `dsv4recipe evaluate` measures it against the source."]
    return [
        "## What was not checked", "",
        *measured,
        "* Answers: a build asks nothing. `dsv4recipe ask BUNDLE` does.",
        "* Speed, and memory while it runs: the table of Macs is a sum, not a trial.",
        "* Loaders: that they are made for such bundles is read from their code.", "",
    ]  # fmt: skip
