"""Floor 4, answers. Judges whether a reply is as expected: diagnostics S010 to S014. This module is pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dsv4recipe.answers.client import Reply
from dsv4recipe.answers.questions import Turn
from dsv4recipe.errors import Diagnostic, Where

_SHOWN = 300


def holds(answer: str, expected: str) -> bool:
    """Returns whether `expected` is in `answer`. A number must stand alone, so that 45 is not found in 145 or 4.45."""
    at = answer.find(expected)
    while at >= 0:
        end = at + len(expected)
        if not (_joined(answer, at, -1) if expected[:1].isdigit() else False) and not (
            _joined(answer, end - 1, 1) if expected[-1:].isdigit() else False
        ):
            return True
        at = answer.find(expected, at + 1)
    return False


def _joined(text: str, at: int, step: int) -> bool:
    """Returns whether the digit at `at` continues in the direction of `step`, also across a point or comma within a
    number."""
    near, far = text[at + step : at + step + 1] if at + step >= 0 else "", ""
    if near in (".", ",") and at + 2 * step >= 0:
        far = text[at + 2 * step : at + 2 * step + 1]
    return near.isdigit() or far.isdigit()


def judge(turn: Turn, reply: Reply, limit: int, where: Where) -> Iterator[Diagnostic]:
    """Yields what is wrong with the reply to one turn."""
    answer = reply.text.strip()
    if not answer and not reply.calls and reply.reasoning and reply.finish == "length":
        message = f"the model was still thinking after {limit} tokens"
        yield Diagnostic("S011", message, where, "raise --max-tokens, or leave --thinking out", notes=_said(reply))
        return
    for expected in turn.expect:
        if not holds(answer, expected):
            message = f"{expected!r} was expected, but the answer does not hold it"
            yield Diagnostic("S010", message, where, _ADVICE, notes=_said(reply))
    if turn.tool:
        yield from _call(turn.tool, reply, where)
    if turn.ends and not reply.stopped:
        message = f"the model did not end by itself within {limit} tokens"
        hint = "raise --max-tokens; endless repetition means a broken bundle or a wrong end token"
        yield Diagnostic("S012", message, where, hint, notes=_said(reply))
    elif turn.ends and not any(character.isalpha() for character in answer):
        yield Diagnostic("S013", "the answer holds no word", where, _ADVICE, notes=_said(reply))


_ADVICE = "run `dsv4recipe verify BUNDLE --source SRC` to see whether the bundle or the model is at fault"


def _call(name: str, reply: Reply, where: Where) -> Iterator[Diagnostic]:
    names = [called for called, _ in reply.calls]
    if name not in names:
        what = f"it called {', '.join(names)}" if names else "no call was recognised in the answer"
        hint = "the server must parse the DSML of DeepSeek-V4: see its --tool-call-parser"
        yield Diagnostic("S014", f"a call of {name} was expected, but {what}", where, hint, notes=_said(reply))
        return
    arguments = next(arguments for called, arguments in reply.calls if called == name)
    try:
        json.loads(arguments)
    except ValueError:
        yield Diagnostic("S014", f"the arguments of {name} are not JSON: {arguments[:_SHOWN]}", where, _ADVICE)


def _said(reply: Reply) -> tuple[str, ...]:
    """Returns what the model said, for the notes of a finding."""
    said = [f"it said: {reply.text.strip()[:_SHOWN]!r}"]
    if reply.reasoning:
        said.append(f"it thought: {reply.reasoning.strip()[-_SHOWN:]!r}")
    return tuple(said)
