"""Floor 1, hub. Lists the licences that the hub knows; a card with another one is refused. Reads its own data file.

Source: the hub's documentation, "Licenses", as of August 2026. `other` needs the name of the licence and a link to it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

OTHER = "other"


@cache
def known_licenses() -> frozenset[str]:
    """Returns the identifiers that a card may have, in lower case."""
    return frozenset(resources.files("dsv4recipe.hub").joinpath("licenses.txt").read_text(encoding="utf-8").split())


def license_fields(name: str, link: str) -> dict[str, str]:
    """Returns the licence fields of a card: the hub's identifier if there is one, else `other` with name and link."""
    identifier = name.lower()
    if identifier in known_licenses() - {OTHER}:
        return {"license": identifier}
    named = {} if identifier == OTHER else {"license_name": name}
    return {"license": OTHER, **named, "license_link": link}
