"""Floor 6, cli. `verify BUNDLE` proves a bundle in steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsv4recipe.cli.arguments import (
    PathType,
    Size,
    force_option,
    importance_option,
    json_option,
    scratch_options,
    source_type,
)
from dsv4recipe.cli.complete import complete_runtime
from dsv4recipe.runtimes import probes

if TYPE_CHECKING:
    from dsv4recipe.answers.questions import Question

FAILED, NOT_RUN = 3, 4
_PATH = PathType()


@click.command("verify")
@click.argument("bundle", type=_PATH)
@click.option("--source", type=source_type, help="Compare every tensor and the logits with this checkpoint.")
@click.option("--sample", type=click.IntRange(0), default=0, help="Compare only this many source tensors (0: all).")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which tensors the sample holds.")
@click.option("--fix-config", type=_PATH, help="Write a config.json with the quantization that the tensors show.")
@click.option(
    "--runtime",
    shell_complete=complete_runtime,
    help=f"Load and run it in an installed runtime: {', '.join(probes())}; or all, for each that the bundle is for.",
)
@click.option(
    "--runtime-python", multiple=True, metavar="[NAME=]PATH", help="The interpreter that has the runtime; repeatable."
)
@click.option("--load-only", is_flag=True, help="With --runtime, only load the bundle by its headers; run nothing.")
@click.option("--generate", metavar="PROMPT", help="With --runtime, ask this and show the answer.")
@click.option("--expect", metavar="TEXT", help="With --generate, the answer must hold this text.")
@click.option("--ask", is_flag=True, help="As the last step, ask questions through the runtime's own server.")
@click.option("--questions", type=_PATH, help="With --ask, ask the questions of a YAML file.")
@click.option(
    "--max-tokens", type=click.IntRange(1), default=256, show_default=True, help="The longest answer, in tokens."
)
@click.option("--time-limit", type=click.FloatRange(1), default=600, show_default=True, help="Seconds per runtime.")
@click.option("--memory-limit", type=Size(), help="Memory per runtime, such as 64GiB; enforced only on Linux.")
@click.option("--full", is_flag=True, help="Hash every file, also those that are as an earlier proof hashed them.")
@force_option
@importance_option
@scratch_options
@json_option
def command(
    bundle: Path,
    source: str | None,
    sample: int,
    seed: int,
    fix_config: Path | None,
    runtime: str | None,
    runtime_python: tuple[str, ...],
    load_only: bool,
    generate: str | None,
    expect: str | None,
    ask: bool,
    questions: Path | None,
    max_tokens: int,
    time_limit: float,
    memory_limit: int | None,
    full: bool,
    force: bool,
    importance_file: Path | None,
    scratch: int | None,
    scratch_dir: Path | None,
    as_json: bool,
) -> int:
    """Prove BUNDLE, whoever built it. Compare its bytes with its manifest. Compare its tensors and config with the
    runtime's contract, and say what every known loader would make of it. With --source, compare its numbers. With
    --runtime, load and run it in the real runtime. With --ask, ask questions through the runtime's own server."""
    from dsv4recipe import verify
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.verify_view import print_end, print_step
    from dsv4recipe.cli.verify_watch import VerifyWatch
    from dsv4recipe.verifier.runtime.child import Limits
    from dsv4recipe.verifier.runtime.child import Question as Prompt
    from dsv4recipe.verifier.runtime.step import RuntimeRun

    if fix_config is not None:
        from dsv4recipe.cli.fix_config import write_config

        return write_config(bundle, fix_config, force, as_json)
    needs = {"--runtime-python": runtime_python, "--load-only": load_only, "--generate": generate is not None}
    if force:
        raise click.UsageError("--force needs --fix-config")
    if lone := [name for name, given in needs.items() if given and runtime is None]:
        raise click.UsageError(f"{lone[0]} needs --runtime")
    if expect is not None and generate is None:
        raise click.UsageError("--expect needs --generate")
    if questions is not None and not ask:
        raise click.UsageError("--questions needs --ask")
    put = _questions(questions) if ask else ()
    if ask:
        from dsv4recipe.api.answers import check_installed

        check_installed(bundle, _server(runtime))
    question = None if generate is None else Prompt(generate, expect, max_tokens)
    limits = Limits(time_limit, memory_limit)
    run = RuntimeRun(runtime, _pythons(runtime, runtime_python), load_only, question, limits) if runtime else None
    importance = None
    if importance_file is not None:
        from dsv4recipe.records.read import load_guide

        importance = load_guide(importance_file)
    with VerifyWatch(as_json) as watch:
        found = verify(
            bundle,
            source,
            runtime=run,
            sample=sample,
            seed=seed,
            importance=importance,
            scratch=scratch,
            scratch_dir=scratch_dir,
            receipt=True,
            full=full,
            on_event=watch.tell,
        )
    if ask:
        from dsv4recipe.answers.run import Settings
        from dsv4recipe.api.answers import with_answers
        from dsv4recipe.builder.interrupt import interruptible
        from dsv4recipe.cli.ask_view import AskView

        with interruptible(), AskView(as_json) as view:
            found = with_answers(found, put, _server(runtime), Settings(time_limit, max_tokens), view.tell)
    if as_json:
        print_json(found.data())
    else:
        for step in found.steps:
            if step.name not in watch.shown:
                print_step(step, found.outlooks if step.name == "contract" else ())
        print_end(found)
    return 0 if found.ok else FAILED if found.failed else NOT_RUN


def _pythons(runtime: str | None, named: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the interpreters as named; else that which `runtimes install` made for the runtime, where it did."""
    from dsv4recipe.answers.environments import environment_python, runtimes_folder
    from dsv4recipe.answers.servers import servers

    if runtime is None or named:
        return named
    made = {name: environment_python(runtimes_folder() / name) for name in servers() if runtime in (name, "all")}
    return tuple(f"{name}={python}" for name, python in made.items() if name in probes() and python.exists())


def _questions(file: Path | None) -> tuple[Question, ...]:
    from dsv4recipe.answers.questions import load_questions, smoke_set

    return load_questions(file) if file else smoke_set()


def _server(runtime: str | None) -> str | None:
    """Returns the server to ask in: that of --runtime, if it has one."""
    from dsv4recipe.answers.servers import servers

    return runtime if runtime in servers() else None
