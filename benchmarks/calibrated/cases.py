"""What is measured: routed experts in a format, with a record or without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.calibrated.records import SEEDS

AFFINE = {"4 g32": "bits: 4, group-size: 32", "3 g128": "bits: 3, group-size: 128", "2 g64": "bits: 2, group-size: 64"}
MXTQ = {"mxtq 2": "bits: 2", "mxtq 4": "bits: 4"}


@dataclass(frozen=True)
class Case:
    """`name` says what it is: "2 g64, gptq, little 3", with ", bfloat16" where scales are not float16."""

    name: str
    format: str
    half: str
    record: str | None


def case(width: str, fit: str, record: str | None, half: str = "float16") -> Case:
    """`fit`: "plain" (minmax, or MXTQ's nearest levels), "mse", "importance" (mse weighed by the record) or "gptq"."""
    spelled = AFFINE.get(width) or MXTQ[width]
    kind = "affine" if width in AFFINE else "mxtq"
    more = {"plain": "", "mse": ", fit: mse", "importance": ", fit: mse, importance: record", "gptq": ", fit: gptq"}
    name = ", ".join((width, fit, *([record] if record else []), *([half] if half != "float16" else [])))
    return Case(name, f"{kind}: {{{spelled}{more[fit]}}}", half, record)


def cases() -> Iterator[Case]:
    """In the order of what is wanted first."""
    for width in (*AFFINE, *MXTQ):
        yield case(width, "plain", None)
        yield case(width, "gptq", "large")
    for width in AFFINE:
        yield case(width, "mse", None)
    for width in AFFINE:
        yield case(width, "plain", None, "bfloat16")
        yield case(width, "gptq", "large", "bfloat16")
    for width in AFFINE:
        yield case(width, "importance", "large")
    for width in (*AFFINE, *MXTQ):
        yield case(width, "gptq", "chapters")
        yield case(width, "gptq", "sums")
    for seed in range(SEEDS):
        for width in (*AFFINE, *MXTQ):
            yield case(width, "gptq", f"little {seed}")


RECIPES = (
    "q4q8", "q4q8-calibrated", "jangtq2", "jangtq2-calibrated", "q3-mixed", "q3-mixed-calibrated", "fits-96gb",
    "fits-96gb-calibrated", "fits-128gb", "fits-128gb-calibrated", "two-bit",
)  # fmt: skip
"""Shipped recipes, whole, each before its calibrated form."""
