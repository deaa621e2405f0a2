"""Floor 4, builder. Which encoders decide the bytes of a plan, and whether they are there. Asks the machine."""

from __future__ import annotations

import platform
import sys

from dsv4recipe.formats import Ggml
from dsv4recipe.formats.encode import ENCODER_VERSION
from dsv4recipe.formats.ggml.library import PACKAGE, QUANTIZED, check_library, library_version
from dsv4recipe.plan.model import Plan


def encoders_of(plan: Plan, machine: bool = True) -> str:
    """Our encoders' version; where the stock ggml quantizer works too, its package, version and, with `machine`, the
    kind of machine: its bytes were shown to be the same on x86-64 only. Raises RecipeError F001."""
    if not _needs_library(plan):
        return ENCODER_VERSION
    library = f"{ENCODER_VERSION}, {PACKAGE} {library_version()}"
    return f"{library} on {sys.platform} {platform.machine()}" if machine else library


def check_encoders(plan: Plan) -> None:
    """Raises RecipeError F001 or F002 where the quantizer that a plan needs is missing, or fails its own test."""
    if _needs_library(plan):
        check_library()


def _needs_library(plan: Plan) -> bool:
    return any(isinstance(module.format, Ggml) and module.format.type in QUANTIZED for module in plan.modules)
