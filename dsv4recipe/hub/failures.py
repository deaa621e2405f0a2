"""Floor 1, hub. What goes wrong with the hub, in our words: which failures pass by themselves, and a code for the rest.

No message holds a token, a signed address or a header: they are built from names alone, never from the client's text.
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
"""Seconds: before the second try, between tries at most, and the most that a Retry-After is obeyed."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_BROKEN = (TimeoutException, NetworkError, RemoteProtocolError, ProxyError)


class WrongBytesError(Exception):
    """An answer that is not the range that was asked for. The message is a clause about the answer."""


class ExpiredError(WrongBytesError):
    """A signed address that is no longer good: the hub gives a new one."""


def passes(error: Exception) -> bool:
    """Whether asking again may help: a broken connection, a throttled or overloaded server, a wrong answer."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status in _PASSING or isinstance(error, (*_BROKEN, WrongBytesError))


def _pause(failed: int, error: Exception) -> float:
    """Returns seconds to wait after failure number `failed`: what the server asks for, else doubling from half a
    second."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    limits = parse_ratelimit_headers(headers)
    asked = str(limits.reset_in_seconds) if limits and not limits.remaining else headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), LONGEST_ASKED)
    return float(min(FIRST_WAIT * 2 ** (failed - 1), LONGEST_WAIT))


@dataclass(slots=True)
class Patience:
    """Asks again after failures that pass by themselves, `tries` times without a byte of progress."""

    address: Address
    doing: str
    tries: int
    wait: Callable[[float], object]
    failed: int = 0

    def progressed(self) -> None:
        self.failed = 0

    def after(self, error: Exception) -> None:
        """Waits before the next try, or raises the HubError that `error` is."""
        self.failed += 1
        if self.failed >= self.tries or not passes(error):
            raise refusal(error, self.address, self.doing) from None
        if self.failed > 1 or not isinstance(error, ExpiredError):
            self.wait(_pause(self.failed, error))


def refusal(error: Exception, address: Address, doing: str) -> HubError:
    """Returns the HubError for a failure that stays."""
    where = Where(str(address))
    match error:
        case errors.OfflineModeIsEnabled():
            hint = "unset HF_HUB_OFFLINE, or `hf download` the repository while there is a network"
            return HubError("H003", "the hub is not asked in offline mode (HF_HUB_OFFLINE)", where, hint)
        case errors.LocalEntryNotFoundError() if not constants.is_offline_mode() and error.__cause__ is not None:
            return HubError("H002", f"{constants.ENDPOINT} stopped answering while {doing}", where, NETWORK)
        case errors.LocalEntryNotFoundError():
            hint = "unset HF_HUB_OFFLINE, or `hf download` the repository while there is a network"
            return HubError("H003", "offline, and the cache does not hold the repository", where, hint)
        case errors.GatedRepoError():
            return _gated(address, where)
        case errors.RepositoryNotFoundError():
            hint = "mend the name" if get_token() else "mend the name; for a private one, `hf auth login` first"
            return HubError("H005", f"the hub shows no repository {address.repo}", where, hint)
        case errors.RevisionNotFoundError():
            message = f"{address.repo} has no revision {address.revision or constants.DEFAULT_REVISION!r}"
            return HubError("H006", message, where, "name a branch, a tag, or the 40 digits of a commit")
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


NETWORK = "look at network and proxy, then run the same command again; HF_HUB_OFFLINE=1 uses what the cache holds"
CHANGED = "somebody changed the repository: run the command again, or pin another commit"
PROXY = "look at HF_ENDPOINT and at proxies on the way, then run the same command again"


def _gated(address: Address, where: Where) -> HubError:
    page = f"{constants.ENDPOINT}/{address.repo}"
    if get_token():
        hint = f"ask for access at {page}, with the account of the token that is set up here"
        return HubError("H004", f"{address.repo} is gated, and your token has no access", where, hint)
    hint = f"accept its terms at {page}, then `hf auth login` or set HF_TOKEN"
    return HubError("H004", f"{address.repo} is gated, and no token is set up here", where, hint)


def _answered(response: Response, where: Where, doing: str) -> HubError:
    status = response.status_code
    if status in (401, 403):
        message = f"the hub refuses the token of this machine ({status}) while {doing}"
        return HubError("H004", message, where, "`hf auth login` again, or unset HF_TOKEN")
    if status in (409, 412):
        message = f"the repository changed meanwhile ({status}) while {doing}"
        return HubError("H013", message, where, "look at its history, then run the same command again")
    if status == 413:
        message = f"the hub takes no file of this size, or no more of this account (413), while {doing}"
        return HubError("H014", message, where, "look at the account's storage; a smaller target.shard-size may help")
    if status == 429:
        message = f"the hub throttles this machine (429) while {doing}"
        return HubError("H009", message, where, "wait some minutes, then run the same command again")
    return HubError("H009", f"the hub answered {status} while {doing}", where, PROXY)
