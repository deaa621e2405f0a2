"""Floor 4, verifier (child side). Runs one examination from start to end and returns one JSON-ready document.

A stage that fails is recorded, and later stages continue if they can, so that a bundle that does not load still gets
its lists of names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import torch_reference
from .adapter import Adapter, config_of
from .environment import linked_view, replaced_in
from .likeness import compare
from .prompt import long_enough, token_ids

PROTOCOL = 2
PACKAGES = ("mlx", "mlx-lm", "jang", "vmlx", "mlx-vlm", "rapid-mlx", "transformers", "numpy", "torch")
DECODED = 4
"""How many tokens are decoded after the prompt."""


@dataclass(frozen=True)
class Task:
    """What to do with one bundle. `tokens` is the length of the prompt, None for one that reaches every part of the
    model, 0 to load only. `dense` is the tiny source to compare with in the runtime's own class. `decoded` compares
    with the bundle's own tensors. `references` maps names to files of logits of the same prompt, float32 [positions,
    vocab]. `logits` says where to write such a file. `rows` is a file of token sequences, whose logits are then written
    there instead of the prompt's. `question` is answered in at most `limit` tokens."""

    bundle: Path
    scratch: Path
    dense: Path | None = None
    decoded: bool = False
    references: dict[str, Path] = field(default_factory=dict)
    tokens: int | None = None
    seed: int = 0
    logits: Path | None = None
    rows: Path | None = None
    question: str | None = None
    limit: int = 256


def available(known: Mapping[str, Adapter]) -> dict[str, Any]:
    """Returns {"loaders": {name: why it cannot run, or ""}, "versions": …}."""
    brings = {name: runtime.bring for name, runtime in known.items()}
    reasons = {}
    for name, bring in {**brings, torch_reference.NAME: torch_reference.bring}.items():
        try:
            bring()
            reasons[name] = ""
        except Exception as error:  # a broken installation may fail in any way
            reasons[name] = _said(error)
    return {"protocol": PROTOCOL, "loaders": reasons, "versions": _versions()}


def examine(loader: str, runtime: Adapter | None, task: Task) -> dict[str, Any]:
    """Returns the whole document for one bundle and one loader."""
    report: dict[str, Any] = {"protocol": PROTOCOL, "loader": loader, "versions": _versions(), "failures": []}
    report |= {"loaded": False, "replaced": [], "changed": []}
    view = linked_view(task.bundle, task.scratch)
    with contextlib.suppress(_StageError):
        if loader == torch_reference.NAME:
            _refer(report, task)
        elif runtime is not None:
            _examine(report, view, runtime, task)
        else:
            report["failures"].append({"stage": "import", "kind": "KeyError", "message": f"no adapter for {loader}"})
    report["changed"] = replaced_in(view, task.bundle)
    return report


class _StageError(Exception):
    """The stage's failure is in the report, and no later stage can run."""


class _Stage:
    """Writes an exception of its block into the report as {stage, kind, message}; `fatal` ends the examination."""

    def __init__(self, report: dict[str, Any], name: str, fatal: bool = False):
        self.report, self.name, self.fatal = report, name, fatal

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if not isinstance(error, _StageError):
            entry = {"stage": self.name, "kind": type(error).__name__, "message": _said(error)}
            self.report["failures"].append(entry)
        if self.fatal:
            raise _StageError from error
        return True


