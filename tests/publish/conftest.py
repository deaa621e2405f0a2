"""The hub of tests/hub for pushes."""

from tests.hub.conftest import hub

__all__ = ["hub"]
