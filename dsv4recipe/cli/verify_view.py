"""Floor 6, cli. Prints a proof."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from dsv4recipe.cli.colours import rendered, tinted
from dsv4recipe.cli.tables import print_table
from dsv4recipe.errors import Diagnostic
from dsv4recipe.plan.diff_groups import short_lists
from dsv4recipe.reports.patterns import patterns
from dsv4recipe.verifier.contract.replay.outlook import LOADS, REFUSED, SEES, Outlook
from dsv4recipe.verifier.result import Step, Verification

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+){2,}")
_MANY = 3
"""Findings of one kind from which on they are shown as one."""
_ENTRIES = {"V120", "V122", "V123", "V124"}
"""The codes of findings about entries of `quantization`, which --fix-config rewrites."""


def print_verification(found: Verification) -> None:
    """Prints one line per step with what was checked, then its findings and its table."""
    for step in found.steps:
        print_step(
            step, found.outlooks if step.name == "contract" else (), found.roles if step.name == "numbers" else ()
        )
    print_end(found)


def print_step(step: Step, outlooks: tuple[Outlook, ...] = (), roles: tuple[dict[str, Any], ...] = ()) -> None:
    """A step with its findings, and the table that belongs to it."""
    facts = ["; ".join(step.facts)] if step.facts else []
    word = "ok" if step.ok and step.ran else "FAILED" if step.ran else "not run"
    click.echo(f"{tinted(word, f'{word:6}')}  {': '.join((step.name, *facts))}")
    for finding in folded(step.findings):
        click.echo("\n" + rendered(finding) + "\n")
    if outlooks:
        _loaders(outlooks)
    if roles:
        _numbers(roles)


def print_end(found: Verification) -> None:
    """The last line: what the proof came to."""
    errors = {finding.code for step in found.steps for finding in step.findings if finding.severity == "error"}
    if errors & _ENTRIES:
        click.echo("If the tensors are right and only config.json is wrong, verify BUNDLE --fix-config OUT.json writes")
        click.echo("the entries that match the tensors.")
    if found.failed:
        click.echo(tinted("verification failed"))
    elif not found.ok:
        names = ", ".join(step.name for step in found.steps if not step.ok)
        click.echo(f"{tinted('not run')}: {names}; all steps that were run are ok")
    else:
        click.echo(tinted("verified"))


def folded(findings: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Returns findings of one kind about many modules as one, with the modules as patterns, as `diff` groups them."""
    alike: dict[tuple[str, str, str], list[Diagnostic]] = {}
    for each in findings:
        alike.setdefault((each.code, each.severity, _NUMBER.sub("#", each.message)), []).append(each)
    found = []
    for group in alike.values():
        names = [_name(each) for each in group]
        if len(group) < _MANY or not all(names):
            found += group
            continue
        first = group[0]
        rows = [f"{short_lists(pattern)} ×{count}" if count > 1 else pattern for pattern, count in patterns(names)]
        found.append(replace(first, notes=(*first.notes, f"{len(group):,} findings like this one, about:", *rows)))
    return found


def _name(finding: Diagnostic) -> str:
    """Returns the module or tensor that a finding is about; "" where it names none."""
    if "." in finding.where.subject:
        return finding.where.subject
    hit = _DOTTED.search(finding.message)
    return hit[0] if hit else ""


def _loaders(outlooks: tuple[Outlook, ...]) -> None:
    """Prints what every known loader would make of the bundle, replayed and not run."""
    rows = [
        (f"{each.loader} {each.version}".rstrip(), each.verdict, SEES[each.verdict], _why(each)) for each in outlooks
    ]
    click.echo("")
    print_table(("loader (replayed, not run)", "verdict", "what you would see", "why"), rows, optional=("why",))
    click.echo("")


def _why(outlook: Outlook) -> str:
    """Returns the reason in a few words; `--json` has all of it."""
    counts = [f"{number:,} {what}" for what, number in outlook.counts.items() if number]
    if counts and outlook.verdict not in (LOADS, REFUSED):
        return ", ".join(counts)
    return re.split(r":| \(|, such as ", outlook.why[0])[0] if outlook.why else ""


def _numbers(roles: tuple[dict[str, Any], ...]) -> None:
    """Prints the relative RMSE per role and format, with the expected range."""
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
