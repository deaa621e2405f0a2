"""Floor 4, verifier (step 4). Chooses the runtimes for `verify --runtime` and runs each as one step of the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.headers.strict_json import read_object
from dsv4recipe.runtimes.vmlx import sidecar as vmlx_sidecar
from dsv4recipe.verifier.result import Step
from dsv4recipe.verifier.runtime.child import USUAL, Limits, Question, probe_runtime
from dsv4recipe.verifier.runtime.choose import ALL, Asked, Chosen, choose, how_to_install, interpreters
from dsv4recipe.verifier.runtime.findings import runtime_findings


@dataclass(frozen=True, slots=True)
class RuntimeRun:
    """The options of step 4. `runtime` is a name or "all". `python` are interpreters as `--runtime-python` takes them
    ([NAME=]PATH). `load_only` reads headers and shapes and runs nothing. Each runtime is asked `question`."""

    runtime: str
    python: tuple[str, ...] = ()
    load_only: bool = False
    question: Question | None = None
    limits: Limits = USUAL


def choices(root: Path, targets: Iterable[str], run: RuntimeRun) -> tuple[Chosen, ...]:
    """Returns the runtimes of a run, before anything is started. Raises RecipeError V222 for unknown names."""
    asked = Asked(root, tuple(targets), _model_type(root), (root / vmlx_sidecar.NAME).is_file())
    return choose(run.runtime, asked, interpreters(run.python))


def runtime_steps(
    root: Path,
    source: Path | None,
    chosen: tuple[Chosen, ...],
    run: RuntimeRun,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
) -> tuple[Step, ...]:
    """Returns a step for each runtime, including skipped ones; for "all", an error if none was run. `on_event` is as in
    `verify`."""
    steps: list[Step] = []

    def add(step: Step) -> None:
        steps.append(step)
        on_event({"event": "step_done", "step": step})

    for each in chosen:
        name = f"runtime {each.runtime.name}"
        if each.skipped is not None:
            add(Step(name, (each.skipped,)))
            continue
        on_event({"event": "step", "name": name})
        result = probe_runtime(
            root,
            each.runtime.name,
            python=each.python,
            dense=source,
            decoded=source is not None and (root / vmlx_sidecar.NAME).is_file(),
            tokens=0 if run.load_only else None,
            question=run.question,
            limits=run.limits,
        )
        add(Step(name, runtime_findings(result), result.facts))
    if run.runtime == ALL and all(each.skipped is not None for each in chosen):
        add(Step("runtime all", (_nothing_ran(root, chosen),)))
    return tuple(steps)


def _nothing_ran(root: Path, chosen: tuple[Chosen, ...]) -> Diagnostic:
    names = ", ".join(each.runtime.name for each in chosen)
    why = f"no interpreter is known for {names}" if names else "no runtime that can be installed loads its names"
    hint = "; ".join(dict.fromkeys(how_to_install(each.runtime.name) for each in chosen))
    return Diagnostic("V231", f"no runtime was run: {why}", Where(str(root)), hint)


def _model_type(root: Path) -> str:
    try:
        config = read_object(root / "config.json", 64 << 20, "config.json", "V022")[0]
    except RecipeError:
        return ""
    found = config.get("model_type")
    return found if isinstance(found, str) else ""
