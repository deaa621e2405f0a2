"""Floor 4, verifier. Checks what a bundle says about itself in words, such as a width in its name. Pure, except that it
reads the card.

Source: docs/reference/runtimes.md, "Labels".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import floor, prod

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.formats.base import ITEM_SIZE
from dsv4recipe.runtimes import Target
from dsv4recipe.units import counted
from dsv4recipe.verifier.contract.picture import Picture, SeenModule

_WIDTH = re.compile(r"(?<![\d.])([2-8])[ _-]?bits?(?![a-z])", re.IGNORECASE)
_PROFILE = re.compile(r"JANG(?:TQ|_)?([2-8])L?\b")
_CARD_LIMIT = 1 << 16


def widths_named(view: BundleView, picture: Picture, target: Target) -> Iterator[Diagnostic]:
    """Yields V142 unless a width in a name is that of some routed experts or of the whole (bits per weight,
    rounded)."""
    routed = [m for m in picture.modules.values() if m.slot.row.role == "routed-expert" and m.path and m.stems]
    if not routed:
        return
    widths = {_bits(module) for module in routed} - {0}
    average = _average(picture)
    for where, words, number in _claims(view):
        if number in widths or number in (floor(average), floor(average) + 1):
            continue
        true = " and ".join(f"{width}" for width in sorted(widths))
        message = (
            f"{words!r} says {number} bits, but its routed experts have {true}, the whole {average:.2f} bits per weight"
        )
        yield Diagnostic("V142", message, where, "choose a name that matches the content", "warning")


def mtp_said(view: BundleView, picture: Picture, target: Target) -> Iterator[Diagnostic]:
    """Yields V103 for MTP tensors that config.json or jang_config.json deny (the reverse of V103's error)."""
    stored = [module for module in picture.modules.values() if module.slot.block == "mtp" and module.stems]
    if stored and view.config.get("num_nextn_predict_layers") == 0:
        message = f"config.json announces no MTP layer, but the bundle holds {counted(len(stored), 'module')} of one"
        where = Where(str(view.root / "config.json"), subject="num_nextn_predict_layers")
        yield Diagnostic("V103", message, where, "announce the layer, or drop the MTP tensors", "warning")
    said = view.json.get("jang_config.json", {}).get("drop_mtp")
    if isinstance(said, bool) and said == bool(stored):
        message = f"jang_config.json says drop_mtp {str(said).lower()}, but the bundle holds {len(stored)} MTP modules"
        where = Where(str(view.root / "jang_config.json"), subject="drop_mtp")
        yield Diagnostic("V103", message, where, f"set it to {str(not said).lower()}", "warning")


def _claims(view: BundleView) -> Iterator[tuple[Where, str, int]]:
    """Yields (place, the words, the width) of everything that names the bundle."""
    said = {"": view.root.resolve().name, "config.json": view.config.get("_name_or_path"), "README.md": _title(view)}
    for file, words in said.items():
        for hit in _WIDTH.finditer(words if isinstance(words, str) else ""):
            yield Where(str(view.root / file)), str(words)[:120], int(hit[1])
    profile = view.json.get("jang_config.json", {}).get("profile")
    named = _PROFILE.match(profile) if isinstance(profile, str) else None
    if named:
        yield Where(str(view.root / "jang_config.json"), subject="profile"), str(profile), int(named[1])


def _title(view: BundleView) -> str:
    """Returns the first heading of the card."""
    try:
        with (view.root / "README.md").open(encoding="utf-8") as stream:
            text = stream.read(_CARD_LIMIT)
    except (OSError, UnicodeDecodeError):
        return ""
    hit = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return hit[1] if hit else ""


def _bits(module: SeenModule) -> int:
    """Returns the bits per code of a stored matrix, or of its plain dtype; 0 if the shapes do not tell."""
    part = module.parts.get(".tq_packed") or module.parts.get(".weight")
    if part is None or not part.shape or not module.shape:
        return 0
    return part.shape[-1] * 8 * ITEM_SIZE[part.dtype] // module.shape[-1]


def _average(picture: Picture) -> float:
    stored = [module for module in picture.modules.values() if module.stems]
    size = sum(entry.nbytes for module in stored for parts in module.stems.values() for entry in parts.values())
    return size * 8 / sum(prod(module.shape) * max(1, module.experts) for module in stored)
