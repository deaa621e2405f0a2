"""Floor 4, answers. Starts the runtime's server on a bundle, asks the questions, judges, and ends the server."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.answers.choose import choose
from dsv4recipe.answers.client import NoAnswerError, Reply, complete, model_of
from dsv4recipe.answers.environments import Found
from dsv4recipe.answers.judge import judge
from dsv4recipe.answers.process import Child, ServerError, advice, free_port, running, wait_until_ready
from dsv4recipe.answers.questions import Question
from dsv4recipe.answers.templates import guesses
from dsv4recipe.errors import Diagnostic, Where

Event = dict[str, Any]
Listener = Callable[[Event], None]
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
_NOT_PASSED = ("PYTHONPATH", "PYTHONHOME")
"""Variables that name our packages must not reach another interpreter."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`seconds` is the time limit for the server to get ready and for each reply. `tokens` limits a reply. `thinking`
    switches reasoning on. `log` is a file for the server's output. `port` is any free one if None."""

    seconds: float = 600
    tokens: int = 256
    thinking: bool = False
    port: int | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One turn of a question: the reply (none if the server failed), and what is wrong with it."""

    question: str
    prompt: str
    reply: Reply | None
    findings: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    def data(self) -> dict[str, Any]:
        said = self.reply
        return {
            "question": self.question,
            "prompt": self.prompt,
            "ok": self.ok,
            "answer": said.text if said else None,
            "reasoning": said.reasoning if said else None,
            "tool_calls": [{"name": name, "arguments": text} for name, text in said.calls] if said else [],
            "finish": said.finish if said else None,
            "prompt_tokens": said.prompt_tokens if said else 0,
            "tokens": said.tokens if said else 0,
            "tokens_per_second": round(said.rate, 3) if said else 0,
            "first_token_seconds": round(said.first, 3) if said else None,
            "seconds": round(said.seconds, 3) if said else None,
            "findings": [finding.as_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a bundle in a runtime. `ready_seconds` is the time until its server was ready, `memory` its most
    resident bytes, and `command` what started it."""

    bundle: Path
    environment: Found
    command: tuple[str, ...]
    ready_seconds: float
    memory: int
    answers: tuple[Answered, ...]
    findings: tuple[Diagnostic, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.findings and all(each.ok for each in self.answers)

    def data(self) -> dict[str, Any]:
        """Returns the document that `ask --json` prints."""
        return {
            "format_version": 1,
            "bundle": str(self.bundle),
            "ok": self.ok,
            "runtime": self.environment.server.name,
            "python": str(self.environment.python),
            "versions": dict(self.environment.versions),
            "tested_versions": self.environment.tested,
            "ready_seconds": round(self.ready_seconds, 1),
            "memory": self.memory,
            "answers": [each.data() for each in self.answers],
            "warnings": [finding.as_json() for finding in self.warnings],
            "findings": [finding.as_json() for finding in self.findings],
        }


@dataclass
class Served:
    """A server that is ready. `model` is the name that requests use."""

    child: Child
    environment: Found
    command: tuple[str, ...]
    model: str
    ready_seconds: float
    settings: Settings
    bundle: Path

    def put(self, questions: Sequence[Question], tell: Listener) -> Iterator[Answered]:
        """Yields the answers, turn by turn. A failed turn ends its question; a server that ended ends them all."""
        for question in questions:
            messages: list[dict[str, Any]] = [{"role": "system", "content": question.system}] if question.system else []
            for turn in question.turns:
                limit = question.max_tokens or self.settings.tokens
                where = Where(str(self.bundle), subject=_short(question.name))
                messages.append({"role": "user", "content": turn.ask})
                tell({"event": "asking", "question": question.name, "prompt": turn.ask})
                try:
                    reply = complete(
                        self.child.url,
                        self.model,
                        messages,
                        tools=question.tools,
                        limit=limit,
                        extra=self.environment.server.switch(self.settings.thinking),
                        seconds=self.settings.seconds,
                    )
                except NoAnswerError as error:
                    yield Answered(question.name, turn.ask, None, (self._silent(error, where),))
                    if error.late or not self._outlives():
                        return
                    break
                self.child.measure()
                found = tuple(judge(turn, reply, limit, where))
                yield Answered(question.name, turn.ask, reply, found)
                messages.append({"role": "assistant", "content": reply.text})

    def _outlives(self) -> bool:
        """Returns whether the server is still alive; one that is crashing gets a moment to end."""
        for _ in range(10):
            if not self.child.alive:
                return False
            time.sleep(0.1)
        return True

    def _silent(self, error: NoAnswerError, where: Where) -> Diagnostic:
        if error.late:
            return self.child.late(self.settings.seconds, "answering").diagnostics[0]
        if not self._outlives():
            return self.child.died("answering").diagnostics[0]
        lines = self.child.tail()
        message = f"the server gave no answer: {error}"
        return Diagnostic("S002", message, where, advice((*lines, str(error))), notes=lines)


@contextlib.contextmanager
def serving(bundle: Path, environment: Found, settings: Settings, serve: bool, tell: Listener) -> Iterator[Served]:
    """Yields the runtime's own server on `bundle`, ready, until the block ends. Nothing of it is left after that.

    The server works on a folder of links, so that a loader that rewrites files does not change the bundle. Loading runs
    code of the runtime and of the bundle's own encoder, so ask only bundles that you trust. Raises ServerError S003
    (ended), S004 (not ready in time), S005 (no port).
    """
    runtime = environment.server
    where = Where(str(bundle), subject=f"{runtime.name} server")
    port = free_port(settings.port, where)
    with tempfile.TemporaryDirectory(prefix="dsv4recipe-ask-") as scratch:
        log = settings.log or Path(scratch) / "server.log"
        place = str(_linked(bundle, Path(scratch)))
        command = (str(environment.python), *runtime.arguments(place, port, serve))
        tell({"event": "starting", "runtime": runtime.name, "versions": environment.label, "found": environment.how})
        with running(command, port, log, where, _OFFLINE | dict.fromkeys(_NOT_PASSED, "")) as child:
            ready = wait_until_ready(
                child,
                runtime.ready,
                runtime.ready_when,
                settings.seconds,
                lambda line: tell({"event": "log", "line": line}),
            )
            try:
                model = model_of(child.url, runtime.model.replace("{bundle}", place), settings.seconds)
            except NoAnswerError as error:
                raise ServerError("S002", f"the server gave no answer: {error}", where, notes=child.tail()) from None
            tell({"event": "ready", "seconds": ready, "url": child.url, "model": model})
            yield Served(child, environment, command, model, ready, settings, bundle)


def ask_bundle(
    bundle: Path,
    questions: Sequence[Question],
    runtime: str | None = None,
    python: Path | None = None,
    settings: Settings = Settings(),
    tell: Listener = lambda event: None,
    then: Callable[[Served], None] | None = None,
) -> Answers:
    """Asks `bundle` the `questions` through the server of `runtime`, or of an installed one that the bundle is for.

    `python` is the interpreter that has the runtime. `tell` receives the events. `then` is called after all questions,
    while the server still runs. A failing server is a finding of the result. Raises RecipeError V001, S005, S009, and
    NotInstalledError S001.
    """
    environment = choose(bundle, runtime, python)
    warnings = (*environment.warnings, *guesses(bundle, environment.server))
    for warning in warnings:
        tell({"event": "warning", "finding": warning})
    answers: list[Answered] = []
    served: Served | None = None
    findings: tuple[Diagnostic, ...] = ()
    try:
        with serving(bundle, environment, settings, then is not None, tell) as served:
            for each in served.put(questions, tell):
                tell({"event": "answered", "answered": each})
                answers.append(each)
            if then is not None:
                then(served)
    except ServerError as error:
        if error.diagnostics[0].code == "S005":
            raise
        findings = error.diagnostics
    return Answers(
        bundle,
        environment,
        served.command if served else (),
        served.ready_seconds if served else 0.0,
        served.child.peak if served else 0,
        tuple(answers),
        findings,
        warnings,
    )


def _linked(bundle: Path, scratch: Path) -> Path:
    """Returns a folder of links to the bundle's files, with the same name, or the file itself if the bundle is one
    file."""
    if bundle.is_file():
        return bundle.absolute()
    root = scratch / (bundle.resolve().name or "bundle")
    for folder, _, names in os.walk(bundle):
        here = root / Path(folder).relative_to(bundle)
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            source = Path(folder, name).resolve()
            if name.endswith((".json", ".jinja", ".py")):
                shutil.copyfile(source, here / name)  # these files are small, and loaders rewrite them in place
            else:
                (here / name).symlink_to(source)
    return root


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
