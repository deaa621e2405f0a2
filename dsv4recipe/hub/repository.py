"""Floor 1, hub. Reads one commit of a repository: its files with size and digest, and ranges of their bytes.

The client is huggingface_hub's: its session, token, endpoint, offline mode and errors. This module adds what it lacks:
it resumes a range after a broken connection, and it compares every answer with what the commit listed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from httpx2 import HTTPError, Response
from huggingface_hub import (
    HfApi,
    HfFileMetadata,
    ModelInfo,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, get_session, hf_raise_for_status

from dsv4recipe.errors import Where
from dsv4recipe.hub.address import Address
from dsv4recipe.hub.error import HubError
from dsv4recipe.hub.failures import CHANGED, ExpiredError, Patience, WrongBytesError, refusal
from dsv4recipe.version import VERSION

FEW_TRIES, MANY_TRIES = 5, 10
"""Tries at the first contact, which a person waits for, and later, when builds of hours must survive a lost network."""
_STRANGER = "the answer has no commit or digest, unlike any hub's"
_EXPIRED = (401, 403, 404, 410)
Wait = Callable[[float], object]
"""Called with seconds. A caller that wants to be interruptible passes a function that raises."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit: its size, its git id, and its sha256 if it is in large storage, else ""."""

    name: str
    size: int
    blob: str
    sha256: str

    @property
    def etag(self) -> str:
        """Returns the hub's identifier of this content."""
        return self.sha256 or self.blob

    def digest(self) -> hashlib._Hash:
        """Returns the hash that `etag` is a digest of, ready for the content: sha256, or git's sha1 with its header."""
        return hashlib.sha256() if self.sha256 else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass
