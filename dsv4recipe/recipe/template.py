"""Floor 1, recipe. Holds the recipe that `init` writes: complete, loadable, and commented. This module is pure."""

from __future__ import annotations

from dsv4recipe.recipe.model import ROLES
from dsv4recipe.recipe.naming import recipe_name
from dsv4recipe.recipe.show import scalar_text

TEMPLATE = """\
# yaml-language-server: $schema={schema}
# `dsv4recipe schema recipe > {schema}` writes the schema there, so that editors can complete keys.
recipe: 1
name: {name}
summary: 4-bit affine routed experts, 8-bit affine elsewhere.
license: mit
source:
  model: deepseek-ai/DeepSeek-V4-Flash
  # Pin the checkpoint: 40 hexadecimal digits, quoted if they could be read as a number.
  revision: 6e763230a9d263eca2023f1d4a5ce1bfe126cf48
  family: deepseek_v4
target:
  # The runtime decides names on disk, legality and config: {runtimes}.
  runtime: {runtime}
  experts: stacked      # or per-expert, if the runtime supports it
  mtp: {mtp:<16} # keep or drop the prediction stages, if the runtime allows both
  shard-size: 5GiB
  half: {half:<15} # float16 or bfloat16, for scales, biases and copies of bfloat16 tensors
# Rules are tried in order. The first that matches a tensor claims it, and every tensor must be claimed.
# A rule matches if all its conditions hold: role, projection, layers, block, stored, tensor, module.
rules:
  # To give some layers more bits, put a narrower rule before the general one:
  # - id: early-experts
  #   match: {{role: routed-expert, layers: [0-2, 42]}}
  #   format: {{affine: {{bits: 6, group-size: 32}}}}
  - id: routed-experts
    match: {{role: routed-expert}}
    format: {{affine: {{bits: 4, group-size: 32}}}}     # or mxfp4: {{}}, an exact copy of the source
  - id: control
    match: {{role: [norm, router, router-bias, hyper-connection, attention-sink, position-bias, hash-table]}}
    keep: source
  - id: everything-else
    match: {{role: [attention, compressor, indexer, shared-expert, embedding, lm-head, mtp-projection]}}
    format: {{affine: {{bits: 8, group-size: 32}}}}
"""


CHILD = """\
# yaml-language-server: $schema={schema}
recipe: 1
name: {name}
extends: {parent}
{target}# A rule with the same id as one of the parent's replaces that rule in its place. A new rule says before: or
# after: a rule of the parent; otherwise it goes first.
# Roles: {roles}.
# Runtimes: {runtimes}.
rules:
  - id: first-layers
    match: {{role: routed-expert, layers: [0-2]}}
    format: {{affine: {{bits: 6, group-size: 32}}}}
    note: an example of a rule that goes before the parent's; change it or remove it
"""


def init_text(
    name: str,
    runtime: str = "vmlx",
    mtp: str = "keep",
    half: str = "float16",
    runtimes: str = "vmlx and others",
    schema: str = "recipe.schema.json",
) -> str:
    """Returns a starter recipe for a runtime, with a valid name that is near to `name`. `runtimes` lists the runtimes
    that could stand there. `schema` is the path or URL of the JSON schema, for the editor's modeline."""
    called = scalar_text(recipe_name(name, "mine"))
    return TEMPLATE.format(name=called, runtime=runtime, mtp=mtp, half=half, runtimes=runtimes, schema=schema)


def child_text(name: str, parent: str, target: str, runtimes: str, schema: str = "recipe.schema.json") -> str:
    """Returns a starter recipe that extends another. `target` holds the lines of the target that differ from the
    parent's."""
    called, roles = scalar_text(recipe_name(name, "mine")), ", ".join(ROLES)
    return CHILD.format(name=called, parent=parent, target=target, roles=roles, runtimes=runtimes, schema=schema)
