"""Floor 1, formats. Says how a recipe spells ggml: the JSON schema of its parameters. Pure data."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "description": ("A ggml type, for GGUF files (ds4, llama.cpp). What the stock ggml quantizer makes of the tensor."),
    "type": "object",
    "additionalProperties": False,
    "required": ["type"],
    "properties": {
        "type": {
            "description": (
                "F32, F16, BF16, I32: plain numbers. Q8_0: 8.5 bits per weight. Q4_K: 4.5. Q2_K: "
                "2.625. IQ2_XXS: 2.0625, found slowly. MXFP4: 4.25, an exact copy of an FP4 source."
            ),
            "type": "string",
            "enum": ["F32", "F16", "BF16", "I32", "Q8_0", "Q4_K", "Q2_K", "IQ2_XXS", "MXFP4"],
            "examples": ["Q4_K"],
        },
        "importance": {
            "description": (
                "How Q4_K, Q2_K and IQ2_XXS weigh the columns of a matrix; the other types take "
                "none. none: the unweighted search, not for IQ2_XXS. ones: the weighted search, all "
                "columns alike. energy: by the sum of squares of each column's weights. file: by the "
                "file given with --importance. record: by the activation record given with --calibration."
            ),
            "type": "string",
            "enum": ["none", "ones", "energy", "file", "record"],
            "examples": ["energy"],
        },
    },
    "if": {"required": ["type"], "properties": {"type": {"enum": ["Q4_K", "Q2_K", "IQ2_XXS"]}}},
    "then": {"required": ["importance"], "properties": {"importance": {"examples": ["energy"]}}},
    "examples": [{"type": "Q4_K", "importance": "energy"}],
}
