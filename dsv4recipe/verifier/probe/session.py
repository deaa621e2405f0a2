"""Floor 4, verifier (child side). One examination from start to end, as one JSON-ready document.

Each stage that fails is written down and the later ones go on where they can: a bundle that does not load still gets
its lists of names. A further stage (generating text) has its place after `_forward`.
"""

from __future__ import annotations

import contextlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .environment import linked_view, replaced_in

PROTOCOL = 1
PACKAGES = ("mlx", "mlx-lm", "jang", "vmlx", "transformers", "numpy", "torch")


def available() -> dict[str, Any]:
    """{"loaders": {name: reason why it cannot run, "" when it can}, "versions": …}."""
    try:
        from .loaders import IMPORTS
    except ImportError as error:
        return {"protocol": PROTOCOL, "loaders": {}, "versions": _versions(), "reason": _said(error)}
    reasons = {}
    for name, bring in IMPORTS.items():
        try:
            bring()
            reasons[name] = ""
        except Exception as error:  # a broken installation fails in any way it likes
            reasons[name] = _said(error)
    return {"protocol": PROTOCOL, "loaders": reasons, "versions": _versions(), "reason": ""}


def examine(
    bundle: Path,
    loader: str,
    scratch: Path,
    *,
    dense: Path | None,
    decoded: bool,
    tokens: int,
    seed: int,
    logits: Path | None,
) -> dict[str, Any]:
    """The whole document for one bundle and one loader."""
    report: dict[str, Any] = {"protocol": PROTOCOL, "loader": loader, "versions": _versions(), "failures": []}
    report |= {"loaded": False, "replaced": [], "changed": []}
    view = linked_view(bundle, scratch)
    with contextlib.suppress(_StageError):
        _examine(report, view, loader, dense=dense, decoded=decoded, tokens=tokens, seed=seed, out=logits)
    report["changed"] = replaced_in(view, bundle)
    return report


class _StageError(Exception):
    """The stage's failure is in the report and nothing after it can run."""


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


def _examine(
    report: dict[str, Any],
    view: Path,
    loader: str,
    *,
    dense: Path | None,
    decoded: bool,
    tokens: int,
    seed: int,
    out: Path | None,
) -> None:
    with _Stage(report, "import", fatal=True):
        from . import forward, loaders, modules, skeleton
        from .contents import read_contents
        from .decoded import decoded_model
        from .dense import dense_model

        loaders.IMPORTS[loader]()
    with _Stage(report, "read", fatal=True):
        contents = read_contents(view)
    with _Stage(report, "names", fatal=True):
        frame = skeleton.Skeleton(contents)
        report["missing"], report["unexpected"] = frame.names()
        report["misread"], report["overrides"] = frame.misread(), frame.overrides()
        report["rule"] = skeleton.installed_rule()
        ids = forward.token_ids(seed, tokens, int(contents.config["vocab_size"]))
    references = {}  # before the loader runs: loaders patch the classes they share with it
    if dense is not None:
        with _Stage(report, "dense"):
            references["dense"] = forward.last_logits(dense_model(dense.resolve()), ids)
    if decoded:
        with _Stage(report, "decoded"):
            model = decoded_model(view, contents, frame, _announced_seed(view))
            references["decoded"] = forward.last_logits(model, ids)
            del model
    with _Stage(report, "load", fatal=True):
        if contents.tq and loader not in loaders.READS_MXTQ:
            raise TypeError("MXTQ tensors")
        report["replaced"] = loaders.prepare(loader, bool(contents.tq))
        model = loaders.LOADS[loader](view)
        report["loaded"] = True
    with _Stage(report, "modules"):
        report |= modules.quantized_modules(model, frame.shapes)
    with _Stage(report, "forward", fatal=True):
        report["dtypes"] = forward.dtypes(model, ids)
        logits = forward.last_logits(model, ids)
        report["forward"] = forward.describe(logits, forward.last_logits(model, ids, cached=True))
        report["forward"]["tokens"] = tokens
        if out is not None:
            np.save(out, logits)
    if np.isfinite(logits).all():
        report |= {name: forward.compare(logits, reference) for name, reference in references.items()}


def _announced_seed(view: Path) -> int:
    """The seed that jang's loader takes."""
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
