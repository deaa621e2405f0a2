"""The chat template of bundles gives what the release's own encoder gives, over random conversations.

The encoder is the one that vMLX brings along (of V4-Flash-0731): skipped by name where vMLX is not installed.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.gguf import read_gguf_header
from dsv4recipe.runtimes.common.chat_template import any_template, template, wording

Message = dict[str, Any]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "é <b>", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "time"}},
]
ARGUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"city": 'Pa"ris', "days": 2},
    {"q": [1, {"z": None}], "on": True, "é": "ü"},
)


def rendering(text: str) -> Callable[..., str]:
    """As transformers does it."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(text).render


@pytest.fixture(scope="module")
def encoder() -> Any:
    found = importlib.util.find_spec("vmlx_engine")
    if found is None or found.origin is None:
        pytest.skip("vMLX is not installed, which brings the encoder of V4-Flash-0731")
    path = Path(found.origin).parent / "loaders" / "encoding_dsv4_0731.py"
    spec = importlib.util.spec_from_file_location("encoding_0731", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def conversation(draw: random.Random) -> list[Message]:
    """Every role, calls with results in another order, results of no call, parts of text, empty contents."""
    found: list[Message] = []
    if draw.random() < 0.4:
        found.append({"role": "system", "content": draw.choice(("Be brief.", ""))})
    for _ in range(draw.randint(1, 4)):
        if draw.random() < 0.15:
            found.append({"role": "developer", "content": "Only facts. é"})
        asked = [draw.choice(("hello\n", "{{ x }}", "“quoted”")) for _ in range(draw.randint(1, 2))]
        found += [{"role": "user", "content": text} for text in asked]
        if draw.random() < 0.1:
            found.append({"role": "latest_reminder", "content": "It is late."})
        if draw.random() < 0.75:
            found += answer(draw)
    return found


def answer(draw: random.Random) -> list[Message]:
    said: Message = {"role": "assistant", "content": draw.choice(("yes", None, ""))}
    if draw.random() < 0.5:
        said["reasoning_content"] = "because"
    ids = [f"call-{draw.random()}" for _ in range(draw.randint(0, 3))]
    if not ids:
        return [said]
    said["tool_calls"] = [
        {"id": name, "type": "function", "function": {"name": "weather", "arguments": draw.choice(ARGUMENTS)}}
        for name in ids
    ]
    found = [said]
    draw.shuffle(ids)
    for name in ids[: draw.randint(0, len(ids))]:
        content = draw.choice((f"of {name}", [{"type": "text", "text": "part"}, {"type": "image"}]))
        found.append({"role": "tool", "tool_call_id": draw.choice((name, name, "of none")), "content": content})
        if draw.random() < 0.2:
            found.append({"role": "user", "content": "by the way"})
    return found


def encoded(encoder: Any, messages: list[Message], tools: list[Message], thinking: bool, effort: str | None) -> str:
    """The release's own way: tools at the first system message, arguments as JSON text."""
    given = copy.deepcopy(messages)
    for message in given:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    if tools and given[0]["role"] == "system":
        given[0]["tools"] = tools
    elif tools:
        given.insert(0, {"role": "system", "content": "", "tools": tools})
    text: str = encoder.encode_messages(given, "thinking" if thinking else "chat", reasoning_effort=effort)
    return text


def test_it_gives_what_the_encoder_gives(encoder: Any) -> None:
    render = rendering(template(wording(Path(encoder.__file__).read_text(encoding="utf-8"))))
    draw = random.Random(17)
    for _ in range(1500):
        messages, tools = conversation(draw), TOOLS[: draw.randint(0, 2)]
        thinking, effort = draw.random() < 0.5, draw.choice((None, "low", "high", "max"))
        made = render(
            messages=messages,
            tools=tools,
            enable_thinking=thinking,
            reasoning_effort=effort,
            add_generation_prompt=True,
        )
        assert made == encoded(encoder, messages, tools, thinking, effort)


def test_the_first_release_words_one_effort_and_refuses_others() -> None:
    render = rendering(template(wording('REASONING_EFFORT_MAX = ("Think " "hard.\\n")')))
    question = [{"role": "user", "content": "Why?"}]
    asked: Mapping[str, Any] = {"messages": question, "enable_thinking": True, "add_generation_prompt": True}
    usual = "<｜begin▁of▁sentence｜><｜User｜>Why?<｜Assistant｜><think>"
    assert render(**asked) == render(**asked, reasoning_effort="high") == usual
    assert "｜>Think hard.\n<｜User" in render(**asked, reasoning_effort="max")
    with pytest.raises(TemplateError, match="no reasoning effort low"):
        render(**asked, reasoning_effort="low")


def test_what_the_source_does_not_say_is_refused() -> None:
    render = rendering(template(wording("")))
    with pytest.raises(TemplateError, match="tools"):
        render(messages=[{"role": "user", "content": "?"}], tools=TOOLS)
    with pytest.raises(TemplateError, match="no role critic"):
        render(messages=[{"role": "critic", "content": "?"}])
    with pytest.raises(RecipeError) as refused:
        wording("def (")
    assert refused.value.diagnostics[0].code == "T026"


def test_without_a_question_for_the_model_it_stays_closed() -> None:
    render = rendering(template(wording("")))
    asked = [{"role": "user", "content": "Hi"}]
    assert render(messages=asked) == "<｜begin▁of▁sentence｜><｜User｜>Hi"
    assert render(messages=[*asked, {"role": "assistant", "content": "Ho"}], add_generation_prompt=True).endswith(
        "</think>Ho<｜end▁of▁sentence｜>"
    )


def test_the_source_knows_better() -> None:
    config = {"model_type": "deepseek_v4"}
    assert any_template(config, {"chat_template.jinja": "{{ mine }}"}) == "{{ mine }}"
    assert any_template(config, {"tokenizer_config.json": '{"chat_template": "{{ other }}"}'}) == "{{ other }}"
    assert any_template({"model_type": "deepseek_v41"}, {}) == ""
    assert any_template(config, {}) == template(wording(""))


@pytest.mark.parametrize("name", ["rapid-mlx", "llama.cpp"])
def test_where_a_bundle_has_it(tiny_256: Checkpoint, tmp_path: Path, name: str) -> None:
    recipe = load_recipe("q4q8" if name == "rapid-mlx" else "ds4-q4")
    moved = replace(recipe, target=replace(recipe.target, runtime=name, backends=(), mtp="drop"))
    out = tmp_path / ("out" if name == "rapid-mlx" else "out.gguf")
    build(make_plan(moved, tiny_256), tiny_256, out)
    if name == "rapid-mlx":
        found = (out / "chat_template.jinja").read_text(encoding="utf-8")
    else:
        found = read_gguf_header(out).value("tokenizer.chat_template")
    assert found == template(wording(""))
