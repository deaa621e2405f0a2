"""Floor 4, verifier. Step 1: compares every byte of a bundle with its manifest. Reads files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dsv4recipe.bundle.files import check_files, hash_file
from dsv4recipe.bundle.manifest import manifest_path, read_manifest
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.units import counted, human_size
from dsv4recipe.verifier.receipt import Receipt
from dsv4recipe.verifier.result import Step


def check_integrity(
    bundle: Path,
    known: Mapping[str, tuple[int, str]] | None = None,
    receipt: Receipt | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, of: None,
) -> Step:
    """Checks size and sha256 of every file, and finds missing and extra files. A bundle without a manifest gets V015.
    Files whose (size, sha256) the hub has made `known` are not read. Of files that match the `receipt`, only a sample
    is read. `on_bytes` is called with the bytes done and all bytes."""
    manifest = read_manifest(bundle)
    if manifest is None:
        warning = Diagnostic(
            "V015",
            "there is no manifest, so the bytes of this bundle cannot be checked",
            Where(str(manifest_path(bundle))),
            "bundles built by dsv4recipe have one; the other steps work without it",
            "warning" if not manifest_path(bundle).exists() else "error",
        )
        return Step("integrity", (warning,), ("skipped, because there is no manifest",))
    files = manifest.get("files", {})
    size = sum(
        entry["size"] for entry in files.values() if isinstance(entry, dict) and isinstance(entry.get("size"), int)
    )
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        on_bytes(done, size)

    def hashed(name: str, path: Path) -> tuple[int, str]:
        before = receipt.known(name, path) if receipt else None
        if before is not None:
            count(before[0])
            return before
        found = hash_file(path, count)
        if receipt is not None:
            receipt.hashed(name, path, found)
        return found

    findings = check_files(bundle, manifest, known=known or {}, hashed=hashed)
    how = "compared with the sha256 that the hub keeps" if known is not None else "hashed"
    facts = [f"{counted(len(files), 'file')}, {human_size(size)} {how}"]
    if receipt is not None and receipt.unchanged:
        facts.append(f"{receipt.unchanged} of them by an earlier proof, unchanged since (--full hashes all)")
    if receipt is not None and receipt.problem:
        facts.append(f"no receipt could be kept: {receipt.problem}")
    return Step("integrity", tuple(findings), tuple(facts))
