"""The quick way to the groups that a rule can match leaves none of them out."""

from __future__ import annotations

import random

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.candidates import Candidates
from dsv4recipe.plan.match import Matcher, matched_members
from dsv4recipe.recipe.model import Match
from dsv4recipe.runtimes import get

ROLES = ("routed-expert", "shared-expert", "attention", "norm", "router", "indexer")
CLASSES = ("[0-9]", "[!0-9]", "[lL]", "[]x]")


def random_glob(rng: random.Random, name: str) -> str:
    """A name with some of its characters replaced by signs, or a piece of it between stars."""
    characters = list(name)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(characters))
        characters[place : place + rng.randrange(3)] = [rng.choice(("*", "?", "**", *CLASSES))]
    if rng.random() < 0.3:
        start = rng.randrange(len(characters))
        characters = ["*", *characters[start : start + 6], "*"]
    return "".join(characters)


def random_match(rng: random.Random, names: list[str], paths: list[str]) -> Match:
    some = rng.sample(("role", "projection", "block", "stored", "layers", "layer_sets", "tensor", "module"), 2)
    values = {
        "role": tuple(rng.sample(ROLES, 2)),
        "projection": (rng.choice(("gate", "down", "wq_a", "none")),),
        "block": (rng.choice(("main", "mtp")),),
        "stored": (rng.choice(("fp4", "fp8", "bf16", "f32")),),
        "layers": tuple(rng.sample(range(5), 2)),
        "layer_sets": (rng.choice(("hash", "none")),),
        "tensor": tuple(random_glob(rng, rng.choice(names)) for _ in range(2)),
        "module": (random_glob(rng, rng.choice(paths)),),
    }
    return Match(**{name: values[name] for name in some})  # type: ignore[arg-type]


def test_no_group_is_left_out(tiny: Checkpoint) -> None:
    rng, target = random.Random(0), get("vmlx", "deepseek_v4")
    sets = tiny.family.layer_sets(tiny.dims)
    names = [tensor.name for group in tiny.groups for tensor in group.members]
    paths = [path for group in tiny.groups if (path := target.path(group.slot))]
    candidates, matched = Candidates(tiny.groups, target.path), 0
    for _ in range(400):
        match = random_match(rng, names, paths)
        tests = Matcher(match, sets, target.path).tests()
        wanted = {number for number, group in enumerate(tiny.groups) if matched_members(tests, group)}
        found = list(candidates.of(match, sets))
        assert found == sorted(set(found))
        assert wanted <= set(found), match
        matched += bool(wanted)
    assert matched > 50
