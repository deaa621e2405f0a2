"""Floor 6, cli. `push BUNDLE org/name` verifies a bundle, uploads it to the hub, and compares it afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsv4recipe.cli.arguments import PathType, json_option


@click.command("push")
@click.argument("bundle", type=PathType())
@click.argument("repository", metavar="ORG/NAME")
@click.option("--private", is_flag=True, help="Make the repository private, if it is new.")
@click.option("--revision", default="", metavar="BRANCH", help="The branch (default: main).")
@click.option("--replace", is_flag=True, help="Remove files of the repository that the bundle does not have.")
@click.option(
    "--dry-run", is_flag=True, help="Check the bundle and list what would be uploaded, without contacting the hub."
)
@json_option
def command(
    bundle: Path, repository: str, private: bool, revision: str, replace: bool, dry_run: bool, as_json: bool
) -> None:
    """Upload BUNDLE to the hub in one commit, then compare the hub's files with it, one by one.

    Every byte is checked first. To continue an interrupted push, run the command again. The token is that of
    `hf auth login` or HF_TOKEN.
    """
    from dsv4recipe.api.push import push, total
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.publish.upload import Pushed
    from dsv4recipe.units import counted, human_size

    def tell(event: dict[str, Any]) -> None:
        if event["event"] == "checking":
            click.echo("checking every byte of the bundle", err=True)
        elif event["event"] == "warning":
            click.echo(f"\n{event['finding'].render()}\n", err=True)
        elif event["event"] == "uploading":
            click.echo(f"uploading {event['file']}, {human_size(event['bytes'])}", err=True)
        elif event["event"] == "comparing":
            click.echo("comparing the hub's files with the bundle", err=True)

    done = push(bundle, repository, private=private, revision=revision, replace=replace, dry_run=dry_run, on_event=tell)
    if not isinstance(done, Pushed):
        found = total(done)
        if as_json:
            print_json({"format_version": 1, "repository": repository, **found})
            return
        for file in done:
            click.echo(f"{file.size:>18,}  {file.name}")
        click.echo(f"{counted(len(done), 'file')} would be uploaded to {repository}: {human_size(found['bytes'])}")
        return
    if as_json:
        where = {"repository": done.address.repo, "commit": done.address.revision, "url": done.url}
        print_json({"format_version": 1, **where, "sent": done.sent, "there": done.there})
        return
    click.echo(f"uploaded {human_size(done.sent)}; {human_size(done.there)} were already there")
    click.echo(f"every file of {done.address} equals the bundle's, by size and digest")
    click.echo(done.url)
