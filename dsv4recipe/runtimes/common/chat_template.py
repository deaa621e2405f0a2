"""Floor 2, runtimes. The release's chat format as a Jinja template, for runtimes that do not run its encoder. Pure.

DeepSeek-V4 is released with a program that writes prompts (`encoding/encoding_dsv4.py`) and without a template; servers
that look for one take ChatML instead, which the model has not learned. What a release words itself (how tools are
introduced, the sentences for each effort of reasoning) is read from the constants of its program, which is not run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.runtimes.common.target import SideInput

NAME = "chat_template.jinja"
ENCODER = "encoding/encoding_dsv4.py"
WORDS = "tokenizer_config.json"
FAMILIES = ("deepseek_v4",)
"""The model types whose chat format this is."""
_FILLED = {"dsml_token": "｜DSML｜", "thinking_start_token": "<think>", "thinking_end_token": "</think>"}
_AGAIN = "download this file again"
_SCHEMAS = "{tool_schemas}"


@dataclass(frozen=True, slots=True)
class Wording:
    """What an encoder says in words. `tools`: the texts before and after the schemas, None where it has none;
    `efforts`: what each effort of reasoning puts before everything else; `usual` the effort where none is asked for."""

    tools: tuple[str, str] | None = None
    efforts: dict[str, str] = field(default_factory=dict)
    usual: str = ""


def own_template(side: SideInput) -> str:
    """Returns the template for a bundle whose source has none of its own; "" where it has one, or is of another family.

    Raises RecipeError T026 for an encoder that is no Python.
    """
    return "" if has_template(side) else _made(side.config, side.texts)


def has_template(side: SideInput) -> bool:
    """Returns whether the source says itself how a chat becomes a prompt."""
    return NAME in side.files or '"chat_template"' in side.texts.get(WORDS, "")


def any_template(config: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Returns the template of a source by its `config` and its small files: its own, else one made for it; "" where it
    has none and is of another family. Raises RecipeError T020 for a tokenizer_config.json that is no JSON, and T026."""
    if NAME in texts:
        return texts[NAME]
    try:
        words = parse_json(texts.get(WORDS, "{}").encode())
    except ValueError as error:
        raise RecipeError("T020", f"{WORDS} is not JSON: {error}", Where(WORDS), _AGAIN) from None
    given = words.get("chat_template") if isinstance(words, dict) else None
    return given if isinstance(given, str) else _made(config, texts)


