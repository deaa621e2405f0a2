"""Floor 6, cli. Prints questions and answers: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any

import click

from dsv4recipe.answers.run import Answered, Answers, Served
from dsv4recipe.cli.colours import rendered
from dsv4recipe.cli.output import console, print_json
from dsv4recipe.units import human_size

_EVERY_SECONDS = 10.0


class AskView:
    """Shows events: the last line of the server's log while it loads, then each question and its answer."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.status: Any = None
        self.said = time.monotonic()
        self.started = self.said

    def __enter__(self) -> AskView:
        screen = console(stderr=True)
        if sys.stderr.isatty() and not self.as_json:
            self.status = screen.status("")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.status is not None:
            self.status.stop()

    def tell(self, event: dict[str, Any]) -> None:
        """Shows one event of `ask`."""
        if self.as_json:
            return
        match event["event"]:
            case "starting":
                click.echo(f"{event['runtime']}: {event['versions']} ({event['found']})", err=True)
                if self.status is not None:
                    self.status.start()
            case "warning":
                click.echo(rendered(event["finding"]), err=True)
            case "log":
                self._log(event["line"])
            case "ready":
                self._still()
                click.echo(f"ready after {event['seconds']:.1f} s", err=True)
            case "asking":
                click.echo(f"\n? {_cut(event['prompt'])}", err=True)
            case "answered":
                _answered(event["answered"])

    def _log(self, line: str) -> None:
        if self.status is not None:
            from rich.text import Text

            self.status.update(Text(_cut(line)))
        elif time.monotonic() - self.said > _EVERY_SECONDS:
            self.said = time.monotonic()
            click.echo(f"  loading, {self.said - self.started:.0f} s: {_cut(line)}", err=True)

    def _still(self) -> None:
        if self.status is not None:
            self.status.stop()

    def stay(self, served: Served) -> None:
        """Prints where the server is, and waits until it ends or is interrupted."""
        url = f"{served.child.url}/v1"
        if self.as_json:
            print_json({"format_version": 1, "event": "serving", "url": url, "model": served.model})
        else:
            body = {"model": served.model, "messages": [{"role": "user", "content": "What is 17+28?"}]}
            click.echo(f"\nserving at {url} until ctrl-C; ask it with any client of the OpenAI protocol, or with")
            click.echo(f"curl {url}/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'")
        try:
            served.child.process.wait()
        except KeyboardInterrupt:
            click.echo("\nended", err=True)
            return
        raise served.child.died("serving")

    def end(self, found: Answers) -> None:
        """Prints the last lines: the memory, and whether all answers are as expected."""
        self._still()
        for finding in found.findings:
            click.echo(f"\n{rendered(finding)}\n", err=True)
        if found.memory:
            click.echo(f"\npeak memory of the server {human_size(found.memory)}", err=True)
        if not found.environment.tested and not found.ok:
            tested = ", ".join(
                f"{name} {version}" for name, version in found.environment.server.environment.tested.items()
            )
            click.echo(f"These versions are not the tested ones: {tested}", err=True)
        wrong = sum(not each.ok for each in found.answers)
        if found.findings or wrong:
            what = f"{wrong} of {len(found.answers)} answers failed" if wrong else "it did not answer"
            click.echo(what, err=True)


def _answered(each: Answered) -> None:
    said = each.reply
    if said is not None:
        if said.reasoning.strip():
            click.echo(f"(thought) {said.reasoning.strip()}", err=True)
        for name, arguments in said.calls:
            click.echo(f"{name}({arguments})")
        if said.text.strip() or not said.calls:
            click.echo(said.text.strip())
        rate = f", {said.rate:.1f} per second" if said.rate else ""
        click.echo(
            f"  {said.tokens} tokens{rate}, first after {said.first:.1f} s; prompt {said.prompt_tokens}", err=True
        )
    for finding in each.findings:
        click.echo(f"\n{rendered(finding)}\n", err=True)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"
