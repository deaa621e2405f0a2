"""Floor 6, cli. `runtimes list|install NAME` manages the environments in which bundles are asked."""

from __future__ import annotations

from pathlib import Path

import click

from dsv4recipe.cli.arguments import PathType, json_option


@click.group("runtimes", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the runtimes that serve bundles on this machine, and install environments that are known to work."""
    if context.invoked_subcommand is None:
        context.invoke(list_, as_json=False)


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List every runtime with a server: where it was found, its versions, and whether they are known to work."""
    from dsv4recipe.answers.environments import environments
    from dsv4recipe.answers.servers import servers
    from dsv4recipe.cli.output import print_json
    from dsv4recipe.cli.tables import print_table

    rows, data = [], []
    for server in servers().values():
        seen = list(environments(server))
        for each in seen:
            state = f"cannot serve: {each.unfit}" if each.unfit else "tested" if each.tested else "other versions"
            state += ": overwrites a bundle's entries" if each.overwrites and not each.unfit else ""
            rows.append((server.name, each.label, state, f"{each.python} ({each.how})"))
            data.append(
                {
                    "runtime": server.name,
                    "python": str(each.python),
                    "found": each.how,
                    "versions": dict(each.versions),
                    "tested": each.tested,
                    "unfit": each.unfit,
                    "overwrites": each.overwrites,
                }
            )
        if not seen:
            rows.append((server.name, "", "not installed", f"dsv4recipe runtimes install {server.name}"))
    if as_json:
        known = {name: dict(server.environment.tested) for name, server in servers().items()}
        print_json({"format_version": 1, "environments": data, "tested": known})
        return
    print_table(("runtime", "versions", "server", "where"), rows)


@command.command("install")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--folder", type=PathType(), help="Install into this folder (default: DSV4RECIPE_RUNTIMES, or your data folder)."
)
@json_option
def install_(names: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Make an isolated environment for each runtime, with the tested versions. A second call changes nothing."""
    from dsv4recipe.answers.environments import runtimes_folder
    from dsv4recipe.answers.install import install
    from dsv4recipe.answers.servers import server_named
    from dsv4recipe.cli.output import print_json

    made = []
    for server in [server_named(name) for name in names]:
        found = install(server, folder or runtimes_folder(), lambda line: click.echo(line, err=True))
        made.append({"runtime": server.name, "python": str(found.python), "versions": dict(found.versions)})
        if not as_json:
            click.echo(f"{server.name}: {found.label} in {found.python}")
    if as_json:
        print_json({"format_version": 1, "installed": made})
