"""Floor 4, evaluation. Renders chats in the prompt format of DeepSeek-V4: roles as special tokens, no thinking.

This module is pure. The releases contain Python code that renders chats, but a checkpoint's code is never run here. So
the format is written down: what `encoding_dsv4` gives for messages without tools in the mode without thinking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BOS, EOS, USER, ASSISTANT, CLOSED = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "</think>",
)  # fmt: skip
ROLES = ("system", "user", "assistant")


def problem(messages: Any) -> str:
    """Returns why something is not a chat that can be measured, or "" if it is one."""
    if not isinstance(messages, list) or not messages:
        return "a chat must be a list of messages, or an object with `messages`"
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"message {number} has no role of {', '.join(ROLES)}"
        if not isinstance(message.get("content"), str):
            return f"message {number} has no text as its content"
    if not any(message["role"] == "assistant" for message in messages):
        return "there is no message of the assistant, so there is no answer to measure"
    return ""


def pieces(messages: Sequence[Mapping[str, str]]) -> list[tuple[str, bool]]:
    """Returns (text, whether it is an answer) in order. An answer is the assistant's text with the end of its turn."""
    found = [(BOS, False)]
    for message in messages:
        if message["role"] == "assistant":
            found += [(ASSISTANT + CLOSED, False), (message["content"] + EOS, True)]
        else:
            found.append(((USER if message["role"] == "user" else "") + message["content"], False))
    return found
