"""Floor 4, answers. Sends one streamed request to a server on loopback, through the official `openai` client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEY = "none"
"""The servers accept any key, but the client requires one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer. `reasoning` is its reasoning, if the server separates it. `calls` are (function, arguments
    as JSON text). `first` and `seconds` are the times until the first piece and until the end. `tokens` are those
    of the reply, 0 if the server does not count them. `stopped` says that the model ended by itself."""

    text: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    finish: str
    prompt_tokens: int
    tokens: int
    first: float
    seconds: float

    @property
    def stopped(self) -> bool:
        return self.finish in ("stop", "tool_calls")

    @property
    def rate(self) -> float:
        """Returns tokens per second of decoding, without the first token, which waits for the prompt. If the reply came
        in about one piece, the whole request counts. Returns 0 if the server does not count tokens."""
        span = self.seconds - self.first
        if self.tokens > 1 and span > 0.1 * self.seconds:
            return (self.tokens - 1) / span
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


class NoAnswerError(Exception):
    """The server refused, closed the connection, or did not answer in time. `late` marks the last case."""

    def __init__(self, message: str, late: bool = False):
        self.late = late
        super().__init__(message)


def model_of(url: str, named: str, seconds: float) -> str:
    """Returns the name that the server gives its model: `named`, or the first that it lists."""
    if named:
        return named
    from openai import OpenAIError

    with _client(url, seconds) as client:
        try:
            found = client.models.list().data
        except OpenAIError as error:
            raise NoAnswerError(f"it lists no models: {_said(error)}") from None
    if not found:
        raise NoAnswerError("it lists no models")
    return str(found[0].id)


def complete(
    url: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]],
    limit: int,
    extra: Mapping[str, Any],
    seconds: float,
) -> Reply:
    """Returns the reply to a chat, greedy (temperature 0), of at most `limit` tokens, within `seconds`.

    Raises NoAnswerError for anything that the server does instead of answering.
    """
    from openai import APITimeoutError, OpenAIError

    gathered = _Gathered(time.monotonic(), seconds)
    options: dict[str, Any] = {"tools": list(tools)} if tools else {}
    with _client(url, seconds) as client:
        try:
            with client.chat.completions.create(
                model=model,
                messages=list(messages),
                max_tokens=limit,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=dict(extra),
                **options,
            ) as pieces:
                gathered.all(pieces)
        except APITimeoutError:
            raise NoAnswerError(f"there was no answer within {seconds:g} s", late=True) from None
        except (OpenAIError, OSError, ValueError) as error:
            raise NoAnswerError(_said(error)) from None
        except Exception as error:
            # the stream raises errors of the transport below the client
            if type(error).__module__.startswith(("httpx", "httpcore")):
                late = "Timeout" in type(error).__name__
                said = f"there was no answer within {seconds:g} s" if late else f"it broke off ({type(error).__name__})"
                raise NoAnswerError(said, late) from None
            raise
    return gathered.reply()


class _Gathered:
    """Collects the pieces of a reply as they come."""

    def __init__(self, start: float, seconds: float) -> None:
        self.start, self.seconds = start, seconds
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.finish, self.prompt, self.tokens, self.count = "", 0, 0, 0
        self.first = self.last = 0.0

    def all(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            now = time.monotonic() - self.start
            if now > self.seconds:
                raise NoAnswerError(f"the answer was not complete within {self.seconds:g} s", late=True)
            if piece.usage is not None:
                self.prompt, self.tokens = piece.usage.prompt_tokens or 0, piece.usage.completion_tokens or 0
            for choice in piece.choices[:1]:
                self.finish = choice.finish_reason or self.finish
                if self._take(choice.delta):
                    self.first, self.last = self.first or now, now
                    self.count += 1

    def _take(self, delta: Any) -> bool:
        thought = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
        self.text.append(delta.content or "")
        self.reasoning.append(thought if isinstance(thought, str) else "")
        for call in delta.tool_calls or ():
            held = self.calls.setdefault(call.index or 0, ["", ""])
            if call.function is not None:
                held[0] += call.function.name or ""
                held[1] += call.function.arguments or ""
        return bool(delta.content or thought or delta.tool_calls)

    def reply(self) -> Reply:
        if not self.finish:
            where = f"after {self.count} pieces" if self.count else "before it began"
            raise NoAnswerError(f"it broke off the answer {where}")
        calls = tuple((name, arguments) for name, arguments in self.calls.values())
        text, reasoning = "".join(self.text), "".join(self.reasoning)
        return Reply(text, reasoning, calls, self.finish, self.prompt, self.tokens, self.first, self.last)


def _client(url: str, seconds: float) -> Any:
    from openai import DefaultHttpxClient, OpenAI

    plain = DefaultHttpxClient(trust_env=False)  # loopback never uses a proxy
    return OpenAI(base_url=f"{url}/v1", api_key=KEY, timeout=seconds, max_retries=0, http_client=plain)


def _said(error: Exception) -> str:
    body = getattr(error, "body", None)
    inner = body.get("message") or body.get("detail") if isinstance(body, Mapping) else None
    status = getattr(error, "status_code", None)
    said = str(inner or error).strip() or type(error).__name__
    return f"{f'status {status}: ' if status else ''}{' '.join(said.split())[:500]}"
