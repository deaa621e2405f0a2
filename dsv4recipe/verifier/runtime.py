"""Floor 4, verifier (step 4). Runs the installed runtime on a bundle in a child process and says what came back.

Starts one process, waits for it with a time limit, reads its one JSON document. The runtimes themselves are imported
only in the folder `probe`, on the child's side. What the result means to a user is in `runtime_findings`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.errors import Diagnostic, RecipeError, Where, did_you_mean

from .probe_result import Ended, ProbeResult, read_document
from .runtime_findings import runtime_findings

__all__ = ["LOADERS", "LoaderState", "available_loaders", "probe_runtime", "runtime_findings", "unavailable"]

LOADERS = ("jang-strict", "jang", "vmlx")
_PROBE = Path(__file__).resolve().parent / "probe"
_PROTOCOL = 1


@dataclass(frozen=True, slots=True)
class LoaderState:
    """Whether a loader can run with an interpreter; `reason` says why not, "" when it can."""

    name: str
    reason: str = ""

    @property
    def ready(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class _Child:
    """How the process ended, its document if it is one, and the last lines that it wrote to stderr."""

    ended: Ended
    detail: str
    document: Mapping[str, Any]
    seconds: float


def probe_runtime(
    bundle: Path,
    loader: str,
    python: Path | None = None,
    dense: Path | None = None,
    *,
    decoded: bool = False,
    tokens: int = 12,
    timeout: float = 600,
    seed: int = 0,
    logits: Path | None = None,
) -> ProbeResult:
    """Load `bundle` with `loader` (one of LOADERS) in a child of `python` (this interpreter when None) and run it.

    `tokens`: length of the prompt, ids drawn from `seed`. `dense`: a tiny source checkpoint whose dense float32 model
    is run on the same prompt and compared. `decoded`: the same with the bundle's own tensors, decoded independently of
    the loader (tiny bundles too). `logits`: where to write the last position's logits, float32 [vocab] .npy.
    `timeout` in seconds. The bundle is never changed: the runtime works on a folder of links. Loading runs the code
    of the installed runtime, and vMLX imports the bundle's own encoder: probe bundles that you trust.

    Never raises for what the child does; every end is in the result. Raises RecipeError V222 for an unknown loader
    and V223 for a prompt of no tokens.
    """
    if loader not in LOADERS:
        raise RecipeError("V222", f"unknown loader {loader!r}", hint=did_you_mean(loader, LOADERS))
    if tokens < 1:
        raise RecipeError("V223", f"a prompt of {tokens} tokens", hint="a prompt has at least one token")
    before = _snapshot(bundle)
    with tempfile.TemporaryDirectory(prefix="dsv4recipe-probe-") as scratch:
        arguments = [str(bundle.resolve()), "--loader", loader, "--json", "--scratch", scratch]
        arguments += ["--tokens", str(tokens), "--seed", str(seed)]
        arguments += ["--dense", str(dense.resolve())] if dense else []
        arguments += ["--decoded"] if decoded else []
        arguments += ["--logits", str(logits.resolve())] if logits else []
        child = _run(python, arguments, timeout)
    after = _snapshot(bundle)
    touched = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return read_document(
        child.document,
        bundle=bundle,
        loader=loader,
        ended=child.ended,
        detail=child.detail,
        seconds=child.seconds,
        touched=tuple(touched),
    )


def available_loaders(python: Path | None = None, timeout: float = 120) -> tuple[LoaderState, ...]:
    """Each of LOADERS with the reason why it cannot run under `python` (this interpreter when None)."""
    child = _run(python, ["--available", "--json"], timeout)
    if child.ended is not Ended.REPORTED:
        return tuple(LoaderState(name, f"{child.ended.value}: {child.detail}".rstrip(": ")) for name in LOADERS)
    reasons = child.document.get("loaders", {})
    missing = str(child.document.get("reason") or "the probe does not know it")
    return tuple(LoaderState(name, str(reasons.get(name, missing))) for name in LOADERS)


def unavailable(state: LoaderState, python: Path | None = None) -> Diagnostic:
    """The finding for a loader that was asked for and cannot run."""
    return Diagnostic(
        "V201",
        f"the loader {state.name} cannot run here: {state.reason}",
        Where(file=str(python or sys.executable)),
        hint="install the runtime (pip install 'dsv4recipe[runtimes]'; vMLX: pip install vmlx), or name the "
        "interpreter that has it with --runtime-python",
    )


def _run(python: Path | None, arguments: list[str], timeout: float) -> _Child:
    """Run the probe by path, so that `python` needs no copy of this project."""
    command = [str(python or sys.executable), str(_PROBE), *arguments]
    start = time.monotonic()

    def end(ended: Ended, detail: str = "", document: Mapping[str, Any] | None = None) -> _Child:
        return _Child(ended, detail, document or {}, time.monotonic() - start)

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except OSError as error:
        return end(Ended.NOT_STARTED, f"{command[0]}: {error.strerror or error}")
    except subprocess.TimeoutExpired as late:
        return end(Ended.TIMED_OUT, f"after {timeout:g} s; last output: {_tail(late.stderr) or 'none'}")
    if done.returncode < 0 or done.returncode in (137, 139):
        number = -done.returncode if done.returncode < 0 else done.returncode - 128
        return end(Ended.KILLED, f"{_signal_name(number)}; last output: {_tail(done.stderr) or 'none'}")
    try:
        document = json.loads(done.stdout.decode("utf-8"))
    except ValueError:
        document = None
    if done.returncode or not isinstance(document, dict) or document.get("protocol") != _PROTOCOL:
        said = _tail(done.stderr) or _tail(done.stdout)
        return end(Ended.UNREADABLE, f"exit code {done.returncode}; last output: {said or 'none'}")
    return end(Ended.REPORTED, document=document)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(output: bytes | str | None, lines: int = 3) -> str:
    """The last lines that say something, in one."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(said[-lines:])[-500:]


def _snapshot(bundle: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time (ns) of every file, by relative name."""
    found = {}
    for path in sorted(bundle.rglob("*")):
        if path.is_file():
            state = path.stat()
            found[path.relative_to(bundle).as_posix()] = (state.st_size, state.st_mtime_ns)
    return found
