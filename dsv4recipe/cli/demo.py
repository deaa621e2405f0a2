"""Floor 6, cli. `demo [DIR]` runs all steps on a tiny checkpoint, in seconds, with nothing but this package."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, json_option

RECIPE = "q4q8"


@click.command("demo")
@click.argument("folder", default="dsv4recipe-demo", type=PathType())
@json_option
def command(folder: Path, as_json: bool) -> int:
    """Make a tiny checkpoint with the real layout in FOLDER, then plan, build and verify it."""
    from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify
    from dsv4recipe.checkpoint.synth import synthesize
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.plan_view import print_plan
    from dsv4recipe.cli.progress import watching
    from dsv4recipe.cli.verify_view import print_verification
    from dsv4recipe.plan.canonical import plan_data

    def say(text: str) -> None:
        if not as_json:
            click.echo(text)

    source, bundle = folder / "source", folder / RECIPE
    if not source.exists():
        say(f"$ dsv4recipe synth {source}")
        synthesize(source)
    checkpoint = open_checkpoint(source)
    plan = make_plan(load_recipe(RECIPE), checkpoint)
    say(f"$ dsv4recipe plan {RECIPE} --source {source}")
    if not as_json:
        print_plan(plan)
    say(f"\n$ dsv4recipe build {RECIPE} --source {source} -o {bundle}")
    with watching(as_json=False) as on_event:
        build(plan, checkpoint, bundle, on_event=on_event)
    say(f"\n$ dsv4recipe verify {bundle}")
    found = verify(bundle)
    if as_json:
        print_json(
            {"format_version": 1, "plan": plan_data(plan)["totals"], "verify": found.data(), "bundle": str(bundle)}
        )
    else:
        print_verification(found)
        click.echo(
            f"\nLook at: {bundle / 'README.md'} (what each tensor became), {bundle / 'config.json'} (its overrides),"
        )
        click.echo(f"         {bundle / 'dsv4recipe.manifest.json'} (every file and its sha256)")
    return 0 if found.ok else 3
