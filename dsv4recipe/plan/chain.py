"""Floor 3, plan. Builds the whole graph: file → group → module → shard. This module is pure.

`Checkpoint.graph` ends at groups, and a plan says what they become. An edge points from a source to its result.
"""

from __future__ import annotations

from typing import Any

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan

Node = tuple[str, str]


def plan_graph(plan: Plan, checkpoint: Checkpoint) -> Any:
    """Returns a networkx.DiGraph: ("file", name) → ("group", stem) → ("module", disk stem) → ("shard", file)."""
    graph = checkpoint.graph.copy()
    group_of = {group.names: group.stem for group in checkpoint.groups}
    for shard in plan.shards:
        for disk in shard.modules:
            module = plan.by_disk[disk]
            graph.add_edge(("group", group_of[module.sources]), ("module", disk), module=module)
            graph.add_edge(("module", disk), ("shard", shard.file))
    return graph


def chain_of(graph: Any, stem: str) -> tuple[Node, ...]:
    """Returns what the group `stem` is made from, the group itself, and what is made from it, in that order."""
    node = ("group", stem)
    before = sorted(graph.predecessors(node))
    after: list[Node] = []
    here = [node]
    while here := [each for one in here for each in graph.successors(one)]:
        after += here
    return (*before, node, *after)
