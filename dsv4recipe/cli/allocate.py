"""Floor 6, cli. `allocate RECIPE --source SRC --budget SIZE -o OUT` finds the formats that spend a budget best."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from click.core import ParameterSource

from dsv4recipe.cli.arguments import (
    PathType,
    Size,
    fits_options,
    force_option,
    json_option,
    recipe_argument,
    source_option,
    source_type,
)

_FILE = PathType()
_KINDS = ("affine", "mxtq", "mxfp4", "mxfp8", "keep")
_NOT_SAID = ("output", "force", "dry_run", "as_json", "write_errors", "workers")


class Kinds(click.ParamType):  # type: ignore[type-arg]
    """Reads kinds of format, separated by commas."""

    name = "kinds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        kinds = value if isinstance(value, tuple) else tuple(str(value).split(","))
        for kind in kinds:
            if kind not in _KINDS:
                self.fail(f"{kind!r} is not one of {', '.join(_KINDS)}", param, ctx)
        return kinds


def print_priors(ctx: click.Context, param: click.Parameter, asked: bool) -> None:  # noqa: ARG001 - click's signature
    if asked:
        from dsv4recipe.allocation.priors import SHIPPED

        click.echo(SHIPPED.read_text(encoding="utf-8"), nl=False)
        ctx.exit()


@click.command("allocate")
@recipe_argument
@source_option
@click.option("--budget", type=Size(), help="All tensor bytes, as `plan` counts them: 120GiB, 135346422876B.")
@click.option("--bits-per-weight", type=click.FloatRange(0, 64, min_open=True), help="The same, in bits per weight.")
@fits_options("What a machine leaves: 128GB-mac.")
@click.option("--reserve", type=Size(), default="1GiB", show_default=True, help="For activations and runtime (--fits).")
@click.option("-o", "--output", type=_FILE, help="The recipe to write; an existing file is only replaced with --force.")
@click.option("--dry-run", is_flag=True, help="Print budget against error, write nothing; needs no budget.")
@click.option("--formats", "kinds", type=Kinds(), default=(), help="Only these kinds of format: affine,mxfp4.")
@click.option("--per-layer", is_flag=True, help="A format of its own for every layer of every role: more rules.")
@click.option(
    "--errors",
    type=source_type,
    metavar="FILE|synthetic",
    help="Use errors measured earlier, or those of Gaussian weights.",
)
@click.option("--sensitivity", type=_FILE, help="Use measured sensitivities instead of role priors.")
@click.option("--priors", type=_FILE, help="Use these priors instead of the shipped ones.")
@click.option("--print-priors", is_flag=True, is_eager=True, expose_value=False, callback=print_priors,
              help="Print the shipped priors, to be changed.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides which experts and rows are measured."
)
@click.option("--sample", type=click.IntRange(1, 4096), default=8, show_default=True,
              help="Blocks of 128 rows of each module.")  # fmt: skip
@click.option("--evidence", type=_FILE, help="What `evaluate -o` measured of RECIPE, for the new recipe's head.")
@click.option("--write-errors", type=_FILE, help="Write the measured errors, for --errors.")
@click.option(
    "--schema", type=source_type, default="", help="The path or URL of the JSON schema, for the editor's modeline."
)
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Measure with this many threads (default: one per processor)."
)
@force_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    recipe: str,
    source: str,
    budget: int | None,
    bits_per_weight: float | None,
    fits: str | None,
    context: int,
    wired: int | None,
    reserve: int,
    output: Path | None,
    dry_run: bool,
    kinds: tuple[str, ...],
    per_layer: bool,
    errors: str | None,
    sensitivity: Path | None,
    priors: Path | None,
    seed: int,
    sample: int,
    evidence: Path | None,
    write_errors: Path | None,
    schema: str,
    workers: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Spend a byte budget: find the formats with the least error that RECIPE's runtime can run, and write a new recipe.

    RECIPE gives the source, the target and the rules for modules that are not allocated (control tensors, norms,
    routers).
    """
    from dsv4recipe import allocate, load_recipe
    from dsv4recipe.allocation.error_table import errors_text
    from dsv4recipe.allocation.problem import Problem
    from dsv4recipe.cli.allocate_view import measuring, print_allocation
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.files.outputs import ERRORS, RECIPE, check_output, write_output

    given = [value for value in (budget, bits_per_weight, fits) if value is not None]
    if len(given) > 1 or not (given or dry_run):
        raise click.UsageError("pass one of --budget, --bits-per-weight and --fits", ctx)
    if output is None and not dry_run:
        raise click.UsageError("pass -o OUT or --dry-run", ctx)
    if output is not None and not dry_run:
        check_output(output, RECIPE, force)
    if write_errors is not None:
        check_output(write_errors, ERRORS, force)

    def keep(problem: Problem) -> None:
        if write_errors is not None:
            write_output(write_errors, errors_text(problem.table), ERRORS, force)

    base = load_recipe(recipe)
    with measuring(as_json) as told:
        found = allocate(
            base,
            source,
            budget=budget,
            bits_per_weight=bits_per_weight,
            fits=fits,
            context=context,
            wired=wired,
            reserve=reserve,
            formats=kinds,
            per_layer=per_layer,
            errors=errors,
            sensitivity=sensitivity,
            priors=priors,
            seed=seed,
            sample=sample,
            workers=workers,
            name=output.stem if output else "",
            command=_said(ctx, base.source.model, output),
            schema=schema,
            evidence=evidence,
            on_progress=told,
            on_measured=keep,
        )
    if output is not None and found.text and not dry_run:
        write_output(output, found.text, RECIPE, force)
    data = found.data(curve=dry_run or as_json)
    if as_json:
        print_json(data)
    else:
        print_allocation(data, base.target.runtime, str(output) if output and not dry_run else "", dry_run)


def _said(ctx: click.Context, model: str, output: Path | None) -> str:
    """Returns the command that makes this recipe again. The model's name stands for its folder, and other folders are
    left out."""
    words = ["dsv4recipe", "allocate"]
    for param in ctx.command.params:
        name = param.name or ""
        if name in _NOT_SAID or ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        if name == "source":
            value = model.rsplit("/", 1)[-1]
        elif isinstance(value, Path) or (name in ("recipe", "errors") and "/" in value):
            value = Path(value).name
        elif name in ("budget", "wired", "reserve"):
            value = f"{value}B"
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        given = [] if value is True else [shlex.quote(text)]
        words += given if isinstance(param, click.Argument) else [param.opts[0], *given]
    return " ".join([*words, "-o", output.name if output else "FILE"])
