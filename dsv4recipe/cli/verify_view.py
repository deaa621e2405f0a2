"""Floor 6, cli. A proof as a person reads it."""

from __future__ import annotations

import re
from typing import Any

import click

from dsv4recipe.cli.colours import rendered, tinted
from dsv4recipe.cli.tables import print_table
from dsv4recipe.verifier.contract.replay.outlook import LOADS, REFUSED, SEES, Outlook
from dsv4recipe.verifier.result import Verification

_ENTRIES = {"V120", "V122", "V123", "V124"}
"""Findings about entries of `quantization`, which --fix-config writes anew."""


def print_verification(found: Verification) -> None:
    """One line per step with what was checked, then its findings; its table behind it."""
    for step in found.steps:
        facts = ["; ".join(step.facts)] if step.facts else []
        word = "ok" if step.ok else "FAILED"
        click.echo(f"{tinted(word, f'{word:6}')}  {': '.join((step.name, *facts))}")
        for finding in step.findings:
            click.echo("\n" + rendered(finding) + "\n")
        if step.name == "contract" and found.outlooks:
            _loaders(found.outlooks)
        if step.name == "numbers" and found.roles:
            _numbers(found.roles)
    errors = {finding.code for step in found.steps for finding in step.findings if finding.severity == "error"}
    if errors & _ENTRIES:
        click.echo("If the tensors are right and only config.json is wrong: verify BUNDLE --fix-config OUT.json writes")
        click.echo("the entries that the tensors call for.")
    click.echo(tinted("verified" if found.ok else "verification failed"))


def _loaders(outlooks: tuple[Outlook, ...]) -> None:
    """What every known loader would make of the bundle: replayed, not run."""
    rows = [
        (f"{each.loader} {each.version}".rstrip(), each.verdict, SEES[each.verdict], _why(each)) for each in outlooks
    ]
    click.echo("")
    print_table(("loader (replayed, not run)", "verdict", "what you would see", "why"), rows, optional=("why",))
    click.echo("")


def _why(outlook: Outlook) -> str:
    """In a few words; `--json` has all."""
    counts = [f"{number:,} {what}" for what, number in outlook.counts.items() if number]
    if counts and outlook.verdict not in (LOADS, REFUSED):
        return ", ".join(counts)
    return re.split(r":| \(", outlook.why[0])[0] if outlook.why else ""


def _numbers(roles: tuple[dict[str, Any], ...]) -> None:
    """Relative RMSE per role and format, with the band to expect."""
    rows = []
    for role in roles:
        low, high = role["band"] or (0, 0)
        expected = "exact" if role["lossless"] else f"{low:.3g} to {high:.3g}" if role["band"] else "not measured"
        values = [_value(role[key]) for key in ("rel_rmse", "worst_rel_rmse", "max_error")]
        rows.append((role["role"], role["format"], f"{role['tensors']:,}", f"{role['weights']:,}", *values, expected))
    columns = ("role", "format", "tensors", "weights", "rel RMSE", "worst", "max error", "expected")
    click.echo("")
    print_table(columns, rows, range(2, 7), optional=("tensors", "max error", "weights"))
    click.echo("")


def _value(number: float | None) -> str:
    return "NaN or Inf" if number is None else "0" if number == 0 else f"{number:.4g}"