def _made(config: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    if config.get("model_type") not in FAMILIES:
        return ""
    return template(wording(texts[ENCODER]) if ENCODER in texts else Wording())


def wording(encoder: str) -> Wording:
    """Returns the words of an encoder, from the constants at the top of its program. Raises RecipeError T026."""
    try:
        body = ast.parse(encoder).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise RecipeError("T026", f"{ENCODER} is not Python: {error}", Where(ENCODER), _AGAIN) from None
    constants = dict(found for statement in body for found in _constant(statement))
    efforts = constants.get("REASONING_EFFORT_PROMPTS")
    largest = constants.get("REASONING_EFFORT_MAX")
    if isinstance(efforts, dict):
        told = {str(name): str(text) for name, text in efforts.items()}
    else:
        told = {"high": "", "max": largest} if isinstance(largest, str) else {}
    return Wording(_around(constants.get("TOOLS_TEMPLATE")), told, str(constants.get("DEFAULT_REASONING_EFFORT") or ""))


def _constant(statement: ast.stmt) -> list[tuple[str, Any]]:
    """Returns the name and value of an assignment of a literal at the top of a program."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return []
    if not isinstance(target, ast.Name) or statement.value is None:
        return []
    try:
        return [(target.id, ast.literal_eval(statement.value))]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return []


def _around(text: Any) -> tuple[str, str] | None:
    if not isinstance(text, str) or text.count(_SCHEMAS) != 1:
        return None
    for name, token in _FILLED.items():
        text = text.replace(f"{{{name}}}", token)
    before, after = text.split(_SCHEMAS)
    return before, after


def template(words: Wording) -> str:
    """Returns the template, with a release's words in it."""
    head = [
        "{#- The chat format of DeepSeek-V4, written by dsv4recipe; it gives what the release's own encoder gives. -#}"
    ]
    head.append(f"{{%- set efforts = {_literal(words.efforts)} -%}}")
    head.append(f"{{%- set usual_effort = {_literal(words.usual)} -%}}")
    head.append(f"{{%- set tools_before, tools_after = {_pair(words.tools or ('', ''))} -%}}")
    head.append(f"{{%- set knows_tools = {'true' if words.tools else 'false'} -%}}")
    return "\n".join(head) + _BODY


def _literal(value: Any) -> str:
    """Returns a literal of Jinja; those of JSON are."""
    return json.dumps(value, ensure_ascii=False)


def _pair(texts: tuple[str, str]) -> str:
    return f"({_literal(texts[0])}, {_literal(texts[1])})"


_BODY = """
{%- macro text_of(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- elif content -%}
    {%- for part in content -%}
      {{- "" if loop.first else "\\n\\n" -}}
      {{- part.text if part.type == "text" else "[Unsupported " ~ part.type ~ "]" -}}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}

{%- macro call_of(function) -%}
  {{- '<｜DSML｜invoke name="' ~ function.name ~ '">\\n' -}}
  {%- if function.arguments is mapping -%}
    {%- for key, value in function.arguments.items() -%}
      {{- "" if loop.first else "\\n" -}}
      {{- '<｜DSML｜parameter name="' ~ key ~ '" string="' ~ ("true" if value is string else "false") ~ '">' -}}
      {{- (value if value is string else value | tojson) ~ '</｜DSML｜parameter>' -}}
    {%- endfor -%}
  {%- else -%}
    {{- '<｜DSML｜parameter name="arguments" string="true">' ~ function.arguments ~ '</｜DSML｜parameter>' -}}
  {%- endif -%}
  {{- "\\n</｜DSML｜invoke>" -}}
{%- endmacro -%}

{%- macro introduced(tools) -%}
  {%- if not knows_tools -%}
    {{- raise_exception("the encoder of this model does not say how tools are described") -}}
  {%- endif -%}
  {{- "\\n\\n" ~ tools_before -}}
  {%- for tool in tools -%}
    {{- ("" if loop.first else "\\n") ~ ((tool.function if tool.function is defined else tool) | tojson) -}}
  {%- endfor -%}
  {{- tools_after -}}
{%- endmacro -%}

{#- reasons: whether the model reasons first; forgets: whether the reasoning of earlier turns is left out -#}
{%- set reasons = (enable_thinking is defined and enable_thinking) or (thinking is defined and thinking) -%}
{%- set tools = tools if tools is defined and tools else [] -%}
{%- set forgets = not tools -%}
{%- set users = ["user", "tool"] -%}
{%- set asks = ["user", "tool", "developer"] -%}

{#- From the last message to the first: what follows each one, and whether the last request is behind it -#}
{%- set state = namespace(turns=[], next="", beside="", asked=false) -%}
{%- for message in messages | reverse -%}
  {%- set role = message.role -%}
  {%- if role not in ["system", "user", "tool", "developer", "assistant", "latest_reminder"] -%}
    {{- raise_exception("DeepSeek-V4 has no role " ~ role) -}}
  {%- endif -%}
  {%- if not (role == "developer" and reasons and forgets and state.asked) -%}
    {%- set goes_on = state.beside in users and role in users -%}
    {%- set turn = {"message": message, "role": role, "next": state.next, "goes_on": goes_on, "old": state.asked} -%}
    {%- set state.turns = [turn] + state.turns -%}
    {%- set state.next = role -%}
  {%- endif -%}
  {%- set state.beside = role -%}
  {%- if role in asks -%}
    {%- set state.asked = true -%}
  {%- endif -%}
{%- endfor -%}

{{- "<｜begin▁of▁sentence｜>" -}}
{%- if reasons -%}
  {%- set effort = reasoning_effort if reasoning_effort is defined and reasoning_effort else usual_effort -%}
  {%- if effort and effort in efforts -%}
    {{- efforts[effort] -}}
  {%- elif effort -%}
    {{- raise_exception("DeepSeek-V4 has no reasoning effort " ~ effort ~ " here") -}}
  {%- endif -%}
{%- endif -%}
{%- if tools and not (messages and messages[0].role == "system") -%}
  {{- introduced(tools) -}}
{%- endif -%}

{%- set run = namespace(on=false, calls=[], results=[], place=0, within=false, sorted=[], at=0) -%}
{%- for turn in state.turns -%}
  {%- set message = turn.message -%}
  {%- if turn.role == "system" -%}
    {{- text_of(message.content) -}}
    {%- if tools and loop.first -%}
      {{- introduced(tools) -}}
    {%- endif -%}
  {%- elif turn.role == "assistant" -%}
    {%- if reasons and not (forgets and turn.old) -%}
      {{- text_of(message.reasoning_content) ~ "</think>" -}}
    {%- endif -%}
    {{- text_of(message.content) -}}
    {%- if message.tool_calls -%}
      {%- set run.calls = [] -%}
      {{- "\\n\\n<｜DSML｜tool_calls>" -}}
      {%- for call in message.tool_calls -%}
        {%- set run.calls = run.calls + [call.id or ""] -%}
        {{- "\\n" ~ call_of(call.function) -}}
      {%- endfor -%}
      {{- "\\n</｜DSML｜tool_calls>" -}}
    {%- endif -%}
    {{- "<｜end▁of▁sentence｜>" -}}
  {%- elif turn.role == "latest_reminder" -%}
    {{- "<｜latest_reminder｜>" ~ text_of(message.content) -}}
  {%- elif turn.role == "developer" -%}
    {{- "<｜User｜>" ~ text_of(message.content) -}}
  {%- else -%}
    {#- what the user and the tools say in a row is one message, the results in the order of their calls -#}
    {%- if run.on -%}
      {{- "\\n\\n" -}}
    {%- else -%}
      {{- "<｜User｜>" -}}
      {%- set run.results = [] -%}
      {%- set run.within = true -%}
      {%- for later in state.turns[loop.index0:] -%}
        {%- if run.within and later.role == "tool" -%}
          {%- set run.results = run.results + [later.message] -%}
        {%- endif -%}
        {%- set run.within = run.within and later.goes_on -%}
      {%- endfor -%}
      {%- set run.sorted = [] -%}
      {%- for id in run.calls -%}
        {%- set number = loop.index0 -%}
        {%- for result in run.results -%}
          {%- set run.at = 0 -%}
          {%- for other in run.calls -%}
            {%- if other and other == result.tool_call_id -%}
              {%- set run.at = loop.index0 -%}
            {%- endif -%}
          {%- endfor -%}
          {%- if run.at == number -%}
            {%- set run.sorted = run.sorted + [result] -%}
          {%- endif -%}
        {%- endfor -%}
      {%- endfor -%}
      {%- set run.sorted = run.sorted if run.calls else run.results -%}
      {%- set run.place = 0 -%}
    {%- endif -%}
    {%- if turn.role == "tool" -%}
      {{- "<tool_result>" ~ text_of(run.sorted[run.place].content) ~ "</tool_result>" -}}
      {%- set run.place = run.place + 1 -%}
    {%- else -%}
      {{- text_of(message.content) -}}
    {%- endif -%}
  {%- endif -%}
  {%- set run.on = turn.goes_on -%}
  {%- set answered = turn.next in ["assistant", "latest_reminder"] or (not turn.next and add_generation_prompt) -%}
  {%- if turn.role in asks and answered -%}
    {{- "<｜Assistant｜>" ~ ("<think>" if reasons and not (forgets and turn.old) else "</think>") -}}
  {%- endif -%}
{%- endfor -%}
"""
