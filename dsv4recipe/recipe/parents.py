"""Floor 1, recipe. Reads recipes: files, shipped recipes, and parents on the hub or in git."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import NoReturn

from dsv4recipe.errors import NOWHERE, RecipeError, Where
from dsv4recipe.hub.address import Address
from dsv4recipe.paths import expanded
from dsv4recipe.recipe.git import SCHEME, parse_git, read_git
from dsv4recipe.recipe.nodes import fail, short
from dsv4recipe.recipe.shipped import recipe_path
from dsv4recipe.recipe.text import MAX_BYTES

SHIPPED = "shipped:"
_HUB = re.compile(r"hf://(?P<org>[\w.-]+)/(?P<repo>[\w.-]+)/(?P<path>[^@]+)@(?P<revision>[^@]+)", re.ASCII)


def is_file_reference(reference: str) -> bool:
    """Returns whether a reference is a path: it ends with .yaml or .yml or holds a separator. Others are shipped
    names."""
    return reference.endswith((".yaml", ".yml")) or "/" in reference or os.sep in reference


def read_shipped(name: str, where: Where = NOWHERE) -> tuple[str, str]:
    """Returns (file, text) of a shipped recipe. Raises RecipeError R050."""
    path = recipe_path(name, where)
    return f"{SHIPPED}{path.name}", read_text(path, str(path), "R001", where)


def read_text(path: str | Path, file: str, code: str, where: Where = NOWHERE) -> str:
    """Returns the text of a file. Raises RecipeError `code` (unreadable), R001 (not UTF-8), R006 (over 1 MB)."""
    place = where if where.file else Where(file)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "a shipped recipe is named without an ending; `dsv4recipe recipes` lists them" if code == "R001" else ""
        hint = hint or "a parent's path is relative to the folder of the recipe that names it"
        fail(code, f"cannot read {short(file, 200)}: {reason}", place, hint)
    if len(data) > MAX_BYTES:
        fail("R006", f"a recipe has at most {MAX_BYTES:,} bytes", Where(file), "split it with `extends`")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        lines = data[: error.start].decode("utf-8").split("\n")
        spot = Where(file, len(lines), len(lines[-1]) + 1, 1, lines[-1] + "\ufffd")
        fail(
            "R001",
            f"this is not UTF-8 text: it holds the byte 0x{data[error.start]:02x}",
            spot,
            "save the file as UTF-8",
        )


def read_parent(reference: str, child: str, where: Where) -> tuple[str, str]:
    """Returns (file, text) of the parent that `child` names. Raises RecipeError R001, R006, R040, R042 or R050."""
    if reference.startswith("hf://"):
        return _hub(reference, where)
    if reference.startswith(SCHEME):
        found = parse_git(reference, where)
        return str(found), read_git(found, where)
    if not is_file_reference(reference):
        return read_shipped(reference, where)
    if "://" in reference or (reference.startswith("~") and child.startswith(("hf://", SCHEME, SHIPPED))):
        _bad(reference, where)
    if child.startswith(SCHEME):
        found = parse_git(child, where).beside(reference)
        return str(found), read_git(found, where)
    if child.startswith("hf://"):
        return _hub(_beside(reference, child, where), where)
    if child.startswith(SHIPPED):
        _bad(reference, where)
    file = os.path.normpath(os.path.join(os.path.dirname(child), _at_home(reference, where)))
    return file, read_text(file, file, "R040", where)


def _at_home(reference: str, where: Where) -> str:
    """Returns the reference with `~` expanded. Raises RecipeError R040 where there is no such home folder."""
    try:
        return expanded(reference)
    except RecipeError as error:
        (why,) = error.diagnostics
        fail("R040", why.message, where, why.hint)


def _beside(reference: str, child: str, where: Where) -> str:
    """Returns the hub address of a file next to another file on the hub: same repository, same revision."""
    found = _HUB.fullmatch(child)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(found["path"]), reference)) if found else ".."
    if found is None or path.startswith(("..", "/")):
        fail(
            "R042",
            f'"{short(reference)}" points outside of its repository',
            where,
            "name the repository: hf://org/repo/…",
        )
    return f"hf://{found['org']}/{found['repo']}/{path}@{found['revision']}"


def _hub(reference: str, where: Where) -> tuple[str, str]:
    found = _HUB.fullmatch(reference)
    if found is None:
        if re.fullmatch(r"hf://[^@]+", reference):
            fail(
                "R042",
                "a parent on the hub needs its commit",
                where,
                f"write {short(reference)}@ and the 40 hex digits",
            )
        _bad(reference, where)
    if not re.fullmatch("[0-9a-f]{40}", found["revision"]):
        hint = "a branch or tag can move; write the 40 hexadecimal digits of the commit"
        fail("R042", f'"{short(found["revision"])}" does not pin a revision', where, hint)
    if any(part in ("", ".", "..") for part in found["path"].split("/")):
        _bad(reference, where)
    from dsv4recipe.hub.repository import cached_file

    try:
        path = cached_file(Address(f"{found['org']}/{found['repo']}", found["revision"]), found["path"])
    except RecipeError as error:
        (why,) = error.diagnostics
        fail("R040", f"cannot read {short(reference, 200)}: {why.message}", where, why.hint)
    return reference, read_text(path, reference, "R040", where)


def _bad(reference: str, where: Where) -> NoReturn:
    hint = "write a shipped name, ./file.yaml, hf://org/repo/path.yaml@REVISION, or git+https://host/org/repo@REVISION#path.yaml"
    fail("R042", f'"{short(reference)}" is not the name of a recipe', where, hint)
