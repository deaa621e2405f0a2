"""Floor 4, answers. Reads questions and what their answers must hold: from arguments, a file, or the built-in set.

A file of questions is YAML, as strict as a recipe: a list of questions, each with `turns` (or `ask` and `expect` for
one turn). docs/how-to/asking.md has an example.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.recipe.compose import compose
from dsv4recipe.recipe.nodes import Items, Node, Scalar, Table, plain
from dsv4recipe.recipe.page import Page
from dsv4recipe.recipe.parents import read_text

_FIELDS = {"name", "system", "before", "times", "ask", "expect", "turns", "tools", "tool", "ends", "max-tokens"}
_TURN = {"ask", "expect", "tool", "ends"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the user and what is expected of the reply: it holds each text of `expect`, it calls the function
    `tool`, and, with `ends`, the model ends by itself and says at least one word."""

    ask: str
    expect: tuple[str, ...] = ()
    tool: str = ""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation of one or more turns. `tools` are function definitions of the OpenAI protocol. `max_tokens` of
    each reply is None if the command's own limit applies."""

    name: str
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    max_tokens: int | None = None


def asked(prompts: Sequence[str], expect: Sequence[str] = ()) -> tuple[Question, ...]:
    """Returns a question for each prompt. Expectations belong to one prompt each, or a single one to all prompts.
    Raises RecipeError S006 if the numbers do not match."""
    if len(expect) not in (0, 1, len(prompts)):
        message = f"there are {len(prompts)} prompts but {len(expect)} expectations"
        raise RecipeError("S006", message, hint="pass one --expect for all prompts, or one for each in their order")
    wanted = list(expect) * len(prompts) if len(expect) == 1 else list(expect) or [""] * len(prompts)
    return tuple(
        Question(prompt, (Turn(prompt, (text,) if text else ()),)) for prompt, text in zip(prompts, wanted, strict=True)
    )


def smoke_set() -> tuple[Question, ...]:
    """Returns the built-in questions: arithmetic, a sentence, a tool call, a context of about 2,000 tokens, two
    turns."""
    text = (importlib.resources.files("dsv4recipe.answers") / "smoke.yaml").read_text(encoding="utf-8")
    return parse_questions(text, "smoke.yaml")


def load_questions(path: Path) -> tuple[Question, ...]:
    """Returns the questions of a file. Raises RecipeError S007 if it cannot be read, and what `parse_questions`
    raises."""
    return parse_questions(read_text(path, str(path), "S007"), str(path))


def parse_questions(text: str, file: str) -> tuple[Question, ...]:
    """Returns the questions of a YAML text. Raises RecipeError R002 to R006 for YAML that is not strict, and S008 with
    every field that is wrong."""
    problems = Problems()
    root = compose(Page(text, file), problems)
    if not isinstance(root, Items) or not root.items:
        where = Where(file) if root is None else root.where
        problems.error("S008", "a file of questions must be a list", where, "begin each question with `- ask: …`")
        items: tuple[Node, ...] = ()
    else:
        items = root.items
    found = [_question(node, number, problems) for number, node in enumerate(items, 1)]
    problems.raise_if_any()
    return tuple(found)


def _question(node: Node, number: int, problems: Problems) -> Question:
    nothing = Question(f"question {number}", (Turn(""),))
    if not isinstance(node, Table):
        problems.error("S008", "a question must be a mapping with `ask` or `turns`", node.where)
        return nothing
    _known(node, _FIELDS, problems)
    several = node.get("turns")
    if (several is None) == (node.get("ask") is None):
        problems.error("S008", "a question must have either `ask` or `turns`", node.where)
        return nothing
    parts = several.items if isinstance(several, Items) else (node,)
    turns = tuple(_turn(part, problems, part is not node) for part in parts)
    tools = node.get("tools")
    before = _text(node, "before", problems)
    if before:
        filler = " ".join([before] * (_count(node, "times", problems) or 1))
        turns = (replace(turns[0], ask=f"{filler}\n\n{turns[0].ask}"), *turns[1:])
    return Question(
        _text(node, "name", problems) or turns[0].ask,
        turns,
        _text(node, "system", problems),
        tuple(plain(tools)) if isinstance(tools, Items) else (),
        _count(node, "max-tokens", problems),
    )


def _turn(node: Node, problems: Problems, alone: bool) -> Turn:
    if not isinstance(node, Table) or node.get("ask") is None:
        problems.error("S008", "a turn must be a mapping with `ask`", node.where)
        return Turn("")
    if alone:
        _known(node, _TURN, problems)
    expect = node.get("expect")
    texts = expect.items if isinstance(expect, Items) else (expect,) if expect is not None else ()
    raw = tuple(each.raw for each in texts if isinstance(each, Scalar))
    ends = node.get("ends")
    return Turn(
        _text(node, "ask", problems),
        raw,
        _text(node, "tool", problems),
        isinstance(ends, Scalar) and ends.value is True,
    )


def _count(node: Table, key: str, problems: Problems) -> int | None:
    found = node.get(key)
    if found is None:
        return None
    value = found.value if isinstance(found, Scalar) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        problems.error("S008", f"`{key}` must be a number of at least 1", found.where)
        return None
    return value


def _text(node: Table, key: str, problems: Problems) -> str:
    found = node.get(key)
    if found is None:
        return ""
    if not isinstance(found, Scalar) or not found.raw:
        problems.error("S008", f"`{key}` must be text", found.where)
        return ""
    return found.raw


def _known(node: Table, fields: set[str], problems: Problems) -> None:
    for entry in node.entries:
        if entry.key not in fields:
            hint = f"a question may have {', '.join(sorted(fields))}"
            problems.error("S008", f"unknown field {entry.key!r}", entry.where, hint)
