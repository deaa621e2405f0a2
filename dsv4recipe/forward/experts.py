"""Floor 4, forward. Runs the routed experts of a layer one after the other over all tokens that reach them.

Decoding runs ahead in threads (the kernels release the GIL), by at most one expert more than there are threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Group
from dsv4recipe.forward.reference import Reference
from dsv4recipe.forward.taps import Tap
from dsv4recipe.forward.weights import Array, Weights

_ROWS = 4096
"""How many tokens go through an expert together."""
PROJECTIONS = ("gate", "up", "down")


def reached(ids: NDArray[np.int64], experts: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Returns, for each expert, the tokens that reach it, rising, and its place among each token's choices."""
    flat = ids.ravel()
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(experts + 1))
    parts = (order[bounds[e] : bounds[e + 1]] for e in range(experts))
    return [(part // ids.shape[1], part % ids.shape[1]) for part in parts]


def run_experts(
    reference: Reference,
    number: int,
    weights: Weights,
    inputs: NDArray[np.float32],
    ids: NDArray[np.int64],
    routing: NDArray[np.float32],
    out: NDArray[np.float32],
    tap: Tap,
    workers: int,
) -> int:
    """Adds the weighted outputs of every reached expert of layer `number` to `out` [tokens, hidden]. Returns how many
    experts no token reached; those are not decoded."""
    torch, groups = reference.torch, reference.experts(number)
    limit, act = reference.config.swiglu_limit, torch.nn.functional.silu
    places = reached(ids, groups["gate"].experts)
    busy = [expert for expert, (tokens, _) in enumerate(places) if len(tokens)]
    seen = tap.wants_expert(number)
    total = torch.from_numpy(out)
    for expert, arrays in _ahead(weights, groups, busy, workers):
        gate, up, down = (reference.tensor(array) for array in arrays)
        tokens, choice = places[expert]
        for first in range(0, len(tokens), _ROWS):
            part, chosen = tokens[first : first + _ROWS], choice[first : first + _ROWS]
            rows = reference.tensor(inputs[part])
            left = torch.nn.functional.linear(rows, gate).clamp(max=limit)
            right = torch.nn.functional.linear(rows, up).clamp(min=-limit, max=limit)
            inner = act(left) * right
            scale = routing[part, chosen]
            if seen:
                tap.expert(number, expert, part, inputs[part], scale, inner.cpu().numpy())
            result = torch.nn.functional.linear(inner, down) * reference.tensor(scale)[:, None]
            total.index_add_(0, torch.from_numpy(part), result.cpu())
    return len(places) - len(busy)


def _ahead(
    weights: Weights, groups: dict[str, Group], experts: list[int], workers: int
) -> Iterator[tuple[int, tuple[Array, ...]]]:
    """Yields each expert with its three matrices, in order."""

    def decode(expert: int) -> tuple[Array, ...]:
        return tuple(weights.tensor(groups[projection], expert) for projection in PROJECTIONS)

    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[int, Future[tuple[Any, ...]]]] = deque()
        try:
            for expert in experts:
                waiting.append((expert, pool.submit(decode, expert)))
                if len(waiting) > workers:
                    ready, job = waiting.popleft()
                    yield ready, job.result()
                    del job
            while waiting:
                ready, job = waiting.popleft()
                yield ready, job.result()
        finally:
            for _, job in waiting:
                job.cancel()
