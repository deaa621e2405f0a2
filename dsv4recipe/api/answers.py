"""Floor 5, api. Adds the fifth step of a proof: the bundle answers questions in its runtime's own server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsv4recipe.answers.choose import choose
from dsv4recipe.answers.questions import Question
from dsv4recipe.answers.run import Settings, ask_bundle
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.units import counted, human_size
from dsv4recipe.verifier.result import Step, Verification

STEP = "answers"


def check_installed(bundle: Path, runtime: str | None) -> None:
    """Raises NotInstalledError S001 before hours of proof if no runtime here can ask the bundle, and H015 if the bundle
    is on the hub."""
    if str(bundle).startswith("hf:/"):
        raise RecipeError(
            "H015", "a server needs the weights, but this bundle is on the hub", hint="run `hf download` for it first"
        )
    choose(bundle, runtime, None)


def with_answers(
    found: Verification,
    questions: Sequence[Question],
    runtime: str | None = None,
    settings: Settings | None = None,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Verification:
    """Returns the proof with the step "answers" after the others. It is skipped if one of them failed.

    Raises NotInstalledError S001 if no runtime that loads the bundle is on this machine, S009 for an unknown one.
    """
    bundle = Path(found.bundle)
    if not found.ok:
        skipped = Diagnostic(
            "V002", "skipped, because the steps before it failed", Where(found.bundle), severity="warning"
        )
        return replace(found, steps=(*found.steps, Step(STEP, (skipped,))))
    said = ask_bundle(bundle, questions, runtime, None, settings or Settings(), on_event)
    findings = (*said.findings, *(finding for each in said.answers for finding in each.findings))
    good = sum(each.ok for each in said.answers)
    facts = [
        said.environment.label,
        f"{counted(len(said.answers), 'answer')}, {good} as expected",
        f"peak memory of the server {human_size(said.memory)}",
    ]
    if said.answers and said.answers[0].reply is not None:
        facts.insert(2, f"{said.answers[0].prompt[:60]!r}: {said.answers[0].reply.text.strip()[:60]!r}")
    return replace(found, steps=(*found.steps, Step(STEP, findings, tuple(facts))))
