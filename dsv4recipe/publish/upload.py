"""Floor 4, publish. Uploads a bundle's files to a repository on the hub in one commit, through huggingface_hub.

Weights go into the hub's storage one by one, by their sha256, before the commit, so what an interrupted upload has
stored is not sent again. Nothing is visible in the repository until the one commit names all files. Then the hub's own
list of that commit is compared with the bundle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.utils import disable_progress_bars

from dsv4recipe.errors import Diagnostic, RecipeError, Where
from dsv4recipe.hub.address import Address
from dsv4recipe.hub.error import HubError
from dsv4recipe.hub.failures import Patience
from dsv4recipe.hub.repository import FEW_TRIES, Repository, open_repository
from dsv4recipe.publish.files import LocalFile
from dsv4recipe.version import VERSION

Event = dict[str, Any]
Tell = Callable[[Event], None]
KEPT = {".gitattributes"}
"""Files that the hub itself writes into a repository."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pushed:
    """Says where the bundle is: its address with the commit. `sent` counts the bytes of uploaded files, `there` those
    of files that the repository already had."""

    address: Address
    url: str
    sent: int
    there: int


def upload(files: Sequence[LocalFile], address: Address, private: bool, replace: bool, tell: Tell) -> Pushed:
    """Makes the repository hold exactly `files`, by one commit; there is no commit if it holds them already.

    The address's revision is a branch, created if it is missing. With `replace`, other files of the repository are
    removed in the same commit. Raises RecipeError W004 if there are such files and `replace` is not set, W005 if a file
    is on the hub with other bytes afterwards, and HubError H002 to H009, H013, H014.
    """
    disable_progress_bars()
    client = HfApi(library_name="dsv4recipe", library_version=VERSION)
    branch = address.revision or "main"
    hub = _Hub(client, address)
    hub.ask(
        "making the repository",
        lambda: client.create_repo(address.repo, private=private, exist_ok=True, repo_type="model"),
    )
    if branch != "main":
        hub.ask("making the branch", lambda: client.create_branch(address.repo, branch=branch, exist_ok=True))
    before = open_repository(Address(address.repo, branch))
    missing = [file for file in files if not _there(before, file)]
    stray = sorted(set(before.files) - {file.name for file in files} - KEPT)
    if stray and not replace:
        message = f"{address.repo} holds {len(stray)} files that the bundle does not have"
        hint = "pass --replace to remove them in the same commit; loaders read every shard that they find"
        raise RecipeError("W004", message, Where(str(address)), hint, stray)
    there = sum(file.size for file in files) - sum(file.size for file in missing)
    commit = before.commit
    if missing or stray:
        additions = [CommitOperationAdd(file.name, str(file.path)) for file in missing]
        for file, addition in zip(missing, additions, strict=True):
            tell({"event": "uploading", "file": file.name, "bytes": file.size})
            hub.ask(
                f"uploading {file.name}",
                lambda addition=addition: client.preupload_lfs_files(  # type: ignore[misc]
                    address.repo, [addition], revision=branch, free_memory=False
                ),
            )
            tell({"event": "uploaded", "file": file.name, "bytes": file.size})
        commit = hub.ask(
            "writing the commit",
            lambda: str(
                client.create_commit(
                    address.repo,
                    [*additions, *(CommitOperationDelete(name) for name in stray)],
                    commit_message="Upload a bundle with dsv4recipe",
                    revision=branch,
                    parent_commit=before.commit,
                ).oid
            ),
            lambda: hub.landed(branch, before.commit, files),
        )
    tell({"event": "comparing", "commit": commit})
    after = open_repository(Address(address.repo, commit))
    findings = compare(files, after)
    if findings:
        raise RecipeError.of(findings)
    url = f"{client.endpoint}/{address.repo}" + (f"/tree/{branch}" if branch != "main" else "")
    return Pushed(after.address, url, sum(file.size for file in missing), there)


def compare(files: Sequence[LocalFile], repository: Repository) -> list[Diagnostic]:
    """Returns W005 for every file that the hub lacks, has in addition, or has with another size or digest."""
    found = []
    where = Where(str(repository.address))
    for file in files:
        remote = repository.files.get(file.name)
        if remote is None:
            found.append(Diagnostic("W005", f"{file.name} is not on the hub", where, _AGAIN))
        elif not file.same(remote):
            message = f"{file.name} is on the hub with other content ({remote.size:,} bytes, here {file.size:,})"
            found.append(Diagnostic("W005", message, where, _AGAIN))
    more = sorted(set(repository.files) - {file.name for file in files} - KEPT)
    return found + [Diagnostic("W005", f"{name} is on the hub but not in the bundle", where, _AGAIN) for name in more]


_AGAIN = "somebody changed it; check the repository's history, then run the same command again"


def _there(repository: Repository, file: LocalFile) -> bool:
    remote = repository.files.get(file.name)
    return remote is not None and file.same(remote)


@dataclass(frozen=True, slots=True)
class _Hub:
    """Repeats requests after failures that may pass; every other failure becomes a HubError."""

    client: HfApi
    address: Address

    def ask(self, doing: str, call: Callable[[], T], otherwise: Callable[[], T | None] = lambda: None) -> T:
        """Returns what `call` returns or, if it fails, what `otherwise` returns."""
        patience = Patience(self.address, doing, FEW_TRIES, time.sleep)
        while True:
            try:
                return call()
            except (HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
                # RuntimeError is the client's own wrapper; the last two mean an answer that is not the hub's
                known = otherwise()
                if known is not None:
                    return known
                inner = error.__cause__ if isinstance(error, RuntimeError) else None
                patience.after(inner if isinstance(inner, (HTTPError, OSError)) else error)

    def landed(self, branch: str, before: str, files: Sequence[LocalFile]) -> str | None:
        """Returns the commit of the branch if it is ours after all, because only the answer to it was lost."""
        try:
            now = open_repository(Address(self.address.repo, branch))
        except HubError:
            return None
        return now.commit if now.commit != before and not compare(files, now) else None
