"""Floor 3, allocation. Holds the assumptions used if nothing was measured: candidates, sensitivities, lowest bits.
Reads its own data file, or one that the user names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Slot
from dsv4recipe.errors import Problems, RecipeError, Where
from dsv4recipe.formats.base import Format
from dsv4recipe.formats.registry import format_class
from dsv4recipe.recipe.nodes import find, plain, short
from dsv4recipe.recipe.shipped import schema_text
from dsv4recipe.recipe.text import parse_text

SHIPPED = Path(__file__).parent / "priors.yaml"


@dataclass(frozen=True, slots=True)
class RolePrior:
    """One role. `by` ("layer" or "role") says what shares one format. `floor` is in nominal bits. `importance` is by
    projection."""

    by: str
    floor: int
    importance: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Priors:
    """The priors. `formats` is as in the file, by kind. `ends` is (share, factor). `blocks` gives main and mtp a
    factor."""

    formats: Mapping[str, Any]
    roles: Mapping[str, RolePrior]
    ends: tuple[int, float]
    blocks: Mapping[str, float]

    def importance(self, slot: Slot, dims: Dims) -> float:
        """Returns the weight of a module's relative squared error, or zero if its role has none for this projection."""
        table = self.roles[slot.row.role].importance
        value = table.get(slot.row.projection, table.get("*", 0.0)) * self.blocks[slot.block]
        share, factor = self.ends
        layer, layers = slot.layer, dims.layers
        if slot.block == "main" and layer is not None:
            ends = layer < layers // share or layer >= (share - 1) * layers // share
            value *= factor if ends else 1.0
        return value

    def candidates(self, half: str) -> tuple[Format, ...]:
        """Returns every format of the file for a target of this half type, before floors and runtimes are
        considered."""
        found = (fmt for kind, given in self.formats.items() for fmt in format_class(kind).candidates(given, half))
        return tuple(dict.fromkeys(found))


def read_priors(path: Path | None = None) -> Priors:
    """Returns the shipped priors, or those of a file. Raises RecipeError A009 if they violate their schema, and what
    strict YAML raises (R002 to R008)."""
    file = str(path or SHIPPED.name)
    problems = Problems()
    root = parse_text((path or SHIPPED).read_text(encoding="utf-8", errors="replace"), file, problems)
    problems.raise_if_any()
    data = plain(root)
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft7Validator(json.loads(schema_text("priors"))).iter_errors(data))
    if error is not None:
        node, key = find(root, error.absolute_path)
        where = key or node.where or Where(file)
        hint = "dsv4recipe allocate --print-priors shows a complete file; dsv4recipe schema priors shows its schema"
        raise RecipeError("A009", f"these are not valid priors: {short(error.message, 160)}", where, hint)
    roles = {
        name: RolePrior(role["by"], role["floor"], {key: float(value) for key, value in role["importance"].items()})
        for name, role in data["roles"].items()
    }
    ends = data["ends"]
    return Priors(data["formats"], roles, (ends["share"], float(ends["importance"])), data["blocks"])
