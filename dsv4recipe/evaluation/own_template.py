"""Floor 4, evaluation. Chats by the checkpoint's own chat template, where it has one. Reads two small files.

The template is Jinja: it runs in jinja2's sandbox, as the runtimes run it. Code of a checkpoint is never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import NotInstalledError, RecipeError, Where
from dsv4recipe.headers.strict_json import parse_json

NAME, WORDS = "chat_template.jinja", "tokenizer_config.json"
_LIMIT = 4 << 20


class OwnTemplate:
    """A checkpoint's template. `text` is "" where it has none."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.place = checkpoint.folder.place
        self.source = checkpoint.folder.source
        self.words = self._words()
        self.text = self._small(NAME) or _named(self.words.get("chat_template"))

    def pieces(self, messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
        """Returns (text, whether it is an answer) in order. An answer is what a message of the assistant adds to the
        prompt for it.

        Raises RecipeError M025 where the template refuses the chat, or words a prompt otherwise once it is answered;
        M001 without jinja2.
        """
        found: list[tuple[str, bool]] = []
        before = ""
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                prompt = self._rendered(messages[:number], True)
                answered = self._rendered(messages[: number + 1], False)
                if not prompt.startswith(before) or not answered.startswith(prompt):
                    message_ = f"{NAME} writes what is before message {number + 1} otherwise once it is answered"
                    hint = "leave out all messages before, or give token ids as .npy"
                    raise RecipeError("M025", message_, Where(f"{self.place}/{NAME}"), hint)
                found += [(prompt[len(before) :], False), (answered[len(prompt) :], True)]
                before = answered
        return found

    def _rendered(self, messages: Sequence[Mapping[str, str]], prompt: bool) -> str:
        try:
            from jinja2 import TemplateError
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            hint = "pip install 'dsv4recipe[measure]', or give token ids as .npy"
            raise NotInstalledError("M001", "a chat template needs the package jinja2", hint=hint) from None
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        known = {name: _word(self.words.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        try:
            template = environment.from_string(self.text)
            return str(template.render(messages=list(messages), add_generation_prompt=prompt, **known))
        except (TemplateError, TypeError, ValueError, RecursionError) as error:
            where = Where(f"{self.place}/{NAME}")
            raise RecipeError("M025", f"the chat template refuses a chat: {error}", where, "look at it") from None

    def _words(self) -> dict[str, Any]:
        try:
            found = parse_json(self._small(WORDS).encode() or b"{}")
        except ValueError as error:
            raise RecipeError("M024", f"{WORDS} is not JSON: {error}", Where(f"{self.place}/{WORDS}")) from None
        return found if isinstance(found, dict) else {}

    def _small(self, name: str) -> str:
        try:
            return self.source.small(name, _LIMIT).decode("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise RecipeError("M024", f"{name} cannot be read: {error}", Where(f"{self.place}/{name}")) from None


def _refuse(message: str) -> None:
    raise ValueError(message)


def _named(value: Any) -> str:
    """Returns the template of tokenizer_config.json: a text, or the one called "default" of a list."""
    if isinstance(value, list):
        named = [each for each in value if isinstance(each, dict) and each.get("name") == "default"]
        value = named[0].get("template") if named else ""
    return value if isinstance(value, str) else ""


def _word(value: Any) -> str:
    """Returns a special token, which may be a text or an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""
