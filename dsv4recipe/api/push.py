"""Floor 5, api. `push` uploads a bundle to the hub; it verifies it before and compares it afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsv4recipe.bundle.manifest import manifest_path, read_manifest
from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.hub.address import Address, parse_address
from dsv4recipe.paths import as_path

if TYPE_CHECKING:
    from dsv4recipe.publish.files import LocalFile
    from dsv4recipe.publish.upload import Pushed, Tell


def push(
    bundle: str | os.PathLike[str],
    repository: str,
    *,
    private: bool = False,
    revision: str = "",
    replace: bool = False,
    dry_run: bool = False,
    on_event: Tell = lambda event: None,
) -> Pushed | tuple[LocalFile, ...]:
    """Uploads a bundle that dsv4recipe built to `repository` (org/name), in one commit on the branch `revision`.

    Every byte is hashed and the contract is checked first. The same call continues an interrupted push, and does
    nothing if it is done. The token is the one that huggingface_hub knows (`hf auth login`, HF_TOKEN). With `dry_run`
    the hub is not contacted, and the files that would be uploaded are returned. Raises RecipeError W001 (no manifest),
    W002 (not a name), W003 (the card), what integrity and contract find, and what `upload` raises.
    """
    from dsv4recipe.publish.files import card_findings, files_of
    from dsv4recipe.publish.upload import upload
    from dsv4recipe.verifier.contract.check import check_any
    from dsv4recipe.verifier.integrity import check_integrity

    root = as_path(bundle)
    address = _address(repository, revision)
    manifest = read_manifest(root)
    if manifest is None or not manifest.get("files"):
        if not root.exists():
            raise RecipeError("V001", "there is no such bundle", Where(str(root)))
        hint = "use `hf upload` to upload any folder; push proves that what arrives is what was built"
        raise RecipeError("W001", "the bundle has no manifest to compare the upload with", Where(str(root)), hint)
    on_event({"event": "checking", "bundle": str(root)})
    findings: list[Diagnostic] = [*check_integrity(root).findings, *check_any(root).step.findings, *card_findings(root)]
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise RecipeError.of(errors)
    for finding in findings:
        on_event({"event": "warning", "finding": finding})
    files = files_of(root, manifest)
    return files if dry_run else upload(files, address, private, replace, on_event)


def _address(repository: str, revision: str) -> Address:
    found = parse_address(repository)
    if found is None or found.revision:
        message = f"{repository!r} is not the name of a repository"
        raise RecipeError("W002", message, hint="write org/name; pass a branch with --revision")
    return Address(found.repo, revision)


def total(files: tuple[LocalFile, ...]) -> dict[str, Any]:
    """Returns names and bytes of what would be uploaded, for `push --dry-run`."""
    listed = [{"name": file.name, "bytes": file.size, "sha256": file.sha256} for file in files]
    return {"files": listed, "bytes": sum(file.size for file in files), "manifest": manifest_path(Path()).name}
