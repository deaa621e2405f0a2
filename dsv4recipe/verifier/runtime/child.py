"""Floor 4, verifier (step 4). Runs the installed runtime on a bundle in a child process and returns its report.

It starts one process, waits for it with a time limit, and reads its one JSON document. The runtimes themselves are
imported only in the folder `probe`, in the child. `findings` says what the result means to a user.
"""

from __future__ import annotations

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
from dsv4recipe.headers.strict_json import parse_json
from dsv4recipe.runtimes import probes
from dsv4recipe.verifier.runtime.probe_result import Ended, ProbeResult, read_document

REFERENCE = "transformers"
"""The loader that is not an MLX runtime: transformers' torch implementation, on a source checkpoint."""
_PROBE = Path(__file__).resolve().parent / "probe"
_PROTOCOL = 2


@dataclass(frozen=True, slots=True)
class LoaderState:
    """Whether a loader can run with an interpreter; `reason` says why not, or is ""."""

    name: str
    reason: str = ""

    @property
    def ready(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class _Child:
    """How the process ended, its document if there is one, and the last lines of its stderr."""

    ended: Ended
    detail: str
    document: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `prompt` is asked in the bundle's own prompt format and answered greedily in at most `limit` tokens.
    The answer must hold `expect`, if it is given."""

    prompt: str
    expect: str | None = None
    limit: int = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the child: `seconds` to run, and `memory` in bytes of address space (None: no limit). Only Linux
    enforces the second, which the result says."""

    seconds: float = 600
    memory: int | None = None


USUAL = Limits()


def probe_runtime(
    bundle: Path,
    loader: str,
    python: Path | None = None,
    dense: Path | None = None,
    *,
    decoded: bool = False,
    reference: Path | None = None,
    tokens: int | None = None,
    seed: int = 0,
    logits: Path | None = None,
    rows: Path | None = None,
    question: Question | None = None,
    limits: Limits = USUAL,
) -> ProbeResult:
    """Loads and runs `bundle` with a `loader` of `runtimes.probes()` in a child of `python` (None: this interpreter).

    `tokens`: length of the prompt, ids drawn from `seed`; None for one longer than the sliding window and than what the
    indexer picks, 0 to load and run nothing. `dense`: a tiny source checkpoint whose float32 model, in the class of the
    runtime, is run on the same prompt and compared. `decoded`: the same with the bundle's own tensors, decoded
    independently of the loader (JANG bundles, tiny). `reference`: a file of logits of the same prompt to compare with.
    `logits`: where to write such a file, float32 [positions, vocab] .npy; with `rows`, a file of token sequences
    (`runtime_logits` writes one), it holds the logits of these and not of the prompt. With REFERENCE as loader,
    `bundle` is a source checkpoint, and the logits are those of transformers' torch model. The bundle is never changed:
    the runtime works on a folder of links. Loading runs the code of the installed runtime, and vMLX and a question
    import the bundle's own encoder: probe bundles that you trust.

    Nothing that the child does raises an error here; every outcome is in the result. Raises RecipeError V222 for an
    unknown loader and V223 for a negative number of tokens.
    """
    if loader not in (*probes(), REFERENCE):
        raise RecipeError("V222", f"unknown runtime {loader!r}", hint=did_you_mean(loader, probes()))
    if tokens is not None and tokens < 0:
        raise RecipeError(
            "V223", f"the prompt cannot have {tokens} tokens", hint="pass 0 to only load, or 1 or more to run"
        )
    before = _snapshot(bundle)
    with tempfile.TemporaryDirectory(prefix="dsv4recipe-probe-") as scratch:
        given = {
            "--scratch": scratch,
            "--seed": seed,
            "--tokens": tokens,
            "--dense": dense and dense.resolve(),
            "--reference": reference and reference.resolve(),
            "--logits": logits and logits.resolve(),
            "--rows": rows and rows.resolve(),
            "--question": question and question.prompt,
            "--limit": question and question.limit,
            "--memory": limits.memory,
        }
        arguments = [str(bundle.resolve()), "--loader", loader, "--json", *(["--decoded"] if decoded else [])]
        arguments += [f"{name}={value}" for name, value in given.items() if value is not None]
        arguments += [f"--adapters={probe.adapters}" for name, probe in probes().items() if name == loader]
        child = _run(python, arguments, limits.seconds)
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
        memory_limit=limits.memory,
        expect=question.expect if question else None,
    )


def available_loaders(python: Path | None = None, timeout: float = 120) -> tuple[LoaderState, ...]:
    """Returns every probe and REFERENCE, each with the reason why it cannot run under `python` (None: this
    interpreter)."""
    files = dict.fromkeys(probe.adapters for probe in probes().values())
    child = _run(python, ["--available", "--json", *(f"--adapters={file}" for file in files)], timeout)
    names = (*probes(), REFERENCE)
    if child.ended is not Ended.REPORTED:
        return tuple(LoaderState(name, f"{child.ended.value}: {child.detail}".rstrip(": ")) for name in names)
    reasons = child.document["loaders"]
    return tuple(LoaderState(name, str(reasons[name])) for name in names)


def unavailable(state: LoaderState, python: Path | None = None) -> Diagnostic:
    """Returns the finding for a requested loader that cannot run."""
    return Diagnostic(
        "V201",
        f"the loader {state.name} cannot run here: {state.reason}",
        Where(file=str(python or sys.executable)),
        hint="run scripts/runtimes to make an environment for each runtime, and pass its interpreter with "
        "--runtime-python",
    )


def _run(python: Path | None, arguments: list[str], timeout: float) -> _Child:
    """Runs the probe by path, so that `python` needs no copy of this project."""
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
        document = parse_json(done.stdout)
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
    """Returns the last non-empty lines as one."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(said[-lines:])[-500:]


def _snapshot(bundle: Path) -> dict[str, tuple[int, int]]:
    """Returns size and modification time (ns) of every file, by relative name."""
    found = {}
    for path in sorted(bundle.rglob("*")):
        if path.is_file():
            state = path.stat()
            found[path.relative_to(bundle).as_posix()] = (state.st_size, state.st_mtime_ns)
    return found
