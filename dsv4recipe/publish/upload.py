"""Floor 4, publish. A bundle's files to a repository of the hub, through huggingface_hub, in one commit. Writes there.

Weights go into the hub's storage one by one, by their sha256, before the commit: what an interrupted upload has stored
is not sent again. Nothing is visible in the repository until the one commit names all files; then the hub's own list of
that commit is held against the bundle.
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
"""What the hub writes into a repository by itself."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where the bundle is: its address with the commit. `sent` and `there` count the bytes of files that were uploaded
    and of those that the repository had already."""

    address: Address
    url: str
    sent: int
    there: int


def upload(files: Sequence[LocalFile], address: Address, private: bool, replace: bool, tell: Tell) -> Pushed:
    """Returns the repository holds exactly `files` afterwards, by one commit; none is made where it holds them already.

    The address's revision is a branch, made where it is missing. Files of the repository that the bundle does not have
    are removed in the same commit where `replace`. Raises RecipeError W004 where there are such files and `replace` was
    not said, W005 where a file is on the hub with other bytes afterwards, and HubError H002 to H009, H013, H014.
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
        hint = "--replace removes them in the same commit; loaders read every shard that they find"
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
    """W005 for every file that the hub lacks, has more, or has with another size or digest."""
    found = []
    where = Where(str(repository.address))
    for file in files:
        remote = repository.files.get(file.name)
        if remote is None:
            found.append(Diagnostic("W005", f"{file.name} is not on the hub", where, _AGAIN))
        elif not file.same(remote):
            message = f"{file.name} is on the hub with other bytes ({remote.size:,}, here {file.size:,})"
            found.append(Diagnostic("W005", message, where, _AGAIN))
    more = sorted(set(repository.files) - {file.name for file in files} - KEPT)
    return found + [Diagnostic("W005", f"{name} is on the hub and not in the bundle", where, _AGAIN) for name in more]


_AGAIN = "somebody changed it meanwhile: look at the repository's history, then run the same command again"


def _there(repository: Repository, file: LocalFile) -> bool:
    remote = repository.files.get(file.name)
    return remote is not None and file.same(remote)


@dataclass(frozen=True, slots=True)
class _Hub:
    """Asks again what may pass by itself; every other failure becomes a HubError."""

    client: HfApi
    address: Address

    def ask(self, doing: str, call: Callable[[], T], otherwise: Callable[[], T | None] = lambda: None) -> T:
        """Returns what `call` gives; or, where it fails, what `otherwise` gives, which knows better."""
        patience = Patience(self.address, doing, FEW_TRIES, time.sleep)
        while True:
            try:
                return call()
            except (HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
                # RuntimeError: the client's own, around what happened; the last two: an answer that is not the hub's
                known = otherwise()
                if known is not None:
                    return known
                inner = error.__cause__ if isinstance(error, RuntimeError) else None
                patience.after(inner if isinstance(inner, (HTTPError, OSError)) else error)

    def landed(self, branch: str, before: str, files: Sequence[LocalFile]) -> str | None:
        """Returns the commit that the branch is at, where it is ours after all: only the answer to it was lost."""
        try:
            now = open_repository(Address(self.address.repo, branch))
        except HubError:
            return None
        return now.commit if now.commit != before and not compare(files, now) else None
