"""Headers by the hundred thousand: the corpus, mutated. What we take, safetensors must take, with the same tensors.

    python -m tests.faults.fuzz_headers [--headers 100000] [--seed N]

The corpus is tests/cases/headers: whole small files, as they would lie on disk.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import safetensors

from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safetensors import parse_header

CORPUS = Path(__file__).parent.parent / "cases" / "headers"
TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"-", b".", b"e9", b" ", b"\t", b"\n", b"\0", b"\xff", b"\xc3"),
    *(b"0", b"1", b"16", b"4294967296", b"18446744073709551615", b"1e999", b"NaN", b"true", b"null", b"\\u0077"),
    *(b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b'"F32"', b'"F4"', b'"BF16"', b"[0,0]", b"[]"),
]


def corpus() -> list[bytes]:
    """The seeds, in the order of their names."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.safetensors"))]


def check(raw: bytes) -> bool:
    """Whether we accept this file. Raises AssertionError if we do and safetensors does not, or sees other tensors;
    any other exception of ours is a crash."""
    try:
        ours = parse_header(raw, len(raw), "fuzzed")
    except RecipeError as error:
        if len(error.diagnostics) != 1 or len(str(error)) > 3000:
            raise AssertionError(f"not one short finding: {str(error)[:300]}") from None
        return False
    try:
        theirs = safetensors.deserialize(raw)
    except Exception as error:
        raise AssertionError(f"we accept what safetensors refuses ({error}): {raw!r}") from None
    mine = {(t.name, t.dtype, t.shape, raw[t.start : t.end]) for t in ours.tensors}
    if mine != {(name, d["dtype"], tuple(d["shape"]), bytes(d["data"])) for name, d in theirs}:
        raise AssertionError(f"other tensors than safetensors: {raw!r}")
    return True


def mutated(seeds: list[bytes], rng: random.Random) -> bytes:
    """A seed with some places changed, its length bytes mostly put right again."""
    raw = bytearray(rng.choice(seeds))
    length = int.from_bytes(raw[:8], "little")
    head, data = raw[8 : 8 + length], raw[8 + length :]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randint(0, len(head))
        size = rng.choice((0, 0, 1, 1, 2, 8))
        match rng.randrange(5):
            case 0:
                head[at : at + size] = rng.choice(TOKENS)
            case 1 if head:
                head[at % len(head)] ^= 1 << rng.randrange(8)
            case 2:
                other = rng.choice(seeds)[8:]
                start = rng.randrange(len(other) + 1)
                head[at : at + size] = other[start : start + rng.randint(0, 80)]
            case 3:
                digits = [i for i, byte in enumerate(head) if 48 <= byte <= 57]
                if digits:
                    head[rng.choice(digits)] = rng.randint(48, 57)
            case _:
                del head[at : at + rng.randint(1, 12)]
    if rng.random() < 0.1:
        data = data[: rng.randint(0, len(data))] + bytes(rng.randint(0, 3))
    size = len(head) if rng.random() < 0.97 else rng.choice((0, len(head) - 1, len(head) + 1, 1 << 60, length))
    return max(0, size).to_bytes(8, "little") + bytes(head) + bytes(data)


def fuzz(headers: int, seed: int) -> int:
    """Checks so many mutated headers; returns how many we accept. Raises AssertionError with the file that failed."""
    rng = random.Random(seed)
    seeds = corpus()
    seeds += 10 * [raw for raw in seeds if check(raw)]  # near the sound ones is where a reader goes wrong
    accepted = 0
    for number in range(headers):
        raw = mutated(seeds, rng)
        try:
            accepted += check(raw)
        except Exception as error:
            raise AssertionError(f"seed {seed}, header {number}: {type(error).__name__}: {error}\n{raw!r}") from error
    return accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--headers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.monotonic()
    accepted = fuzz(options.headers, options.seed)
    print(
        f"{options.headers:,} headers, seed {options.seed}, {time.monotonic() - begin:.0f} s: 0 crashes, "
        f"{accepted:,} accepted, each of them by safetensors too, with the same tensors"
    )


if __name__ == "__main__":
    main()