def _examine(report: dict[str, Any], view: Path, runtime: Adapter, task: Task) -> None:
    with _Stage(report, "import", fatal=True):
        runtime.bring()
        from . import forward, modules, rows, text
        from .witness import watched
    with _Stage(report, "read", fatal=True):
        config = config_of(view)
        ids = _prompt(config, task)
        frame = _replayed(report, view, runtime) if runtime.replayed else None
    references = _references(report, runtime, frame, view, task, ids)
    with _Stage(report, "load", fatal=True):
        has_mxtq = frame is not None and bool(frame.contents.tq)
        if has_mxtq and not runtime.reads_mxtq:
            raise TypeError("MXTQ tensors")
        report["replaced"] = runtime.prepare(has_mxtq)
        with watched() as seen:
            try:
                model = runtime.load(view)
            finally:
                report |= {} if runtime.replayed else seen
        report["loaded"] = True
    with _Stage(report, "modules"):
        report |= modules.quantized_modules(model, frame.shapes if frame else {})
    if task.rows is not None and task.logits is not None:
        with _Stage(report, "rows", fatal=True):
            report["rows"] = rows.written(runtime, model, task.rows, task.logits)
    if ids:
        with _Stage(report, "forward", fatal=True):
            cache = runtime.text(model).make_cache()
            every = bool(references) or task.logits is not None
            logits, report["dtypes"] = forward.prefill(runtime, model, ids, cache, every)
            finite = bool(np.isfinite(logits).all())
            said, decoded_finite = forward.decode(runtime, model, cache, int(logits[-1].argmax()), DECODED)
            report["forward"] = _described(logits, len(ids), long_enough(config), finite) | {
                "decoded": len(said),
                "decoded_finite": decoded_finite,
                **forward.cache_effect(runtime, model, ids),
            }
            if task.logits is not None and task.rows is None:
                np.save(task.logits, logits)
        if finite:
            with _Stage(report, "compare"):
                report |= {name: compare(logits, reference) for name, reference in references.items()}
                if {"dense", "reference"} <= references.keys():
                    report["implementation"] = compare(references["dense"], references["reference"])
    if task.question is not None:
        with _Stage(report, "answer"):
            report["answer"] = text.answer(runtime, model, view, task.question, task.limit)


def _refer(report: dict[str, Any], task: Task) -> None:
    """Runs the torch reference on a source checkpoint."""
    with _Stage(report, "import", fatal=True):
        torch_reference.bring()
    with _Stage(report, "load", fatal=True):
        model, names = torch_reference.load(task.bundle, task.scratch)
        report |= names | {"loaded": True}
    with _Stage(report, "forward", fatal=True):
        config = config_of(task.bundle)
        ids = _prompt(config, task)
        logits = torch_reference.logits(model, ids)
        finite = bool(np.isfinite(logits).all())
        report["forward"] = _described(logits, len(ids), long_enough(config), finite)
        if task.logits is not None:
            np.save(task.logits, logits)


def _replayed(report: dict[str, Any], view: Path, runtime: Adapter) -> Any:
    """Compares the unfilled class with the bundle's names and widths, writes findings into the report, and returns
    it."""
    from . import skeleton
    from .contents import read_contents

    frame = skeleton.Skeleton(read_contents(view), runtime)
    report["missing"], report["unexpected"] = frame.names()
    report["parameters"] = frame.parameters
    report["misread"], report["overrides"] = frame.misread(), frame.overrides()
    report["rule"] = skeleton.installed_rule()
    return frame


def _references(report: dict[str, Any], runtime: Adapter, frame: Any, view: Path, task: Task, ids: list[int]) -> Any:
    """Returns name → logits to compare with. It runs before the loader, because loaders patch the shared classes."""
    from . import forward

    found = {}
    if task.dense is not None and ids:
        with _Stage(report, "dense"):
            from .dense import dense_model

            found["dense"] = _logits(forward, runtime, dense_model(runtime, task.dense.resolve()), ids)
    if task.decoded and frame is not None and ids:
        with _Stage(report, "decoded"):
            from .decoded import decoded_model

            found["decoded"] = _logits(forward, runtime, decoded_model(runtime, view, frame, _seed(view)), ids)
    for name, path in task.references.items():
        with _Stage(report, name):
            found[name] = np.load(path)
    return found


def _logits(forward: Any, runtime: Adapter, model: Any, ids: list[int]) -> np.ndarray:
    logits: np.ndarray = forward.prefill(runtime, model, ids, runtime.text(model).make_cache(), True)[0]
    return logits


def _prompt(config: dict[str, Any], task: Task) -> list[int]:
    count = long_enough(config) if task.tokens is None else task.tokens
    return token_ids(task.seed, count, int((config.get("text_config") or config)["vocab_size"]))


def _described(logits: np.ndarray, tokens: int, enough: int, finite: bool) -> dict[str, Any]:
    return {
        "tokens": tokens,
        "long": tokens >= enough,
        "finite": finite,
        "std": float(logits[-1].std()) if finite else None,
        "argmax": int(logits[-1].argmax()) if finite else None,
    }


def _seed(view: Path) -> int:
    """Returns the seed that jang's loader uses."""
    path = view / "jang_config.json"
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    return int(json.loads(text).get("mxtq_seed", 42))


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _said(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text if len(text) <= 2000 else text[:2000] + " …"
