"""Floor 4, verifier (child side). Holds the entry point: arguments in, one JSON document on stdout, the rest on stderr.

It runs as `python -m dsv4recipe.verifier.runtime.probe` and, by path, as `python .../runtime/probe`, which is how the
parent starts it. So the interpreter needs no copy of this project, and parent and child always have one version.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

if not __package__:  # started by path: become a package, and let no module here shadow an installed one
    _here = Path(__file__).resolve().parent
    sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != _here]
    __package__ = "dsv4recipe.verifier.runtime.probe"
    _spec = importlib.util.spec_from_file_location("dsv4recipe_house", _here / "house.py")
    if _spec is not None and _spec.loader is not None:
        _house = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(_house)
        _house.register()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="probe", description="Load a bundle in the installed runtime and report.")
    parser.add_argument("bundle", type=Path, nargs="?", help="the bundle's folder (transformers: the source's)")
    parser.add_argument("--available", action="store_true", help="only say which loaders can run here")
    parser.add_argument("--loader", help="a name in ADAPTERS of an adapter file, or transformers")
    parser.add_argument(
        "--adapters", type=Path, action="append", help="an adapter file; default: those of this version"
    )
    parser.add_argument("--dense", type=Path, help="source checkpoint (tiny): compare with its dense model")
    parser.add_argument("--decoded", action="store_true", help="compare with the bundle's own tensors, decoded (tiny)")
    parser.add_argument("--reference", type=Path, help="logits (.npy) of the same prompt to compare with")
    parser.add_argument(
        "--tokens", type=int, help="length of the prompt (default: beyond window and top-k); 0: load only"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the prompt's token ids")
    parser.add_argument("--logits", type=Path, help="write the logits of all positions here (float32 .npy)")
    parser.add_argument("--rows", type=Path, help="token sequences (.npz): --logits gets theirs, not the prompt's")
    parser.add_argument("--question", help="have it answered")
    parser.add_argument("--limit", type=int, default=256, help="tokens of the answer at most")
    parser.add_argument("--memory", type=int, help="bytes that this process may take")
    parser.add_argument("--scratch", type=Path, help="an empty folder for everything the runtime writes")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    args = parser.parse_args()
    if not args.available and not (args.bundle and args.loader):
        parser.error("BUNDLE and --loader are needed, or --available")
    return args


def main() -> int:
    """Returns 0 when the document is written, whatever it says; any other exit code is a crash."""
    args = _arguments()
    document_fd = os.dup(1)
    os.dup2(2, 1)  # what runtimes print, in Python or in C, must not mix with the document
    with tempfile.TemporaryDirectory() as own:
        scratch = (args.scratch or Path(own)).resolve()
        from .environment import isolate, limit_memory, peak_memory

        isolate(scratch)
        limited = limit_memory(args.memory)
        from .adapter import adapters
        from .house import built_in
        from .session import Task, available, examine

        known = adapters(args.adapters or built_in())
        if args.available:
            document = available(known)
        else:
            names = ("dense", "decoded", "tokens", "seed", "logits", "rows", "question", "limit")
            wanted = {name: getattr(args, name) for name in names}
            references = {"reference": args.reference} if args.reference else {}
            task = Task(args.bundle, scratch, references=references, **wanted)
            document = examine(args.loader, known.get(args.loader), task)
        document["memory"] = {"limited": limited, "peak": peak_memory()}
    with os.fdopen(document_fd, "w", encoding="utf-8") as out:
        json.dump(document, out, indent=None if args.json else 1)
        out.write("\n")
        out.flush()
    sys.stderr.flush()
    os._exit(0)  # a runtime's leftover threads must neither delay the end nor change the exit code


if __name__ == "__main__":
    sys.exit(main())
