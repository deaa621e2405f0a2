"""Floor 4, verifier. Step 1: every byte of a bundle against its manifest. Reads files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsv4recipe.bundle.files import check_files
from dsv4recipe.bundle.manifest import manifest_path, read_manifest
from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.units import counted, human_size
from dsv4recipe.verifier.result import Step


def check_integrity(bundle: Path, known: Mapping[str, tuple[int, str]] | None = None) -> Step:
    """Size and sha256 of every file, missing files, strays. A bundle without a manifest cannot be checked: V015. Files
    whose (size, sha256) the hub has made `known` are not read."""
    manifest = read_manifest(bundle)
    if manifest is None:
        warning = Diagnostic(
            "V015",
            "no manifest: the bytes of this bundle cannot be checked",
            Where(str(manifest_path(bundle))),
            "bundles built by dsv4recipe have one; the other steps work without",
            "warning" if not manifest_path(bundle).exists() else "error",
        )
        return Step("integrity", (warning,), ("skipped: no manifest",))
    findings = check_files(bundle, manifest, known=known or {})
    files = manifest.get("files", {})
    how = "compared with the sha256 that the hub keeps" if known is not None else "hashed"
    size = sum(
        entry["size"] for entry in files.values() if isinstance(entry, dict) and isinstance(entry.get("size"), int)
    )
    return Step("integrity", tuple(findings), (f"{counted(len(files), 'file')}, {human_size(size)} {how}",))
