"""Floor 5, api. `ask` asks a bundle questions through its runtime's own server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dsv4recipe.paths import as_path

if TYPE_CHECKING:
    from dsv4recipe.answers.questions import Question
    from dsv4recipe.answers.run import Answers, Served, Settings


def ask(
    bundle: str | os.PathLike[str],
    questions: str | Sequence[str | Question],
    *,
    expect: Sequence[str] = (),
    runtime: str | None = None,
    python: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    then: Callable[[Served], None] | None = None,
) -> Answers:
    """Starts the server of `runtime`, or of an installed one that the bundle is for, asks, and ends the server.

    `questions` are prompts, or `Question`s with expectations of their own. `expect` holds one text for all prompts or
    one for each. `python` is the interpreter that has the runtime. `then` is called while the server still runs. Errors
    of the server or the model are in the result. Raises RecipeError V001, S005, S006, S009, and NotInstalledError S001
    if the runtime is not on this machine.
    """
    from dsv4recipe.answers.questions import Question, asked
    from dsv4recipe.answers.run import Settings, ask_bundle

    given = [questions] if isinstance(questions, str) else list(questions)
    put = asked([each for each in given if isinstance(each, str)], expect) if expect or given else ()
    whole = tuple(each for each in given if isinstance(each, Question))
    at = None if python is None else as_path(python)
    return ask_bundle(as_path(bundle), (*put, *whole), runtime, at, settings or Settings(), on_event, then)
