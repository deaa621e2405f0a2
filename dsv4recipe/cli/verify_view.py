"""Floor 5, cli. A proof as a person reads it."""

from __future__ import annotations

import click

from dsv4recipe.verifier.result import Verification


def print_verification(found: Verification) -> None:
    """One line per step with what was checked, then its findings."""
    for step in found.steps:
        click.echo(f"{'ok    ' if step.ok else 'FAILED'}  {step.name}: {'; '.join(step.facts)}")
        for finding in step.findings:
            click.echo("\n" + finding.render() + "\n")
    click.echo("verified" if found.ok else "verification failed")
