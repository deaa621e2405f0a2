"""Floor 6, cli. `ask BUNDLE PROMPT…` asks questions through the runtime's own server."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, json_option

FAILED = 3
_PATH = PathType()


@click.command("ask")
@click.argument("bundle", type=_PATH)
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option(
    "--expect",
    multiple=True,
    metavar="TEXT",
    help="The answer must hold this text. Pass one for all prompts, or one for each.",
)
@click.option("--questions", type=_PATH, help="Ask the questions of a YAML file with expected answers.")
@click.option("--smoke", is_flag=True, help="Ask the built-in questions (also the default without a question).")
@click.option("--runtime", help="vmlx, mlx-vlm, rapid-mlx, mlx-lm or llama.cpp (default: one that the bundle is for).")
@click.option("--runtime-python", "python", type=_PATH, help="The interpreter that has the runtime.")
@click.option("--thinking", is_flag=True, help="Let the model reason before it answers.")
@click.option(
    "--max-tokens", type=click.IntRange(1), default=256, show_default=True, help="The longest answer, in tokens."
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    default=600,
    show_default=True,
    help="Wait at most this many seconds for the server, and for each answer.",
)
@click.option("--serve", is_flag=True, help="Leave the server running afterwards, until you press ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), help="Use this port on loopback (default: any free port).")
@click.option("--log", type=_PATH, help="Write the server's output to this file.")
@json_option
def command(
    bundle: Path,
    prompts: tuple[str, ...],
    expect: tuple[str, ...],
    questions: Path | None,
    smoke: bool,
    runtime: str | None,
    python: Path | None,
    thinking: bool,
    max_tokens: int,
    time_limit: float,
    serve: bool,
    port: int | None,
    log: Path | None,
    as_json: bool,
) -> int:
    """Ask BUNDLE every PROMPT through its runtime's own server, which is started on loopback and stopped afterwards.

    The exit code is 3 if an answer does not hold the expected text or the server fails, and 4 if the runtime is not
    installed. The server runs code of the runtime and of the bundle's own encoder, so ask only bundles that you trust.
    """
    from dsv4recipe.answers.questions import asked, load_questions, smoke_set
    from dsv4recipe.answers.run import Settings, ask_bundle
    from dsv4recipe.builder.interrupt import interruptible
    from dsv4recipe.cli.ask_view import AskView
    from dsv4recipe.cli.output import print_json

    if expect and not prompts:
        raise click.UsageError("--expect needs a PROMPT")
    put = asked(prompts, expect) + (load_questions(questions) if questions else ())
    if smoke or not (put or serve):
        put += smoke_set()
    settings = Settings(time_limit, max_tokens, thinking, port, log)
    with interruptible(), AskView(as_json) as view:
        found = ask_bundle(bundle, put, runtime, python, settings, view.tell, view.stay if serve else None)
    if as_json:
        print_json(found.data())
    else:
        view.end(found)
    return 0 if found.ok else FAILED
