"""Sound recipes by the thousand: a random target, and random formats for roles, projections and layers."""

from __future__ import annotations

import random

from dsv4recipe import make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.formats import Affine, Format, Mxfp4, Mxtq
from dsv4recipe.plan.model import Plan
from dsv4recipe.recipe.model import Match, Recipe, Rule, Source, Target

CONTROL = ("norm", "router", "router-bias", "hyper-connection", "attention-sink", "position-bias", "hash-table")
LINEAR = ("attention", "compressor", "indexer", "shared-expert", "embedding", "lm-head", "mtp-projection")
PROJECTIONS = {
    "routed-expert": ("gate", "up", "down"),
    "shared-expert": ("gate", "up", "down"),
    "attention": ("wq_a", "wq_b", "wkv", "wo_a", "wo_b"),
    "compressor": ("wkv", "wgate"),
    "indexer": ("wq_b", "weights_proj", "wkv", "wgate"),
}
RUNTIMES = {
    "vmlx": ("float16", "bfloat16"),
    "mlx-vlm": ("float16", "bfloat16"),
    "rapid-mlx": ("float16", "bfloat16"),
    "omlx": ("bfloat16",),
    "mlx-lm-fork": ("float16", "bfloat16"),
}


def random_recipe(rng: random.Random, layers: int) -> Recipe:
    """A recipe that may break a law of its target: `random_plan` tries again."""
    runtime = rng.choice(sorted(RUNTIMES))
    half = rng.choice(RUNTIMES[runtime])
    jang = runtime == "vmlx"
    rules = [_special(rng, number, layers, half, jang) for number in range(rng.randrange(5))]
    rules += [
        Rule("control", Match(role=CONTROL), "source"),
        Rule("routed", Match(role=("routed-expert",)), _routed(rng, half, jang), optional=True),
        Rule("rest", Match(role=LINEAR), _affine(rng, half)),
    ]
    target = Target(
        runtime=runtime,
        experts=rng.choice(("stacked", "per-expert")) if jang else "stacked",
        mtp=rng.choice(("keep", "drop")) if jang else "drop",
        shard_size=rng.choice((500_000, 1_000_000, 5_000_000)),
        half=half,
    )
    return Recipe("random", "Random.", "mit", Source("org/model", "", ("deepseek_v4",)), target, tuple(rules))


def random_plan(rng: random.Random, checkpoint: Checkpoint) -> Plan:
    """The plan of the next random recipe that its target takes."""
    while True:
        try:
            return make_plan(random_recipe(rng, checkpoint.dims.layers), checkpoint)
        except RecipeError as error:
            if any(d.code[0] != "T" for d in error.diagnostics):
                raise


def _special(rng: random.Random, number: int, layers: int, half: str, jang: bool) -> Rule:
    role = rng.choice(sorted(PROJECTIONS))
    routed = role == "routed-expert"
    names = ("gate", "up") if routed and rng.random() < 0.5 else (rng.choice(PROJECTIONS[role]),)
    match = Match(
        role=(role,),
        projection=names if rng.random() < 0.6 else (),
        layers=tuple(sorted(rng.sample(range(layers), rng.randrange(layers)))),
    )
    fmt = _routed(rng, half, jang) if routed else _affine(rng, half)
    return Rule(f"special-{number}", match, fmt, optional=True)


def _affine(rng: random.Random, half: str) -> Format:
    return Affine(rng.choice((2, 3, 4, 5, 6, 8)), rng.choice((32, 64, 128)), half)


def _routed(rng: random.Random, half: str, jang: bool) -> Format:
    kinds = [_affine(rng, half), Mxfp4(), *([Mxtq(rng.choice((2, 4)))] if jang else [])]
    return rng.choice(kinds)
