"""Floor 1, recipe. Parses strict YAML 1.2 text into nodes with positions. It is pure: a function of one string.

It checks, in this order: size, characters, events (depth, tags, anchors), nodes (duplicate keys, misleading scalars).
docs/reference/recipe-language.md explains the traps and limits.
"""

from __future__ import annotations

from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.recipe.nodes import Table, fail
from dsv4recipe.recipe.page import FORBIDDEN, Page

MAX_BYTES = 1_000_000
MAX_LINE = 4096
MAX_LINES = 50_000


def parse_text(text: str, file: str, problems: Problems) -> Table:
    """Returns the document's top mapping.

    Raises RecipeError R002, R003, R005, R006 or R008 if reading cannot continue. Errors that do not stop it (R004
    duplicate keys, R007 misleading scalars) are added to `problems`.
    """
    from dsv4recipe.recipe.compose import compose  # not at the top: importing the room should not cost PyYAML

    node = compose(Page(_checked(text, file), file), problems)
    if isinstance(node, Table):
        return node
    hint = "start with `recipe: 1`; `dsv4recipe init FILE` writes a commented recipe"
    where = node.where if node else Where(file)
    raise RecipeError("R008", "a recipe must be a mapping of keys" if node else "the recipe is empty", where, hint)


def _checked(text: str, file: str) -> str:
    """Returns the text with one kind of line break. Raises RecipeError if it is too large or holds characters that hide
    what is written."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        fail("R006", f"a recipe has at most {MAX_BYTES:,} bytes", Where(file), "split it with `extends`")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    page = Page(text, file)
    found = FORBIDDEN.search(text)
    if found:
        name = f"U+{ord(found[0]):04X}"
        fail(
            "R005",
            f"the text holds the invisible character {name}",
            _readable(page.at(found.start(), found.end())),
            "delete it",
        )
    if len(page.lines) > MAX_LINES:
        fail("R006", f"a recipe has at most {MAX_LINES:,} lines", page.span(MAX_LINES, 0, 1), "use globs")
    for number, line in enumerate(page.lines):
        if len(line) > MAX_LINE:
            where = Where(file, number + 1, MAX_LINE + 1, 1, "")
            fail(
                "R006",
                f"this line has {len(line):,} characters; at most {MAX_LINE:,} are allowed",
                where,
                "break it up",
            )
    return text


def _readable(where: Where) -> Where:
    """Returns the place with the invisible characters of its line shown as U+FFFD, one for one."""
    return Where(where.file, where.line, where.column, where.length, FORBIDDEN.sub("\ufffd", where.text))
