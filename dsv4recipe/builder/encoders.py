"""Floor 4, builder. Says which encoders decide the bytes of a plan, and whether they are installed. Asks the
machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

from dsv4recipe.formats.base import Format
from dsv4recipe.formats.codec import codec_of
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.plan.model import Plan


def encoders_of(plan: Plan, machine: bool = True) -> str:
    """Returns the version of our encoders. If a package's encoder is used too, such as the stock ggml quantizer, its
    name and version follow, and with `machine` the kind of machine, because equal bytes were shown on x86-64 only.
    Raises RecipeError F001."""
    libraries = [f"{fmt.library} {codec_of(fmt).library_version()}" for fmt in _by_library(plan)]
    if not libraries:
        return ENCODER_VERSION
    named = ", ".join((ENCODER_VERSION, *libraries))
    return f"{named} on {sys.platform} {platform.machine()}" if machine else named


def check_encoders(plan: Plan) -> None:
    """Raises RecipeError F001 or F002 if a package that a plan needs is missing or fails its own test."""
    for fmt in _by_library(plan):
        codec_of(fmt).check_library()


def _by_library(plan: Plan) -> Iterable[Format]:
    """Returns one format for each package that encodes a module of the plan, in the order of the packages' names."""
    found = {module.format.library: module.format for module in plan.modules}
    return (found[name] for name in sorted(found) if name)
