"""Floor 1, hub. Describes failures of the hub: which ones pass by themselves, and a code and message for the others.

No message holds a token, a signed address or a header, because messages use names only, never the client's text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from httpx2 import NetworkError, ProxyError, RemoteProtocolError, Response, TimeoutException, TransportError
from huggingface_hub import constants, errors, get_token
from huggingface_hub.utils import parse_ratelimit_headers

from dsv4recipe.errors import Where
from dsv4recipe.hub.address import Address
from dsv4recipe.hub.error import HubError

FIRST_WAIT, LONGEST_WAIT, LONGEST_ASKED = 0.5, 60.0, 900.0
"""Seconds before the second try, the longest pause between tries, and the longest Retry-After that is obeyed."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_BROKEN = (TimeoutException, NetworkError, RemoteProtocolError, ProxyError)


class WrongBytesError(Exception):
    """An answer that is not the requested range. The message is a clause about the answer."""


class ExpiredError(WrongBytesError):
    """A signed address that has expired; the hub gives a new one."""


def passes(error: Exception) -> bool:
    """Returns whether another try may help: a broken connection, a throttled or overloaded server, a wrong answer."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status in _PASSING or isinstance(error, (*_BROKEN, WrongBytesError))


def _pause(failed: int, error: Exception) -> float:
    """Returns the seconds to wait after failure number `failed`: what the server asks for, else doubling from half a
    second."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    limits = parse_ratelimit_headers(headers)
    asked = str(limits.reset_in_seconds) if limits and not limits.remaining else headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), LONGEST_ASKED)
    return float(min(FIRST_WAIT * 2 ** (failed - 1), LONGEST_WAIT))


@dataclass(slots=True)
class Patience:
    """Repeats requests after failures that may pass, up to `tries` times without a byte of progress."""

    address: Address
    doing: str
    tries: int
    wait: Callable[[float], object]
    failed: int = 0

    def progressed(self) -> None:
        self.failed = 0

    def after(self, error: Exception) -> None:
        """Waits before the next try, or raises the HubError for `error`."""
        self.failed += 1
        if self.failed >= self.tries or not passes(error):
            raise refusal(error, self.address, self.doing) from None
        if self.failed > 1 or not isinstance(error, ExpiredError):
            self.wait(_pause(self.failed, error))


def refusal(error: Exception, address: Address, doing: str) -> HubError:
    """Returns the HubError for a permanent failure."""
    where = Where(str(address))
    match error:
        case errors.OfflineModeIsEnabled():
            hint = "unset HF_HUB_OFFLINE, or `hf download` the repository while you are online"
            return HubError("H003", "offline mode is set (HF_HUB_OFFLINE), so the hub cannot be used", where, hint)
        case errors.LocalEntryNotFoundError() if not constants.is_offline_mode() and error.__cause__ is not None:
            return HubError("H002", f"{constants.ENDPOINT} stopped answering while {doing}", where, NETWORK)
        case errors.LocalEntryNotFoundError():
            hint = "unset HF_HUB_OFFLINE, or `hf download` the repository while you are online"
            return HubError("H003", "offline mode is set, and the cache does not hold the repository", where, hint)
        case errors.GatedRepoError():
            return _gated(address, where)
        case errors.RepositoryNotFoundError():
            hint = (
                "correct the name" if get_token() else "correct the name; for a private one, run `hf auth login` first"
            )
            return HubError("H005", f"the hub has no repository {address.repo}, or hides it", where, hint)
        case errors.RevisionNotFoundError():
            message = f"{address.repo} has no revision {address.revision or constants.DEFAULT_REVISION!r}"
            return HubError("H006", message, where, "write a branch, a tag, or the 40 digits of a commit")
        case errors.EntryNotFoundError():
            return HubError("H007", f"the hub has no such file, while {doing}", where, CHANGED)
        case errors.HfHubHTTPError():
            return _answered(error.response, where, doing)
        case WrongBytesError():
            return HubError("H009", f"the hub gave wrong bytes while {doing}: {error}", where, PROXY)
        case TransportError():
            message = f"{constants.ENDPOINT} cannot be reached ({type(error).__name__}) while {doing}"
            return HubError("H002", message, where, NETWORK)
    return HubError("H009", f"{type(error).__name__} while {doing}", where, PROXY)


NETWORK = "check network and proxy, then run the same command again; HF_HUB_OFFLINE=1 uses only the cache"
CHANGED = "somebody changed the repository; run the command again, or pin another commit"
PROXY = "check HF_ENDPOINT and proxies, then run the same command again"


def _gated(address: Address, where: Where) -> HubError:
    page = f"{constants.ENDPOINT}/{address.repo}"
    if get_token():
        hint = f"ask for access at {page}, with the account of the token that is set up here"
        return HubError("H004", f"{address.repo} is gated, and your token has no access", where, hint)
    hint = f"accept its terms at {page}, then run `hf auth login` or set HF_TOKEN"
    return HubError("H004", f"{address.repo} is gated, and no token is set up here", where, hint)


def _answered(response: Response, where: Where, doing: str) -> HubError:
    status = response.status_code
    if status in (401, 403):
        message = f"the hub refuses the token of this machine ({status}) while {doing}"
        return HubError("H004", message, where, "run `hf auth login` again, or unset HF_TOKEN")
    if status in (409, 412):
        message = f"the repository was changed ({status}) while {doing}"
        return HubError("H013", message, where, "check its history, then run the same command again")
    if status == 413:
        message = f"the hub refuses a file of this size, or more files of this account (413), while {doing}"
        return HubError("H014", message, where, "check the account's storage; a smaller target.shard-size may help")
    if status == 429:
        message = f"the hub throttles this machine (429) while {doing}"
        return HubError("H009", message, where, "wait some minutes, then run the same command again")
    return HubError("H009", f"the hub answered {status} while {doing}", where, PROXY)
