"""Floor 4, reports. The page itself: facts into the template, style and script inside. Reads its own templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError
from dsv4recipe.plan.model import Plan
from dsv4recipe.reports.curve import Curve
from dsv4recipe.reports.facts import page_facts
from dsv4recipe.reports.numbers import Measured
from dsv4recipe.units import gigabytes
from dsv4recipe.version import VERSION

TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    plan: Plan,
    measured: Measured | None = None,
    findings: Sequence[Diagnostic] = (),
    notes: Sequence[str] = (),
    curve: Curve | None = None,
    quality: Sequence[str] = (),
    kv: int | None = None,
    loaders: Sequence[tuple[str, str]] = (),
) -> str:
    """Returns the report as one HTML document: no network, no time, no host; same inputs, same bytes.

    Everything that comes from a recipe or a bundle is escaped, and the page's own policy lets only its own style and
    script run. Raises RecipeError U012 where jinja2 is not installed.
    """
    return rendered("page.html", page_facts(plan, measured, findings, notes, curve, quality, kv, loaders))


def rendered(template: str, facts: Mapping[str, Any]) -> str:
    """Returns a template of this folder with its facts, style and script. Raises RecipeError U012 without jinja2."""
    try:
        import jinja2
    except ImportError:
        hint = 'pip install "dsv4recipe[report]"'
        raise RecipeError("U012", "reports need jinja2, which is not installed", hint=hint) from None
    style, script = _text("style.css"), _text("filter.js")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"n": lambda value: f"{value:,}", "gb": _gb, "bits": lambda value: f"{value:.3f}"}
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    return environment.get_template(template).render(facts, style=style, script=script, policy=policy, version=VERSION)


def _gb(size: int) -> str:
    """GB and GiB; below 1 MB nothing: the bytes alone say it."""
    return gigabytes(size) if size >= 10**6 else ""


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
