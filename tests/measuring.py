"""Tests of what needs torch run in .venv-measure (scripts/test makes it): runtimes load torch wherever it is."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

YARDSTICK = Path(__file__).parent / "data" / "yardstick"
"""A trained small DeepSeek-V4 with its token streams."""

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is in .venv-measure alone: see scripts/test")
