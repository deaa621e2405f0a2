"""Questions from files, and when an answer is what was expected."""

from __future__ import annotations

import pytest

from dsv4recipe.answers.client import Reply
from dsv4recipe.answers.judge import holds, judge
from dsv4recipe.answers.questions import Turn, asked, parse_questions, smoke_set
from dsv4recipe.errors import NOWHERE, RecipeError


@pytest.mark.parametrize(
    ("answer", "expected", "held"),
    [
        ("45", "45", True),
        ("17 + 28 = 45.", "45", True),
        ("答案是45。", "45", True),
        ("145", "45", False),
        ("450", "45", False),
        ("4.45", "45", False),
        ("45.5", "45", False),
        ("45,000", "45", False),
        ("It is 145, no: 45", "45", True),
        ("The moon is bright.", "moon", True),
        ("", "45", False),
        ("x" * 10_000, "45", False),
    ],
)
def test_a_number_stands_alone(answer: str, expected: str, held: bool) -> None:
    assert holds(answer, expected) is held


def reply(text: str = "", reasoning: str = "", finish: str = "stop", calls: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(text, reasoning, calls, finish, 1, 1, 0.1, 0.2)


@pytest.mark.parametrize(
    ("turn", "said", "codes"),
    [
        (Turn("?", ("45",)), reply("45"), []),
        (Turn("?", ("45",)), reply("44"), ["S010"]),
        (Turn("?", ("45",)), reply("", "17 and 28 …", "length"), ["S011"]),
        (Turn("?", ends=True), reply("and and and", finish="length"), ["S012"]),
        (Turn("?", ends=True), reply("…"), ["S013"]),
        (Turn("?", ends=True), reply("A word."), []),
        (Turn("?", tool="f"), reply(calls=(("f", '{"city": "Paris"}'),), finish="tool_calls"), []),
        (Turn("?", tool="f"), reply(calls=(("f", '{"city": '),)), ["S014"]),
        (Turn("?", tool="f"), reply(calls=(("g", "{}"),)), ["S014"]),
        (Turn("?", tool="f"), reply("f(Paris)"), ["S014"]),
    ],
)
def test_what_is_wrong_with_a_reply(turn: Turn, said: Reply, codes: list[str]) -> None:
    assert [finding.code for finding in judge(turn, said, 80, NOWHERE)] == codes


def test_the_built_in_questions() -> None:
    found = {question.name: question for question in smoke_set()}
    assert len(found) == 5
    assert found["arithmetic"].turns == (Turn("What is 17+28?", ("45",)),)
    assert found["a tool call"].tools[0]["function"]["name"] == found["a tool call"].turns[0].tool
    assert 1500 < len(found["a context of 2,000 tokens"].turns[0].ask.split()) < 2500
    assert len(found["two turns"].turns) == 2


@pytest.mark.parametrize(
    ("text", "codes", "line"),
    [
        ("", ["S008"], 0),
        ("ask: What?\n", ["S008"], 1),
        ("- ask: What?\n  expekt: x\n", ["S008"], 2),
        ("- expect: x\n", ["S008"], 1),
        ("- ask: What?\n  max-tokens: 0\n- 7\n", ["S008", "S008"], 2),
        ("- turns:\n    - expect: x\n", ["S008"], 2),
        ("- ask: &a What?\n", ["R003"], 1),
    ],
)
def test_a_file_that_is_no_list_of_questions(text: str, codes: list[str], line: int) -> None:
    with pytest.raises(RecipeError) as refused:
        parse_questions(text, "q.yaml")
    assert [finding.code for finding in refused.value.diagnostics] == codes
    assert refused.value.diagnostics[0].where.line == line


def test_expectations_belong_to_prompts() -> None:
    assert [question.turns[0].expect for question in asked(["a", "b"], ["1"])] == [("1",), ("1",)]
    assert [question.turns[0].expect for question in asked(["a", "b"], ["1", "2"])] == [("1",), ("2",)]
    with pytest.raises(RecipeError, match="3 prompts but 2 expectations"):
        asked(["a", "b", "c"], ["1", "2"])
