"""Servers that fail: an error within the time limit that says how, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dsv4recipe.answers import servers
from dsv4recipe.answers.questions import asked
from dsv4recipe.answers.run import Answers, Settings, ask_bundle
from dsv4recipe.cli.main import run
from dsv4recipe.errors import NotInstalledError, RecipeError
from dsv4recipe.runtimes.common.server import Environment, Server

STAND_IN = str(Path(__file__).parent / "stand_in.py")


def stand_in(kind: str) -> Server:
    return Server(
        "stand-in",
        ("vmlx",),
        ("deepseek_v4",),
        Environment("DSV4RECIPE_STAND_IN_PYTHON", "psutil", "psutil", "", ()),
        (STAND_IN, kind, "{port}"),
        "/health",
        "model_loaded",
    )


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process of a test outlives it."""
    yield
    end = time.monotonic() + 15
    while time.monotonic() < end:
        left = [each for each in psutil.Process().children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"left behind: {[each.cmdline() for each in left]}")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "bundle"
    root.mkdir()
    (root / "config.json").write_text("{}")
    return root


def put(monkeypatch: pytest.MonkeyPatch, bundle: Path, kind: str, **settings: float) -> Answers:
    monkeypatch.setitem(servers.servers(), "stand-in", stand_in(kind))
    limits = replace(Settings(seconds=60), **settings)  # type: ignore[arg-type]
    return ask_bundle(bundle, asked(["What is 17+28?"], ["45"]), "stand-in", Path(sys.executable), limits)


def test_an_answer_is_taken_from_the_stream(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    found = put(monkeypatch, bundle, "good")
    assert found.ok
    assert found.answers[0].reply is not None
    assert found.answers[0].reply.text == "It is 45."
    assert found.memory > 1 << 20


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("crashing", "S003", "ImportError: no such name"),
        ("dying", "S003", "about to die"),
        ("refusing", "S002", "no such luck"),
        ("html", "S002", "no answer"),
    ],
)
def test_a_server_that_fails(monkeypatch: pytest.MonkeyPatch, bundle: Path, kind: str, code: str, said: str) -> None:
    found = put(monkeypatch, bundle, kind)
    findings = (*found.findings, *(each for answer in found.answers for each in answer.findings))
    assert [each.code for each in findings] == [code]
    assert said in findings[0].render()
    assert not found.ok


@pytest.mark.parametrize("kind", ["loading", "hanging"])
def test_a_server_that_keeps_us_waiting(monkeypatch: pytest.MonkeyPatch, bundle: Path, kind: str) -> None:
    start = time.monotonic()
    found = put(monkeypatch, bundle, kind, seconds=5)
    findings = (*found.findings, *(each for answer in found.answers for each in answer.findings))
    assert [each.code for each in findings] == ["S004"]
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["stubborn", "family"])
def test_no_process_outlives_its_question(monkeypatch: pytest.MonkeyPatch, bundle: Path, kind: str) -> None:
    assert put(monkeypatch, bundle, kind).ok


def test_a_port_that_is_held(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(RecipeError) as refused:
            put(monkeypatch, bundle, "good", port=holder.getsockname()[1])
    assert refused.value.diagnostics[0].code == "S005"


def test_what_is_not_installed_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = replace(stand_in("good"), environment=Environment("X_PYTHON", "no_such_module", "no-such", "", ()))
    monkeypatch.setitem(servers.servers(), "stand-in", absent)
    with pytest.raises(NotInstalledError):
        ask_bundle(bundle, asked(["?"]), "stand-in")
    assert run(["ask", str(bundle), "?", "--runtime", "stand-in"]) == 4
    assert "runtimes install stand-in" in capsys.readouterr().err


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(servers.servers(), "stand-in", stand_in("good"))
    usual = ["ask", str(bundle), "What is 17+28?", "--runtime", "stand-in", "--runtime-python", sys.executable]
    assert run([*usual, "--expect", "45"]) == 0
    assert capsys.readouterr().out == "It is 45.\n"
    assert run([*usual, "--expect", "4"]) == 3  # a number stands alone
    assert "S010" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_whoever_asks(tmp_path: Path, bundle: Path, number: int) -> None:
    """Also where that process has no chance to say goodbye."""
    code = (
        "import sys\nfrom tests.answers.test_servers import stand_in\nfrom dsv4recipe.answers import servers\n"
        "from dsv4recipe.cli.main import main\nservers.servers()['stand-in'] = stand_in('stubborn')\n"
        "main(['ask', sys.argv[1], '--serve', '--runtime', 'stand-in', '--runtime-python', sys.executable])\n"
    )
    command = [sys.executable, "-c", code, str(bundle)]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert asking.stdout is not None
    for line in asking.stdout:
        if line.startswith("curl"):
            break
    family = psutil.Process(asking.pid).children(recursive=True)
    assert len(family) == 2  # the keeper and the server
    os.kill(asking.pid, number)
    asking.stdout.close()
    asking.wait(20)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_a_loader_that_writes_over_the_entries_is_told_of(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its source: an environment whose package holds the mark; the warning names the version that does not."""
    known = servers.servers()["vmlx"].environment.overwriting
    assert known is not None
    marked = replace(known, package="psutil", mark="class Process")
    sound = stand_in("good")
    server = replace(sound, environment=replace(sound.environment, overwriting=marked))
    monkeypatch.setitem(servers.servers(), "stand-in", server)
    usual = ["ask", str(bundle), "What is 17+28?", "--runtime", "stand-in", "--runtime-python", sys.executable]
    assert run(usual) == 0
    said = capsys.readouterr().err
    assert "warning[S016]" in said
    assert "vmlx 1.6.81 with jang 2.5.50 has no such step" in said
    monkeypatch.setitem(servers.servers(), "stand-in", stand_in("good"))
    assert run(usual) == 0
    assert "S016" not in capsys.readouterr().err


def test_a_server_that_guesses_how_chats_are_written_is_told_of(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(servers.servers(), "stand-in", replace(stand_in("good"), otherwise="ChatML"))
    usual = ["ask", str(bundle), "What is 17+28?", "--runtime", "stand-in", "--runtime-python", sys.executable]
    assert run(usual) == 0
    assert "warning[S017]" in capsys.readouterr().err
    (bundle / "chat_template.jinja").write_text("{{ messages }}")
    assert run([*usual, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
