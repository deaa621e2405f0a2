"""Floor 6, cli. `run RECIPE` takes all steps from a recipe to an answer, and to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsv4recipe.cli.arguments import (
    PathType,
    allow_zeros_option,
    fits_options,
    importance_option,
    recipe_argument,
    scratch_options,
    source_type,
)

if TYPE_CHECKING:
    from dsv4recipe.answers.questions import Question

FAILED = 3


@click.command("run")
@recipe_argument
@click.option("--source", type=source_type, help="The checkpoint (default: the one on the hub that the recipe names).")
@click.option("-o", "--output", type=PathType(), help="The bundle (default: a folder named after model and recipe).")
@click.option("--push", "repository", metavar="ORG/NAME", help="Upload the bundle to the hub at the end.")
@click.option("--private", is_flag=True, help="With --push, make the repository private, if it is new.")
@click.option("--questions", type=PathType(), help="Ask the questions of a YAML file instead of the built-in ones.")
@click.option("--runtime", help="Ask in this runtime (default: one that the bundle is for).")
@click.option("--no-ask", is_flag=True, help="Ask nothing. Use this on a machine that cannot run the bundle.")
@click.option("--workers", type=click.IntRange(1, 256), help="Encode with this many threads (default: one per core).")
@allow_zeros_option
@fits_options("Say whether the plan fits: 128GB-mac, 192GB-mac.")
@importance_option
@scratch_options
def command(
    recipe: str,
    source: str | None,
    output: Path | None,
    repository: str | None,
    private: bool,
    questions: Path | None,
    runtime: str | None,
    no_ask: bool,
    workers: int | None,
    allow_zeros: bool,
    fits: str | None,
    context: int,
    wired: int | None,
    importance_file: Path | None,
    scratch: int | None,
    scratch_dir: Path | None,
) -> int:
    """Check RECIPE, plan it, build the bundle, verify it, ask it questions, and with --push publish it.

    To continue after an interruption, run the same command again: it continues a build or an upload where it stopped,
    and leaves finished ones unchanged. The weights of a checkpoint on the hub are streamed and never kept whole.
    """
    from dsv4recipe import build, load_recipe, make_plan
    from dsv4recipe.advice.advise import advise
    from dsv4recipe.advice.fit import fit, machine_said
    from dsv4recipe.answers.questions import load_questions, smoke_set
    from dsv4recipe.api.named import Planner
    from dsv4recipe.bundle.places import places_for
    from dsv4recipe.cli.colours import rendered
    from dsv4recipe.cli.plan_view import print_plan
    from dsv4recipe.cli.progress import watching

    put = load_questions(questions) if questions else smoke_set()
    _say("check", recipe)
    loaded = load_recipe(recipe)
    place = source or f"hf://{loaded.source.model}" + (f"@{loaded.source.revision}" if loaded.source.revision else "")
    planner = Planner(place, importance_file)
    _say("plan", f"{recipe} --source {place}")
    plan = make_plan(loaded, planner.checkpoint, importance=planner.importance)
    print_plan(plan)
    for note in planner.checkpoint.notes:
        click.echo(rendered(note))
    machine = fits or machine_said(loaded)
    if machine:
        click.echo(fit(plan, planner.checkpoint, machine, context, wired=wired).words())
    for each in advise(loaded, plan, planner.checkpoint):
        click.echo(rendered(each), err=True)
    suffix = places_for(plan).suffix
    out = output or Path(f"{plan.source.model.rsplit('/', 1)[-1]}-{plan.recipe['name']}{suffix}")
    _say("build", f"{recipe} --source {place} -o {out}")
    with watching(as_json=False, weights=plan.weights) as on_event:
        build(
            plan, planner.checkpoint, out, workers=workers, on_event=on_event, importance=planner.importance,
            scratch=scratch, scratch_dir=scratch_dir, allow_zeros=allow_zeros,
        )  # fmt: skip
    if not _prove(out, () if no_ask else put, runtime):
        return FAILED
    if repository:
        from dsv4recipe import push
        from dsv4recipe.publish.upload import Pushed

        _say("push", f"{out} {repository}")
        done = push(out, repository, private=private)
        assert isinstance(done, Pushed)
        click.echo(f"every file of {done.address} equals the bundle's, by size and digest\n{done.url}")
    else:
        click.echo("\nWhat you can do next:")
        click.echo(f"  dsv4recipe ask {out} --serve            # starts a server for any client of the OpenAI protocol")
        click.echo(f"  dsv4recipe push {out} org/name          # publishes it on the hub")
    return 0


def _prove(out: Path, questions: tuple[Question, ...], runtime: str | None) -> bool:
    """Verifies, asks, and shows both. Raises NotInstalledError, after the proof is shown, if no runtime here can
    ask."""
    from dsv4recipe import verify
    from dsv4recipe.api.answers import with_answers
    from dsv4recipe.builder.interrupt import interruptible
    from dsv4recipe.cli.ask_view import AskView
    from dsv4recipe.cli.verify_view import print_verification
    from dsv4recipe.errors import NotInstalledError

    _say("verify", f"{out} --ask" if questions else str(out))
    found = verify(out)
    absent: NotInstalledError | None = None
    if questions:
        try:
            with interruptible(), AskView(as_json=False) as view:
                found = with_answers(found, questions, runtime, None, view.tell)
        except NotInstalledError as error:
            absent = error
    print_verification(found)
    if absent is not None:
        raise absent
    return found.ok


def _say(verb: str, rest: str) -> None:
    click.echo(f"\n$ dsv4recipe {verb} {rest}")
