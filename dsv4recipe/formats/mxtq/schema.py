"""Floor 1, formats. Says how a recipe spells mxtq: the JSON schema of its parameters. Pure data."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "description": "TurboQuant weights: rotated rows, one norm per row, a codebook.",
    "type": "object",
    "additionalProperties": False,
    "required": ["bits"],
    "properties": {
        "bits": {
            "description": "Bits of a code: 2 or 4.",
            "type": "integer",
            "enum": [2, 4],
            "examples": [2],
        },
        "seed": {
            "description": "Seed of the sign flips; the runtime draws the same signs from it.",
            "type": "integer",
            "minimum": 0,
            "maximum": 4294967295,
            "default": 42,
            "examples": [42],
        },
        "fit": {
            "description": (
                "How codes are chosen. nearest: each weight's nearest level, as jang does. gptq: least error of the "
                "outputs, for the inputs that the activation record given with --calibration holds; runtimes read "
                "both alike."
            ),
            "type": "string",
            "enum": ["nearest", "gptq"],
            "default": "nearest",
            "examples": ["gptq"],
        },
    },
    "examples": [{"bits": 2, "seed": 42}],
}
