"""Floor 1, importance. Holds what a plan keeps of an importance file. This module is pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PlannedImportance:
    """`sha256` of the file's bytes, its `format`, and how many matrices calibration never reached, whose columns count
    alike. When a plan is made again, it takes the place of the original file."""

    sha256: str
    format: str
    unseen: int

    @property
    def planned(self) -> PlannedImportance:
        return self

    def data(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "format": self.format, "unseen": self.unseen}