class Repository:
    """The files of one commit. Threads may share it. `tries` is the number of tries without a byte of progress."""

    address: Address
    commit: str
    files: dict[str, RemoteFile]
    tries: int = MANY_TRIES
    wait: Wait = time.sleep
    _places: dict[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each file."""
        return {name: file.size for name, file in self.files.items()}

    def read(self, name: str, start: int, end: int) -> bytes:
        """Returns bytes [start, end) of a file. Raises HubError H002-H009."""
        return b"".join(self.stream(name, start, end))

    def whole(self, name: str) -> bytes:
        """Returns the content of a small file after checking its digest. Raises HubError H002-H009, H008 for other
        content."""
        file = self.files[name]
        data = self.read(name, 0, file.size)
        digest = file.digest()
        digest.update(data)
        if digest.hexdigest() != file.etag:
            raise self.damaged(name, digest.hexdigest())
        return data

    def damaged(self, name: str, found: str) -> HubError:
        """Returns the error for a file whose content has another digest than the commit lists."""
        message = f"{name} has the digest {found[:16]}…, but the commit lists {self.files[name].etag[:16]}…"
        return HubError("H008", message, Where(str(self.address), subject=name), "run the same command again")

    def stream(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yields bytes [start, end) of a file in order, in pieces. A broken connection is resumed at the next byte.

        Raises HubError: H007 if the file is not the one that the commit listed, H002-H009.
        """
        at = start
        patience = Patience(self.address, f"reading {name}", self.tries, self.wait)
        while at < end:
            try:
                for piece in self._body(name, at, end):
                    yield piece
                    at += len(piece)
                    patience.progressed()
                if at < end:
                    raise WrongBytesError(f"{end - at:,} bytes are missing at the end")
            except (HTTPError, OSError, WrongBytesError) as error:
                patience.after(error)

    def _body(self, name: str, at: int, end: int) -> Iterator[bytes]:
        """Yields the bytes of [at, end) that one request gives."""
        file = self.files[name]
        place = self._place(file)
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={at}-{end - 1}"}
        own = _origin(place) == _origin(constants.ENDPOINT)
        headers |= build_hf_headers(token=None if own else False, library_name="dsv4recipe", library_version=VERSION)
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", place, headers=headers, timeout=timeout, follow_redirects=True) as response:
            if response.status_code in _EXPIRED and _origin(str(response.url)) != _origin(constants.ENDPOINT):
                if self._places.get(name) == place:
                    self._places.pop(name, None)
                raise ExpiredError(f"status {response.status_code} from the storage, for a signed address")
            if response.status_code == 416:
                raise self._changed(name, f"it is shorter than {end:,} bytes")
            hf_raise_for_status(response)
            self._check_range(file, response, at, end)
            for (
                piece
            ) in response.iter_bytes():  # unchunked, because bytes held back in a chunk would be lost with a connection
                at += len(piece)
                if at > end:
                    raise WrongBytesError(f"{at - end:,} bytes more than asked for")
                yield piece

    def _check_range(self, file: RemoteFile, response: Response, at: int, end: int) -> None:
        """Checks that the answer is exactly the range, of a file of the listed size."""
        if response.status_code == 200 and (at, end) == (0, file.size):
            return
        range_ = response.headers.get("Content-Range", "")
        if response.status_code != 206 or not range_:
            raise WrongBytesError(f"the status was {response.status_code}, but a range was requested")
        got, _, size = range_.removeprefix("bytes ").partition("/")
        if size not in ("*", str(file.size)):
            raise self._changed(file.name, f"it has {size} bytes, but the commit lists {file.size:,}")
        if got != f"{at}-{end - 1}":
            raise WrongBytesError(f"the bytes were {got}, but {at}-{end - 1} were requested")

    def _place(self, file: RemoteFile) -> str:
        """Returns where the bytes of a file are, as the hub says. The hub must name the content that the commit
        lists."""
        known = self._places.get(file.name)
        if known is None:
            url = hf_hub_url(self.address.repo, file.name, revision=self.commit, endpoint=constants.ENDPOINT)
            found = get_hf_file_metadata(url, library_name="dsv4recipe", library_version=VERSION)
            self._check_listed(file, found)
            known = self._places[file.name] = found.location
        return known

    def _check_listed(self, file: RemoteFile, found: HfFileMetadata) -> None:
        if found.commit_hash is None or found.etag is None:
            raise WrongBytesError(_STRANGER)
        if found.commit_hash != self.commit:
            raise self._changed(file.name, f"it is of commit {found.commit_hash}")
        if found.size not in (None, file.size):
            raise self._changed(file.name, f"it has {found.size:,} bytes, but the commit lists {file.size:,}")
        if found.etag != file.etag:
            raise self._changed(file.name, f"it is {str(found.etag)[:16]}…, but the commit lists {file.etag[:16]}…")

    def _changed(self, name: str, how: str) -> HubError:
        return HubError("H007", f"{name} changed on the hub: {how}", Where(str(self.address)), CHANGED)


def cached_file(address: Address, name: str) -> Path:
    """Returns a small file of a commit in the hub's own cache, downloading it if necessary. Raises HubError H002-H009.

    The hub is asked here first, because the client's own downloads hide the cause of a failure behind long retries.
    """
    cached = try_to_load_from_cache(address.repo, name, revision=address.revision)
    if isinstance(cached, str):
        return Path(cached)
    patience = Patience(address, f"reading {name}", FEW_TRIES, time.sleep)
    disable_progress_bars()
    while True:
        try:
            url = hf_hub_url(address.repo, name, revision=address.revision, endpoint=constants.ENDPOINT)
            if get_hf_file_metadata(url, library_name="dsv4recipe", library_version=VERSION).commit_hash is None:
                raise WrongBytesError(_STRANGER)
            return Path(hf_hub_download(address.repo, name, revision=address.revision))
        except (HTTPError, OSError, WrongBytesError) as error:
            patience.after(error)


def open_repository(address: Address) -> Repository:
    """Returns the commit that the address means now, and its files. Raises HubError H002-H006, H009."""
    patience = Patience(address, "looking up the repository", FEW_TRIES, time.sleep)
    client = HfApi(library_name="dsv4recipe", library_version=VERSION)
    info = None
    while info is None:
        try:
            info = client.model_info(
                address.repo,
                revision=address.revision or None,
                files_metadata=True,
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )
        except (HTTPError, OSError) as error:
            patience.after(error)
        except _NO_ANSWER:
            patience.after(WrongBytesError("the answer is not the hub's description of a repository"))
    try:
        files = _files_of(info)
    except _NO_ANSWER:
        raise refusal(
            WrongBytesError("the answer has no commit, or files without size and id"), address, patience.doing
        ) from None
    return Repository(Address(address.repo, str(info.sha)), str(info.sha), files)


_NO_ANSWER = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors that the client raises if the answer is a page, empty, or JSON of another form."""


def _files_of(info: ModelInfo) -> dict[str, RemoteFile]:
    """Returns the files that the hub lists, after checking each. Raises one of `_NO_ANSWER` for anything else."""
    files = {}
    for each in info.siblings or ():
        file = RemoteFile(each.rfilename, each.size, each.blob_id, each.lfs.sha256 if each.lfs else "")  # type: ignore[arg-type]
        good = isinstance(file.name, str) and type(file.size) is int and file.size >= 0
        if not (good and isinstance(file.blob, str) and file.blob and isinstance(file.sha256, str)):
            raise ValueError
        files[file.name] = file
    if not isinstance(info.sha, str) or not info.sha or info.siblings is None:
        raise ValueError
    return files


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
