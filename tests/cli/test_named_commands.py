"""Every command that a hint, a message or a document names can be typed: command, options and choices are known."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import dsv4recipe
from dsv4recipe.cli.main import dsv4recipe as program

ROOT = Path(dsv4recipe.__file__).parent
TOP = ROOT.parent
COMMAND = re.compile(r"dsv4recipe ([a-z].*)")
PLACEHOLDER = re.compile(r"[A-Z{<…]|\.\.\.")


def in_documents() -> Iterator[tuple[str, str]]:
    pages = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
        lines = [line.strip().removeprefix("$ ") for line in blocks if re.match(r"\s*(\$ )?dsv4recipe [a-z]", line)]
        inline = re.findall(r"`(dsv4recipe [a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in (*lines, *(" ".join(each.split()) for each in inline)):
            yield page.name, line


def in_code() -> Iterator[tuple[str, str]]:
    """Texts of the package; what an f-string puts in is a placeholder."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                text = node.value
            else:
                continue
            if re.match(r"dsv4recipe [a-z]+ ", text):
                yield path.name, re.split(r"[;,:] | shows | writes ", text)[0]
            for found in re.findall(r"`(dsv4recipe [a-z][^`]*)`", text):
                yield path.name, " ".join(found.split())


FOUND = sorted({*in_documents(), *in_code()})


def test_there_are_many() -> None:
    assert len(FOUND) > 40


@pytest.mark.parametrize(("where", "line"), FOUND, ids=[f"{where}: {line[:60]}" for where, line in FOUND])
def test_a_named_command_can_be_typed(where: str, line: str) -> None:
    hit = COMMAND.match(line)
    assert hit is not None
    text = re.split(r"\s(?:#|\||>|&&|;)\s?|\s2>", hit[1])[0]
    words = shlex.split(re.sub(r"[\[\]]", "", text).replace("…", "").replace(" | ", " "))
    command: click.Command | None = program.get_command(click.Context(program), words[0])
    assert command is not None, f"no command {words[0]}"
    words = words[1:]
    if isinstance(command, click.Group) and words and (inner := command.get_command(click.Context(command), words[0])):
        command, words = inner, words[1:]
    parser = command.make_parser(click.Context(command))
    parser.ignore_unknown_options = False
    values, _, _ = parser.parse_args(words)
    for param in command.params:
        value = values.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str) and not PLACEHOLDER.search(value):
            param.type.convert(value, param, None)
