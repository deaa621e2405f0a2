"""Floor 1, formats. Says how a recipe spells affine: the JSON schema of its parameters. Pure data."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "description": "MLX affine quantization: code times scale plus bias, by groups of columns.",
    "type": "object",
    "additionalProperties": False,
    "required": ["bits", "group-size"],
    "properties": {
        "bits": {
            "description": "Bits of a code. 2, 3, 4, 5, 6 or 8; MLX has no other widths.",
            "type": "integer",
            "enum": [2, 3, 4, 5, 6, 8],
            "examples": [4],
        },
        "group-size": {
            "description": ("Columns that share one scale and bias. 32: closest to the source. 64, 128: smaller."),
            "type": "integer",
            "enum": [32, 64, 128],
            "examples": [32],
        },
        "scales": {
            "description": (
                "Type of scales and biases: float16, bfloat16 or float32. Left out: the target's half type."
            ),
            "type": "string",
            "enum": ["bfloat16", "float16", "float32"],
            "examples": ["float16"],
        },
        "fit": {
            "description": (
                "How scale and bias are chosen. minmax: the rule of mx.quantize. mse: least squared "
                "error, never more than minmax. exact: no error at all, from an FP4 source, or the "
                "build stops. gptq: least error of the outputs, for the inputs that the activation "
                "record given with --calibration holds."
            ),
            "type": "string",
            "enum": ["minmax", "mse", "exact", "gptq"],
            "default": "minmax",
            "examples": ["mse"],
        },
        "importance": {
            "description": (
                "What weighs the errors of fit: mse. none: nothing. file: by column, the file given with --importance. "
                "record: by column, the activation record given with --calibration."
            ),
            "type": "string",
            "enum": ["none", "file", "record"],
            "default": "none",
            "examples": ["file"],
        },
    },
    "examples": [{"bits": 4, "group-size": 32}],
}
