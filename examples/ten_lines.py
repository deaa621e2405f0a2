"""The Python API: plan, compare, build and prove. Usage: python examples/ten_lines.py CHECKPOINT OUT"""

import sys

from dsv4recipe import build, diff, load_recipe, make_plan, open_checkpoint, verify

checkpoint = open_checkpoint(sys.argv[1])
plan = make_plan(load_recipe("q4q8"), checkpoint)
other = make_plan(load_recipe("q4q8-per-expert"), checkpoint)
print(f"{plan.tensor_bytes:,} bytes, {plan.bits_per_weight} bits per weight, {len(plan.shards)} shard(s)")
print(f"against q4q8-per-expert: {len(diff(plan, other).changed)} groups of modules are laid out differently")
bundle = build(plan, checkpoint, sys.argv[2])
print(f"{bundle}: {'verified' if verify(bundle).ok else 'NOT what was planned'}")
