"""Floor 6, cli. Holds the entry point: it imports a command when it is called, and renders errors and exit codes.

Exit codes (a contract): 0 done, 1 refused or failed, 2 differences, 3 verification failed, 4 not installed, 64 wrong
usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from dsv4recipe.cli.colours import CHOICES, choose, rendered, wanted
from dsv4recipe.cli.screen import install
from dsv4recipe.errors import Diagnostic, NotInstalledError, RecipeError, did_you_mean
from dsv4recipe.version import VERSION

COMMANDS = {
    "demo": "Make a tiny checkpoint, plan, build and verify it.",
    "synth": "Write a synthetic checkpoint with the real names, dtypes and shapes.",
    "inspect": "Say what a checkpoint or bundle holds.",
    "recipes": "List the shipped recipes; `recipes show NAME` prints one.",
    "init": "Write a new recipe to start from.",
    "check": "Validate a recipe.",
    "show": "Print a flattened recipe that says where each line came from.",
    "schema": "Print a JSON schema.",
    "plan": "Say what every tensor becomes, to the byte.",
    "diff": "Compare two recipes, plans or bundles.",
    "explain": "Say which rule won a tensor, why others lost, and all its names.",
    "lock": "Pin source, parents, encoders and plan for `build --locked`.",
    "allocate": "Find the formats that spend a byte budget best.",
    "decompile": "Write a recipe that plans to the same bundle.",
    "build": "Build a bundle, or continue an interrupted build.",
    "verify": "Prove a bundle.",
    "calibrate": "Record the inputs of a model's matrices, for calibrated formats.",
    "evaluate": "Measure on text what a recipe, plan or bundle loses.",
    "ask": "Ask a bundle questions through its runtime's own server.",
    "run": "Check, plan, build, verify and ask; with --push also publish.",
    "push": "Verify a bundle, upload it to the hub, and compare.",
    "runtimes": "List the runtimes that serve bundles, or install one.",
    "report": "Write an HTML page with sizes, heat maps, overrides, recipe.",
}


def _color(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Sets the colours, for this process and for what click prints."""
    if value is not None:
        choose(value)
        context.color = {"always": True, "never": False}.get(value)
    elif context.parent is None:
        choose("auto")
        context.color = False if os.environ.get("NO_COLOR") else None


def _color_option(hidden: bool = False) -> click.Option:
    """--color, which stands before the command or behind it."""
    return click.Option(
        ["--color"], type=click.Choice(CHOICES), expose_value=False, callback=_color, hidden=hidden, is_eager=True,
        help="Colours: auto (default) where there is a terminal and NO_COLOR is not set.",
    )  # fmt: skip


class Commands(click.Group):
    """Imports a command's module only when the command is called, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"dsv4recipe.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        if not any(parameter.name == "color" for parameter in command.params):
            command.params.append(_color_option(hidden=True))
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Returns the commands with their help from the table; completing a word imports no command."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


_EXPLAIN_HELP = "Say what an error code such as P003 means and what to do, and exit."


def _explain(ctx: click.Context, _option: click.Parameter, code: str | None) -> None:
    """Prints what the catalogue of codes has of one code."""
    if code is None or ctx.resilient_parsing:
        return
    from dsv4recipe.catalogue.codes import find_code
    from dsv4recipe.catalogue.page import explain_code

    click.echo(explain_code(*find_code(code)))
    ctx.exit()


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "-V", "--version", prog_name="dsv4recipe")
@click.option("--explain", metavar="CODE", callback=_explain, expose_value=False, is_eager=True, help=_EXPLAIN_HELP)
@click.pass_context
def dsv4recipe(ctx: click.Context) -> None:
    """A declarative quantization recipe compiler for DeepSeek-V4 checkpoints.

    A recipe becomes a plan that is exact to the byte. The plan becomes a bundle in one pass over the checkpoint, and
    `verify` proves that the runtime sees exactly this bundle.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


dsv4recipe.params.append(_color_option())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with one of the exit codes."""
    install()
    gc.set_threshold(1_000_000, 20, 20)  # plans are many small objects without cycles
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code."""
    as_json = "--json" in arguments
    try:
        outcome: Any = dsv4recipe.main(args=list(arguments), prog_name="dsv4recipe", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        hint = ""
        if error.ctx is not None:
            unknown = next((word for word in arguments if not word.startswith("-")), "")
            near = did_you_mean(unknown, COMMANDS) if unknown not in COMMANDS else ""
            hint = near if near.startswith("did you mean") else f"{error.ctx.command_path} --help"
        _say(Diagnostic("U001", error.format_message(), hint=hint))
        return 64
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; run the same command again to continue", err=True)
        return 130
    except RecipeError as error:
        return _refuse(error, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        name = error.filename or ""
        return _refuse(RecipeError("U002", f"{error.strerror or error}{f': {name}' if name else ''}"), as_json)
    except Exception:
        _say(Diagnostic("U999", "an internal error of dsv4recipe; please report it with the lines below"))
        traceback.print_exc()
        return 1


def _say(*found: Diagnostic) -> None:
    """A refusal, outside of every command: as `click` would print it in one."""
    click.echo("\n\n".join(map(rendered, found)), err=True, color=wanted(sys.stderr))


def _refuse(error: RecipeError, as_json: bool) -> int:
    _say(*error.diagnostics)
    click.echo("", err=True)
    if as_json:
        from dsv4recipe.cli.output import print_json

        print_json({"format_version": 1, "errors": [d.as_json() for d in error.diagnostics]})
    return 4 if isinstance(error, NotInstalledError) else 1
