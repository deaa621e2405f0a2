"""Plans, locks, bundles, JSON outputs, exit codes and error codes are those that were recorded.

DSV4RECIPE_GOLDEN=all compares everything that `python -m tests.golden.record` records: minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.golden.cells import SUBSET, Cell, Sources
from tests.golden.record import PARTS, differences, golden
from tests.recipes import WRITTEN

ALL = os.environ.get("DSV4RECIPE_GOLDEN") == "all"


LEAN: dict[str, Callable[[Cell], bool]] = {
    "plans": lambda cell: cell.recipe in WRITTEN,
    "bundles": lambda cell: cell in SUBSET,
    "full": lambda cell: cell.recipe == "q3-mixed",
    "commands": lambda _: True,
}
"""What the suite compares without that variable: half a minute."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("part", PARTS)
def test_answers_are_as_recorded(part: str, sources: Sources) -> None:
    found = PARTS[part](sources, (lambda _: True) if ALL else LEAN[part])
    assert found
    assert differences(part, found) == []
    if ALL:
        assert set(found) == set(golden(part))
